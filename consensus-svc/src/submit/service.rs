//! `TransactionService`: the calls, their errors, and the way to the core.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{CommitIndex, SubmitOutcome, Transaction, TransactionDigest};
use metanode_proto::{
    consensus::v1::{
        SubmitRequest, SubmitResponse, TransactionOutcome, WaitFor, WatchTransactionRequest,
        transaction_service_server::TransactionService,
    },
    reason,
};
use metanode_shell::status::{self, WithRetry};
use metanode_telemetry::metrics::{ConsensusMetrics, labels::TransactionRefusal};
use tokio::sync::{
    Semaphore,
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::{
    BatchId, Fate, RegisterError, Registration, Stage, Submission, SubmitLimits, Tracker, TrackerFull,
    WaitsEnded, check_batch,
    watch::{MAX_WATCHES, Stages},
};

/// How transactions are taken in.
#[derive(Clone, Debug)]
pub struct SubmitSettings {
    /// Limits of one batch.
    pub limits: SubmitLimits,
    /// Most durable commits that the executor may be behind before intake ends (X09).
    pub max_executed_lag: u64,
    /// When clients are told to come back.
    pub retry_delay: Duration,
}

/// How far the executor is behind the newest durable commit, read at each call.
pub trait ExecutorLag: Send + Sync + 'static {
    /// Newest durable commit.
    fn commit_index(&self) -> CommitIndex;
    /// Newest commit known to be executed.
    fn executed_index(&self) -> CommitIndex;
}

/// The way into the core, for the service and for others in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Submitter {
    queue: mpsc::Sender<Submission>,
}

impl Submitter {
    /// The way and its end: at most `bound` batches wait for the driver.
    pub fn new(bound: usize) -> (Self, mpsc::Receiver<Submission>) {
        let (queue, submissions) = mpsc::channel(bound);
        (Self { queue }, submissions)
    }

    /// A place in the queue; `None` when the service goes down. Never waits, so that callers do not hold batches while the
    /// driver takes none.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn reserve(&self) -> Result<Option<QueuePlace<'_>>, QueueFull> {
        match self.queue.try_reserve() {
            Ok(place) => Ok(Some(QueuePlace(place))),
            Err(TrySendError::Closed(())) => Ok(None),
            Err(TrySendError::Full(())) => Err(QueueFull { limit: self.queue.max_capacity() }),
        }
    }
}

/// As many batches wait for the driver as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} batches wait for the machine, which takes none at the moment")]
pub struct QueueFull {
    /// Most that can wait.
    pub limit: usize,
}

/// A place in the queue to the driver; given back where it is dropped.
#[derive(Debug)]
pub struct QueuePlace<'a>(mpsc::Permit<'a, Submission>);

impl QueuePlace<'_> {
    /// Hands a checked batch to the core. Its answer comes when all that the core did before is durable; the sender is
    /// dropped when the service goes down.
    pub fn submit(
        self,
        transactions: Vec<Transaction>,
        batch: Option<BatchId>,
    ) -> oneshot::Receiver<SubmitOutcome> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Submission { transactions, batch, answer });
        answered
    }
}

/// Serves `TransactionService`.
#[derive(Debug)]
pub struct TransactionIntake<L> {
    submitter: Submitter,
    pub(super) tracker: Arc<Tracker>,
    pub(super) settings: SubmitSettings,
    lag: L,
    metrics: Arc<ConsensusMetrics>,
    pub(super) drain: CancellationToken,
    pub(super) watches: Arc<Semaphore>,
}

impl<L: ExecutorLag> TransactionIntake<L> {
    /// Puts the parts together; waits end when `drain` is cancelled.
    pub fn new(
        submitter: Submitter,
        tracker: Arc<Tracker>,
        settings: SubmitSettings,
        lag: L,
        metrics: Arc<ConsensusMetrics>,
        drain: CancellationToken,
    ) -> Self {
        let watches = Arc::new(Semaphore::new(MAX_WATCHES));
        Self { submitter, tracker, settings, lag, metrics, drain, watches }
    }

