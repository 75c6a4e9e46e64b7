//! What stands behind the proxy: the one interface of all executors.
//!
//! A [`Backend`] is loaded once; that may take long, and nothing is known of its position before. The [`Executor`] that comes
//! out takes commits in order and answers each when its effects are durable. It may execute the next while the last one
//! is synced. Any error is final: the service stops and reports it.

pub mod embedded;

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use metanode_shell::durable::{OpenError, ReadError, WriteError};
use sequencer_core::{Authority, Digest, Incarnation, LeaseRecord, Position};
use thiserror::Error;

/// An executor that is not loaded yet.
pub trait Backend: Send + 'static {
    /// What it becomes.
    type Executor: Executor;

    /// Loads the state, and says where it stands.
    ///
    /// # Errors
    /// [`BackendError`].
    fn load(self) -> impl Future<Output = Result<(Self::Executor, Loaded), BackendError>> + Send;
}

/// Executes commits, in order, exactly once.
pub trait Executor: Send + Sync + 'static {
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

    /// Records who may send; resolves when that is durable, after all that was taken before.
    ///
    /// # Errors
    /// [`BackendError`].
    fn record_lease(&mut self, lease: LeaseRecord) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Records the epoch in force; resolves when that is durable.
    ///
    /// # Errors
    /// [`BackendError`].
    fn record_epoch(&mut self, epoch: EpochRecord) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// What execution of an earlier commit gave; `None` where that is not kept.
    ///
    /// # Errors
    /// [`BackendError`].
    fn executed(&self, index: u64) -> impl Future<Output = Result<Option<Executed>, BackendError>> + Send;

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

/// A commit that passed the checks of its form, reduced to what is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// All transactions in execution order.
    pub transactions: Vec<Transaction>,
    /// Size as commits are counted ([`metanode_proto::limits`]).
    pub size_bytes: u64,
}

/// One transaction at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The bytes as they were submitted.
    pub bytes: Bytes,
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

/// An epoch and its committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch in force.
    pub epoch: u64,
    /// Digest of its committee.
    pub committee_digest: [u8; 32],
}

/// Why an executor cannot go on. The service stops; nothing that was acknowledged is lost.
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
}
