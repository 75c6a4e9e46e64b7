//! The world: virtual time, an event queue, and everything that is in it.
//!
//! Events run in the order of (time, number of entry). Everything random comes from generators split from the seed by
//! purpose, and nothing iterates a hash map, so that a plan runs the same way on every machine.

mod commits;
mod driver;
mod executors;
mod lives;
mod losses;
mod setup;
mod transport;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use consensus_core::{
    BlockRef, Fetch, Genesis, Params, Round, Signer, Ticket, TransactionDigest, VerifiedBlock,
};

use self::commits::{CommitsAnswer, CommitsQuestion};
use crate::{
    byzantine::{LastBlocks, Wire},
    chronicle::{Chronicle, Mark},
    downstream::{Downstream, Nothing},
    fault::{Fault, FaultCounts},
    happening::Happening,
    invariants::{Kind, Record, Standing, Violation, Watch},
    network::Network,
    node::{Node, Start},
    plan::Plan,
    report::Report,
    rng::Rng,
    trace::Trace,
    verifier::Verifier,
    workload::Workload,
};

/// How long the healed network may take to show progress.
const PROGRESS_WITHIN_MS: u64 = 60_000;
/// How often machines are looked at.
const PROBE_MS: u64 = 200;

/// What a stream carries.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Blocks(Vec<VerifiedBlock>),
    /// The answer to the question of the start.
    OwnLast(Box<LastBlocks>),
    Wake(Round),
    Raw(Bytes),
}

/// Something that is due at a time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A machine's deadline.
    Timer { node: usize, life: u64 },
    /// A sync's phase ends.
    Disk { node: usize, life: u64 },
    /// A stream's message arrives.
    Arrive { from: usize, to: usize, generation: u64, payload: Payload },
    /// Held blocks may have come near enough to the clock.
    Flush { from: usize, to: usize, generation: u64 },
    /// A subscriber tries to reach a publisher.
    Connect { from: usize, to: usize, generation: u64 },
    /// A subscription reaches the publisher.
    Subscribe { from: usize, to: usize, generation: u64, after: Round },
    /// A question for blocks arrives.
    Question { asker: usize, life: u64, fetch: Fetch },
    /// An answer arrives; `None` if there is none, and the asker has found that out.
    Answer { asker: usize, life: u64, fetch: Fetch, blocks: Option<Vec<VerifiedBlock>> },
    /// An answer arrives of which nothing is known.
    FalseAnswer { asker: usize, life: u64, fetch: Fetch, bytes: Bytes },
    /// A question for commits arrives.
    CommitsQuestion { question: CommitsQuestion },
    /// An answer to one arrives; `None` if there was nobody to ask.
    CommitsAnswer { question: CommitsQuestion, answer: Option<CommitsAnswer> },
    /// A liar sends something that it kept back.
    Lie { from: usize, to: usize, wire: Wire },
    /// An executor is done with what it has been given.
    Executed { node: usize, life: u64 },
    /// A client submits.
    Submit { node: usize },
    /// Machines are looked at.
    Probe,
    /// Something planned.
    Happen(Happening),
    /// A node comes back.
    Restart { node: usize, life: u64, how: Start },
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    plan: Plan,
    now_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    entered: u64,
    genesis: Arc<Genesis>,
    params: Params,
    signers: Vec<Signer>,
    nodes: Vec<Node>,
    network: Network,
    verifier: Verifier,
    workload: Workload,
    downstream: Rc<RefCell<dyn Downstream>>,
    load_pattern: u64,
    disk_rng: Rng,
    clock_rng: Rng,
    executor_rng: Rng,
    sync_ms: (u64, u64),
    slow_sync_chance: u64,
    max_skew_ms: u64,
    range_bytes: u64,
    watch: Watch,
    announced: BTreeSet<BlockRef>,
    /// Commits that any honest node has handed on.
    chain_length: usize,
    faults: FaultCounts,
    trace: Trace,
    chronicle: Option<Chronicle>,
    violation: Option<Violation>,
    healed_ms: Option<u64>,
    /// Last transactions of the run, one a node, until they are accepted.
    markers: BTreeMap<Ticket, usize>,
    unmarked: BTreeSet<usize>,
    /// All of them so far, and whose they are: one that is dropped is made again.
    marked: BTreeMap<TransactionDigest, usize>,
    inputs: u64,
}

/// Runs a plan to its end, or to the first violation. A panic anywhere in the world is one.
pub fn run(plan: &Plan) -> Report {
    run_with(plan, &(Rc::new(RefCell::new(Nothing)) as Rc<RefCell<dyn Downstream>>))
}

