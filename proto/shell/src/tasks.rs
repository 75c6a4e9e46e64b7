//! Supervision: every task has a name and an owner; the first that fails takes the service down in order.
//!
//! Shutdown is the same from a signal and from a failure: the shared token is cancelled, tasks end by themselves within
//! the drain deadline, the rest is aborted and named.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), metanode_shell::tasks::TaskError> {
//! use metanode_shell::tasks::Supervisor;
//! use std::convert::Infallible;
//!
//! let mut tasks = Supervisor::new();
//! let shutdown = tasks.shutdown_token();
//! tasks.spawn("driver", async move {
//!     shutdown.cancelled().await;
//!     Ok::<(), Infallible>(())
//! });
//! # tasks.shutdown_token().cancel();
//! let stopped = tasks.run_until_signal().await?;
//! assert!(stopped.aborted.is_empty());
//! # Ok(())
//! # }
//! ```

use crate::panic_text;
use std::{collections::HashMap, error::Error, io, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{self, JoinError, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Time that tasks have to end by themselves, unless told otherwise.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// An error of a task, of whatever type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why the service went down other than on request.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A task returned an error: the first one that did.
    #[error("task {task} failed")]
    Failed {
        /// Its name.
        task: &'static str,
        /// What it returned.
        #[source]
        source: BoxError,
    },
    /// A task panicked: a bug of ours.
    #[error("task {task} panicked: {reason}")]
    Panicked {
        /// Its name.
        task: &'static str,
        /// Text of the panic.
        reason: String,
    },
    /// The system does not let us wait for signals.
    #[error("cannot wait for signals")]
    Signals {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// An ordered end.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why it began.
    pub cause: StopCause,
    /// Tasks that had not ended at the drain deadline and were aborted, sorted.
    pub aborted: Vec<&'static str>,
}

/// Why an ordered end began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// SIGTERM or SIGINT, by that name; for [`Supervisor::run_until`], its event.
    Requested(&'static str),
    /// Somebody cancelled the token.
    Cancelled,
    /// All tasks have ended without an error.
    Finished,
}

/// Owns the tasks of a service. Dropping it aborts them.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<Result<(), BoxError>>,
    names: HashMap<task::Id, &'static str>,
    shutdown: CancellationToken,
    drain_deadline: Duration,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// No tasks yet, [`DRAIN_DEADLINE`].
    pub fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            shutdown: CancellationToken::new(),
            drain_deadline: DRAIN_DEADLINE,
        }
    }

    /// Another drain deadline; zero aborts at once.
    #[must_use]
    pub fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain_deadline = deadline;
        self
    }

    /// Cancelled when the service goes down, for whatever reason. Each task ends soon after it.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task. An error or panic of it takes the whole service down; a task that ends with `Ok` is simply done.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let handle = self.tasks.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Runs until SIGTERM, SIGINT, cancellation, the first failure, or the end of all tasks; then drains.
    ///
    /// # Errors
    /// The first [`TaskError`], also if it came while draining.
    pub async fn run_until_signal(self) -> Result<Stopped, TaskError> {
        let source = |source| TaskError::Signals { source };
        let mut terminate = signal(SignalKind::terminate()).map_err(source)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(source)?;
        self.run_until(async move {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        })
        .await
    }

    /// As [`Supervisor::run_until_signal`], with another event than signals; its output names it.
    ///
    /// # Errors
    /// The first [`TaskError`], also if it came while draining.
    pub async fn run_until(
        mut self,
        event: impl Future<Output = &'static str>,
    ) -> Result<Stopped, TaskError> {
        let cause = tokio::select! {
            name = event => Ok(StopCause::Requested(name)),
            () = self.shutdown.clone().cancelled_owned() => Ok(StopCause::Cancelled),
            ended = self.first_failure() => ended.map_or(Ok(StopCause::Finished), Err),
        };
        match &cause {
            Ok(cause) => tracing::info!(?cause, running = self.tasks.len(), "service stops"),
            Err(error) => tracing::error!(error = error as &dyn Error, "service stops"),
        }
        self.shutdown.cancel();
        let (failure, aborted) = self.drain().await;
        match (cause, failure) {
            (Err(first), _) | (Ok(_), Some(first)) => Err(first),
            (Ok(cause), None) => Ok(Stopped { cause, aborted }),
        }
    }

    /// Waits until a task fails; `None` when all have ended well.
    async fn first_failure(&mut self) -> Option<TaskError> {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let (_, outcome) = self.judge(ended);
            if let Err(failure) = outcome {
                return failure;
            }
        }
        None
    }

    /// Lets tasks end until the deadline, aborts the rest. The first failure, and the names of those aborted.
    async fn drain(&mut self) -> (Option<TaskError>, Vec<&'static str>) {
        let (mut failure, mut aborted) = (None, Vec::new());
        let deadline = Instant::now() + self.drain_deadline;
        loop {
            let ended = match timeout_at(deadline, self.tasks.join_next_with_id()).await {
                Ok(Some(ended)) => ended,
                Ok(None) => return (failure, aborted),
                Err(_) => break,
            };
            failure = failure.or(self.judge(ended).1.err().flatten());
        }
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            match self.judge(ended) {
                (_, Ok(())) => {}
                (name, Err(None)) => aborted.push(name),
                (_, Err(Some(error))) => failure = failure.or(Some(error)),
            }
        }
        aborted.sort_unstable();
        if !aborted.is_empty() {
            tracing::warn!(tasks = ?aborted, deadline = ?self.drain_deadline, "tasks aborted at the drain deadline");
        }
        (failure, aborted)
    }

    /// Name and outcome of a task that ended: `Err(None)` was aborted.
    fn judge(
        &mut self,
        ended: Result<(task::Id, Result<(), BoxError>), JoinError>,
    ) -> (&'static str, Result<(), Option<TaskError>>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let task = self.names.remove(&id).unwrap_or("unnamed");
        let outcome = match ended {
            Ok((_, Ok(()))) => Ok(()),
            Ok((_, Err(source))) => Err(Some(TaskError::Failed { task, source })),
            Err(error) => Err(error
                .try_into_panic()
                .ok()
                .map(|payload| TaskError::Panicked { task, reason: panic_text(payload.as_ref()) })),
        };
        (task, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, future::pending};
    use tokio::sync::oneshot;

    async fn until_cancelled(token: CancellationToken) -> Result<(), Infallible> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_failure_cancels_the_others_and_is_reported_with_its_name() {
        let mut tasks = Supervisor::new();
        let token = tasks.shutdown_token();
        tasks.spawn("driver", until_cancelled(token));
        tasks.spawn("server", async { Err::<(), _>(io::Error::other("port taken")) });
        let error = tasks.run_until(pending()).await.unwrap_err();
        assert!(
            matches!(&error, TaskError::Failed { task: "server", source } if source.to_string() == "port taken")
        );
    }

    #[tokio::test]
    async fn a_panic_is_reported_with_its_name_and_text() {
        let mut tasks = Supervisor::new();
        let token = tasks.shutdown_token();
        tasks.spawn("driver", until_cancelled(token.clone()));
        tasks.spawn("peer", async { if true { panic!("slot {}", 7) } else { Ok::<(), Infallible>(()) } });
        let error = tasks.run_until(pending()).await.unwrap_err();
        assert!(matches!(&error, TaskError::Panicked { task: "peer", reason } if reason == "slot 7"));
        assert!(token.is_cancelled());
    }

    #[tokio::test]
    async fn a_request_drains_tasks_to_their_end() {
        let mut tasks = Supervisor::new();
        let (token, (sender, receiver)) = (tasks.shutdown_token(), oneshot::channel());
        tasks.spawn("writer", async move {
            token.cancelled().await;
            sender.send("drained").map_err(io::Error::other)
        });
        let stopped = tasks.run_until(async { "SIGTERM" }).await.unwrap();
        assert_eq!(stopped, Stopped { cause: StopCause::Requested("SIGTERM"), aborted: vec![] });
        assert_eq!(receiver.await.unwrap(), "drained");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_hang_are_aborted_at_the_deadline_and_named() {
        let mut tasks = Supervisor::new().with_drain_deadline(Duration::from_secs(3));
        let token = tasks.shutdown_token();
        tasks.spawn("good", until_cancelled(token));
        tasks.spawn("stuck-b", pending::<Result<(), Infallible>>());
        tasks.spawn("stuck-a", pending::<Result<(), Infallible>>());
        let started = Instant::now();
        let stopped = tasks.run_until(async { "SIGINT" }).await.unwrap();
        assert_eq!(stopped.aborted, ["stuck-a", "stuck-b"]);
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test]
    async fn a_failure_while_draining_is_not_lost() {
        let mut tasks = Supervisor::new();
        let token = tasks.shutdown_token();
        tasks.spawn("writer", async move {
            token.cancelled().await;
            Err::<(), _>(io::Error::other("last sync failed"))
        });
        let error = tasks.run_until(async { "SIGTERM" }).await.unwrap_err();
        assert!(matches!(error, TaskError::Failed { task: "writer", .. }));
    }

    #[tokio::test]
    async fn all_tasks_done_is_an_ordered_end() {
        let mut tasks = Supervisor::new();
        tasks.spawn("once", async { Ok::<(), Infallible>(()) });
        assert_eq!(tasks.run_until(pending()).await.unwrap().cause, StopCause::Finished);
    }

    #[tokio::test]
    async fn cancelling_the_token_stops_the_service() {
        let mut tasks = Supervisor::new();
        let token = tasks.shutdown_token();
        tasks.spawn("driver", until_cancelled(token.clone()));
        token.cancel();
        let stopped = tasks.run_until(pending()).await.unwrap();
        assert!(matches!(stopped.cause, StopCause::Cancelled | StopCause::Finished));
    }
}
