//! One committee: machines, links of one delay, and what is counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, BlockSource, BlockVerifier, CommittedSubDag, Consensus, Effect, Genesis, Input, Params,
    Round, Ticket, Timestamp, Transaction, VerifiedBlock,
    testkit::{self, network::TestStore},
};
use nix::time::ClockId;

/// Every link, one way.
const DELAY: Duration = Duration::from_millis(100);
/// Rounds before anything is counted: the DAG is as deep as GC lets it be.
const WARM_UP_ROUNDS: u64 = 70;
/// Rounds that are counted.
const COUNTED_ROUNDS: u64 = 40;
/// Bytes of the one transaction in each block.
const TRANSACTION_BYTES: usize = 512;

/// What a committee of a size costs. Means over the counted rounds.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) authorities: u16,
    /// Time in one machine a round, signing included, in microseconds.
    pub(crate) core_us: f64,
    /// Time to decode and judge the others' blocks of a round, which is done off the machine's thread, in microseconds.
    pub(crate) verify_us: f64,
    /// Signed bytes of a block.
    pub(crate) block_bytes: f64,
    /// Messages over all links for each commit.
    pub(crate) messages: f64,
    /// Bytes of blocks over all links for each commit.
    pub(crate) bytes: f64,
    /// From a block's making to its commit's delivery, at every node, in delays of a link: blocks that are leaders.
    pub(crate) leader_delays: f64,
    /// The same of all other blocks.
    pub(crate) other_delays: f64,
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn get(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }
}

#[derive(Debug)]
struct Network {
    machines: Vec<Consensus>,
    now: Timestamp,
    /// Inputs on their way, by time and number of entry.
    events: BTreeMap<(Timestamp, u64), (AuthorityIndex, Input)>,
    entered: u64,
    submitted: u64,
    is_counted: bool,
    core: Duration,
    verify: Mean,
    block_bytes: Mean,
    messages: u64,
    bytes: u64,
    commits: u64,
    leader_delays: Mean,
    other_delays: Mean,
    verifier: BlockVerifier,
}

/// Runs a committee and counts.
pub(crate) fn measure(authorities: u16) -> Growth {
    let (genesis, signers) = testkit::genesis(authorities);
    let genesis = Arc::new(genesis);
    let params =
        Params { min_round_interval: Duration::ZERO, idle_delay: Duration::ZERO, ..Params::default() };
    let now = genesis.timestamp();
    let mut network = Network::new(&genesis);
    let mut started = Vec::new();
    for (signer, own) in signers.into_iter().zip(genesis.committee().indexes()) {
        let log = TestStore::default().recovered(own, genesis.parameters());
        let (machine, effects) = Consensus::recover(genesis.clone(), params.clone(), signer, log, now)
            .expect("an empty store is taken");
        network.machines.push(machine);
        started.push((own, effects));
    }
    for (own, effects) in started {
        network.submit(own);
        network.run_effects(own, effects);
        for from in genesis.committee().indexes().filter(|from| *from != own) {
            network.enter(own, Input::OwnLastBlock { from, block: None, peers_last: None });
        }
    }
    network.run_to(Round::new(WARM_UP_ROUNDS));
    network.is_counted = true;
    network.run_to(Round::new(WARM_UP_ROUNDS + COUNTED_ROUNDS));
    network.growth(authorities)
}

impl Network {
    fn new(genesis: &Arc<Genesis>) -> Self {
        Self {
            machines: Vec::new(),
            now: genesis.timestamp(),
            events: BTreeMap::new(),
            entered: 0,
            submitted: 0,
            is_counted: false,
            core: Duration::ZERO,
            verify: Mean::default(),
            block_bytes: Mean::default(),
            messages: 0,
            bytes: 0,
            commits: 0,
            leader_delays: Mean::default(),
            other_delays: Mean::default(),
            verifier: BlockVerifier::new(genesis.clone()),
        }
    }

    fn growth(&self, authorities: u16) -> Growth {
        let (machines, rounds) = (f64::from(authorities), COUNTED_ROUNDS as f64);
        let commits = self.commits.max(1) as f64;
        Growth {
            authorities,
            core_us: self.core.as_secs_f64() * 1e6 / machines / rounds,
            verify_us: self.verify.get() * (machines - 1.0),
            block_bytes: self.block_bytes.get(),
            messages: self.messages as f64 / commits,
            bytes: self.bytes as f64 / commits,
            leader_delays: self.leader_delays.get(),
            other_delays: self.other_delays.get(),
        }
    }

