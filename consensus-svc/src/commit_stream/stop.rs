//! Why delivery to the executor ends for this process life.

use consensus_core::{CommitDigest, CommitIndex};
use metanode_proto::reason;

/// What was found, and what mends it. None of these is retried: each needs a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The executor belongs to another chain.
    #[error(
        "executor is on chain {theirs}, this node on {ours}: point `executor.endpoint` at the executor of this chain, \
         then restart"
    )]
    WrongChain {
        /// Our chain id, in hex.
        ours: String,
        /// The executor's, in hex.
        theirs: String,
    },
    /// The executor's committee of epoch 0 is not the genesis committee.
    #[error(
        "the executor's committee of epoch 0 is not that of the genesis file ({difference}): give both services the \
         same genesis file, then restart"
    )]
    WrongCommittee {
        /// The first difference.
        difference: String,
    },
    /// The executor has executed commits that this node does not have: our own store lost its end (X04).
    #[error(
        "executor has executed up to {executor}, the log of this node ends at {ours}: restore the newest store of this \
         node, then restart"
    )]
    ExecutorAhead {
        /// The executor's last index.
        executor: CommitIndex,
        /// Our last index.
        ours: CommitIndex,
    },
    /// Both sides have a commit of this index, and they differ (X06, D07).
    #[error(
        "fork at commit {index}: this node has {ours}, the executor {theirs}; keep both stores as they are, compare \
         `consensus-svc status --json` of all authorities, and restore the side that differs from the others"
    )]
    Fork {
        /// The index.
        index: CommitIndex,
        /// Our digest.
        ours: CommitDigest,
        /// The executor's digest.
        theirs: CommitDigest,
    },
    /// The executor acknowledged an index that it was never sent.
    #[error(
        "executor acknowledged commit {index}, but was sent commits up to {last_sent} only; keep both stores as they \
         are, and check that no other service feeds this executor"
    )]
    AcknowledgedUnsent {
        /// The acknowledged index.
        index: CommitIndex,
        /// The highest index that was sent on the stream.
        last_sent: CommitIndex,
    },
    /// The executor needs commits that are no longer held (X03).
    #[error(
        "executor stands at {executor}, the earliest commit held is {earliest}: restore an executor state of at least \
         {}, then restart", earliest.get().saturating_sub(1)
    )]
    Pruned {
        /// The executor's last index.
        executor: CommitIndex,
        /// Our earliest commit.
        earliest: CommitIndex,
    },
    /// A newer process of this authority feeds the executor (D12).
    #[error(
        "a newer process feeds this executor (incarnation {incarnation}): end this one; if it is the one to keep, end \
         the other and restart this one"
    )]
    Fenced {
        /// The incarnation in force, as the executor tells it; empty where it does not.
        incarnation: String,
    },
    /// The executor refused for a reason that trying again does not mend.
    #[error("executor refused with {reason}: {message}; mend what it names, then restart")]
    Refused {
        /// The stable reason.
        reason: &'static str,
        /// The executor's words.
        message: String,
    },
}

impl StopReason {
    /// Whether our own store is in doubt, so that this authority must not sign any more.
    pub fn halts_core(&self) -> bool {
        match self {
            Self::ExecutorAhead { .. } | Self::Fork { .. } => true,
            Self::Refused { reason, .. } => *reason == reason::COMMIT_FORK,
            _ => false,
        }
    }

    /// Short name for logs and tests.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::WrongChain { .. } => "WRONG_CHAIN",
            Self::WrongCommittee { .. } => "WRONG_COMMITTEE",
            Self::ExecutorAhead { .. } => "EXECUTOR_AHEAD",
            Self::Fork { .. } => "COMMIT_FORK",
            Self::AcknowledgedUnsent { .. } => "ACKNOWLEDGED_UNSENT",
            Self::Pruned { .. } => "COMMIT_PRUNED",
            Self::Fenced { .. } => "FENCED",
            Self::Refused { reason, .. } => reason,
        }
    }
}
