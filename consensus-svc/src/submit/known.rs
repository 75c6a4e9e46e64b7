//! What this node can say of a transaction by its digest: committed within the window of duplicates, accepted here, or dropped
//! here within that window. Nobody needs to wait for it to be known.
//!
//! The first place in the order is the one that counts: a transaction that is committed again, or accepted again, within the
//! window keeps the fate of its first place.

mod uncommitted;
mod window;

pub use window::CommittedWindow;
pub(super) use window::tells_results;

use consensus_core::{CommitIndex, CommittedSubDag, DropReason, StateRoot, Transaction, TransactionDigest};
use metanode_proto::executor::v1::Acknowledgement;

use self::uncommitted::Uncommitted;
use super::Fate;

/// Everything together. Bounds: the window by the genesis limits of the window of duplicates, accepted ones by the machine's pool,
/// dropped ones by a count.
#[derive(Debug)]
pub(super) struct Known {
    window: CommittedWindow,
    uncommitted: Uncommitted,
}

impl Known {
    pub(super) fn new(window: CommittedWindow) -> Self {
        Self { window, uncommitted: Uncommitted::default() }
    }

    /// The newest that is known; `None` where it was not submitted here, or too long ago.
    pub(super) fn fate(&self, digest: &TransactionDigest) -> Option<Fate> {
        self.window.fate(digest).or_else(|| self.uncommitted.fate(digest))
    }

    pub(super) fn accepted(&mut self, transactions: impl IntoIterator<Item = TransactionDigest>) {
        self.uncommitted.accepted(transactions);
    }

    pub(super) fn dropped(&mut self, transactions: &[TransactionDigest], reason: DropReason) {
        self.uncommitted.dropped(transactions, reason, self.window.newest());
    }

    /// An accepted transaction was committed before it was submitted again, and waits no more: its first place is what counts.
    pub(super) fn committed_before(&mut self, digest: &TransactionDigest) -> Option<Fate> {
        self.uncommitted.committed(digest);
        self.window.fate(digest)
    }

    pub(super) fn committed(&mut self, sub_dag: &CommittedSubDag) {
        for transaction in sub_dag.transactions() {
            self.uncommitted.committed(&transaction.digest());
        }
        self.window.commit(sub_dag);
        self.uncommitted.forget(self.window.start());
    }

    pub(super) fn executed(
        &mut self,
        index: CommitIndex,
        state_root: Option<StateRoot>,
        wire: &Acknowledgement,
    ) {
        self.window.executed(index, state_root, wire);
    }

    pub(super) fn resumed(&mut self, position: CommitIndex) {
        self.window.resumed(position);
    }
}

/// Position of a transaction in its commit. Commits hold at most a million.
fn positions(sub_dag: &CommittedSubDag) -> impl Iterator<Item = (u32, &Transaction)> {
    (0u32..).zip(sub_dag.transactions())
}

#[cfg(test)]
mod tests;
