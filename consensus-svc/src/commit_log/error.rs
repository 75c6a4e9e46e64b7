//! Errors of the commit log.

use std::{io, path::PathBuf};

use consensus_core::{BlockRef, ChainId, CommitIndex, Slot};
use metanode_shell::durable::{self, ReadError};

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database: held by another process, damaged, of another version, or refused by the system.
    #[error(transparent)]
    Store(#[from] durable::OpenError),
    /// The database belongs to another chain. Give this node a folder of its own.
    #[error(
        "database {} belongs to chain {found}, this node is configured for chain {expected}; \
         use the genesis file of that chain, or another data_dir",
        path.display()
    )]
    OtherChain {
        /// Folder of the database.
        path: PathBuf,
        /// The chain in the database.
        found: ChainId,
        /// The chain of the genesis file.
        expected: ChainId,
    },
    /// The log's own entries cannot be understood.
    #[error("the commit log in {} cannot be read", path.display())]
    Log {
        /// Folder of the database.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: LogError,
    },
    /// The chain id of a new database could not be written.
    #[error("cannot prepare the commit log in {}", path.display())]
    Prepare {
        /// Folder of the database.
        path: PathBuf,
        /// What failed.
        #[source]
        source: durable::StoreError,
    },
    /// The storage thread could not be started.
    #[error("cannot start the storage thread")]
    Thread {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Why something could not be read from the log. Trying again does not help, and none is mended by guessing: stop, set
/// the database aside, restore it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store cannot read, or the bytes are not those that were written.
    #[error("cannot read {entry}")]
    Read {
        /// What was read.
        entry: Entry,
        /// What the store said.
        #[source]
        source: ReadError,
    },
    /// The bytes are intact and yet not what belongs under this key.
    #[error("{entry} is damaged: {reason}; set the database aside and restore it")]
    Damaged {
        /// What was read.
        entry: Entry,
        /// What is wrong.
        reason: String,
    },
    /// A commit that must be there is not.
    #[error("commit {index} is missing, though {last} is there; set the database aside and restore it")]
    MissingCommit {
        /// The missing commit.
        index: CommitIndex,
        /// The newest one.
        last: CommitIndex,
    },
    /// A block of a stored commit is not stored, though both are written in one batch.
    #[error("block {block} of commit {commit} is missing; set the database aside and restore it")]
    MissingBlock {
        /// The commit.
        commit: CommitIndex,
        /// The missing block.
        block: BlockRef,
    },
}

/// What an error of reading is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A block.
    Block(BlockRef),
    /// The blocks of a range of rounds or of an author.
    Blocks,
    /// A commit.
    Commit(CommitIndex),
    /// The commits as a whole.
    Commits,
    /// A proof of equivocation.
    Equivocation(Slot),
    /// The proofs of equivocation as a whole.
    Evidence,
    /// The agreed state roots.
    Roots,
    /// A named record.
    Record(&'static str),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Block(reference) => write!(f, "block {reference}"),
            Self::Blocks => f.write_str("the blocks"),
            Self::Commit(index) => write!(f, "commit {index}"),
            Self::Commits => f.write_str("the commits"),
            Self::Equivocation(slot) => {
                write!(f, "the proof of equivocation of authority {} at round {}", slot.authority, slot.round)
            }
            Self::Evidence => f.write_str("the proofs of equivocation"),
            Self::Roots => f.write_str("the agreed state roots"),
            Self::Record(name) => write!(f, "the record `{name}`"),
        }
    }
}

impl Entry {
    pub(super) fn unreadable(self) -> impl FnOnce(ReadError) -> LogError {
        move |source| LogError::Read { entry: self, source }
    }

    pub(super) fn damaged(self, reason: impl Into<String>) -> LogError {
        LogError::Damaged { entry: self, reason: reason.into() }
    }
}