    /// Runs until the first machine has come to a round.
    fn run_to(&mut self, round: Round) {
        while self.machines.first().is_some_and(|machine| machine.status().round < round) {
            let (at, (to, input)) = self.events.pop_first().expect("a network without faults goes on");
            self.now = at.0.max(self.now);
            self.feed(to, input);
        }
    }

    fn feed(&mut self, to: AuthorityIndex, input: Input) {
        let machine = &mut self.machines[to.as_usize()];
        let started = processor_time();
        let effects = machine.handle(self.now, input);
        if self.is_counted {
            self.core += processor_time().saturating_sub(started);
        }
        self.run_effects(to, effects);
    }

    /// One transaction for the next own block. What a submission costs is not counted.
    fn submit(&mut self, own: AuthorityIndex) {
        self.submitted += 1;
        let mut bytes = vec![0; TRANSACTION_BYTES];
        bytes[..8].copy_from_slice(&self.submitted.to_le_bytes());
        let transactions = vec![Transaction::new(Bytes::from(bytes))];
        let input = Input::Transactions { ticket: Ticket(self.submitted), transactions };
        let effects = self.machines[own.as_usize()].handle(self.now, input);
        self.run_effects(own, effects);
    }

    fn run_effects(&mut self, own: AuthorityIndex, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Broadcast(block) => self.broadcast(own, &block),
                Effect::SendWake { round } => self.send(own, 0, &Input::Wake { from: own, round }),
                Effect::Deliver(sub_dag) => self.deliver(own, &sub_dag),
                Effect::Fetch(fetch) => panic!("{own} asks {} for blocks: none is lost here", fetch.peer),
                Effect::Report(fault) => panic!("{own} reports {fault:?}: nobody lies here"),
                _ => {}
            }
        }
        let deadline = self.machines[own.as_usize()].next_deadline();
        if let Some(at) = deadline.filter(|at| *at <= self.now) {
            self.push(at, own, Input::Tick);
        }
    }

    fn broadcast(&mut self, own: AuthorityIndex, block: &VerifiedBlock) {
        let size_bytes = block.signed_bytes().len();
        if self.is_counted {
            self.block_bytes.add(size_bytes as f64);
            let started = processor_time();
            let verified = self.verifier.verify(block.signed_bytes().clone());
            self.verify.add(processor_time().saturating_sub(started).as_secs_f64() * 1e6);
            assert!(verified.is_ok(), "{verified:?}");
        }
        let blocks = vec![block.clone()];
        let input = Input::Blocks { from: own, source: BlockSource::Streamed, blocks };
        self.send(own, size_bytes as u64, &input);
        self.submit(own);
    }

    fn send(&mut self, from: AuthorityIndex, size_bytes: u64, input: &Input) {
        for to in (0..self.machines.len()).filter(|to| *to != from.as_usize()) {
            let to = AuthorityIndex::new(u16::try_from(to).expect("committees are small"));
            if self.is_counted {
                self.messages += 1;
                self.bytes += size_bytes;
            }
            self.enter(to, input.clone());
        }
    }

    fn deliver(&mut self, own: AuthorityIndex, sub_dag: &CommittedSubDag) {
        if !self.is_counted {
            return;
        }
        self.commits += u64::from(own.get() == 0);
        for block in &sub_dag.blocks {
            let waited = self.now.since(block.block().timestamp).as_secs_f64() / DELAY.as_secs_f64();
            let is_leader = sub_dag.commit.leaders.contains(&block.reference());
            let mean = if is_leader { &mut self.leader_delays } else { &mut self.other_delays };
            mean.add(waited);
        }
    }

    /// Lets an input arrive after a link's delay.
    fn enter(&mut self, to: AuthorityIndex, input: Input) {
        self.push(self.now.plus(DELAY), to, input);
    }

    fn push(&mut self, at: Timestamp, to: AuthorityIndex, input: Input) {
        self.entered += 1;
        self.events.insert((at, self.entered), (to, input));
    }
}

/// What this thread has had of a core: whatever else runs on the machine does not count.
fn processor_time() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}
