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
    /// In a durable commit.
    Committed {
        /// The commit.
        index: CommitIndex,
        /// Its place in it.
        position: u32,
    },
    /// In a durable commit that is executed, and whether it had an effect was not told to this process: nothing more is claimed.
    ExecutedUntold {
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
    /// Whether nothing more follows.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Accepted | Self::Committed { .. })
    }

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
            Self::ExecutedUntold { index, position } => {
                place(TransactionState::Committed, *index, *position);
                outcome.executed_untold = true;
            }
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

/// Longest reason that is passed on, in bytes; the contract's limit.
const MAX_REASON_BYTES: usize = 256;

/// A reason cut to what the contract allows, at a character.
pub(super) fn bounded_reason(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

fn root_bytes(root: Option<StateRoot>) -> Bytes {
    root.map_or_else(Bytes::new, |root| Bytes::copy_from_slice(root.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_reasons_are_cut_at_a_character() {
        assert_eq!(bounded_reason("nonce"), "nonce");
        let long = "a".repeat(255) + "\u{e9}";
        assert_eq!(bounded_reason(&long).len(), 255);
    }

    #[test]
    fn an_execution_without_a_result_is_told_as_a_commit_that_is_final() {
        let digest = TransactionDigest::new([7; 32]);
        let place = (CommitIndex::new(4), 2);
        let waits = Fate::Committed { index: place.0, position: place.1 };
        let untold = Fate::ExecutedUntold { index: place.0, position: place.1 };
        assert!(!waits.is_final() && untold.is_final());
        let (waits, untold) = (waits.to_proto(digest), untold.to_proto(digest));
        assert!(!waits.executed_untold && untold.executed_untold);
        assert_eq!(TransactionOutcome { executed_untold: false, ..untold }, waits);
    }
}
