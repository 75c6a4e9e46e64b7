//! Calls to an `executor.v1.ExecutorService`: each with a deadline, each answer checked before it is believed. Consensus makes
//! them to the proxy, and the proxy to a master behind it.

use std::{
    future::{Future, pending},
    time::Duration,
};

use metanode_proto::executor::v1::{
    Acknowledgement, AdvanceEpochRequest, CommitteeMember, ExecuteCommitsRequest, ExecuteCommitsResponse,
    GetCommitteeRequest, GetLastBlockNumberRequest, StreamOpened, StreamOpening, execute_commits_request,
    execute_commits_response, executor_service_client::ExecutorServiceClient,
    executor_service_server::SERVICE_NAME,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::grpc;

/// An encoded rejection: a reason of 256 B, three numbers, and their tags.
const MAX_REJECTION_BYTES: u64 = 288;

/// What a ready executor says; all fields belong to one durable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorPosition {
    /// The chain.
    pub chain_id: [u8; 32],
    /// Last executed and durable commit; 0 before the first.
    pub block_number: u64,
    /// Its digest; zero before the first.
    pub commit_digest: [u8; 32],
    /// State root after it, where the executor keeps one.
    pub state_root: Option<[u8; 32]>,
    /// Epoch that the executor is in.
    pub epoch: u64,
}

/// Why a call gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
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
    /// It says that it does not serve.
    #[error("the executor says that it does not serve")]
    NotServing,
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
#[derive(Clone, Debug)]
pub struct ExecutorClient {
    channel: Channel,
    client: ExecutorServiceClient<Channel>,
    call_timeout: Duration,
}

/// An open stream: commits go in, acknowledgements come out.
#[derive(Debug)]
pub struct OpenStream {
    /// Takes one message at a time; the rest of the flow control is HTTP/2's.
    pub commits: mpsc::Sender<ExecuteCommitsRequest>,
    /// Its answers after the first.
    pub answers: Streaming<ExecuteCommitsResponse>,
    /// The first answer.
    pub opened: StreamOpened,
}

impl ExecutorClient {
    /// Connects anew. Answers have at most `decode_limit` bytes, requests as many; each call but the stream itself ends
    /// within `call_timeout`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn connect(
        endpoint: &Endpoint,
        decode_limit: usize,
        call_timeout: Duration,
    ) -> Result<Self, CallError> {
        let channel =
            within(call_timeout, "connect", endpoint.connect()).await?.map_err(CallError::Connect)?;
        let client = ExecutorServiceClient::new(channel.clone())
            .max_decoding_message_size(decode_limit)
            .max_encoding_message_size(decode_limit);
        Ok(Self { channel, client, call_timeout })
    }

    /// Resolves when the executor says that it does not serve (`grpc.health.v1`), or when nothing is heard of it any more. An
    /// executor that does not speak of its health is taken for healthy while it answers.
    pub fn unhealthy(&self) -> impl Future<Output = CallError> + Send + 'static {
        const CALL: &str = "Watch";
        let mut client = HealthClient::new(self.channel.clone());
        async move {
            let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
            let refused = |status| CallError::Refused { call: CALL, status: Box::new(status) };
            let mut changes = match client.watch(request).await {
                Ok(changes) => changes.into_inner(),
                Err(status) if status.code() == Code::Unimplemented => return pending().await,
                Err(status) => return refused(status),
            };
            loop {
                match changes.message().await {
                    Ok(Some(change)) if change.status() == ServingStatus::NotServing => {
                        return CallError::NotServing;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return CallError::Malformed { call: CALL, field: "status" },
                    Err(status) => return refused(status),
                }
            }
        }
    }

    /// The executor's position; `None` while it loads its state (X02).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn position(&mut self) -> Result<Option<ExecutorPosition>, CallError> {
        const CALL: &str = "GetLastBlockNumber";
        let question = self.client.get_last_block_number(GetLastBlockNumberRequest {});
        let answer = answered(self.call_timeout, CALL, question).await?;
        if !answer.ready {
            return Ok(None);
        }
        let malformed = |field| CallError::Malformed { call: CALL, field };
        Ok(Some(ExecutorPosition {
            chain_id: bytes32(&answer.chain_id).ok_or_else(|| malformed("chain_id"))?,
            block_number: answer.block_number,
            commit_digest: bytes32(&answer.commit_digest).ok_or_else(|| malformed("commit_digest"))?,
            state_root: optional_root(&answer.state_root).ok_or_else(|| malformed("state_root"))?,
            epoch: answer.epoch,
        }))
    }

    /// The committee of an epoch.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn committee(&mut self, epoch: u64) -> Result<Vec<CommitteeMember>, CallError> {
        const CALL: &str = "GetCommittee";
        let question = self.client.get_committee(GetCommitteeRequest { epoch });
        let answer = answered(self.call_timeout, CALL, question).await?;
        if answer.epoch != epoch {
            return Err(CallError::Malformed { call: CALL, field: "epoch" });
        }
        Ok(answer.members)
    }

    /// Tells it of a boundary; answers with the epoch in force.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn advance_epoch(&mut self, boundary: AdvanceEpochRequest) -> Result<u64, CallError> {
        let call = self.client.advance_epoch(boundary);
        Ok(answered(self.call_timeout, "AdvanceEpoch", call).await?.epoch)
    }

    /// Opens the stream of commits and waits for the answer to the opening.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open(mut self, opening: StreamOpening) -> Result<OpenStream, CallError> {
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
pub struct CheckedAcknowledgement {
    /// Digest of the commit at its index.
    pub digest: [u8; 32],
    /// State root after that commit, where the executor keeps one.
    pub state_root: Option<[u8; 32]>,
    /// The message.
    pub wire: Acknowledgement,
}

impl CheckedAcknowledgement {
    /// Checks a message of an open stream.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn read(response: ExecuteCommitsResponse) -> Result<Self, CallError> {
        let malformed = |field| CallError::Malformed { call: "ExecuteCommits", field };
        let Some(execute_commits_response::Message::Acknowledgement(wire)) = response.message else {
            return Err(malformed("acknowledgement"));
        };
        Ok(Self {
            digest: bytes32(&wire.digest).ok_or_else(|| malformed("digest"))?,
            state_root: optional_root(&wire.state_root).ok_or_else(|| malformed("state_root"))?,
            wire,
        })
    }
}

/// Largest answer that an executor may give, in bytes: every transaction of a commit may be rejected, with a reason. One that covers
/// several commits rejects no more either, by the contract.
#[must_use]
pub fn answer_limit(max_commit_bytes: u64, max_commit_transactions: u64) -> usize {
    grpc::decode_limit(max_commit_bytes.max(max_commit_transactions.saturating_mul(MAX_REJECTION_BYTES)))
}

/// Empty is none, 32 bytes are a root, anything else is malformed.
fn optional_root(bytes: &[u8]) -> Option<Option<[u8; 32]>> {
    if bytes.is_empty() { Some(None) } else { bytes32(bytes).map(Some) }
}

fn bytes32(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
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
