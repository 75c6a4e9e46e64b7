//! An executor that does what the test says: it answers no call by itself.

use std::net::SocketAddr;

use consensus_core::{CommitDigest, Committee};
use metanode_proto::{
    consensus::v1::Commit,
    executor::v1::{
        Acknowledgement, AdvanceEpochRequest, AdvanceEpochResponse, CommitteeMember, ExecuteCommitsRequest,
        ExecuteCommitsResponse, GetCommitteeRequest, GetCommitteeResponse, GetLastBlockNumberRequest,
        GetLastBlockNumberResponse, StreamOpened, StreamOpening,
        execute_commits_request::Message as Sent,
        execute_commits_response::Message as Answer,
        executor_service_server::{ExecutorService, ExecutorServiceServer},
    },
};
use metanode_shell::grpc;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Request, Response, Status, Streaming};

use crate::soon;

/// A call that waits for the test's answer.
enum Call {
    Committee(oneshot::Sender<Result<GetCommitteeResponse, Status>>),
    Position(oneshot::Sender<Result<GetLastBlockNumberResponse, Status>>),
    Stream(Box<Stream>),
}

/// The test's end. Dropping it closes every connection.
pub(crate) struct Executor {
    pub(crate) address: SocketAddr,
    calls: mpsc::Receiver<Call>,
    server: AbortOnDropHandle<()>,
    stop: CancellationToken,
}

/// An open stream of commits.
pub(crate) struct Stream {
    pub(crate) opening: StreamOpening,
    commits: Streaming<ExecuteCommitsRequest>,
    answers: mpsc::Sender<Result<ExecuteCommitsResponse, Status>>,
}

struct Service(mpsc::Sender<Call>);

