//! What a store gives back at start, and what is checked of it.

use std::sync::Arc;

use crate::{
    block::VerifiedBlock,
    commit::Commit,
    dag::Dag,
    duplicates::DuplicateWindow,
    genesis::Genesis,
    schedule_state::ScheduleState,
    signing::Memory,
    state_roots::RootRecords,
    types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, Round, Slot},
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
    /// The own block of the highest round in the store, also where that is at or below the GC round.
    pub own_last: Option<VerifiedBlock>,
    /// The window of duplicates, rebuilt from the newest commits ([`DuplicateWindow::rebuild`]); `None` before the first
    /// commit.
    pub duplicates: Option<DuplicateWindow>,
    /// The leader schedule after the last commit, from the last [`Progress`](crate::Progress); counts only if there is one.
    pub schedule: ScheduleState,
    /// Highest committed round by authority, from the last [`Progress`](crate::Progress); may be empty. Shown to operators,
    /// it decides nothing.
    pub last_committed_rounds: Vec<Round>,
    /// Slots of this epoch whose proofs of equivocation the store holds.
    pub evidence: Vec<Slot>,
    /// What the store holds of voted state roots.
    pub roots: RootRecords,
    /// The highest index with a stored certificate; none if there is none.
    pub certified: CommitIndex,
    /// The signing guard: highest (epoch, round) that may have been sent.
    pub guard: Option<(Epoch, Round)>,
    /// Whether the own last block is above [`Progress::own_round`](crate::Progress): own blocks came from peers, and higher
    /// ones may be missing.
    pub refilled: bool,
}

/// Why a store cannot be gone on with. None of these is mended by guessing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The own last block is of another authority: the store belongs to another node.
    #[error("the last own block {block} of the store is not of this authority {own}")]
    ForeignStore {
        /// The block.
        block: BlockRef,
        /// This authority.
        own: AuthorityIndex,
    },
    /// The own last block is named and not there.
    #[error("the last own block {block} is named in the store and not held by it")]
    MissingOwnBlock {
        /// The block.
        block: BlockRef,
    },
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
    /// The commits do not reach back far enough to know what is committed above the GC round.
    #[error(
        "the commits begin at {first}, whose last leader is above the GC round {gc_round}: earlier ones are needed"
    )]
    CommitsTooShort {
        /// The first commit that was given.
        first: CommitIndex,
        /// The GC round after the last one.
        gc_round: Round,
    },
    /// There are commits, and no window of duplicates that was rebuilt from them.
    #[error("the window of duplicates was not rebuilt from the commits")]
    MissingDuplicates,
    /// The stored leader schedule cannot stand after the last commit of this committee: it does not fit the committee, or that
    /// commit's last leader leads no slot under it.
    #[error("the leader schedule stored with commit {index} does not fit the committee and the commit")]
    Schedule {
        /// The last commit.
        index: CommitIndex,
    },
    /// A committed block above the GC round is not there.
    #[error("block {block} of commit {index} is above the GC round and not in the store")]
    MissingCommitted {
        /// The commit.
        index: CommitIndex,
        /// The block.
        block: BlockRef,
    },
    /// A block of the store lacks an ancestor that the store should hold.
    #[error("block {block} is in the store without its ancestor {ancestor}")]
    MissingAncestor {
        /// The block.
        block: BlockRef,
        /// What is missing.
        ancestor: BlockRef,
    },
    /// The store is older than what was sent: it was deleted, restored from a copy, or lost its tail. Only where own stake is
    /// more than f; elsewhere the authority comes back by itself.
    #[error(
        "the store ends at own round {stored}, but the signing guard says that round {guard} may have been sent, and the \
         other authorities have no quorum that could tell what was: restore the newest store, or keep this authority down"
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

/// Checks that the commits chain without a hole, end with a closing one, reach back to the GC round, and come with the
/// window of duplicates.
pub(crate) fn check_commits(log: &RecoveredLog, gc_depth: u64) -> Result<(), RecoverError> {
    let commits = &log.commits;
    let mut previous: Option<(CommitIndex, CommitDigest)> = None;
    for (commit, digest) in commits {
        if let Some((index, previous_digest)) = previous {
            if commit.index != index.next() {
                return Err(RecoverError::CommitHole { previous: index, found: commit.index });
            }
            if commit.previous_digest != previous_digest {
                return Err(RecoverError::CommitChain { index: commit.index });
            }
        }
        if commit.digest() != *digest {
            return Err(RecoverError::CommitChain { index: commit.index });
        }
        previous = Some((commit.index, *digest));
    }
    let (Some((first, _)), Some((last, _))) = (commits.first(), commits.last()) else { return Ok(()) };
    if !last.closing {
        return Err(RecoverError::NotClosing { index: last.index });
    }
    let gc_round = last.last_leader_round().minus(gc_depth);
    if first.index.get() > 1 && first.last_leader_round() > gc_round {
        return Err(RecoverError::CommitsTooShort { first: first.index, gc_round });
    }
    if log.duplicates.is_none() { Err(RecoverError::MissingDuplicates) } else { Ok(()) }
}

/// Checks that the store is this authority's, and the guard of its epoch. What both say of own blocks.
pub(crate) fn check_guard(
    log: &RecoveredLog,
    own: AuthorityIndex,
    epoch: Epoch,
) -> Result<Memory, RecoverError> {
    if let Some(last) = &log.own_last
        && last.author() != own
    {
        return Err(RecoverError::ForeignStore { block: last.reference(), own });
    }
    let stored = log.own_last.as_ref().map_or(Round::GENESIS, VerifiedBlock::round);
    match log.guard {
        Some((guard, _)) if guard != epoch => Err(RecoverError::GuardEpoch { stored: epoch, guard }),
        guard => {
            let guard = guard.map_or(Round::GENESIS, |(_, round)| round);
            Ok(Memory { stored, guard, refilled: log.refilled })
        }
    }
}

/// The GC round after the last commit of a store.
pub(crate) fn gc_round(log: &RecoveredLog, gc_depth: u64) -> Round {
    log.commits.last().map_or(Round::GENESIS, |(commit, _)| commit.last_leader_round().minus(gc_depth))
}

/// Builds the DAG from stored blocks, lowest first, and refuses a block whose ancestor is missing.
pub(crate) fn rebuild_dag(
    genesis: Arc<Genesis>,
    gc_round: Round,
    mut blocks: Vec<VerifiedBlock>,
) -> Result<Dag, RecoverError> {
    blocks.sort_by_key(VerifiedBlock::reference);
    let mut dag = Dag::new(genesis);
    dag.collect(gc_round);
    for block in blocks {
        if block.round() <= gc_round {
            continue;
        }
        if let Some(ancestor) = block.ancestors().iter().find(|ancestor| !dag.is_present(ancestor)) {
            return Err(RecoverError::MissingAncestor { block: block.reference(), ancestor: *ancestor });
        }
        dag.insert(block);
    }
    Ok(dag)
}

/// Checks that the DAG holds the own last block, unless it is collected.
pub(crate) fn check_own_last(dag: &Dag, own_last: Option<&VerifiedBlock>) -> Result<(), RecoverError> {
    match own_last.map(VerifiedBlock::reference) {
        Some(block) if !dag.is_present(&block) => Err(RecoverError::MissingOwnBlock { block }),
        _ => Ok(()),
    }
}