    async fn take(&self, batch: Vec<Bytes>, wait_for: WaitFor) -> Result<Vec<TransactionOutcome>, Status> {
        let count = batch.len() as u64;
        self.check_lag().inspect_err(|_| self.refused(count, TransactionRefusal::ExecutorLags))?;
        let place = self.submitter.reserve().map_err(|full| {
            self.refused(count, TransactionRefusal::PoolFull);
            self.no_room(full.to_string(), &[("limit", &full.limit)])
        })?;
        let transactions = check_batch(&self.settings.limits, batch).map_err(|error| {
            self.refused(count, TransactionRefusal::InvalidSize);
            *error
        })?;
        let digests: Vec<_> = transactions.iter().map(Transaction::digest).collect();
        let registration = self.register(&digests, wait_for)?;
        let outcome = match place {
            Some(place) => {
                let batch = registration.as_ref().map(Registration::id);
                place.submit(transactions, batch).await.ok()
            }
            None => None,
        };
        let Some(outcome) = outcome else {
            self.refused(count, TransactionRefusal::Draining);
            return Err(self.draining());
        };
        self.check_outcome(outcome, count)?;
        self.metrics.transactions_submitted.add(count);
        let fates = match registration {
            None => vec![Fate::Accepted; digests.len()],
            Some(registration) => {
                let answered = self.drain.run_until_cancelled(registration.answered()).await;
                answered.flatten().ok_or_else(|| self.draining())?.map_err(ended)?
            }
        };
        Ok(fates.iter().zip(&digests).map(|(fate, digest)| fate.to_proto(*digest)).collect())
    }

    fn register(
        &self,
        digests: &[TransactionDigest],
        wait_for: WaitFor,
    ) -> Result<Option<Registration>, Status> {
        let stage = match wait_for {
            WaitFor::Unspecified | WaitFor::Accepted => return Ok(None),
            WaitFor::Committed => Stage::Committed,
            WaitFor::Executed => Stage::Executed,
        };
        let count = digests.len() as u64;
        self.tracker.register(digests.to_vec(), stage).map(Some).map_err(|error| match error {
            RegisterError::Full(full) => {
                self.refused(count, TransactionRefusal::PoolFull);
                let TrackerFull { waiting, limit } = full;
                self.no_room(full.to_string(), &[("waiting", &waiting), ("limit", &limit)])
            }
            RegisterError::Ended(reason) => {
                self.refused(count, TransactionRefusal::NotProposing);
                ended(reason)
            }
        })
    }

    fn no_room(&self, message: String, metadata: &[(&str, &dyn std::fmt::Display)]) -> Status {
        status::reason(Code::ResourceExhausted, reason::POOL_FULL, message, metadata)
            .with_retry(self.settings.retry_delay)
    }

    /// X09: intake follows execution.
    fn check_lag(&self) -> Result<(), Status> {
        let (commit_index, executed_index) = (self.lag.commit_index(), self.lag.executed_index());
        let lag = commit_index.get().saturating_sub(executed_index.get());
        let limit = self.settings.max_executed_lag;
        if lag <= limit {
            return Ok(());
        }
        // It will not catch up before a person has come.
        if let Some(reason) = self.tracker.ended() {
            return Err(ended(reason));
        }
        Err(status::reason(
            Code::ResourceExhausted,
            reason::EXECUTOR_LAGS,
            format!("the executor is {lag} commits behind, intake ends above {limit}"),
            &[("commit_index", &commit_index), ("executed_index", &executed_index), ("limit", &limit)],
        )
        .with_retry(self.settings.retry_delay))
    }

    fn check_outcome(&self, outcome: SubmitOutcome, count: u64) -> Result<(), Status> {
        match outcome {
            SubmitOutcome::Accepted => Ok(()),
            SubmitOutcome::PoolFull { transactions, max_transactions, bytes, max_bytes } => {
                self.refused(count, TransactionRefusal::PoolFull);
                let message = format!(
                    "the pool holds {transactions} of {max_transactions} transactions and {bytes} of {max_bytes} bytes, \
                     the batch does not fit"
                );
                let metadata: &[(&str, &dyn std::fmt::Display)] = &[
                    ("transactions", &transactions),
                    ("max_transactions", &max_transactions),
                    ("bytes", &bytes),
                    ("max_bytes", &max_bytes),
                ];
                Err(self.no_room(message, metadata))
            }
            SubmitOutcome::AlreadyPooled { position, digest } => {
                self.refused(count, TransactionRefusal::Pooled);
                Err(status::reason(
                    Code::AlreadyExists,
                    reason::TRANSACTION_POOLED,
                    format!("transactions[{position}] already waits in the pool"),
                    &[("position", &position), ("digest", &digest)],
                ))
            }
            // The same limit as above; here it is the machine's own.
            SubmitOutcome::TransactionSize { position, size_bytes, limit_bytes } => {
                self.refused(count, TransactionRefusal::InvalidSize);
                let description = format!("{size_bytes} bytes, 1 to {limit_bytes} are allowed");
                Err(status::invalid_field(&format!("transactions[{position}]"), description))
            }
            SubmitOutcome::NotProposing => {
                self.refused(count, TransactionRefusal::NotProposing);
                Err(ended(WaitsEnded::NotProposing))
            }
        }
    }

