//! A client of `executor.v1.ExecutorService` that may also do what the contract forbids.

use std::{fmt, time::Duration};

use bytes::Bytes;
use metanode_proto::{
    consensus::v1::Commit,
    executor::v1::{
        Acknowledgement, AdvanceEpochRequest, AdvanceEpochResponse, ExecuteCommitsRequest,
        ExecuteCommitsResponse, GetCommitteeRequest, GetCommitteeResponse, GetLastBlockNumberRequest,
        GetLastBlockNumberResponse, StreamOpened, StreamOpening, execute_commits_request as request,
        execute_commits_response as response, executor_service_client::ExecutorServiceClient,
    },
};
use metanode_shell::{
    grpc,
    status::{metadata_of, reason_of},
};
use prost::Message;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    raw,
    row::{Failure, Outcome},
};

/// Messages of a stream that wait to be sent.
const OUTGOING: usize = 64;

/// Largest answer that is read: that to a commit whose transactions are all rejected.
const ANSWER_BYTES: usize = 16 << 20;

/// One connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// For services beside the contract's.
    pub channel: Channel,
    executor: ExecutorServiceClient<Channel>,
    patience: Duration,
}

impl Client {
    /// Connects anew.
    ///
    /// # Errors
    /// [`Failure`] where nobody listens.
    pub async fn connect(endpoint: &str, patience: Duration) -> Outcome<Self> {
        let expected = || format!("a connection to {endpoint}");
        let made = grpc::endpoint(endpoint).map_err(|error| Failure::new(expected(), error.to_string()))?;
        let channel = within(patience, &expected(), made.connect()).await?;
        let channel = channel.map_err(|error| Failure::new(expected(), causes(&error)))?;
        let executor = ExecutorServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES);
        Ok(Self { channel, executor, patience })
    }

    /// Asks where the master stands.
    ///
    /// # Errors
    /// [`Failure`] where it does not answer in time. Its own errors are answers.
    pub async fn position(&mut self) -> Outcome<Result<GetLastBlockNumberResponse, Status>> {
        let call = self.executor.get_last_block_number(GetLastBlockNumberRequest {});
        answered(self.patience, "an answer to GetLastBlockNumber", call).await
    }

    /// Asks for a committee. Errors as [`Client::position`].
    pub async fn committee(&mut self, epoch: u64) -> Outcome<Result<GetCommitteeResponse, Status>> {
        let call = self.executor.get_committee(GetCommitteeRequest { epoch });
        answered(self.patience, "an answer to GetCommittee", call).await
    }

    /// Tells of a boundary. Errors as [`Client::position`].
    pub async fn advance_epoch(
        &mut self,
        boundary: AdvanceEpochRequest,
    ) -> Outcome<Result<AdvanceEpochResponse, Status>> {
        let call = self.executor.advance_epoch(boundary);
        answered(self.patience, "an answer to AdvanceEpoch", call).await
    }

    /// Starts a stream with any first message.
    ///
    /// # Errors
    /// [`Failure`] where nothing comes in time.
    pub async fn stream(&self, first: ExecuteCommitsRequest) -> Outcome<Stream> {
        self.raw_stream(first.encode_to_vec().into()).await
    }

    /// Starts a stream with any bytes as the first message.
    async fn raw_stream(&self, first: Bytes) -> Outcome<Stream> {
        let (messages, outgoing) = mpsc::channel(OUTGOING);
        // The receiver is still here and the channel empty, so this cannot fail.
        let _ = messages.try_send(first);
        let call = raw::execute_commits(self.channel.clone(), ReceiverStream::new(outgoing), ANSWER_BYTES);
        let answers = within(self.patience, "an answer to the first message of a stream", call).await?;
        Ok(Stream { messages, answers, patience: self.patience })
    }

    /// Opens a stream; the answer to the opening, or the error that it is refused with.
    ///
    /// # Errors
    /// [`Failure`] where nothing comes in time, or something that is no answer to an opening.
    pub async fn try_open(&self, opening: StreamOpening) -> Outcome<Result<(Stream, StreamOpened), Status>> {
        let first = ExecuteCommitsRequest { message: Some(request::Message::Opening(opening)) };
        let mut stream = self.stream(first).await?;
        match stream.next().await? {
            Answer::Opened(opened) => Ok(Ok((stream, opened))),
            Answer::Ended(status) if status.code() != Code::Ok => Ok(Err(status)),
            other => Err(Failure::new("an answer to the opening, or an error", other.to_string())),
        }
    }
}

