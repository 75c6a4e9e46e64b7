//! `TransactionService`: the calls, their errors, and the way to the core.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{CommitIndex, SubmitOutcome, Transaction, TransactionDigest};
use metanode_proto::{
    consensus::v1::{
        SubmitRequest, SubmitResponse, TransactionOutcome, WaitFor, WatchTransactionRequest,
        WatchTransactionResponse, transaction_service_server::TransactionService,
    },
    reason,
};
use metanode_shell::status::{self, WithRetry};
use metanode_telemetry::metrics::{ConsensusMetrics, labels::TransactionRefusal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::{Fate, Registration, Stage, Submission, SubmitLimits, Tracker, TrackerFull, check_batch};

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

    /// Hands a checked batch to the core and waits for its answer, which comes when all that the core did before is
    /// durable. `None` when the service goes down.
    pub async fn submit(&self, transactions: Vec<Transaction>) -> Option<SubmitOutcome> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Submission { transactions, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// Serves `TransactionService`.
#[derive(Debug)]
pub struct TransactionIntake<L> {
    submitter: Submitter,
    tracker: Arc<Tracker>,
    settings: SubmitSettings,
    lag: L,
    metrics: Arc<ConsensusMetrics>,
    drain: CancellationToken,
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
        Self { submitter, tracker, settings, lag, metrics, drain }
    }

    async fn take(&self, batch: Vec<Bytes>, wait_for: WaitFor) -> Result<Vec<TransactionOutcome>, Status> {
        let count = batch.len() as u64;
        self.check_lag().inspect_err(|_| self.refused(count, TransactionRefusal::ExecutorLags))?;
        let transactions = check_batch(&self.settings.limits, batch).map_err(|error| {
            self.refused(count, TransactionRefusal::InvalidSize);
            *error
        })?;
        let digests: Vec<_> = transactions.iter().map(Transaction::digest).collect();
        let registration = self.register(&digests, wait_for)?;
        let Some(outcome) = self.submitter.submit(transactions).await else {
            self.refused(count, TransactionRefusal::Draining);
            return Err(self.draining());
        };
        self.check_outcome(outcome, count)?;
        self.metrics.transactions_submitted.add(count);
        let fates = match registration {
            None => vec![Fate::Accepted; digests.len()],
            Some(registration) => {
                let answered = self.drain.run_until_cancelled(registration.answered()).await;
                answered.flatten().ok_or_else(|| self.draining())?
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
        self.tracker.register(digests.to_vec(), stage).map(Some).map_err(|TrackerFull { waiting, limit }| {
            self.refused(digests.len() as u64, TransactionRefusal::PoolFull);
            let message = format!("{waiting} transactions are waited for, at most {limit} can be");
            let metadata: &[(&str, &dyn std::fmt::Display)] = &[("waiting", &waiting), ("limit", &limit)];
            status::reason(Code::ResourceExhausted, reason::POOL_FULL, message, metadata)
                .with_retry(self.settings.retry_delay)
        })
    }

    /// X09: intake follows execution.
    fn check_lag(&self) -> Result<(), Status> {
        let (commit_index, executed_index) = (self.lag.commit_index(), self.lag.executed_index());
        let lag = commit_index.get().saturating_sub(executed_index.get());
        let limit = self.settings.max_executed_lag;
        if lag <= limit {
            return Ok(());
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
                Err(status::reason(Code::ResourceExhausted, reason::POOL_FULL, message, metadata)
                    .with_retry(self.settings.retry_delay))
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
                Err(status::reason(
                    Code::Unavailable,
                    reason::NOT_PROPOSING,
                    "this authority has stopped proposing; its status says why",
                    &[],
                ))
            }
        }
    }

    fn refused(&self, count: u64, why: TransactionRefusal) {
        self.metrics.transactions_refused.add(count.max(1), why);
    }

    fn draining(&self) -> Status {
        status::reason(Code::Unavailable, reason::DRAINING, "this node shuts down", &[])
            .with_retry(self.settings.retry_delay)
    }
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

    type WatchTransactionStream = tokio_stream::Empty<Result<WatchTransactionResponse, Status>>;

    async fn watch_transaction(
        &self,
        _request: Request<WatchTransactionRequest>,
    ) -> Result<Response<Self::WatchTransactionStream>, Status> {
        Err(status::not_served_yet("TransactionService.WatchTransaction"))
    }
}
