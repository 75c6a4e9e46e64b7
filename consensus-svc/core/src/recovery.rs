//! What a store gives back at start, and what is checked of it.

use crate::{
    block::VerifiedBlock,
    commit::Commit,
    types::{BlockRef, CommitDigest, CommitIndex, Epoch, Round},
};

/// What the store holds of a machine that ran before; empty for one that never ran.
#[derive(Clone, Debug, Default)]
pub struct RecoveredLog {
    /// The newest commits with their stored digests, rising without a hole, ending at the last one. They must reach back to the first
    /// whose last leader's round is above the GC round (last leader's round of the last commit minus `gc_depth`); more do no
    /// harm.
    pub commits: Vec<(Commit, CommitDigest)>,
    /// All blocks above the GC round, in any order.
    pub blocks: Vec<VerifiedBlock>,
    /// Highest round of own blocks ever stored; genesis where there is none.
    pub own_round: Round,
    /// The signing guard: highest (epoch, round) that may have been sent.
    pub guard: Option<(Epoch, Round)>,
}

/// Why a store cannot be gone on with. None of these is mended by guessing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The own key is not in the committee.
    #[error("the protocol key of this node is not in the committee of epoch {epoch}")]
    NotInCommittee {
        /// The committee's epoch.
        epoch: Epoch,
    },
    /// The commits have a hole or do not rise.
    #[error("commit {found} follows commit {previous} in the store")]
    CommitHole {
        /// The commit before.
        previous: CommitIndex,
        /// The one that was found.
        found: CommitIndex,
    },
    /// A commit's digest does not chain, or is not what was stored.
    #[error("commit {index} does not match its digest or that of the commit before")]
    CommitChain {
        /// The commit.
        index: CommitIndex,
    },
    /// The last commit is not the end of its group, though groups are written whole.
    #[error("the last commit {index} does not close its group")]
    NotClosing {
        /// The commit.
        index: CommitIndex,
    },
    /// A block of the store lacks an ancestor that the store should hold.
    #[error("block {block} is in the store without its ancestor {ancestor}")]
    MissingAncestor {
        /// The block.
        block: BlockRef,
        /// What is missing.
        ancestor: BlockRef,
    },
    /// The store is older than what was sent: it was deleted, restored from a copy, or lost its tail.
    #[error(
        "the store ends at own round {stored}, but the signing guard says that round {guard} may have been sent: \
         restore the newest store, or keep this authority down"
    )]
    BelowGuard {
        /// Highest own round in the store.
        stored: Round,
        /// The guard.
        guard: Round,
    },
    /// The guard is of an epoch that the store does not know.
    #[error("the signing guard is of epoch {guard}, the store of epoch {stored}")]
    GuardEpoch {
        /// The store's epoch.
        stored: Epoch,
        /// The guard's epoch.
        guard: Epoch,
    },
}
