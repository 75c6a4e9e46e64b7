//! What stands behind the proxy: the one interface of all executors.
//!
//! Loading a [`Backend`] may take long, and nothing is known of its position before. The [`Executor`] that comes out takes
//! commits in order and answers each when its effects are durable. It may execute the next while the last one is synced.
//!
//! Any error ends that executor. Where it is in this process, that is final: the service stops and reports it. Where it is another
//! process ([`Backend::outlives`]), the open stream ends, and the backend is loaded again: what counts then is where the
//! executor says that it stands, and nothing that was known before.

pub mod embedded;
pub mod grpc;
mod pauses;
pub mod uds;

use std::{
    future::{Future, pending, ready},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use metanode_proto::consensus::v1 as consensus;
use metanode_shell::{
    durable::{OpenError, ReadError, WriteError},
    executor::CallError,
    grpc::EndpointError,
};
use sequencer_core::{Authority, Boundary, Digest, Incarnation, LeaseRecord, Opening, Position};
use thiserror::Error;
use tonic::Status;

/// An executor that is not loaded yet.
pub trait Backend: Send + 'static {
    /// What it becomes.
    type Executor: Executor;

    /// Loads the state, and says where it stands. May take as long as it takes. Called again after an error that the backend
    /// outlives.
    ///
    /// # Errors
    /// [`BackendError`]; always final.
    fn load(&mut self) -> impl Future<Output = Result<(Self::Executor, Loaded), BackendError>> + Send;

    /// True where loading again may help after this error of its executor.
    #[must_use]
    fn outlives(_error: &BackendError) -> bool {
        false
    }
}

/// Executes commits, in order, exactly once.
pub trait Executor: Send + Sync + 'static {
    /// Who issues incarnations for an opening that has passed all other checks. Nothing is in flight. An executor that issues
    /// them itself opens its own stream after `executed`, the position it was last known at, and ends every older one.
    ///
    /// # Errors
    /// [`BackendError`].
    fn lease(
        &mut self,
        _opening: &Opening,
        _executed: Position,
    ) -> impl Future<Output = Result<Lease, BackendError>> + Send {
        ready(Ok(Lease::Ours))
    }

    /// Resolves if the executor is lost while nothing is asked of it. Nothing is lost if it is dropped while it waits.
    fn lost(&mut self) -> impl Future<Output = BackendError> + Send {
        pending()
    }

    /// Takes the next commit. Resolves when it is taken, to what resolves when it is executed and durable.
    ///
    /// The executor compares and sets: it refuses with [`BackendError::NotNext`] unless the commit is its last index plus one,
    /// its previous digest that of its last commit, and `incarnation` the recorded one.
    ///
    /// # Errors
    /// [`BackendError`].
    fn execute(
        &mut self,
        incarnation: Incarnation,
        commit: Commit,
    ) -> impl Future<Output = Result<PendingExecution, BackendError>> + Send;

    /// Records who may send, where it answered [`Lease::Ours`]; resolves when that is durable, after all that was taken before.
    ///
    /// # Errors
    /// [`BackendError`].
    fn record_lease(&mut self, _lease: LeaseRecord) -> impl Future<Output = Result<(), BackendError>> + Send {
        ready(Ok(()))
    }

    /// Begins an epoch; resolves when that is durable.
    ///
    /// # Errors
    /// [`BackendError`].
    fn begin_epoch(
        &mut self,
        start: EpochStart,
    ) -> impl Future<Output = Result<EpochAnswer, BackendError>> + Send;

    /// What execution of an earlier commit gave; `None` where that is not kept.
    ///
    /// # Errors
    /// [`BackendError`].
    fn executed(&self, index: u64) -> impl Future<Output = Result<Option<Executed>, BackendError>> + Send;

    /// True where the executor keeps digests and results of earlier commits that [`Executor::executed`] does not tell: it compares
    /// an opening's position itself, and answers [`Executor::again`].
    fn keeps_history(&self) -> bool {
        false
    }

    /// Hands over a commit at or below the last index that comes again. The executor compares its digest and executes
    /// nothing; resolves to what resolves to the answer of the first time. `None` where that is not kept.
    ///
    /// # Errors
    /// [`BackendError`].
    fn again(
        &mut self,
        _commit: Commit,
    ) -> impl Future<Output = Result<Option<PendingExecution>, BackendError>> + Send {
        ready(Ok(None))
    }

    /// Finishes what was taken and lets go of the storage.
    ///
    /// # Errors
    /// [`BackendError`].
    fn close(self) -> impl Future<Output = Result<(), BackendError>> + Send;
}

