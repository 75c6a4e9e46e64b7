//! What it costs when one of four authorities is down, and that reputation mends it.
//!
//! Four authorities on links of 50 to 100 ms with a steady load. One dies, is missed until others sit in its leader slots, and
//! comes back some windows later. Measured is the commit latency of every block with transactions at every honest node:
//! from the time that its author wrote into it to the time that the node's reader has it.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, sync::Arc, time::Duration};

use consensus_core::{
    AuthorityIndex, CommittedSubDag, Genesis, Params, ProtocolParameters, Reputation, Round, Timestamp,
};

use crate::{Downstream, Happening, Load, Plan, Report, Scripted, Signatures, Weather, run_with};

/// The authority that goes down.
const DOWN: u16 = 3;
/// Start-up, and what is left out after each change.
const SETTLE_MS: u64 = 2_000;

/// A stretch of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All are up.
    Healthy,
    /// One is down and still has its leader slots.
    Down,
    /// One is down, and others sit in its leader slots.
    Replaced,
    /// It is up again, and has its slots again.
    Back,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Down, Self::Replaced, Self::Back];

    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Down => "one down, before the switch",
            Self::Replaced => "one down, after one window",
            Self::Back => "back, with its slots again",
        }
    }
}

/// What was measured in a phase.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Leader rounds from its first to its last commit.
    pub rounds: u64,
    /// Commit latencies in virtual milliseconds, rising.
    pub latencies_ms: Vec<u64>,
}

impl Measured {
    /// The latency that so many of a hundred do not exceed; 0 where nothing was measured.
    pub fn percentile_ms(&self, percent: usize) -> u64 {
        let place = (self.latencies_ms.len() * percent / 100).min(self.latencies_ms.len().saturating_sub(1));
        self.latencies_ms.get(place).copied().unwrap_or(0)
    }
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct OneDown {
    /// By [`Phase`].
    pub phases: [Measured; 4],
    /// Leader rounds of the chain's commits from the crash to the first round under the table that unseats the authority.
    pub rounds_to_switch: u64,
    /// How the run itself ended.
    pub report: Report,
}

impl OneDown {
    /// A phase's measurements.
    pub fn phase(&self, phase: Phase) -> &Measured {
        &self.phases[phase as usize]
    }

    /// Median latency of a phase in hundredths of the healthy one; 0 where nothing was measured.
    pub fn percent_of_healthy(&self, phase: Phase) -> u64 {
        let healthy = self.phase(Phase::Healthy).percentile_ms(50);
        (self.phase(phase).percentile_ms(50) * 100).checked_div(healthy).unwrap_or(0)
    }
}

/// Runs the world of a seed with windows of so many leader rounds.
pub fn measure(seed: u64, window_rounds: u64, signatures: Signatures) -> OneDown {
    // A round takes about 100 ms, one with a leader time-out 350 ms; two windows may pass before each switch.
    let windows_ms = |count: u64| count * window_rounds * 200;
    let crash_ms = SETTLE_MS + windows_ms(1);
    let restart_ms = crash_ms + windows_ms(3);
    let node = usize::from(DOWN);
    let crash = Happening::Crash { node, down_ms: restart_ms - crash_ms };
    let parameters =
        ProtocolParameters { schedule_window_rounds: window_rounds, ..ProtocolParameters::default() };
    let plan = Plan {
        duration_ms: restart_ms + windows_ms(3),
        signatures,
        load: Some(Load { per_second: 80, size_bytes: 64 }),
        parameters: Some(parameters),
        params: Some(Params::default()),
        script: vec![Scripted { at_ms: crash_ms, what: crash }],
        ..Plan::new(seed, 4, Weather::Calm)
    };
    let meter = Rc::new(RefCell::new(Meter::new(crash_ms, plan.duration_ms)));
    let report = run_with(&plan, &(meter.clone() as Rc<RefCell<dyn Downstream>>));
    let mut meter = meter.borrow_mut();
    for phase in &mut meter.phases {
        phase.latencies_ms.sort_unstable();
    }
    OneDown { phases: meter.phases.clone(), rounds_to_switch: meter.rounds_to_switch(), report }
}

/// Listens behind the honest nodes.
#[derive(Debug)]
struct Meter {
    crash_ms: u64,
    end_ms: u64,
    genesis_time: Timestamp,
    reputation: Option<Reputation>,
    /// Commits of the longest chain.
    chain: u64,
    phase: Phase,
    /// When the phase began.
    since_ms: u64,
    phases: [Measured; 4],
    first_rounds: [Option<Round>; 4],
    crash_round: Round,
    switch_round: Round,
    up: BTreeSet<usize>,
}

impl Meter {
    fn new(crash_ms: u64, end_ms: u64) -> Self {
        Self {
            crash_ms,
            end_ms,
            genesis_time: Timestamp::default(),
            reputation: None,
            chain: 0,
            phase: Phase::Healthy,
            since_ms: 0,
            phases: Default::default(),
            first_rounds: [None; 4],
            crash_round: Round::GENESIS,
            switch_round: Round::GENESIS,
            up: BTreeSet::new(),
        }
    }