/// What comes on a stream.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To the opening.
    Opened(StreamOpened),
    /// To commits.
    Acknowledged(Acknowledgement),
    /// The last word; `Ok` where the stream ended in order.
    Ended(Status),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(opened) => write!(
                f,
                "an opening with incarnation {} at block {}",
                opened.incarnation, opened.block_number
            ),
            Self::Acknowledged(acknowledgement) => write!(
                f,
                "an acknowledgement of commit {}{}",
                acknowledgement.index,
                if acknowledgement.duplicate { " as a duplicate" } else { "" }
            ),
            Self::Ended(status) => f.write_str(&describe(status)),
        }
    }
}

/// One call of `ExecuteCommits`.
#[derive(Debug)]
pub struct Stream {
    messages: mpsc::Sender<Bytes>,
    answers: Result<Streaming<ExecuteCommitsResponse>, Status>,
    patience: Duration,
}

impl Stream {
    /// Sends a commit. Where the master has ended the stream already, its answer tells why.
    ///
    /// # Errors
    /// [`Failure`] where there is no room for it in time.
    pub async fn commit(&self, commit: &Commit) -> Outcome {
        let message = Some(request::Message::Commit(commit.clone()));
        self.bytes(ExecuteCommitsRequest { message }.encode_to_vec().into()).await
    }

    /// Sends any message. As [`Stream::commit`].
    pub async fn message(&self, message: Option<request::Message>) -> Outcome {
        self.bytes(ExecuteCommitsRequest { message }.encode_to_vec().into()).await
    }

    /// Sends any bytes as a message. As [`Stream::commit`].
    pub async fn bytes(&self, bytes: Bytes) -> Outcome {
        // An error means that the call has ended.
        let _ = within(self.patience, "a stream that takes messages", self.messages.send(bytes)).await?;
        Ok(())
    }

    /// Where messages go in, to be sent without reading.
    #[must_use]
    pub fn sender(&self) -> mpsc::Sender<Bytes> {
        self.messages.clone()
    }

    /// The next answer; after the last one, the same end again.
    ///
    /// # Errors
    /// [`Failure`] where nothing comes in time.
    pub async fn next(&mut self) -> Outcome<Answer> {
        let answers = match &mut self.answers {
            Ok(answers) => answers,
            Err(status) => return Ok(Answer::Ended(status.clone())),
        };
        let next = within(self.patience, "an answer on the stream, or its end", answers.message()).await?;
        let end = match next {
            Ok(Some(ExecuteCommitsResponse { message: Some(response::Message::Opened(opened)) })) => {
                return Ok(Answer::Opened(opened));
            }
            Ok(Some(ExecuteCommitsResponse { message: Some(response::Message::Acknowledgement(one)) })) => {
                return Ok(Answer::Acknowledged(one));
            }
            Ok(Some(_)) => return Err(Failure::new("an answer of the contract", "an empty message")),
            Ok(None) => Status::ok(""),
            Err(status) => status,
        };
        self.answers = Err(end.clone());
        Ok(Answer::Ended(end))
    }

    /// The next answer, which must acknowledge.
    ///
    /// # Errors
    /// [`Failure`] for anything else.
    pub async fn acknowledgement(&mut self, of: u64) -> Outcome<Acknowledgement> {
        match self.next().await? {
            Answer::Acknowledged(acknowledgement) => Ok(acknowledgement),
            other => Err(Failure::new(format!("an acknowledgement of commit {of}"), other.to_string())),
        }
    }

    /// The error that the stream ends with, without any answer before it.
    ///
    /// # Errors
    /// [`Failure`] for an answer, or an orderly end.
    pub async fn refusal(&mut self, expected: &Refusal) -> Outcome {
        match self.next().await? {
            Answer::Ended(status) if status.code() != Code::Ok => expected.check(&status),
            other => Err(Failure::new(expected.to_string(), other.to_string())),
        }
    }