/// Resolves when the commit is executed and durable.
pub type PendingExecution = Pin<Box<dyn Future<Output = Result<Executed, BackendError>> + Send>>;

/// Where an executor stands; all fields belong to one durable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Last commit executed.
    pub executed: Position,
    /// State root after it; `None` where the executor keeps none.
    pub state_root: Option<Digest>,
    /// The recorded authority; `None` before the first opening.
    pub authority: Option<Authority>,
    /// The incarnation in force; 0 before the first opening.
    pub incarnation: Incarnation,
    /// The epoch in force.
    pub epoch: u64,
}

/// Who issues the incarnation of an opening.
#[derive(Debug)]
pub enum Lease {
    /// The sequencer does, and the executor records it.
    Ours,
    /// The executor did, durably.
    Issued(Incarnation),
    /// The executor refuses the opening, with this error for the client. Whatever was open before goes on.
    Refused(Box<Status>),
}

/// What became of an epoch that was to begin.
#[derive(Debug)]
pub enum EpochAnswer {
    /// It is in force, durably.
    Begun,
    /// The executor refuses it, with this error for whoever asked. It stands where it stood, and what is open goes on.
    Refused(Box<Status>),
}

/// A commit that passed the checks of its form.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Commit index, from 1.
    pub index: u64,
    /// Its epoch, from 0.
    pub epoch: u64,
    /// Digest of commit `index - 1`.
    pub previous_digest: Digest,
    /// Its digest.
    pub digest: Digest,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Size as commits are counted ([`metanode_proto::limits`]).
    pub size_bytes: u64,
    /// The message, whole.
    pub message: Box<consensus::Commit>,
}

impl Commit {
    /// All transactions in execution order.
    pub fn transactions(&self) -> impl Iterator<Item = Transaction<'_>> {
        let all = self.message.blocks.iter().flat_map(|block| &block.transactions);
        all.enumerate().map(|(position, bytes)| {
            let duplicate = is_marked(&self.message.duplicate_marks, position);
            Transaction { bytes, duplicate }
        })
    }
}

/// Whether a bit is set, the least significant one of byte 0 first.
pub(crate) fn is_marked(marks: &[u8], position: usize) -> bool {
    marks.get(position / 8).is_some_and(|byte| byte & (1 << (position % 8)) != 0)
}

/// One transaction at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// The bytes as they were submitted.
    pub bytes: &'a Bytes,
    /// True where it was committed before: not executed again.
    pub duplicate: bool,
}

/// What execution of a commit gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The commit.
    pub position: Position,
    /// State root after it; `None` where the executor keeps none.
    pub state_root: Option<Digest>,
    /// Transactions without effect, by position.
    pub rejected: Vec<RejectedTransaction>,
    /// True where the executor does not tell results: `rejected` then means nothing.
    pub results_unknown: bool,
    /// Set where its execution ended the epoch.
    pub epoch_end: Option<EpochRecord>,
}

/// A transaction without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedTransaction {
    /// Its position in the commit, from 0.
    pub position: u32,
    /// The executor's code; not 0.
    pub code: u32,
    /// Why, for people; at most 256 bytes.
    pub reason: String,
}

/// A boundary that has passed the checks of the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Where the last epoch ended, and which one begins.
    pub boundary: Boundary,
    /// Digest of the committee of the epoch that begins.
    pub committee_digest: [u8; 32],
    /// The boundary's timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
}

/// An epoch and its committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch in force.
    pub epoch: u64,
    /// Digest of its committee.
    pub committee_digest: [u8; 32],
}

