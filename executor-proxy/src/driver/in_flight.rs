//! Commits that the executor has taken and that are not durable yet.

use std::time::Duration;

use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::time::{Instant, timeout, timeout_at};

use super::stream::Permit;
use crate::backend::{BackendError, Executed, PendingExecution};

/// What is known of a commit while it is executed.
pub(super) struct Taken {
    pub(super) acknowledgement: Permit,
    pub(super) since: Instant,
    /// True where it was executed before, and is only to be answered once more.
    pub(super) again: bool,
    /// Transactions that are not marked as duplicates.
    pub(super) transactions: u64,
}

/// Commits in flight, oldest first. An executor that finishes none of them for `limit` hangs: a full window on a slow disk
/// does not, so the time counts for the oldest one alone.
pub(super) struct InFlight {
    commits: FuturesOrdered<BoxFuture<'static, (Result<Executed, BackendError>, Taken)>>,
    limit: Duration,
    /// When the oldest one became the oldest.
    progressed: Instant,
}

impl InFlight {
    pub(super) fn new(limit: Duration) -> Self {
        Self { commits: FuturesOrdered::new(), limit, progressed: Instant::now() }
    }

    pub(super) fn push(&mut self, pending: PendingExecution, taken: Taken) {
        if self.commits.is_empty() {
            self.progressed = taken.since;
        }
        self.commits.push_back(Box::pin(async move { (pending.await, taken) }));
    }

    /// Waits for the oldest one to be durable; `None` when there is none. Nothing is lost if it is dropped while it waits.
    ///
    /// # Errors
    /// The executor's own, or [`BackendError::Late`].
    pub(super) async fn next(&mut self) -> Option<Result<(Executed, Taken), BackendError>> {
        let limit = self.limit;
        let Ok(next) = timeout_at(self.progressed + limit, self.commits.next()).await else {
            return Some(Err(BackendError::Late { limit }));
        };
        let (outcome, taken) = next?;
        self.progressed = Instant::now();
        Some(outcome.map(|executed| (executed, taken)))
    }
}

/// Bounds any other request to the executor.
///
/// # Errors
/// Its own, or [`BackendError::Late`].
pub(super) async fn bounded<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    timeout(limit, request).await.unwrap_or(Err(BackendError::Late { limit }))
}
