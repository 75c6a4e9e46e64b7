//! What the machine does, as numbers. Observed only: nothing is decided by them.

use std::sync::Arc;

use consensus_core::{
    AuthorityIndex, CommittedSubDag, CoreStatus, DropReason, FetchStatus, PeerFault, Timestamp, WriteBatch,
};
use metanode_shell::durable::Group;
use metanode_telemetry::metrics::{
    ConsensusMetrics,
    labels::{BlockRejection, FetchResult, Label, TransactionDrop},
};

/// Turns what the driver sees into metrics; keeps the last totals, since the machine counts from its own start.
#[derive(Debug)]
pub struct CoreMetrics {
    metrics: Arc<ConsensusMetrics>,
    leader_timeouts: u64,
    skipped_leaders: u64,
    equivocations: u64,
    catch_ups: u64,
    ranges: u64,
    conflicting_roots: u64,
    dissenting_roots: u64,
    fetches: FetchStatus,
}

impl CoreMetrics {
    /// Counts from zero.
    pub fn new(metrics: Arc<ConsensusMetrics>) -> Self {
        let fetches = FetchStatus::default();
        Self {
            metrics,
            leader_timeouts: 0,
            skipped_leaders: 0,
            equivocations: 0,
            catch_ups: 0,
            ranges: 0,
            conflicting_roots: 0,
            dissenting_roots: 0,
            fetches,
        }
    }

    /// After an input.
    pub(crate) fn observe(&mut self, status: &CoreStatus) {
        let m = &self.metrics;
        m.round.set(status.round.get());
        m.last_committed_round.set(status.last_committed_round.get());
        m.waiting_blocks.set(status.waiting_blocks as u64);
        m.waiting_bytes.set(status.waiting_bytes);
        m.pool_transactions.set(status.pooled_transactions as u64);
        m.pool_bytes.set(status.pooled_bytes);
        m.leader_timeouts.add(grown(&mut self.leader_timeouts, status.leader_timeouts_total));
        m.leaders_skipped.add(grown(&mut self.skipped_leaders, status.skipped_leaders_total));
        m.certified_index.set(status.certified_index.get());
        m.votes_held.set(status.votes_held as u64);
        m.evidence_held.set(status.evidence_held as u64);
        m.agreed_root_index.set(status.agreed_root.map_or(0, |agreed| agreed.index.get()));
        m.root_votes_held.set(status.root_votes_held as u64);
        m.root_contradicted.set(u64::from(status.root_contradiction.is_some()));
        m.conflicting_root_votes.add(grown(&mut self.conflicting_roots, status.conflicting_root_votes_total));
        m.dissenting_root_votes.add(grown(&mut self.dissenting_roots, status.dissenting_root_votes_total));
        m.equivocations.add(grown(&mut self.equivocations, status.equivocations_total));
        m.catch_ups.add(grown(&mut self.catch_ups, status.catch_ups_total));
        m.ranges.add(grown(&mut self.ranges, status.ranges_total));
        let (last, now) = (std::mem::replace(&mut self.fetches, status.fetches), status.fetches);
        m.fetch_requests.add(now.asked_total.saturating_sub(last.asked_total));
        for (end, last, now) in [
            (FetchResult::Useful, last.useful_total, now.useful_total),
            (FetchResult::Empty, last.empty_total, now.empty_total),
            (FetchResult::Failed, last.failed_total, now.failed_total),
            (FetchResult::Overdue, last.overdue_total, now.overdue_total),
        ] {
            m.fetch_answers.add(now.saturating_sub(last), end);
        }
    }

    /// How full the queues around the machine are.
    pub(crate) fn queues(&self, queues: Queues) {
        let m = &self.metrics;
        m.peer_events.set(queues.peer_events as u64);
        m.submissions.set(queues.submissions as u64);
        m.executor_words.set(queues.executor_words as u64);
        m.effects.set(queues.effects as u64);
        m.batches_in_flight.set(queues.batches as u64);
        m.waits.set(queues.waits as u64);
        m.watches.set(queues.watches as u64);
    }

