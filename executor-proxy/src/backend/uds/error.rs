//! What goes wrong between the proxy and an existing master.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use metanode_shell::durable::{OpenError, ReadError, WriteError};
use sequencer_core::{Authority, Incarnation, Refusal};
use thiserror::Error;

use super::{address::Address, committee::Difference, frame::FrameError};
use crate::{backend::BackendError, error};

/// Why an existing master gave nothing that can be used. Both of its sockets are closed after any of them but
/// [`LegacyError::Refused`].
#[derive(Debug, Error)]
pub enum LegacyError {
    /// Nobody listens.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: Address,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A connection broke.
    #[error("the connection of {channel} broke")]
    Broken {
        /// Blocks or queries.
        channel: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The master closed a connection: it ended, or it held it for idle (D14).
    #[error("the master closed the connection of {channel}")]
    Closed {
        /// Blocks or queries.
        channel: &'static str,
    },
    /// Bytes came that no query asked for.
    #[error("the master sent on the connection of {channel} what it was not asked")]
    Unasked {
        /// Blocks or queries.
        channel: &'static str,
    },
    /// No answer in time. It may still come, so it is read by nobody (D13).
    #[error("the master did not answer {query} within {} ms", limit.as_millis())]
    TimedOut {
        /// The query.
        query: &'static str,
        /// The time that it had.
        limit: Duration,
    },
    /// The answer is no frame, or no message.
    #[error("the answer to {query} cannot be read")]
    Frame {
        /// The query.
        query: &'static str,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// The answer is that of another query.
    #[error("the answer to {query} is that of another query")]
    OtherAnswer {
        /// The query.
        query: &'static str,
    },
    /// The answer holds an error.
    #[error("the master refused {query}: {text}")]
    Refused {
        /// The query.
        query: &'static str,
        /// For people; at most 256 bytes of it.
        text: String,
    },
    /// Fields of an answer that exclude each other.
    #[error("the answer to {query} has {field} = {value} beside {other_field} = {other}")]
    Contradiction {
        /// The query.
        query: &'static str,
        /// A field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The field that excludes it.
        other_field: &'static str,
        /// Its value.
        other: u64,
    },
    /// The sockets are those of two processes.
    #[error(
        "process {blocks} listens for blocks and process {queries} for queries; one of them is an old one"
    )]
    OtherProcess {
        /// Process id behind the socket of blocks.
        blocks: i32,
        /// Process id behind the socket of queries.
        queries: i32,
    },
    /// It has not loaded its own state (X02).
    #[error("the master is not ready")]
    NotReady,
    /// It says zero, and does not tell whether it is ready (X02).
    #[error(
        "the master says 0, but {acknowledged} was acknowledged; it has not loaded its state, or has lost it: if it \
         is meant to start anew, start the proxy once with backend.accept_zero = true"
    )]
    ZeroDoubted {
        /// The highest index that was ever acknowledged.
        acknowledged: u64,
    },
    /// It is not where it was.
    #[error("the master stands at {theirs}, was expected at {ours}")]
    Moved {
        /// Where it was expected.
        ours: u64,
        /// Where it says that it stands.
        theirs: u64,
    },
    /// Another proxy feeds this master.
    #[error("{} is locked by {}; two proxies must never feed one master", path.display(),
        holder.map_or_else(|| "another process".to_owned(), |id| format!("process {id}")))]
    Locked {
        /// The lock.
        path: PathBuf,
        /// Process id that the holder wrote down, if it can be read.
        holder: Option<u32>,
    },
    /// The lock beside the socket cannot be made.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Another commit was sent at this index before.
    #[error(transparent)]
    Fork(Refusal),
    /// Final: it stands where this proxy never sent it.
    #[error(
        "the master stands at {index}, which this proxy never sent (acknowledged is {acknowledged}); give the proxy the \
         data_dir that belongs to this master, or let both start anew"
    )]
    UnknownPosition {
        /// Where it says that it stands.
        index: u64,
        /// The highest index that was ever acknowledged.
        acknowledged: u64,
    },
    /// Final: it counts blocks, and makes none for an empty commit.
    #[error(
        "the master reports block numbers alone and did not advance to {index} for an empty commit within {} ms; it must report \
         last_global_exec_index, or make a block for each commit",
        limit.as_millis()
    )]
    EmptyNotCounted {
        /// Index of the empty commit.
        index: u64,
        /// The time that it had.
        limit: Duration,
    },
    /// Final: its validators at genesis are not the committee of genesis.
    #[error(
        "the validators of block 0 are not the committee of the genesis file; give both the same genesis"
    )]
    OtherCommittee(#[source] Difference),
    /// Final: the folder is of another network.
    #[error(
        "the records belong to chain {stored}, the genesis file to {configured}; use the data_dir of this network"
    )]
    OtherChain {
        /// Chain in the database.
        stored: String,
        /// Chain of the genesis file.
        configured: String,
    },
    /// Final: the folder is of another authority.
    #[error(
        "the records belong to authority {stored}, configured is {configured}; use the data_dir of this authority"
    )]
    OtherAuthority {
        /// Authority in the database.
        stored: Authority,
        /// The configured one.
        configured: Authority,
    },
    /// Final: compare-and-set failed, which is a bug of the sequencer.
    #[error("commit {index} was handed over, the master stands at {last} under incarnation {incarnation}")]
    NotNext {
        /// Index of the commit.
        index: u64,
        /// Last index.
        last: u64,
        /// Incarnation recorded.
        incarnation: Incarnation,
    },
    /// Final: the records cannot be opened.
    #[error("cannot open the records of the master")]
    Open(#[from] OpenError),
    /// Final: the records cannot be read.
    #[error("cannot read the records of the master")]
    Read(#[from] ReadError),
    /// Final: the records did not take a write.
    #[error("cannot write the records of the master")]
    Write(#[from] WriteError),
    /// Final: a stored value has another form.
    #[error("the stored value `{key}` is not one of this version; restore the records from a copy")]
    Form {
        /// Name of the value.
        key: String,
    },
    /// The thread that stores has ended.
    #[error("the records cannot be reached")]
    Ended,
}

impl LegacyError {
    /// True where to ask the same master again cannot help: the service stops.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::UnknownPosition { .. }
                | Self::EmptyNotCounted { .. }
                | Self::OtherCommittee(_)
                | Self::OtherChain { .. }
                | Self::OtherAuthority { .. }
                | Self::NotNext { .. }
                | Self::Open(_)
                | Self::Read(_)
                | Self::Write(_)
                | Self::Form { .. }
                | Self::Ended
        )
    }
}

/// What the driver is told. A fork is for the sender.
pub(super) fn backend(error: Arc<LegacyError>) -> BackendError {
    match error.as_ref() {
        LegacyError::Fork(refusal) => BackendError::Told(Box::new(error::refused(refusal))),
        _ => BackendError::Legacy(error),
    }
}
