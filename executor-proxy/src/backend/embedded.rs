//! The embedded executor: the reference ledger in this process, durable in sled.
//!
//! One thread owns the ledger. It executes a commit, hands everything that the commit changed to the storage thread as one
//! batch, and goes on with the next commit while that is synced; a commit is answered when its batch is durable. Batches
//! become durable in order, so the stored state is always that after some commit, whole.

mod load;
mod records;
mod worker;

pub use records::{ResultRecord, StoredCommit, StoredOutcome};

use std::{path::PathBuf, sync::Arc};

use metanode_shell::durable::{Completion, Store};
use metanode_telemetry::metrics::ExecutorMetrics;
use reference_ledger::{AccountKey, ChainId};
use sequencer_core::{Authority, Incarnation, LeaseRecord};
use tokio::{
    sync::{mpsc, oneshot},
    task,
};

use super::{
    Backend, BackendError, Commit, EpochAnswer, EpochRecord, EpochStart, Executed, Executor, Loaded,
    PendingExecution,
};
use worker::Worker;

/// Name of the database within the data folder.
pub const FOLDER: &str = "ledger";

/// Memory that sled may use for its pages. The accounts are held by the ledger itself, so little is read.
const CACHE_BYTES: u64 = 64 << 20;

/// Settings of the embedded executor.
#[derive(Clone, Debug)]
pub struct EmbeddedBackend {
    /// Folder of the database; made if absent.
    pub path: PathBuf,
    /// The chain.
    pub chain_id: ChainId,
    /// Accounts of the genesis file, with their balances.
    pub accounts: Vec<(AccountKey, u64)>,
    /// The authority that this executor belongs to.
    pub authority: Authority,
    /// Most commits that are ever in flight: the bound of the queues.
    pub window_commits: usize,
    /// Where the time of syncs is noted.
    pub metrics: ExecutorMetrics,
}

impl Backend for EmbeddedBackend {
    type Executor = EmbeddedExecutor;

    async fn load(&mut self) -> Result<(EmbeddedExecutor, Loaded), BackendError> {
        let settings = self.clone();
        let queue_bound = settings.window_commits.saturating_add(1);
        let metrics = settings.metrics.clone();
        let state =
            task::spawn_blocking(move || load::load(&settings)).await.map_err(|_| BackendError::Ended)??;
        let loaded = state.loaded;
        let (jobs, queue) = mpsc::channel(queue_bound);
        let (store, ended) = (Arc::clone(&state.store), Worker::spawn(state, queue, queue_bound, metrics)?);
        Ok((EmbeddedExecutor { jobs, store, ended }, loaded))
    }
}

/// Handle of the ledger's thread.
#[derive(Debug)]
pub struct EmbeddedExecutor {
    jobs: mpsc::Sender<Job>,
    store: Arc<Store>,
    ended: oneshot::Receiver<Result<(), BackendError>>,
}

/// What the ledger's thread is asked to do. Each is answered when its batch is handed to the storage thread.
#[derive(Debug)]
enum Job {
    Execute {
        incarnation: Incarnation,
        commit: Commit,
        answer: oneshot::Sender<Result<(Executed, Completion), BackendError>>,
    },
    Lease {
        lease: LeaseRecord,
        answer: oneshot::Sender<Result<Completion, BackendError>>,
    },
    Epoch {
        epoch: EpochRecord,
        answer: oneshot::Sender<Result<Completion, BackendError>>,
    },
}

impl EmbeddedExecutor {
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, BackendError>>) -> Job,
    ) -> Result<oneshot::Receiver<Result<T, BackendError>>, BackendError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| BackendError::Ended)?;
        Ok(answered)
    }

    async fn record(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<Completion, BackendError>>) -> Job,
    ) -> Result<(), BackendError> {
        let written = self.ask(job).await?.await.map_err(|_| BackendError::Ended)??;
        Ok(written.await?)
    }
}

impl Executor for EmbeddedExecutor {
    async fn execute(
        &mut self,
        incarnation: Incarnation,
        commit: Commit,
    ) -> Result<PendingExecution, BackendError> {
        let answered = self.ask(|answer| Job::Execute { incarnation, commit, answer }).await?;
        Ok(Box::pin(async move {
            let (executed, durable) = answered.await.map_err(|_| BackendError::Ended)??;
            durable.await?;
            Ok(executed)
        }))
    }

    async fn record_lease(&mut self, lease: LeaseRecord) -> Result<(), BackendError> {
        self.record(|answer| Job::Lease { lease, answer }).await
    }

    async fn begin_epoch(&mut self, start: EpochStart) -> Result<EpochAnswer, BackendError> {
        let EpochStart { boundary, committee_digest, timestamp_ms: _ } = start;
        let epoch = EpochRecord { epoch: boundary.new_epoch, committee_digest };
        self.record(|answer| Job::Epoch { epoch, answer }).await?;
        Ok(EpochAnswer::Begun)
    }

    async fn executed(&self, index: u64) -> Result<Option<Executed>, BackendError> {
        let store = Arc::clone(&self.store);
        let read = task::spawn_blocking(move || StoredCommit::read(&store, index));
        let stored = read.await.map_err(|_| BackendError::Ended)??;
        Ok(stored.map(|commit| commit.executed()))
    }

    async fn close(self) -> Result<(), BackendError> {
        let Self { jobs, store, ended } = self;
        drop((jobs, store));
        ended.await.unwrap_or(Err(BackendError::Ended))
    }
}
