//! Why delivery to the executor ends for this process life.

use consensus_core::{CommitDigest, CommitIndex, Epoch, RootContradiction, StateRoot};
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
    /// The executor is in an epoch that this node has not come to.
    #[error(
        "executor is in epoch {executor}, this node in {ours}: point `executor.endpoint` at the executor of this \
         authority, or restore the newest store of this node, then restart"
    )]
    EpochAhead {
        /// The executor's epoch.
        executor: Epoch,
        /// Our epoch, that of every commit to be sent.
        ours: Epoch,
    },
    /// The executor is in an epoch before that of the commits to be sent.
    #[error(
        "executor is in epoch {executor}, the commits of this node are of epoch {ours}: bring the executor to epoch \
         {ours}, then restart"
    )]
    EpochBehind {
        /// The executor's epoch.
        executor: Epoch,
        /// Our epoch, that of every commit to be sent.
        ours: Epoch,
    },
    /// A quorum of authorities has voted for another state root than the executor's (X07).
    #[error(
        "the executor is wrong: after commit {index} its state root is {own}, and a quorum has {agreed}; give it a state of before \
         commit {index}, then restart: it executes from there on again, and is compared again"
    )]
    RootContradicted {
        /// The commit after which the roots differ.
        index: CommitIndex,
        /// The executor's root.
        own: StateRoot,
        /// The quorum's.
        agreed: StateRoot,
    },
    /// The executor refused for a reason that trying again does not mend (X10).
    #[error("executor refused at commit {index} with {reason}: {message}; mend what it names, then restart")]
    Refused {
        /// The commit that it names, else the first that it has not acknowledged.
        index: CommitIndex,
        /// The stable reason, or the code where the executor gives none.
        reason: String,
        /// The executor's words.
        message: String,
    },
}

impl StopReason {
    /// Whether our own store is in doubt, so that this authority must not sign any more.
    pub fn halts_core(&self) -> bool {
        match self {
            Self::ExecutorAhead { .. } | Self::Fork { .. } => true,
            Self::Refused { reason, .. } => reason == reason::COMMIT_FORK,
            _ => false,
        }
    }

    /// An executor whose root a quorum contradicts.
    pub const fn contradicted(found: &RootContradiction) -> Self {
        Self::RootContradicted { index: found.index(), own: found.own, agreed: found.agreed.root }
    }

    /// Short name for logs and tests.
    pub fn name(&self) -> &str {
        match self {
            Self::WrongChain { .. } => "WRONG_CHAIN",
            Self::WrongCommittee { .. } => "WRONG_COMMITTEE",
            Self::ExecutorAhead { .. } => "EXECUTOR_AHEAD",
            Self::Fork { .. } => "COMMIT_FORK",
            Self::AcknowledgedUnsent { .. } => "ACKNOWLEDGED_UNSENT",
            Self::Pruned { .. } => "COMMIT_PRUNED",
            Self::Fenced { .. } => "FENCED",
            Self::EpochAhead { .. } => "EPOCH_AHEAD",
            Self::EpochBehind { .. } => reason::WRONG_EPOCH,
            Self::RootContradicted { .. } => "ROOT_CONTRADICTED",
            Self::Refused { reason, .. } => reason,
        }
    }
}