    fn refused(&self, count: u64, why: TransactionRefusal) {
        self.metrics.transactions_refused.add(count.max(1), why);
    }

    pub(super) fn draining(&self) -> Status {
        status::reason(Code::Unavailable, reason::DRAINING, "this node shuts down", &[])
            .with_retry(self.settings.retry_delay)
    }
}

/// Only a restart by an operator mends it: a client must not try again.
pub(super) fn ended(reason: WaitsEnded) -> Status {
    let name = match reason {
        WaitsEnded::DeliveryStopped => reason::DELIVERY_STOPPED,
        WaitsEnded::NotProposing => reason::NOT_PROPOSING,
    };
    status::reason(Code::FailedPrecondition, name, reason.to_string(), &[])
}

#[tonic::async_trait]
impl<L: ExecutorLag> TransactionService for TransactionIntake<L> {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let request = request.into_inner();
        let wait_for = WaitFor::try_from(request.wait_for).map_err(|_| {
            status::invalid_field("wait_for", format!("{} is no stage to wait for", request.wait_for))
        })?;
        let outcomes = self.take(request.transactions, wait_for).await?;
        Ok(Response::new(SubmitResponse { outcomes }))
    }

    type WatchTransactionStream = Stages;

    async fn watch_transaction(
        &self,
        request: Request<WatchTransactionRequest>,
    ) -> Result<Response<Stages>, Status> {
        self.watch(&request.into_inner().digest)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use consensus_core::ProtocolParameters;
    use metanode_telemetry::Telemetry;

    #[derive(Debug)]
    pub(in crate::submit) struct NoLag;

    impl ExecutorLag for NoLag {
        fn commit_index(&self) -> CommitIndex {
            CommitIndex::NONE
        }

        fn executed_index(&self) -> CommitIndex {
            CommitIndex::NONE
        }
    }

    pub(in crate::submit) fn intake(bound: usize) -> (TransactionIntake<NoLag>, mpsc::Receiver<Submission>) {
        let limits = SubmitLimits { max_transactions: 4, max_batch_bytes: 30, max_transaction_bytes: 10 };
        let settings = SubmitSettings { limits, max_executed_lag: 1, retry_delay: Duration::from_millis(7) };
        let (submitter, submissions) = Submitter::new(bound);
        let metrics = Arc::new(ConsensusMetrics::new(&Telemetry::for_test().unwrap().meter()));
        let drain = CancellationToken::new();
        let window = crate::submit::CommittedWindow::new(&ProtocolParameters::default());
        let tracker = Tracker::new(10, window);
        let intake = TransactionIntake::new(submitter, tracker, settings, NoLag, metrics, drain);
        (intake, submissions)
    }

    #[tokio::test]
    async fn t06_a_driver_that_takes_nothing_refuses_batches_instead_of_holding_them() {
        let (intake, mut submissions) = intake(1);
        let first = intake.take(vec!["a".into()], WaitFor::Accepted);
        tokio::pin!(first);
        assert!(futures::poll!(&mut first).is_pending());
        let refused = intake.take(vec!["b".into()], WaitFor::Committed).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::POOL_FULL));
        assert_eq!(status::retry_delay(&refused), Some(Duration::from_millis(7)));
        assert_eq!(intake.tracker.waiting(), 0);
        submissions.recv().await.unwrap().answer.send(SubmitOutcome::Accepted).unwrap();
        first.await.unwrap();
        // A batch that is refused for another reason gives its place back.
        intake.take(vec![], WaitFor::Accepted).await.unwrap_err();
        assert!(intake.submitter.reserve().is_ok());
    }
}
