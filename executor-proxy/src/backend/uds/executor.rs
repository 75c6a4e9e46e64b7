//! The driver's handle of a link.

use std::sync::Arc;

use sequencer_core::{Incarnation, LeaseRecord};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    error::{self, LegacyError},
    records::Records,
    worker::{Job, Worker, executed},
};
use crate::backend::{BackendError, Commit, EpochAnswer, EpochStart, Executed, Executor, PendingExecution};

/// An existing master that said where it stands. Dropping it closes both connections.
#[derive(Debug)]
pub struct UdsExecutor {
    jobs: mpsc::Sender<Job>,
    records: Records,
    ending: Ending,
    /// Ends the worker with the handle.
    worker: JoinSet<()>,
}

/// Why the worker ended; told to each that waits.
#[derive(Clone, Debug)]
struct Ending(watch::Receiver<Option<Arc<LegacyError>>>);

impl Ending {
    async fn told(&mut self) -> BackendError {
        match self.0.wait_for(Option::is_some).await {
            Ok(ending) => ending.clone().map_or(BackendError::Ended, error::backend),
            Err(_) => BackendError::Ended,
        }
    }

    async fn or<T>(mut self, answered: oneshot::Receiver<T>) -> Result<T, BackendError> {
        match answered.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.told().await),
        }
    }
}

impl UdsExecutor {
    /// Starts the worker. At most `window_commits` wait for it.
    pub(super) fn start(worker: Worker, records: Records, window_commits: usize) -> Self {
        let (jobs, queue) = mpsc::channel(window_commits.saturating_add(1));
        let (told, ending) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = worker.run(queue).await {
                told.send_replace(Some(Arc::new(error)));
            }
        });
        Self { jobs, records, ending: Ending(ending), worker: tasks }
    }

    async fn ask<T>(
        &mut self,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
    ) -> Result<oneshot::Receiver<T>, BackendError> {
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(job(answer)).await.is_err() {
            return Err(self.ending.told().await);
        }
        Ok(answered)
    }
}

impl Executor for UdsExecutor {
    async fn lost(&mut self) -> BackendError {
        self.ending.told().await
    }

    async fn execute(
        &mut self,
        incarnation: Incarnation,
        commit: Commit,
    ) -> Result<PendingExecution, BackendError> {
        let answered = self.ask(|answer| Job::Execute { incarnation, commit, answer }).await?;
        Ok(Box::pin(self.ending.clone().or(answered)))
    }

    async fn record_lease(&mut self, lease: LeaseRecord) -> Result<(), BackendError> {
        let answered = self.ask(|answer| Job::Lease { lease, answer }).await?;
        self.ending.clone().or(answered).await
    }

    async fn begin_epoch(&mut self, start: EpochStart) -> Result<EpochAnswer, BackendError> {
        let answered = self.ask(|answer| Job::Epoch { start, answer }).await?;
        self.ending.clone().or(answered).await
    }

    async fn executed(&self, index: u64) -> Result<Option<Executed>, BackendError> {
        let record = self.records.commit(index).await.map_err(|error| error::backend(Arc::new(error)))?;
        Ok(record.map(|record| executed(index, record)))
    }

    async fn close(self) -> Result<(), BackendError> {
        let Self { jobs, mut worker, mut ending, .. } = self;
        drop(jobs);
        while worker.join_next().await.is_some() {}
        // It ends without an error when nobody has jobs for it.
        if ending.0.borrow_and_update().is_some() { Err(ending.told().await) } else { Ok(()) }
    }
}
