//! What became of a transaction, as far as this node knows.

use bytes::Bytes;
use consensus_core::{CommitIndex, DropReason, StateRoot, TransactionDigest};
use metanode_proto::consensus::v1::{TransactionDropReason, TransactionOutcome, TransactionState};

/// How far a submitter waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Until every transaction is in a durable commit.
    Committed,
    /// Until every transaction is executed or rejected, durably.
    Executed,
}

/// The newest that is known of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// In the pool, or in a block that is not committed yet.
    Accepted,
    /// In a durable commit. Also the last word where the executor has executed the commit but does not tell results:
    /// then nothing more is claimed than what is known.
    Committed {
        /// The commit.
        index: CommitIndex,
        /// Its place in it.
        position: u32,
    },
    /// Executed, with effect.
    Executed {
        /// The commit.
        index: CommitIndex,
        /// Its place in it.
        position: u32,
        /// State root after the commit, where the executor gave one for exactly this commit.
        state_root: Option<StateRoot>,
    },
    /// Executed without effect.
    Rejected {
        /// The commit.
        index: CommitIndex,
        /// Its place in it.
        position: u32,
        /// State root after the commit, where the executor gave one for exactly this commit.
        state_root: Option<StateRoot>,
        /// The executor's code.
        code: u32,
        /// The executor's reason; at most 256 bytes.
        reason: String,
    },
    /// Committed again; its first place in the order is the one that counts.
    Duplicate {
        /// The commit that repeats it.
        index: CommitIndex,
        /// Its place in it.
        position: u32,
    },
    /// Given up by this authority. A copy that another one holds may still be committed.
    Dropped {
        /// Why.
        reason: DropReason,
    },
}

impl Fate {
    /// As the contract has it.
    pub fn to_proto(&self, digest: TransactionDigest) -> TransactionOutcome {
        let mut outcome = TransactionOutcome {
            digest: Bytes::copy_from_slice(digest.as_bytes()),
            ..TransactionOutcome::default()
        };
        let mut place = |state: TransactionState, index: CommitIndex, position: u32| {
            outcome.set_state(state);
            (outcome.commit_index, outcome.position) = (index.get(), position);
        };
        match self {
            Self::Accepted => outcome.set_state(TransactionState::Accepted),
            Self::Committed { index, position } => place(TransactionState::Committed, *index, *position),
            Self::Duplicate { index, position } => place(TransactionState::Duplicate, *index, *position),
            Self::Dropped { reason } => {
                outcome.set_state(TransactionState::Dropped);
                outcome.set_drop_reason(match reason {
                    DropReason::Expired => TransactionDropReason::Expired,
                    DropReason::NotReproposed => TransactionDropReason::NotReproposed,
                });
            }
            Self::Executed { index, position, state_root } => {
                place(TransactionState::Executed, *index, *position);
                outcome.state_root = root_bytes(*state_root);
            }
            Self::Rejected { index, position, state_root, code, reason } => {
                place(TransactionState::Rejected, *index, *position);
                outcome.state_root = root_bytes(*state_root);
                outcome.rejection_code = *code;
                outcome.rejection_reason.clone_from(reason);
            }
        }
        outcome
    }
}

fn root_bytes(root: Option<StateRoot>) -> Bytes {
    root.map_or_else(Bytes::new, |root| Bytes::copy_from_slice(root.as_bytes()))
}