    /// A batch goes to the log: it holds every accepted block once.
    pub(crate) fn persisting(&self, own: AuthorityIndex, batch: &WriteBatch) {
        let proposed = batch.blocks.iter().filter(|block| block.author() == own).count() as u64;
        self.metrics.blocks_proposed.add(proposed);
        self.metrics.blocks_accepted.add((batch.blocks.len() as u64).saturating_sub(proposed));
    }

    /// A commit is durable.
    pub(crate) fn delivered(&self, own: AuthorityIndex, now: Timestamp, sub_dag: &CommittedSubDag) {
        self.metrics.commit_index.set(sub_dag.commit.index.get());
        self.metrics.transactions_committed.add(sub_dag.transactions().count() as u64);
        for block in sub_dag.blocks.iter().filter(|block| block.author() == own) {
            self.metrics.commit_latency.record(now.since(block.block().timestamp));
        }
    }

    /// Accepted transactions were given up.
    pub(crate) fn dropped(&self, count: usize, reason: DropReason) {
        let label = match reason {
            DropReason::Expired => TransactionDrop::Expired,
            DropReason::NotReproposed => TransactionDrop::NotReproposed,
        };
        self.metrics.transactions_dropped.add(count as u64, label);
    }

    /// A peer sent what is not valid; `label` is that of the verifier or of the peer network.
    pub(crate) fn invalid(&self, label: &str) {
        let reason = BlockRejection::from_text(label).unwrap_or(BlockRejection::Invalid);
        self.metrics.blocks_rejected.increment(reason);
    }

    /// The machine reports a fault; equivocations are in its status.
    pub(crate) fn fault(&self, fault: &PeerFault) {
        let reason = match fault {
            PeerFault::Equivocation { .. } | PeerFault::UnknownOwnBlock { .. } => return,
            PeerFault::TooFarAhead { .. } => BlockRejection::TooFarAhead,
            PeerFault::WaitingRoomFull { .. } => BlockRejection::WaitingRoomFull,
            PeerFault::AncestorNotFound { .. } => BlockRejection::AncestorNotFound,
        };
        self.metrics.blocks_rejected.increment(reason);
    }
}

/// Entries in the queues around the machine; the table of all queues is in `docs/operations.md`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queues {
    pub(crate) peer_events: usize,
    pub(crate) submissions: usize,
    pub(crate) executor_words: usize,
    pub(crate) effects: usize,
    pub(crate) batches: usize,
    pub(crate) waits: usize,
    pub(crate) watches: usize,
}

/// Counts syncs of the store; runs on the storage thread.
pub fn observe_groups(metrics: Arc<ConsensusMetrics>) -> impl FnMut(Group) + Send + 'static {
    move |group| {
        metrics.storage_sync_duration.record(group.sync_duration);
        metrics.storage_batches.add(group.batches as u64);
    }
}

fn grown(last: &mut u64, total: u64) -> u64 {
    total.saturating_sub(std::mem::replace(last, total))
}

#[cfg(test)]
mod tests {
    use consensus_core::{CommitIndex, ExecutedRoot, StateRoot};
    use metanode_telemetry::Telemetry;

    use super::*;

    #[test]
    fn t06_certification_evidence_and_catch_ups_are_measured() {
        let telemetry = Telemetry::for_test().unwrap();
        let mut metrics = CoreMetrics::new(Arc::new(ConsensusMetrics::new(&telemetry.meter())));
        for (catch_ups_total, ranges_total) in [(1, 2), (1, 5)] {
            metrics.observe(&CoreStatus {
                certified_index: CommitIndex::new(40),
                votes_held: 3,
                evidence_held: 2,
                agreed_root: Some(ExecutedRoot { index: CommitIndex::new(30), root: StateRoot::ZERO }),
                root_votes_held: 6,
                dissenting_root_votes_total: ranges_total,
                catch_ups_total,
                ranges_total,
                ..CoreStatus::default()
            });
        }
        let text = telemetry.render().unwrap();
        for line in [
            "metanode_consensus_certified_index 40",
            "metanode_consensus_votes_held 3",
            "metanode_consensus_evidence_held 2",
            "metanode_consensus_agreed_root_index 30",
            "metanode_consensus_root_votes_held 6",
            "metanode_consensus_root_votes_dissenting_total 5",
            "metanode_consensus_catch_up_begun_total 1",
            "metanode_consensus_catch_up_ranges_total 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
