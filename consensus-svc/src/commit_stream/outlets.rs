//! Where the bridge tells what happens: status, metrics, the machine, and those who wait for their transactions.

use std::sync::Arc;

use consensus_core::CommitIndex;
use metanode_proto::consensus::v1::ExecutorStep;
use metanode_telemetry::metrics::ConsensusMetrics;
use tokio::{sync::watch, time::Instant};

use super::{
    ExecutorView, executor::CheckedAcknowledgement, handshake::ExecutorPosition, machine_line::RootReporter,
    view::Delivery,
};
use crate::submit::{Tracker, WaitsEnded};

/// All of them together. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Outlets {
    view: watch::Sender<ExecutorView>,
    tracker: Arc<Tracker>,
    metrics: Arc<ConsensusMetrics>,
    roots: RootReporter,
}

impl Outlets {
    pub(super) const fn new(
        view: watch::Sender<ExecutorView>,
        tracker: Arc<Tracker>,
        metrics: Arc<ConsensusMetrics>,
        roots: RootReporter,
    ) -> Self {
        Self { view, tracker, metrics, roots }
    }

    pub(super) fn opened(&self) {
        self.view.send_modify(|view| {
            view.first_sent = CommitIndex::NONE;
            view.failure = None;
        });
        self.step(ExecutorStep::Streaming);
        self.metrics.handshakes.increment();
    }

    pub(super) fn delivery(&self, delivery: Delivery) {
        let stopped = matches!(delivery, Delivery::Stopped(_));
        self.view.send_if_modified(|view| {
            let changed = view.delivery != delivery;
            view.delivery = delivery;
            changed
        });
        if stopped {
            self.step(ExecutorStep::Stopped);
            self.tracker.end(WaitsEnded::DeliveryStopped);
        }
    }

    /// Delivery has come to a step.
    pub(super) fn step(&self, step: ExecutorStep) {
        self.view.send_modify(|view| {
            view.step = step;
            view.step_since = Instant::now();
        });
    }

    /// An attempt has failed.
    pub(super) fn failed(&self, failure: String) {
        self.view.send_modify(|view| view.failure = Some(failure));
    }

    pub(super) fn replay_from(&self, index: CommitIndex) {
        self.view.send_modify(|view| view.replay_from = index);
    }

    /// Newest commit known to be executed.
    pub(super) fn executed_index(&self) -> CommitIndex {
        self.view.borrow().executed_index
    }

    /// The executor's own answer is what is executed, also where it is lower than what was known.
    pub(super) fn handshaken(&self, theirs: &ExecutorPosition) {
        self.view.send_modify(|view| {
            view.executed_index = theirs.block_number;
            view.executed_digest = theirs.commit_digest;
            view.state_root = theirs.state_root;
        });
        self.metrics.executed_index.set(theirs.block_number.get());
        self.tracker.executed_unseen(theirs.block_number);
        self.roots.position(theirs.block_number, theirs.state_root);
    }

    /// A commit was handed to the open stream; the first one after [`Self::opened`] is kept.
    pub(super) fn sent(&self, index: CommitIndex) {
        self.metrics.commits_sent.increment();
        self.view.send_modify(|view| {
            view.sent_total += 1;
            if view.first_sent == CommitIndex::NONE {
                view.first_sent = index;
            }
        });
    }

    /// Commits sent on the open stream and not acknowledged.
    pub(super) fn in_flight(&self, commits: usize) {
        self.metrics.commits_in_flight.set(commits as u64);
    }

    pub(super) fn duplicates(&self, count: u64) {
        self.view.send_modify(|view| view.duplicates_total += count);
        self.metrics.executor_duplicates.add(count);
    }

    pub(super) fn executed(&self, acknowledgement: &CheckedAcknowledgement) {
        self.view.send_modify(|view| {
            view.executed_index = acknowledgement.index;
            view.executed_digest = acknowledgement.digest;
            view.state_root = acknowledgement.state_root;
        });
        self.metrics.executed_index.set(acknowledgement.index.get());
        self.tracker.executed(acknowledgement.index, acknowledgement.state_root, &acknowledgement.wire);
        self.roots.acknowledged(acknowledgement.index, acknowledgement.state_root);
    }
}
