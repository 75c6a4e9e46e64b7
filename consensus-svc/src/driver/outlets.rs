//! Where released effects go.

use std::sync::Arc;

use consensus_core::{
    AuthorityIndex, ChainPoint, CommittedSubDag, Consensus, CoreStatus, DropReason, Fetch, Round,
    TransactionDigest, VerifiedBlock,
};
use tokio::sync::watch;

use super::seen::SeenBlocks;
use crate::{
    commit_log::CommitFeed,
    peer::{AcceptedRounds, PeerHandle},
    submit::{BatchId, Tracker, WaitsEnded},
};

/// The way to the other authorities. None of the calls waits.
pub trait Network: Send + 'static {
    /// Sends an own, durable block to every subscriber.
    fn broadcast(&self, block: VerifiedBlock);
    /// Tells peers that this authority has transactions and has proposed in `round`.
    fn wake(&self, round: Round);
    /// Asks a peer for blocks; its end comes as an event. False if it could not be asked: then there is none.
    fn fetch(&self, fetch: Fetch) -> bool;
    /// Asks a peer for certified commits; the answer comes as an event. False if it could not be asked.
    fn fetch_commits(&self, peer: AuthorityIndex, after: ChainPoint) -> bool;
    /// Counts a fault that the machine found.
    fn fault(&self, peer: AuthorityIndex, label: &'static str);
}

impl Network for PeerHandle {
    fn broadcast(&self, block: VerifiedBlock) {
        Self::broadcast(self, block);
    }

    fn wake(&self, round: Round) {
        Self::wake(self, round);
    }

    fn fetch(&self, fetch: Fetch) -> bool {
        Self::fetch(self, fetch)
    }

    fn fetch_commits(&self, peer: AuthorityIndex, after: ChainPoint) -> bool {
        Self::fetch_commits(self, peer, after)
    }

    fn fault(&self, peer: AuthorityIndex, label: &'static str) {
        Self::fault(self, peer, label);
    }
}

/// All that the driver reaches.
#[derive(Debug)]
pub struct Outlets<N> {
    network: N,
    feed: Arc<CommitFeed>,
    tracker: Arc<Tracker>,
    status: watch::Sender<CoreStatus>,
    shown: ShownToPeers,
}

/// What the peer network goes by, or shows to others.
#[derive(Debug)]
pub struct ShownToPeers {
    /// The threshold clock's round.
    pub clock_round: watch::Sender<Round>,
    /// Whether the question of the start needs no more answers.
    pub start_answered: watch::Sender<bool>,
    /// Where streams are resumed.
    pub accepted: AcceptedRounds,
    /// What others ask for who do not know what they signed.
    pub seen: SeenBlocks,
}

impl<N> Outlets<N> {
    /// Everything by name.
    pub const fn new(
        network: N,
        feed: Arc<CommitFeed>,
        tracker: Arc<Tracker>,
        status: watch::Sender<CoreStatus>,
        shown: ShownToPeers,
    ) -> Self {
        Self { network, feed, tracker, status, shown }
    }

    pub(super) const fn network(&self) -> &N {
        &self.network
    }

    /// Shows a durable commit to its readers. Waiters are told first, so that an acknowledgement cannot come before.
    pub(super) fn deliver(&self, sub_dag: CommittedSubDag) {
        self.tracker.committed(&sub_dag);
        self.feed.publish(sub_dag);
    }

    /// How many transactions are waited for, and how many are watched.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.tracker.waiting(), self.tracker.watching())
    }

    /// Notes transactions that the machine has taken; what it does with them is told after this.
    pub(super) fn accepted(&self, transactions: Vec<TransactionDigest>, batch: Option<BatchId>) {
        self.tracker.accepted(transactions, batch);
    }

    /// Answers those who wait for transactions that were given up.
    pub(super) fn dropped(&self, transactions: &[TransactionDigest], reason: DropReason) {
        self.tracker.dropped(transactions, reason);
    }

    /// Answers those who wait for transactions that were committed before they were submitted again.
    pub(super) fn committed_before(&self, transactions: &[TransactionDigest]) {
        self.tracker.committed_before(transactions);
    }

    /// Shows where the machine stands.
    pub(super) fn show(&self, core: &Consensus, status: CoreStatus) {
        self.shown.seen.observe(core);
        self.shown.accepted.observe(&status);
        self.shown.clock_round.send_if_modified(|round| {
            let changed = *round != status.round;
            *round = status.round;
            changed
        });
        let answered = status.may_propose || status.halted;
        self.shown.start_answered.send_if_modified(|held| std::mem::replace(held, answered) != answered);
        let halted = status.halted;
        self.status.send_replace(status);
        if halted {
            self.tracker.end(WaitsEnded::NotProposing);
        }
    }
}