/// Why an executor cannot go on. The service stops, unless the backend outlives it ([`Backend::outlives`]); nothing that was
/// acknowledged is lost.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The database cannot be opened.
    #[error("cannot open the ledger")]
    Open(#[from] OpenError),
    /// Stored bytes cannot be read.
    #[error("cannot read the ledger")]
    Read(#[from] ReadError),
    /// The store did not take a write.
    #[error("cannot write the ledger")]
    Write(#[from] WriteError),
    /// A thread cannot be started.
    #[error("cannot start a thread of the ledger")]
    Thread(#[source] std::io::Error),
    /// A stored value has another form than this version writes.
    #[error("the stored value `{key}` is not one of this version; restore the ledger from a copy")]
    Form {
        /// Name of the value.
        key: String,
    },
    /// The database is of another network.
    #[error(
        "the ledger belongs to chain {stored}, the genesis file to {configured}; use the data_dir of this network"
    )]
    OtherChain {
        /// Chain in the database.
        stored: String,
        /// Chain of the genesis file.
        configured: String,
    },
    /// The genesis accounts are not those that the ledger was made from.
    #[error(
        "the ledger began with state root {stored}, the genesis file gives {configured}; its accounts were edited"
    )]
    OtherGenesis {
        /// Root that was recorded.
        stored: String,
        /// Root that the file gives.
        configured: String,
    },
    /// The genesis file contradicts itself.
    #[error("the accounts of the genesis file cannot be used")]
    Genesis(#[from] reference_ledger::GenesisError),
    /// The database is of another authority.
    #[error(
        "the ledger belongs to authority {stored}, configured is {configured}; use the data_dir of this authority"
    )]
    OtherAuthority {
        /// Authority in the database.
        stored: Authority,
        /// The configured one.
        configured: Authority,
    },
    /// The accounts do not hash to the stored root.
    #[error(
        "the accounts at commit {index} hash to {computed}, stored is {stored}; set the ledger aside and restore a copy"
    )]
    OtherRoot {
        /// Last commit executed.
        index: u64,
        /// Root that was stored with it.
        stored: String,
        /// Root of the accounts that were read.
        computed: String,
    },
    /// Compare-and-set failed; the sequencer and the executor disagree, which is a bug.
    #[error(
        "commit {index} was handed to the executor, which stands at {last} under incarnation {incarnation}"
    )]
    NotNext {
        /// Index of the commit.
        index: u64,
        /// Last index of the executor.
        last: u64,
        /// Incarnation recorded there.
        incarnation: Incarnation,
    },
    /// It did not answer in time. What it was asked may or may not be durable; nothing of it was acknowledged.
    #[error(
        "the executor did not answer within {} ms (backend.execute_timeout_ms); it, or its disk, hangs",
        limit.as_millis()
    )]
    Late {
        /// The time that it had.
        limit: Duration,
    },
    /// The executor has ended; its own error tells why.
    #[error("the executor has ended")]
    Ended,
    /// The address of a master cannot be used.
    #[error("backend.endpoint cannot be used")]
    Endpoint(#[from] EndpointError),
    /// A master answered of another chain.
    #[error(
        "the master at {endpoint} belongs to chain {theirs}, the genesis file to {ours}; give both the same genesis file"
    )]
    MasterOfOtherChain {
        /// Where it was asked.
        endpoint: String,
        /// Our chain.
        ours: String,
        /// The master's.
        theirs: String,
    },
    /// A master answered with another committee.
    #[error(
        "the master at {endpoint} has another committee of epoch 0 than the genesis file; give both the same genesis file"
    )]
    MasterOfOtherCommittee {
        /// Where it was asked.
        endpoint: String,
    },
    /// The connection to a master is lost, or it answered what cannot be used. What it was asked may or may not be durable.
    #[error("the master is lost")]
    Lost(#[from] CallError),
    /// A master ended the stream with an error for its sender, who is told the same.
    #[error("the master ended the stream: {}", .0.message())]
    Told(Box<Status>),
    /// An existing master, behind the framed protocol, gave nothing that can be used. What it was sent may or may not be executed.
    #[error("the master behind the framed protocol is lost")]
    Legacy(#[source] Arc<uds::LegacyError>),
    /// A master is not where it was said to be: it was started anew, from another state.
    #[error("the master stands at {theirs}, was expected at {ours}")]
    Moved {
        /// Where it was expected.
        ours: u64,
        /// Where it says that it stands.
        theirs: u64,
    },
}
