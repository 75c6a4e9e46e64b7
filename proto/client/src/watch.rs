//! Following one transaction.

use crate::{CallError, SubmitClient, TransactionOutcome, TransactionState};
use bytes::Bytes;
use metanode_proto::consensus::v1::{WatchTransactionRequest, WatchTransactionResponse};
use tonic::Streaming;

/// The stages of one transaction, the newest one first. Dropping it ends the watch.
#[derive(Debug)]
pub struct TransactionWatch {
    stages: Streaming<WatchTransactionResponse>,
}

impl SubmitClient {
    /// Watches the transaction with this BLAKE3 digest, as the outcome of its submission names it. Not tried again: a watch is
    /// cheap to begin anew, and tells the newest outcome first.
    ///
    /// ```no_run
    /// use metanode_client::{CallError, SubmitClient};
    ///
    /// # async fn follow(digest: [u8; 32]) -> Result<(), CallError> {
    /// let mut watch = SubmitClient::new("http://127.0.0.1:9000")?.watch(digest).await?;
    /// while let Some(outcome) = watch.next().await? {
    ///     println!("{:?} at {}", outcome.state(), outcome.commit_index);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::UnknownTransaction`] where the node knows nothing of it.
    pub async fn watch(&self, digest: [u8; 32]) -> Result<TransactionWatch, CallError> {
        let request = WatchTransactionRequest { digest: Bytes::copy_from_slice(&digest) };
        let mut service = self.service.clone();
        let answer = service.watch_transaction(request).await.map_err(CallError::from_status)?;
        Ok(TransactionWatch { stages: answer.into_inner() })
    }
}

impl TransactionWatch {
    /// The next stage; `None` after a final one.
    ///
    /// # Errors
    /// [`CallError`]: the watch has ended, the transaction has not.
    pub async fn next(&mut self) -> Result<Option<TransactionOutcome>, CallError> {
        match self.stages.message().await.map_err(CallError::from_status)? {
            None => Ok(None),
            Some(WatchTransactionResponse { outcome: Some(outcome) }) => Ok(Some(outcome)),
            Some(WatchTransactionResponse { outcome: None }) => {
                Err(CallError::BrokenContract { found: "a stage without an outcome".to_owned() })
            }
        }
    }

    /// The last stage; waits for it.
    ///
    /// # Errors
    /// As [`Self::next`]; [`CallError::BrokenContract`] where the stream ends before a final stage.
    pub async fn finish(mut self) -> Result<TransactionOutcome, CallError> {
        let mut newest = None;
        while let Some(outcome) = self.next().await? {
            newest = Some(outcome);
        }
        newest.filter(is_final).ok_or_else(|| CallError::BrokenContract {
            found: "the end of a watch before a final outcome".to_owned(),
        })
    }
}

/// Whether nothing more follows.
fn is_final(outcome: &TransactionOutcome) -> bool {
    match outcome.state() {
        TransactionState::Unspecified | TransactionState::Accepted => false,
        TransactionState::Committed => outcome.executed_untold,
        TransactionState::Executed
        | TransactionState::Rejected
        | TransactionState::Duplicate
        | TransactionState::Dropped => true,
    }
}