    fn rounds_to_switch(&self) -> u64 {
        self.switch_round.get().saturating_sub(self.crash_round.get())
    }

    fn enter(&mut self, at_ms: u64, phase: Phase) {
        if self.phase != phase {
            (self.phase, self.since_ms) = (phase, at_ms);
        }
    }

    /// Follows the chain: its schedule says when a phase ends.
    fn follow(&mut self, at_ms: u64, sub_dag: &CommittedSubDag) {
        let Some(reputation) = &mut self.reputation else { return };
        self.chain += 1;
        reputation.note_commit(sub_dag);
        let (schedule, down) = (reputation.schedule(), AuthorityIndex::new(DOWN));
        let (since, unseated) = (schedule.since(), schedule.table().unseated().contains(&down));
        let round = sub_dag.commit.last_leader_round();
        if at_ms < self.crash_ms {
            self.crash_round = round;
            return;
        }
        match self.phase {
            Phase::Healthy => self.enter(self.crash_ms, Phase::Down),
            Phase::Down if unseated => {
                self.switch_round = since;
                self.enter(at_ms, Phase::Replaced);
            }
            Phase::Replaced if !unseated => self.enter(at_ms, Phase::Back),
            _ => {}
        }
    }
}

impl Downstream for Meter {
    fn starts(&mut self, genesis: &Arc<Genesis>) {
        self.genesis_time = genesis.timestamp();
        self.reputation = Some(Reputation::new(genesis.clone()));
    }

    fn begins(&mut self, _: u64, node: usize, _: u64) {
        self.up.insert(node);
    }

    fn dies(&mut self, _: u64, node: usize) {
        self.up.remove(&node);
    }

    fn delivered(&mut self, at_ms: u64, node: usize, sub_dag: &CommittedSubDag) {
        if sub_dag.commit.index.get() == self.chain + 1 {
            self.follow(at_ms, sub_dag);
        }
        // While the authority is up and unseated, the network is neither healthy nor missing anybody.
        let between = self.phase == Phase::Replaced && self.up.contains(&usize::from(DOWN));
        if between || at_ms < self.since_ms + SETTLE_MS || at_ms > self.end_ms || node == usize::from(DOWN) {
            return;
        }
        let round = sub_dag.commit.last_leader_round();
        let first = *self.first_rounds[self.phase as usize].get_or_insert(round);
        let measured = &mut self.phases[self.phase as usize];
        measured.rounds = measured.rounds.max(round.get().saturating_sub(first.get()));
        let now = self.genesis_time.plus(Duration::from_millis(at_ms));
        let busy = sub_dag.blocks.iter().filter(|block| !block.block().transactions.is_empty());
        let latencies = busy.map(|block| now.since(block.block().timestamp).as_millis());
        measured.latencies_ms.extend(latencies.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)));
    }

    fn passes(&mut self, _: u64) {}
}
