//! Submitting transactions.

use crate::{CallError, RetryPolicy};
use bytes::Bytes;
use metanode_proto::consensus::v1::{
    SubmitRequest, TransactionOutcome, WaitFor, transaction_service_client::TransactionServiceClient,
};
use std::time::Duration;
use tonic::{Request, transport::Channel};

/// The answer to a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// One outcome a transaction, in the order of the batch.
    pub outcomes: Vec<TransactionOutcome>,
    /// True where an earlier try ended without an answer and may have been taken: a transaction may then have been
    /// executed by that try, and be reported as rejected or duplicate by this one.
    pub resubmitted: bool,
}

/// Submits batches to one authority. Cheap to clone; clones share the connection, which is made at the first call and again
/// after a loss.
#[derive(Clone, Debug)]
pub struct SubmitClient {
    pub(crate) service: TransactionServiceClient<Channel>,
    policy: RetryPolicy,
}

impl SubmitClient {
    /// A client of the authority at `uri`, `http://host:port` or `unix:/path`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`CallError::Endpoint`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(uri: &str) -> Result<Self, CallError> {
        let service = TransactionServiceClient::new(metanode_shell::grpc::channel(uri)?);
        Ok(Self { service, policy: RetryPolicy::default() })
    }

    /// With another policy for retries.
    #[must_use]
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Submits a batch (1 to 1000 transactions, at most 2 MiB together) and waits for `wait_for`; tries again while the
    /// service is busy or away.
    ///
    /// Trying again after a broken connection is safe where the executor accepts a transaction only once, as the
    /// reference ledger does by nonces. As long as the earlier try is still pooled, this one waits.
    ///
    /// ```no_run
    /// use metanode_client::{CallError, RetryPolicy, SubmitClient, WaitFor};
    /// use std::time::Duration;
    ///
    /// # async fn run(batch: Vec<bytes::Bytes>) -> Result<(), CallError> {
    /// let policy = RetryPolicy { deadline: Duration::from_secs(10), ..RetryPolicy::default() };
    /// let client = SubmitClient::new("http://127.0.0.1:9000")?.with_policy(policy);
    /// match client.submit(&batch, WaitFor::Committed).await {
    ///     Ok(submission) => println!("{} transactions are in the order", submission.outcomes.len()),
    ///     Err(CallError::Busy { .. }) => println!("the pool was full for ten seconds"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError`]: at once what cannot succeed later, at the deadline the last error.
    pub async fn submit(&self, transactions: &[Bytes], wait_for: WaitFor) -> Result<Submission, CallError> {
        let mut retry = self.policy.start();
        let mut resubmitted = false;
        loop {
            match self.submit_once(transactions.to_vec(), wait_for, retry.remaining()).await {
                Ok(outcomes) => return Ok(Submission { outcomes, resubmitted }),
                Err(error) => {
                    let own_try_pooled = resubmitted && matches!(error, CallError::AlreadyPooled { .. });
                    if !error.is_transient() && !own_try_pooled {
                        return Err(error);
                    }
                    resubmitted |= error.outcome_unknown();
                    retry.wait(error).await?;
                }
            }
        }
    }

    /// Submits a batch once, for callers that retry in their own way.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn submit_once(
        &self,
        transactions: Vec<Bytes>,
        wait_for: WaitFor,
        timeout: Duration,
    ) -> Result<Vec<TransactionOutcome>, CallError> {
        let count = transactions.len();
        let mut request = Request::new(SubmitRequest { transactions, wait_for: wait_for.into() });
        // The service reads its deadline from the header; this side does not rely on it.
        request.set_timeout(timeout.min(LONGEST_TIMEOUT));
        let mut service = self.service.clone();
        let answer = tokio::time::timeout(timeout, service.submit(request))
            .await
            .map_err(|_| CallError::DeadlineExceeded)?
            .map_err(CallError::from_status)?;
        let outcomes = answer.into_inner().outcomes;
        if outcomes.len() != count {
            let found = format!("{} outcomes for {count} transactions", outcomes.len());
            return Err(CallError::BrokenContract { found });
        }
        Ok(outcomes)
    }
}

/// The header `grpc-timeout` has eight digits.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(86_400);
