//! Executors behind honest nodes: they execute what the reader has, acknowledge it with roots, and sometimes compute wrongly.
//!
//! Executors that are wrong and liars together have at most f of the stake; what would be more does not happen.

use consensus_core::{CommitIndex, Input, RootAgreement, RootContradiction, StateRoot};

use super::{Event, World, setup::index};
use crate::{fault::Fault, invariants::Record, node::Start};

impl World {
    /// The handshake of a life: an executor that was contradicted stays without commits until it is repaired.
    pub(super) fn greet_executor(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let (executed, root) = node.executor.position();
        let forbidden = node.disk.store.roots.forbids(CommitIndex::new(executed), root).is_some();
        let executor = &mut node.executor;
        (executor.busy, executor.asked, executor.stopped) = (false, false, forbidden);
        self.wake_executor(place);
    }

    /// The executor sets to work, if it is not at it.
    pub(super) fn wake_executor(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        if node.is_honest() && !node.executor.stopped && !std::mem::replace(&mut node.executor.busy, true) {
            let life = node.life;
            let latency_ms = self.executor_rng.between(1, 60);
            self.push(self.now_ms + latency_ms, Event::Executed { node: place, life });
        }
    }

    /// The executor has executed what its reader has, and acknowledges each commit at which a root is voted for and the last one; now and
    /// then the last one alone.
    pub(super) fn executed(&mut self, place: usize, life: u64) {
        let skips = self.executor_rng.chance(10_000);
        let interval = self.genesis.parameters().root_interval;
        let node = &mut self.nodes[place];
        if node.life != life || !node.is_up() || node.executor.stopped {
            return;
        }
        node.executor.busy = false;
        let asked = std::mem::replace(&mut node.executor.asked, true);
        let stood = Some(node.executor.position()).filter(|_| !asked);
        let executed = node.executor.execute(&node.delivered);
        let last = executed.last().map(|(index, _)| *index);
        let told = executed
            .into_iter()
            .filter(|(index, _)| Some(*index) == last || (index.is_multiple_of(interval) && !skips));
        let told = told.map(|(index, root)| (index, Some(root)));
        for (index, root) in stood.into_iter().chain(told).collect::<Vec<_>>() {
            if self.nodes[place].life == life && !self.nodes[place].executor.stopped {
                self.acknowledge(place, index, root);
            }
        }
    }

    fn acknowledge(&mut self, place: usize, index: u64, root: Option<StateRoot>) {
        let index = CommitIndex::new(index);
        if let Some(root) = root {
            self.record(&Record::Executed { node: place, index, root });
        }
        self.feed(place, Input::Executed { index, root });
    }

    /// A machine has found its executor wrong.
    pub(super) fn contradicted(&mut self, place: usize, contradiction: &RootContradiction) {
        if !self.nodes[place].is_honest() {
            return;
        }
        self.fault(Fault::RootContradicted, Some(place));
        let node = &mut self.nodes[place];
        node.executor.stopped = true;
        let kept = node.disk.store.roots.contradiction.as_ref() == Some(contradiction);
        self.record(&Record::RootContradicted { node: place, contradiction, kept });
    }

    /// A machine tells of an agreed root.
    pub(super) fn agreed(&mut self, place: usize, agreement: &RootAgreement) {
        if self.nodes[place].is_honest() {
            // Later batches may have become durable in the same sync.
            let stored = &self.nodes[place].disk.store.roots.agreed;
            let has_newer = stored.first().is_some_and(|lowest| lowest.index > agreement.index);
            let kept = has_newer || stored.contains(agreement);
            self.record(&Record::RootAgreed { node: place, agreement, kept });
        }
    }

    /// An executor computes wrongly from now on.
    pub(super) fn break_executor(&mut self, place: usize) {
        let committee = self.genesis.committee();
        let wrong = |node: &crate::node::Node| !node.is_honest() || node.executor.is_wrong();
        let others = self.nodes.iter().enumerate().filter(|(other, node)| *other != place && wrong(node));
        let stake: u64 = others.map(|(other, _)| committee.stake(index(other)).get()).sum();
        let f = committee.total_stake().get().saturating_sub(1) / 3;
        let fits = stake + committee.stake(index(place)).get() <= f;
        if fits && self.nodes[place].is_honest() && !self.nodes[place].executor.is_wrong() {
            self.fault(Fault::ExecutorBroken, Some(place));
            self.nodes[place].executor.break_down();
        }
    }

    /// An executor gets its state of before it was wrong, and its node is started anew.
    pub(super) fn repair_executor(&mut self, place: usize, down_ms: u64) {
        if self.nodes[place].executor.is_wrong() && self.nodes[place].is_up() {
            self.fault(Fault::ExecutorRepaired, Some(place));
            self.nodes[place].executor.repair();
            self.crash_planned(place, Start::Newest, down_ms);
        }
    }
}
