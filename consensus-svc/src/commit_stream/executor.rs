//! Calls to the executor: each with a deadline, each answer checked before it is believed.

use std::{future::Future, time::Duration};

use consensus_core::{ChainId, CommitDigest, CommitIndex, Epoch, StateRoot};
use metanode_proto::executor::v1::{
    Acknowledgement, CommitteeMember, ExecuteCommitsRequest, ExecuteCommitsResponse, GetCommitteeRequest,
    GetLastBlockNumberRequest, StreamOpened, StreamOpening, execute_commits_request,
    execute_commits_response, executor_service_client::ExecutorServiceClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::handshake::ExecutorPosition;

/// Why a call gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody listens, or the connection broke while it was made.
    #[error("cannot connect to the executor")]
    Connect(#[source] tonic::transport::Error),
    /// No answer in time. The connection is given up, so that a late answer cannot be taken for another (D13).
    #[error("the executor did not answer {call} in time")]
    TimedOut {
        /// The call.
        call: &'static str,
    },
    /// The executor answered with an error.
    #[error("the executor refused {call}")]
    Refused {
        /// The call.
        call: &'static str,
        /// Its error.
        #[source]
        status: Box<Status>,
    },
    /// The answer breaks the contract.
    #[error("the executor's answer to {call} is malformed in {field}")]
    Malformed {
        /// The call.
        call: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// A connection to the executor. Dropped after any error.
#[derive(Debug)]
pub(crate) struct ExecutorClient {
    client: ExecutorServiceClient<Channel>,
    call_timeout: Duration,
}

/// An open stream: commits go in, acknowledgements come out.
#[derive(Debug)]
pub(crate) struct OpenStream {
    pub(crate) commits: mpsc::Sender<ExecuteCommitsRequest>,
    pub(crate) answers: Streaming<ExecuteCommitsResponse>,
    pub(crate) opened: StreamOpened,
}

impl ExecutorClient {
    /// Connects anew.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        decode_limit: usize,
        call_timeout: Duration,
    ) -> Result<Self, CallError> {
        let channel =
            within(call_timeout, "connect", endpoint.connect()).await?.map_err(CallError::Connect)?;
        let client = ExecutorServiceClient::new(channel)
            .max_decoding_message_size(decode_limit)
            .max_encoding_message_size(decode_limit);
        Ok(Self { client, call_timeout })
    }

    /// The executor's position; `None` while it loads its state (X02).
    pub(crate) async fn position(&mut self) -> Result<Option<ExecutorPosition>, CallError> {
        const CALL: &str = "GetLastBlockNumber";
        let question = self.client.get_last_block_number(GetLastBlockNumberRequest {});
        let answer = answered(self.call_timeout, CALL, question).await?;
        if !answer.ready {
            return Ok(None);
        }
        let malformed = |field| CallError::Malformed { call: CALL, field };
        Ok(Some(ExecutorPosition {
            chain_id: ChainId::from_slice(&answer.chain_id).ok_or_else(|| malformed("chain_id"))?,
            block_number: CommitIndex::new(answer.block_number),
            commit_digest: CommitDigest::from_slice(&answer.commit_digest)
                .ok_or_else(|| malformed("commit_digest"))?,
            state_root: optional_root(&answer.state_root).ok_or_else(|| malformed("state_root"))?,
            epoch: Epoch::new(answer.epoch),
        }))
    }

    /// The committee of an epoch.
    pub(crate) async fn committee(&mut self, epoch: Epoch) -> Result<Vec<CommitteeMember>, CallError> {
        const CALL: &str = "GetCommittee";
        let question = self.client.get_committee(GetCommitteeRequest { epoch: epoch.get() });
        let answer = answered(self.call_timeout, CALL, question).await?;
        if answer.epoch != epoch.get() {
            return Err(CallError::Malformed { call: CALL, field: "epoch" });
        }
        Ok(answer.members)
    }

    /// Opens the stream of commits and waits for the answer to the opening.
    pub(crate) async fn open(mut self, opening: StreamOpening) -> Result<OpenStream, CallError> {
        const CALL: &str = "ExecuteCommits";
        // One message waits here, the rest of the flow control is HTTP/2's.
        let (commits, outgoing) = mpsc::channel(1);
        let first =
            ExecuteCommitsRequest { message: Some(execute_commits_request::Message::Opening(opening)) };
        // The receiver is still here and the channel empty, so this cannot fail.
        let _ = commits.try_send(first);
        let call = self.client.execute_commits(ReceiverStream::new(outgoing));
        let mut answers = answered(self.call_timeout, CALL, call).await?;
        let refused = |status| CallError::Refused { call: CALL, status: Box::new(status) };
        let first = within(self.call_timeout, CALL, answers.message()).await?.map_err(refused)?;
        let message = first.and_then(|response| response.message);
        let Some(execute_commits_response::Message::Opened(opened)) = message else {
            return Err(CallError::Malformed { call: CALL, field: "opened" });
        };
        Ok(OpenStream { commits, answers, opened })
    }
}

/// An acknowledgement whose fields were checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedAcknowledgement {
    pub(crate) index: CommitIndex,
    pub(crate) digest: CommitDigest,
    pub(crate) state_root: Option<StateRoot>,
    pub(crate) wire: Acknowledgement,
}

impl CheckedAcknowledgement {
    /// Checks a message of an open stream.
    pub(crate) fn read(response: ExecuteCommitsResponse) -> Result<Self, CallError> {
        let malformed = |field| CallError::Malformed { call: "ExecuteCommits", field };
        let Some(execute_commits_response::Message::Acknowledgement(wire)) = response.message else {
            return Err(malformed("acknowledgement"));
        };
        Ok(Self {
            index: CommitIndex::new(wire.index),
            digest: CommitDigest::from_slice(&wire.digest).ok_or_else(|| malformed("digest"))?,
            state_root: optional_root(&wire.state_root).ok_or_else(|| malformed("state_root"))?,
            wire,
        })
    }
}

/// Empty is none, 32 bytes are a root, anything else is malformed.
fn optional_root(bytes: &[u8]) -> Option<Option<StateRoot>> {
    if bytes.is_empty() { Some(None) } else { StateRoot::from_slice(bytes).map(Some) }
}

async fn within<T>(
    limit: Duration,
    call: &'static str,
    answer: impl Future<Output = T>,
) -> Result<T, CallError> {
    timeout(limit, answer).await.map_err(|_| CallError::TimedOut { call })
}

async fn answered<T>(
    limit: Duration,
    call: &'static str,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, CallError> {
    let answer = within(limit, call, answer).await?;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| CallError::Refused { call, status: Box::new(status) })
}
