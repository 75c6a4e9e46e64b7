//! The one thread that writes: group commit that clocks itself.
//!
//! Batches wait in a bounded queue. The thread takes all that wait (at most one queue full), applies them in order,
//! syncs once, and answers all. While it syncs, the next group gathers: no timer, the least latency when little is
//! written, one sync for many batches when much is.
//!
//! The first error is the last word: nothing is written after it, every batch of that group and every later submission
//! fails with it, and the thread ends. Trying again over it could make a later batch durable without an earlier one.

use super::{Store, StoreError, WriteBatch};
use crate::panic_text;
use std::{
    io,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Where a [`Writer`] writes to: the [`Store`], or a stand-in that fails on demand.
pub trait BatchSink: Send + Sync + 'static {
    /// Applies a batch as a whole; not yet durable.
    ///
    /// # Errors
    /// [`StoreError`]; writing ends.
    fn apply(&self, batch: &WriteBatch) -> Result<(), StoreError>;

    /// Makes all that was applied durable.
    ///
    /// # Errors
    /// [`StoreError`]; writing ends.
    fn sync(&self) -> Result<(), StoreError>;
}

impl BatchSink for Store {
    fn apply(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        Store::apply(self, batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Store::sync(self)
    }
}

/// Why a batch is not durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The store failed, with this batch or before it. Terminal: the service stops.
    #[error("the store failed")]
    Failed {
        /// The first error; the same for all.
        #[source]
        source: Arc<StoreError>,
    },
    /// The writer was closed.
    #[error("the writer is closed")]
    Closed,
}

/// One group that was made durable, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Batches in it, 1 to the bound of the queue.
    pub batches: usize,
    /// Time of its sync.
    pub sync_duration: Duration,
}

/// Resolves when the batch is durable. Dropping it loses the answer, not the batch.
#[derive(Debug)]
#[must_use = "a batch is durable only when its completion has resolved"]
pub struct Completion {
    answer: oneshot::Receiver<Result<(), WriteError>>,
}

impl Future for Completion {
    type Output = Result<(), WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or(Err(WriteError::Closed)))
    }
}

/// Handle of the storage thread. Shared by reference or `Arc`; batches become durable in the order in which they were
/// taken into the queue.
#[derive(Debug)]
pub struct Writer {
    /// `None` once closed.
    queue: Option<mpsc::Sender<Submission>>,
    failure: Arc<OnceLock<WriteError>>,
    thread: Option<thread::JoinHandle<()>>,
    ended: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Submission {
    batch: WriteBatch,
    /// `None`: nobody waits, and no sync is made for it alone.
    answer: Option<oneshot::Sender<Result<(), WriteError>>>,
}

impl Writer {
    /// Starts the storage thread of `store`. `queue_bound` is the number of batches that may wait, at least 1; so many
    /// are also the most in a group.
    ///
    /// # Errors
    /// If the thread cannot be started.
    ///
    /// # Panics
    /// If `queue_bound` is 0.
    pub fn spawn<S: BatchSink>(store: Arc<S>, queue_bound: usize) -> io::Result<Self> {
        Self::spawn_observed(store, queue_bound, |_| {})
    }

    /// As [`Writer::spawn`]; `observe` is called on the storage thread for each group, and must not block.
    ///
    /// # Errors
    /// If the thread cannot be started.
    ///
    /// # Panics
    /// If `queue_bound` is 0.
    pub fn spawn_observed<S: BatchSink>(
        store: Arc<S>,
        queue_bound: usize,
        observe: impl FnMut(Group) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, submissions) = mpsc::channel(queue_bound);
        let (end, ended) = oneshot::channel();
        let failure = Arc::new(OnceLock::new());
        let worker = Worker {
            store,
            submissions,
            group_bound: queue_bound,
            failure: Arc::clone(&failure),
            observe,
            unsynced: false,
        };
        let thread = thread::Builder::new().name("storage".to_owned()).spawn(move || {
            worker.run();
            // The store is released by now; whoever waits in `close` may open it again.
            let _ = end.send(());
        })?;
        Ok(Self { queue: Some(queue), failure, thread: Some(thread), ended })
    }

    /// Takes `batch` into the queue, waiting for a place in it, and returns what resolves when it is durable. If this
    /// future is dropped before it returns, the batch was not taken.
    ///
    /// # Errors
    /// [`WriteError::Failed`] with the first error of the store; [`WriteError::Closed`].
    pub async fn submit(&self, batch: WriteBatch) -> Result<Completion, WriteError> {
        let (answer, completion) = completion();
        self.enqueue(Submission { batch, answer: Some(answer) }).await?;
        Ok(completion)
    }