/// Runs a plan with something behind the honest nodes; what that is, the caller keeps and looks at afterwards. A panic of
/// its own ends the run as a violation.
pub fn run_with(plan: &Plan, downstream: &Rc<RefCell<dyn Downstream>>) -> Report {
    // What a panic leaves half done is the world's own, which is gone, and the caller's, which is told.
    let world = AssertUnwindSafe(|| run_world(plan, downstream.clone()));
    std::panic::catch_unwind(world).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let detail = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let detail = detail.unwrap_or_else(|| "without a text".to_owned());
        Report::of_violation(plan, Violation { invariant: "panic", kind: Kind::Invariant, at_ms: 0, detail })
    })
}

fn run_world(plan: &Plan, downstream: Rc<RefCell<dyn Downstream>>) -> Report {
    let mut world = World::new(plan, downstream);
    world.start();
    world.run_until(plan.duration_ms, |_| false);
    world.heal();
    let target = world.wait_for_progress();
    world.end(target)
}

impl World {
    fn push(&mut self, at_ms: u64, event: Event) {
        self.entered += 1;
        self.events.insert((at_ms.max(self.now_ms), self.entered), event);
    }

    /// Runs events up to a time, a condition or a violation.
    fn run_until(&mut self, end_ms: u64, done: impl Fn(&Self) -> bool) {
        while self.violation.is_none() && !done(self) {
            let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end_ms) else {
                break;
            };
            let ((at_ms, _), event) = entry.remove_entry();
            self.now_ms = at_ms;
            self.downstream.borrow_mut().passes(at_ms);
            self.run_event(event);
        }
        self.now_ms = self.now_ms.max(end_ms.min(self.now_ms.saturating_add(PROBE_MS)));
    }

    fn run_event(&mut self, event: Event) {
        self.note(&event);
        match event {
            Event::Timer { node, life } => self.timer(node, life),
            Event::Disk { node, life } => self.disk(node, life),
            Event::Arrive { from, to, generation, payload } => self.arrive(from, to, generation, payload),
            Event::Flush { from, to, generation } => self.flush(from, to, generation),
            Event::Connect { from, to, generation } => self.connect(from, to, generation),
            Event::Subscribe { from, to, generation, after } => self.subscribe(from, to, generation, after),
            Event::Question { asker, life, fetch } => self.question(asker, life, fetch),
            Event::Answer { asker, life, fetch, blocks } => self.fetched(asker, life, &fetch, blocks),
            Event::FalseAnswer { asker, life, fetch, bytes } => {
                self.falsely_fetched(asker, life, &fetch, bytes);
            }
            Event::CommitsQuestion { question } => self.commits_question(question),
            Event::CommitsAnswer { question, answer } => self.commits_answer(question, answer),
            Event::Lie { from, to, wire } => self.lie(from, to, wire),
            Event::Executed { node, life } => self.executed(node, life),
            Event::Submit { node } => self.submit(node),
            Event::Probe => self.probe(),
            Event::Happen(happening) => self.happen(happening),
            Event::Restart { node, life, how } => {
                if self.nodes[node].life == life {
                    self.start_node(node, how);
                }
            }
        }
    }

    /// Adds the event to the run's hash.
    fn note(&mut self, event: &Event) {
        let (kind, one, other) = match event {
            Event::Timer { node, .. } => (1, *node, 0),
            Event::Disk { node, .. } => (2, *node, 0),
            Event::Arrive { from, to, .. } => (3, *from, *to),
            Event::Flush { from, to, .. } => (4, *from, *to),
            Event::Connect { from, to, .. } => (5, *from, *to),
            Event::Subscribe { from, to, .. } => (6, *from, *to),
            Event::Question { asker, fetch, .. } => (7, *asker, fetch.peer.as_usize()),
            Event::Answer { asker, fetch, .. } => (8, *asker, fetch.peer.as_usize()),
            Event::Lie { from, to, .. } => (9, *from, *to),
            Event::Submit { node } => (10, *node, 0),
            Event::Probe => (11, 0, 0),
            Event::Happen(_) => (12, 0, 0),
            Event::Restart { node, .. } => (13, *node, 0),
            Event::CommitsQuestion { question } => (14, question.asker, question.asked),
            Event::CommitsAnswer { question, .. } => (15, question.asker, question.asked),
            Event::FalseAnswer { asker, fetch, .. } => (16, *asker, fetch.peer.as_usize()),
            Event::Executed { node, .. } => (17, *node, 0),
        };
        self.trace.event(self.now_ms, kind, one as u64, other as u64);
        if let Event::Arrive { payload: Payload::Blocks(blocks), .. }
        | Event::Answer { blocks: Some(blocks), .. } = event
        {
            for block in blocks {
                self.trace.digest(block.reference().digest.as_bytes());
            }
        }
    }

    /// Counts a fault.
    fn fault(&mut self, fault: Fault, node: Option<usize>) {
        self.faults.count(fault);
        if let Some(chronicle) = &mut self.chronicle {
            let at = node.and_then(|node| self.nodes.get(node)).map(|node| node.status.round);
            let highest = self.nodes.iter().map(|node| node.status.round).max();
            let round = at.or(highest).unwrap_or_default();
            chronicle.marks.push(Mark { at_ms: self.now_ms, node, round, fault });
        }
    }

    /// Shows a record to the invariants.
    fn record(&mut self, record: &Record<'_>) {
        if self.violation.is_none() {
            self.violation = self.watch.observe(self.now_ms, record);
        }
    }

    fn violate(&mut self, invariant: &'static str, detail: String) {
        let violation = Violation { invariant, kind: Kind::Invariant, at_ms: self.now_ms, detail };
        self.violation.get_or_insert(violation);
    }

    fn honest(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_honest())
    }

    fn others(&self, own: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.nodes.len()).filter(move |node| *node != own)
    }

    fn probe(&mut self) {
        let up: Vec<usize> = self.honest().filter(|(_, node)| node.is_up()).map(|(place, _)| place).collect();
        for node in up {
            let status = self.nodes[node].status.clone();
            self.record(&Record::Probed { node, status: &status });
        }
        self.push(self.now_ms + PROBE_MS, Event::Probe);
        if self.healed_ms.is_some() {
            self.submit_markers();
        }
    }

    /// The links get well, nothing more is planned; liars go on lying.
    fn heal(&mut self) {
        self.healed_ms = Some(self.now_ms);
        self.network.mend();
        self.network.profile = setup::healed_profile();
        (self.sync_ms, self.slow_sync_chance) = ((1, 3), 0);
        for node in &mut self.nodes {
            node.fuse = None;
            node.doom = None;
        }
        self.unmarked = self.honest().map(|(place, _)| place).collect();
        if let Some(chronicle) = &mut self.chronicle {
            chronicle.healed_at = self.nodes.iter().map(|node| node.status.round).max().unwrap_or_default();
        }
    }

    /// Waits until all is committed that must be, then until all have it. The number of commits that all must have.
    fn wait_for_progress(&mut self) -> usize {
        let end_ms = self.now_ms + PROGRESS_WITHIN_MS;
        self.run_until(end_ms, |world| {
            let marked = world.unmarked.is_empty() && world.markers.is_empty();
            marked && world.watch.owed() == 0 && world.honest().all(|(_, node)| node.is_up())
        });
        let target = self.chain_length;
        self.run_until(end_ms, |world| {
            world.honest().all(|(_, node)| node.is_up() && node.delivered.len() >= target)
        });
        target
    }

    fn end(mut self, target: usize) -> Report {
        let nodes: Vec<_> = self
            .honest()
            .map(|(node, state)| Standing { node, is_up: state.is_up(), delivered: state.delivered.len() })
            .collect();
        let proofs: Vec<_> = self
            .honest()
            .flat_map(|(node, state)| {
                state.disk.store.evidence.clone().into_iter().map(move |kept| (node, kept))
            })
            .collect();
        for (node, (slot, proof)) in &proofs {
            self.record(&Record::Proof { node: *node, slot: *slot, proof });
        }
        let waited_ms = self.now_ms.saturating_sub(self.healed_ms.unwrap_or_default());
        let owed = self.watch.owed() + self.unmarked.len() + self.markers.len();
        self.record(&Record::Ended { nodes: &nodes, target, owed, waited_ms });
        Report {
            seed: self.plan.seed,
            weather: self.plan.weather,
            authorities: self.plan.authorities,
            violation: self.violation,
            faults: self.faults,
            digest: self.trace.finish(),
            virtual_ms: self.now_ms,
            waited_ms,
            commits: self.chain_length as u64,
            transactions: self.workload.committed,
            duplicates: self.workload.duplicates,
            dropped: self.workload.dropped,
            rounds: self.nodes.iter().map(|node| node.status.round.get()).max().unwrap_or_default(),
            inputs: self.inputs,
            chronicle: self.chronicle,
        }
    }
}
