//! The service: one task a stream.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use executor_proxy::{error, network::Network, wire};
use metanode_proto::executor::v1::{
    Acknowledgement, AdvanceEpochRequest, AdvanceEpochResponse, ExecuteCommitsRequest,
    ExecuteCommitsResponse, GetCommitteeRequest, GetCommitteeResponse, GetLastBlockNumberRequest,
    GetLastBlockNumberResponse, StreamOpened, execute_commits_request::Message,
    execute_commits_response as response, executor_service_server::ExecutorService,
};
use sequencer_core::{Digest, Incarnation, Refusal};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    fault::Fault,
    state::{Open, Standing, State},
};

/// Acknowledgements that a client has not read; then its commits are not read either.
const ANSWERS: usize = 16;
/// What a fault that syncs late calls idle.
const IDLE: Duration = Duration::from_millis(40);

type Answers = mpsc::Sender<Result<ExecuteCommitsResponse, Status>>;

/// The state, for all who serve.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self) -> Fault {
        self.state().fault
    }
}

/// `executor.v1.ExecutorService` with a fault.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    fault: Fault,
    network: Network,
    shared: Arc<Shared>,
    /// The stream that is listened to: each change ends the stream before.
    open: watch::Sender<Open>,
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, network: Network) -> Self {
        Self { fault: shared.fault(), network, shared, open: watch::Sender::new(Open::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// The status as the fault has it.
    fn told(&self, status: Status) -> Status {
        if self.fault == Fault::UntypedErrors { Status::new(status.code(), status.message()) } else { status }
    }
}

#[tonic::async_trait]
impl ExecutorService for Service {
    async fn get_last_block_number(
        &self,
        _request: Request<GetLastBlockNumberRequest>,
    ) -> Result<Response<GetLastBlockNumberResponse>, Status> {
        let mut state = self.state();
        let Standing { index, digest, root } = state.standing();
        Ok(Response::new(GetLastBlockNumberResponse {
            block_number: index,
            commit_digest: wire::to_bytes(Digest(digest)),
            state_root: wire::to_bytes(Digest(root)),
            epoch: state.epoch,
            ready: true,
            chain_id: Bytes::copy_from_slice(&self.network.chain_id.0),
        }))
    }

    async fn get_committee(
        &self,
        request: Request<GetCommitteeRequest>,
    ) -> Result<Response<GetCommitteeResponse>, Status> {
        let epoch = request.into_inner().epoch;
        if epoch != 0 && self.fault != Fault::LatestCommittee {
            return Err(self.told(error::unknown_epoch(epoch)));
        }
        Ok(Response::new(GetCommitteeResponse { epoch, members: self.network.committee.clone() }))
    }

    type ExecuteCommitsStream = ReceiverStream<Result<ExecuteCommitsResponse, Status>>;

    async fn execute_commits(
        &self,
        request: Request<Streaming<ExecuteCommitsRequest>>,
    ) -> Result<Response<Self::ExecuteCommitsStream>, Status> {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let (service, messages) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            if let Err(status) = service.serve(messages, &answers).await {
                let _ = answers.send(Err(service.told(status))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn advance_epoch(
        &self,
        request: Request<AdvanceEpochRequest>,
    ) -> Result<Response<AdvanceEpochResponse>, Status> {
        let request = request.into_inner();
        let bytes32 = |field, bytes: &[u8]| {
            wire::bytes32(field, bytes).map_err(|malformed| self.told(error::invalid_field(&malformed)))
        };
        let digest = Digest(bytes32("boundary_digest", &request.boundary_digest)?);
        bytes32("committee_digest", &request.committee_digest)?;
        let advanced = self.state().advance_epoch(request.new_epoch, request.boundary_index, digest);
        let epoch = advanced.map_err(|status| self.told(status))?;
        Ok(Response::new(AdvanceEpochResponse { epoch }))
    }
}

impl Service {
    /// One stream, to its end.
    async fn serve(
        &self,
        mut messages: Streaming<ExecuteCommitsRequest>,
        answers: &Answers,
    ) -> Result<(), Status> {
        let stream = self.opening(&mut messages, answers).await?;
        let mut open = self.open.subscribe();
        let replaced = async {
            let newer = open.wait_for(|open| self.fault.ends(stream, *open)).await;
            newer.map_or(0, |open| open.incarnation)
        };
        let fed = async {
            let mut late = Vec::new();
            loop {
                let next = match timeout(IDLE, messages.message()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.settle(&mut late, answers).await?;
                        messages.message().await
                    }
                };
                let Some(commit) = self.decode(next)? else {
                    return self.settle(&mut late, answers).await;
                };
                let judged = self.state().commit(stream, &commit)?;
                match self.fault {
                    Fault::ReportsBeforeSync => late.push(judged),
                    _ => acknowledge(judged, answers).await,
                }
            }
        };
        tokio::select! {
            incarnation = replaced => {
                Err(error::refused(&Refusal::Fenced { incarnation: Incarnation(incarnation) }))
            }
            outcome = fed => outcome,
        }
    }

    /// The first message; the stream that it opens.
    async fn opening(
        &self,
        messages: &mut Streaming<ExecuteCommitsRequest>,
        answers: &Answers,
    ) -> Result<Open, Status> {
        let opening = match messages.message().await?.and_then(|request| request.message) {
            Some(Message::Opening(opening)) => wire::opening(&opening).map_err(error::malformed_stream)?,
            _ => return Err(error::malformed_stream("the first message is not an opening")),
        };
        let (stream, opened) = {
            let mut state = self.state();
            let stream = state.open(&opening)?;
            self.open.send_replace(state.in_force());
            (stream, StreamOpened { incarnation: stream.incarnation, block_number: state.block_number() })
        };
        let message = Some(response::Message::Opened(opened));
        let _ = answers.send(Ok(ExecuteCommitsResponse { message })).await;
        Ok(stream)
    }

    /// The next commit; `None` when there are no more.
    fn decode(
        &self,
        next: Result<Option<ExecuteCommitsRequest>, Status>,
    ) -> Result<Option<executor_proxy::backend::Commit>, Status> {
        let expected = self.state().block_number() + 1;
        let request = match next {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(None),
            Err(status) if matches!(status.code(), Code::OutOfRange | Code::Internal) => {
                if self.fault == Fault::DiesOnOversize && status.code() == Code::OutOfRange {
                    process::exit(101);
                }
                return Err(error::malformed_commit(expected, status.message()));
            }
            // The client has gone.
            Err(_) => return Ok(None),
        };
        match request.message {
            Some(Message::Commit(commit)) => {
                let index = commit.index;
                match wire::commit(commit.clone(), &self.network.limits) {
                    Ok(commit) => Ok(Some(commit)),
                    Err(_) if self.fault == Fault::SkipsMalformed => Ok(Some(emptied(commit, expected))),
                    Err(problem) => Err(error::malformed_commit(index, problem)),
                }
            }
            Some(Message::Opening(_)) => Err(error::malformed_stream("a second opening came")),
            None => Err(error::malformed_stream("a message is empty")),
        }
    }

    /// Makes durable, and acknowledges, what a fault left for later.
    async fn settle(&self, late: &mut Vec<Acknowledgement>, answers: &Answers) -> Result<(), Status> {
        if matches!(self.fault, Fault::ReportsBeforeSync | Fault::AcknowledgesBeforeExecuting) {
            self.state().sync()?;
        }
        for judged in late.drain(..) {
            acknowledge(judged, answers).await;
        }
        Ok(())
    }
}

async fn acknowledge(acknowledgement: Acknowledgement, answers: &Answers) {
    let message = Some(response::Message::Acknowledgement(acknowledgement));
    // Where the client has gone, the next message tells.
    let _ = answers.send(Ok(ExecuteCommitsResponse { message })).await;
}

/// A commit without content, in place of one that cannot be read.
fn emptied(commit: metanode_proto::consensus::v1::Commit, index: u64) -> executor_proxy::backend::Commit {
    let bytes32 = |bytes: &Bytes| Digest(bytes[..].try_into().unwrap_or([0; 32]));
    executor_proxy::backend::Commit {
        index,
        epoch: commit.epoch,
        previous_digest: bytes32(&commit.previous_digest),
        digest: bytes32(&commit.digest),
        timestamp_ms: commit.timestamp_ms,
        size_bytes: 0,
        message: Box::default(),
    }
}