    /// Sends no more, and reads on.
    pub fn half_close(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.messages = closed;
    }
}

/// An error of the contract: code, reason, and the metadata that clients read.
#[derive(Clone, Debug)]
pub struct Refusal {
    code: Code,
    reason: &'static str,
    metadata: Vec<(&'static str, String)>,
}

impl Refusal {
    /// Without metadata.
    #[must_use]
    pub const fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason, metadata: Vec::new() }
    }

    /// With a value that clients read.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Compares an error with it.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn check(&self, status: &Status) -> Outcome {
        let same = status.code() == self.code
            && reason_of(status).as_deref() == Some(self.reason)
            && self.metadata.iter().all(|(key, value)| metadata_of(status, key).as_ref() == Some(value));
        if same { Ok(()) } else { Err(Failure::new(self.to_string(), describe(status))) }
    }

    /// Compares the answer of a call that is no stream.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn check_call<T>(&self, answer: &Result<T, Status>) -> Outcome {
        match answer {
            Ok(_) => Err(Failure::new(self.to_string(), "the call succeeded")),
            Err(status) => self.check(status),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with reason {}", code_name(self.code), self.reason)?;
        let mut separator = " (";
        for (key, value) in &self.metadata {
            write!(f, "{separator}{key} = {value}")?;
            separator = ", ";
        }
        f.write_str(if self.metadata.is_empty() { "" } else { ")" })
    }
}

/// An error in one line: code, reason, metadata that the contract names, text.
#[must_use]
pub fn describe(status: &Status) -> String {
    const KEYS: [&str; 8] = [
        "expected_index",
        "index",
        "ours",
        "theirs",
        "incarnation",
        "field",
        "boundary_index",
        "commit_index",
    ];
    if status.code() == Code::Ok {
        return "an orderly end".to_owned();
    }
    let reason = reason_of(status)
        .map_or_else(|| "without a reason".to_owned(), |reason| format!("with reason {reason}"));
    let metadata =
        KEYS.iter().filter_map(|key| metadata_of(status, key).map(|value| format!("{key} = {value}")));
    let metadata = metadata.collect::<Vec<_>>().join(", ");
    let metadata = if metadata.is_empty() { metadata } else { format!(" ({metadata})") };
    format!("{} {reason}{metadata}: {}", code_name(status.code()), status.message())
}

/// The name that gRPC gives a code.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// An error with all that is behind it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Waits no longer than patience lasts.
pub(crate) async fn within<T>(
    patience: Duration,
    expected: &str,
    answer: impl Future<Output = T>,
) -> Outcome<T> {
    let late = |_| Failure::new(expected, format!("nothing within {} s", patience.as_secs()));
    timeout(patience, answer).await.map_err(late)
}

async fn answered<T>(
    patience: Duration,
    expected: &str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Outcome<Result<T, Status>> {
    Ok(within(patience, expected, call).await?.map(tonic::Response::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_the_contract_writes_them() {
        assert_eq!(code_name(Code::FailedPrecondition), "FAILED_PRECONDITION");
        let gap = Refusal::new(Code::FailedPrecondition, "COMMIT_GAP").with("expected_index", 4);
        assert_eq!(gap.to_string(), "FAILED_PRECONDITION with reason COMMIT_GAP (expected_index = 4)");
        let untyped = Status::failed_precondition("gap");
        assert_eq!(gap.check(&untyped).unwrap_err().came, "FAILED_PRECONDITION without a reason: gap");
        let typed = metanode_shell::status::reason(
            Code::FailedPrecondition,
            metanode_proto::reason::COMMIT_GAP,
            "gap",
            &[("expected_index", &5)],
        );
        assert_eq!(
            gap.check(&typed).unwrap_err().came,
            "FAILED_PRECONDITION with reason COMMIT_GAP (expected_index = 5): gap"
        );
        assert!(
            Refusal::new(Code::FailedPrecondition, "COMMIT_GAP")
                .with("expected_index", 5)
                .check(&typed)
                .is_ok()
        );
    }
}