    /// Takes `batch` for which nobody waits: it is applied in its turn, and becomes durable with the next batch that
    /// somebody waits for, or at closing.
    ///
    /// # Errors
    /// As [`Writer::submit`].
    pub async fn submit_relaxed(&self, batch: WriteBatch) -> Result<(), WriteError> {
        self.enqueue(Submission { batch, answer: None }).await
    }

    /// Resolves when the storage thread has ended because the store failed.
    pub async fn failed(&self) -> WriteError {
        if let Some(queue) = &self.queue {
            queue.closed().await;
        }
        self.end_reason()
    }

    /// Writes what waits, syncs, ends the thread and releases its reference to the store; if that was the last one, the
    /// database is closed and another process may open it.
    ///
    /// # Errors
    /// [`WriteError::Failed`] if the store failed now or before.
    pub async fn close(mut self) -> Result<(), WriteError> {
        self.queue = None;
        let _ = (&mut self.ended).await;
        self.join();
        self.failure.get().cloned().map_or(Ok(()), Err)
    }

    async fn enqueue(&self, submission: Submission) -> Result<(), WriteError> {
        let queue = self.queue.as_ref().ok_or(WriteError::Closed)?;
        queue.send(submission).await.map_err(|_| self.end_reason())
    }

    fn end_reason(&self) -> WriteError {
        self.failure.get().cloned().unwrap_or(WriteError::Closed)
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the store is caught in the thread and kept as the failure.
            let _ = thread.join();
        }
    }
}

/// As [`Writer::close`], but blocks the thread that drops it for the last sync.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        self.join();
    }
}

fn completion() -> (oneshot::Sender<Result<(), WriteError>>, Completion) {
    let (sender, answer) = oneshot::channel();
    (sender, Completion { answer })
}

struct Worker<S, O> {
    store: Arc<S>,
    submissions: mpsc::Receiver<Submission>,
    group_bound: usize,
    failure: Arc<OnceLock<WriteError>>,
    observe: O,
    /// Whether relaxed batches were applied since the last sync.
    unsynced: bool,
}

impl<S: BatchSink, O: FnMut(Group)> Worker<S, O> {
    fn run(mut self) {
        while let Some(first) = self.submissions.blocking_recv() {
            let group = self.gather(first);
            let outcome = self.guarded(|worker| worker.write(&group));
            let failed = outcome.is_err();
            answer_all(group, &outcome);
            if failed {
                return self.refuse_rest(&outcome);
            }
        }
        if self.unsynced {
            let _ = self.guarded(|worker| worker.store.sync());
        }
    }

    fn gather(&mut self, first: Submission) -> Vec<Submission> {
        let mut group = vec![first];
        while group.len() < self.group_bound {
            let Ok(next) = self.submissions.try_recv() else { break };
            group.push(next);
        }
        group
    }

    fn write(&mut self, group: &[Submission]) -> Result<(), StoreError> {
        for submission in group {
            self.store.apply(&submission.batch)?;
        }
        if group.iter().all(|submission| submission.answer.is_none()) {
            self.unsynced = true;
            return Ok(());
        }
        let started = Instant::now();
        self.store.sync()?;
        self.unsynced = false;
        (self.observe)(Group { batches: group.len(), sync_duration: started.elapsed() });
        Ok(())
    }

    /// Runs `step`; an error or a panic in it is kept as the failure of the writer.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), WriteError> {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| step(self)))
            .unwrap_or_else(|payload| Err(StoreError::Panicked { reason: panic_text(payload.as_ref()) }));
        outcome.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "storage failed, nothing is written any more"
            );
            let failure = WriteError::Failed { source: Arc::new(error) };
            self.failure.get_or_init(|| failure).clone()
        })
    }

    /// Answers what still waits, and ends.
    fn refuse_rest(mut self, outcome: &Result<(), WriteError>) {
        self.submissions.close();
        while let Some(submission) = self.submissions.blocking_recv() {
            answer_all(vec![submission], outcome);
        }
    }
}

fn answer_all(group: Vec<Submission>, outcome: &Result<(), WriteError>) {
    for answer in group.into_iter().filter_map(|submission| submission.answer) {
        // Whoever dropped the completion does not want to know.
        let _ = answer.send(outcome.clone());
    }
}