impl Executor {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = grpc::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let service = ExecutorServiceServer::new(Service(sender)).max_decoding_message_size(64 << 20);
        let serving = grpc::server().add_service(service).serve_with_incoming(grpc::incoming(listener));
        let stopped = stop.clone();
        let server = tokio::spawn(async move {
            tokio::select! {
                served = serving => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Self { address, calls, server: AbortOnDropHandle::new(server), stop }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn call(&mut self, what: &str) -> Call {
        soon(what, self.calls.recv()).await.unwrap()
    }

    /// Waits to be asked for the committee, and answers with this one.
    pub(crate) async fn answer_committee(&mut self, committee: &Committee) {
        let Call::Committee(answer) = self.call("the question for the committee").await else {
            panic!("the committee comes first")
        };
        let members = committee.authorities().iter().map(|authority| CommitteeMember {
            stake: authority.stake.get(),
            protocol_key: authority.protocol_key.to_bytes().to_vec().into(),
            network_key: authority.network_key.to_vec().into(),
            address: authority.address.clone(),
        });
        // Whoever asked may be gone by now; the test finds that out by what comes next.
        let _ = answer.send(Ok(GetCommitteeResponse { epoch: 0, members: members.collect() }));
    }

    /// Waits to be asked for the position, and answers.
    pub(crate) async fn answer_position(&mut self, position: GetLastBlockNumberResponse) {
        let Call::Position(answer) = self.call("the question for the position").await else {
            panic!("a position must be asked for")
        };
        let _ = answer.send(Ok(position));
    }

    /// Waits for any question, and refuses it.
    pub(crate) async fn refuse(&mut self, status: Status) {
        let _ = match self.call("a question").await {
            Call::Committee(answer) => answer.send(Err(status)).is_ok(),
            Call::Position(answer) => answer.send(Err(status)).is_ok(),
            Call::Stream(_) => panic!("a question must come, not a stream"),
        };
    }

    /// Waits for a stream to be opened; the opening is not answered yet.
    pub(crate) async fn stream(&mut self) -> Stream {
        let Call::Stream(stream) = self.call("the opening of a stream").await else {
            panic!("a stream must be opened")
        };
        *stream
    }

    /// The whole handshake, at a position, up to the open stream.
    pub(crate) async fn handshake(&mut self, at: GetLastBlockNumberResponse) -> Stream {
        let index = at.block_number;
        self.answer_position(at).await;
        let stream = self.stream().await;
        stream.opened(1, index).await;
        stream
    }

    /// Whether nobody has called since.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    /// Goes down with all its connections; the address is free then.
    pub(crate) async fn kill(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

/// A position with a state root of index bytes.
pub(crate) fn position(chain_id: &[u8], index: u64, digest: CommitDigest) -> GetLastBlockNumberResponse {
    GetLastBlockNumberResponse {
        block_number: index,
        commit_digest: digest.as_bytes().to_vec().into(),
        state_root: root(index),
        epoch: 0,
        ready: true,
        chain_id: chain_id.to_vec().into(),
    }
}

/// The state root that this executor claims after a commit.
pub(crate) fn root(index: u64) -> bytes::Bytes {
    [0, 0, 0, index].map(u64::to_be_bytes).concat().into()
}

impl Stream {
    /// Answers the opening.
    pub(crate) async fn opened(&self, incarnation: u64, block_number: u64) {
        self.answer(Answer::Opened(StreamOpened { incarnation, block_number })).await;
    }

    /// Waits for the next commit.
    pub(crate) async fn commit(&mut self) -> Commit {
        let message = soon("the next commit", self.commits.message()).await.unwrap().unwrap();
        match message.message {
            Some(Sent::Commit(commit)) => commit,
            other => panic!("a commit must come, not {other:?}"),
        }
    }

    /// Waits for commits of exactly these indexes, in order.
    pub(crate) async fn commits(&mut self, indexes: std::ops::RangeInclusive<u64>) -> Vec<Commit> {
        let mut received = Vec::new();
        for index in indexes {
            let commit = self.commit().await;
            assert_eq!(commit.index, index);
            received.push(commit);
        }
        received
    }

    /// Acknowledges a commit and all before it.
    pub(crate) async fn acknowledge(&self, commit: &Commit) {
        self.acknowledge_as(commit.index, commit.digest.clone()).await;
    }

    pub(crate) async fn acknowledge_as(&self, index: u64, digest: bytes::Bytes) {
        let acknowledgement =
            Acknowledgement { index, digest, state_root: root(index), ..Default::default() };
        self.answer(Answer::Acknowledgement(acknowledgement)).await;
    }

    pub(crate) async fn acknowledge_with(&self, acknowledgement: Acknowledgement) {
        self.answer(Answer::Acknowledgement(acknowledgement)).await;
    }

    /// Ends the stream with an error.
    pub(crate) async fn fail(self, status: Status) {
        self.answers.send(Err(status)).await.unwrap();
    }

    /// Waits until the other side has given up the stream.
    pub(crate) async fn given_up(mut self) {
        let ended =
            soon("the end of the stream", async { while let Ok(Some(_)) = self.commits.message().await {} });
        ended.await;
    }

    async fn answer(&self, message: Answer) {
        self.answers.send(Ok(ExecuteCommitsResponse { message: Some(message) })).await.unwrap();
    }
}

#[tonic::async_trait]
impl ExecutorService for Service {
    async fn get_last_block_number(
        &self,
        _: Request<GetLastBlockNumberRequest>,
    ) -> Result<Response<GetLastBlockNumberResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        self.ask(Call::Position(answer), answered).await
    }

    async fn get_committee(
        &self,
        _: Request<GetCommitteeRequest>,
    ) -> Result<Response<GetCommitteeResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        self.ask(Call::Committee(answer), answered).await
    }

    type ExecuteCommitsStream = ReceiverStream<Result<ExecuteCommitsResponse, Status>>;

    async fn execute_commits(
        &self,
        request: Request<Streaming<ExecuteCommitsRequest>>,
    ) -> Result<Response<Self::ExecuteCommitsStream>, Status> {
        let mut commits = request.into_inner();
        let Some(Sent::Opening(opening)) = commits.message().await?.and_then(|request| request.message)
        else {
            return Err(Status::invalid_argument("the opening comes first"));
        };
        let (answers, outgoing) = mpsc::channel(64);
        let stream = Box::new(Stream { opening, commits, answers });
        self.0.send(Call::Stream(stream)).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn advance_epoch(
        &self,
        _: Request<AdvanceEpochRequest>,
    ) -> Result<Response<AdvanceEpochResponse>, Status> {
        Err(Status::unimplemented("no epochs here"))
    }
}

impl Service {
    async fn ask<T>(
        &self,
        call: Call,
        answered: oneshot::Receiver<Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        let gone = |_| Status::unavailable("the test does not answer");
        self.0.send(call).await.map_err(|_| Status::unavailable("the test has ended"))?;
        answered.await.map_err(gone)?.map(Response::new)
    }
}

/// The digest on the wire.
pub(crate) fn digest(commit: &Commit) -> CommitDigest {
    CommitDigest::from_slice(&commit.digest).unwrap()
}
