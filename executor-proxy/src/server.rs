//! The gRPC service: messages in and out. All decisions are the driver's.

use std::time::Duration;

use metanode_proto::executor::v1::{
    AdvanceEpochRequest, AdvanceEpochResponse, ExecuteCommitsRequest, ExecuteCommitsResponse,
    GetCommitteeRequest, GetCommitteeResponse, GetLastBlockNumberRequest, GetLastBlockNumberResponse,
    execute_commits_request::Message, executor_service_server::ExecutorService,
};
use metanode_telemetry::{as_i64, names::TARGET_STARTUP};
use sequencer_core::{Boundary, Digest, Opening, Position};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    backend::EpochStart,
    driver::{self, Inbound, Outbound, Standing},
    error,
    network::Network,
    wire,
};

/// Time that a client has for the first message of a stream.
const OPENING_DEADLINE: Duration = Duration::from_secs(10);

/// Commits of one stream that are decoded and wait for the driver. One is decoded while another is judged.
const DECODED_COMMITS: usize = 1;

/// Room in a stream's answers beside one for each commit in flight: the opening, the last word, one being judged.
const SPARE_ANSWERS: usize = 3;

/// `executor.v1.ExecutorService`.
#[derive(Debug)]
pub struct Service {
    /// The network.
    pub network: Network,
    /// Where the executor stands.
    pub standing: watch::Receiver<Standing>,
    /// The driver.
    pub requests: mpsc::Sender<driver::Request>,
    /// Most commits in flight.
    pub window_commits: usize,
    /// Tasks of the streams.
    pub tasks: TaskTracker,
}

#[tonic::async_trait]
impl ExecutorService for Service {
    async fn get_last_block_number(
        &self,
        _request: Request<GetLastBlockNumberRequest>,
    ) -> Result<Response<GetLastBlockNumberResponse>, Status> {
        let Standing { ready, executed, state_root, epoch } = *self.standing.borrow();
        if ready {
            tracing::info!(
                target: TARGET_STARTUP,
                block_number = as_i64(executed.index),
                commit_digest = %executed.digest,
                "[EXECUTOR-REQ] position answered"
            );
        } else {
            // Asked again until it is ready.
            tracing::debug!(target: TARGET_STARTUP, "[EXECUTOR-REQ] position asked, not ready");
        }
        Ok(Response::new(GetLastBlockNumberResponse {
            block_number: executed.index,
            commit_digest: wire::to_bytes(executed.digest),
            state_root: state_root.map(wire::to_bytes).unwrap_or_default(),
            epoch,
            ready,
            chain_id: bytes::Bytes::copy_from_slice(&self.network.chain_id.0),
        }))
    }

    async fn get_committee(
        &self,
        request: Request<GetCommitteeRequest>,
    ) -> Result<Response<GetCommitteeResponse>, Status> {
        self.check_ready()?;
        let epoch = request.into_inner().epoch;
        tracing::info!(target: TARGET_STARTUP, epoch = as_i64(epoch), "[EXECUTOR-REQ] committee asked");
        if epoch != 0 {
            return Err(error::unknown_epoch(epoch));
        }
        Ok(Response::new(GetCommitteeResponse { epoch, members: self.network.committee.clone() }))
    }

    type ExecuteCommitsStream = ReceiverStream<Result<ExecuteCommitsResponse, Status>>;

    async fn execute_commits(
        &self,
        request: Request<Streaming<ExecuteCommitsRequest>>,
    ) -> Result<Response<Self::ExecuteCommitsStream>, Status> {
        let (outbound, answers) = mpsc::channel(self.window_commits.saturating_add(SPARE_ANSWERS));
        if let Err(status) = self.check_ready() {
            // As an item, like every error of a stream, so that clients see errors in one place.
            let _ = outbound.try_send(Err(status));
            return Ok(Response::new(ReceiverStream::new(answers)));
        }
        let (messages, limits) = (request.into_inner(), self.network.limits);
        let requests = self.requests.clone();
        self.tasks.spawn(async move {
            let mut reader = Reader { messages, limits };
            match reader.opening().await {
                Ok(opening) => reader.feed(opening, requests, outbound).await,
                Err(status) => drop(outbound.try_send(Err(status))),
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn advance_epoch(
        &self,
        request: Request<AdvanceEpochRequest>,
    ) -> Result<Response<AdvanceEpochResponse>, Status> {
        self.check_ready()?;
        let request = request.into_inner();
        let bytes32 =
            |field, bytes: &[u8]| wire::bytes32(field, bytes).map_err(|error| error::invalid_field(&error));
        let boundary_digest = bytes32("boundary_digest", &request.boundary_digest)?;
        let committee_digest = bytes32("committee_digest", &request.committee_digest)?;
        let last = Position { index: request.boundary_index, digest: Digest(boundary_digest) };
        let boundary = Boundary { new_epoch: request.new_epoch, last };
        let (answer, answered) = oneshot::channel();
        let start = EpochStart { boundary, committee_digest, timestamp_ms: request.timestamp_ms };
        let ask = driver::Request::AdvanceEpoch { start, answer };
        self.requests.send(ask).await.map_err(|_| error::draining())?;
        let epoch = answered.await.map_err(|_| error::draining())??;
        Ok(Response::new(AdvanceEpochResponse { epoch }))
    }
}

impl Service {
    fn check_ready(&self) -> Result<(), Status> {
        if self.standing.borrow().ready { Ok(()) } else { Err(error::not_ready()) }
    }
}

/// Waits for the driver to have room for an opening. False if the client has gone or the driver has ended.
///
/// The driver may wait for a slow disk, and a client that waits for it tries again: what nobody waits for any more must not
/// pile up here. A connection that is silently dead is found by keepalive.
async fn hand_over(
    requests: &mpsc::Sender<driver::Request>,
    opening: Opening,
    inbound: mpsc::Receiver<Inbound>,
    outbound: Outbound,
) -> bool {
    let room = tokio::select! {
        room = requests.reserve() => room,
        () = outbound.closed() => return false,
    };
    match room {
        Ok(room) => room.send(driver::Request::Open { opening, inbound, outbound }),
        Err(_) => {
            let _ = outbound.try_send(Err(error::draining()));
            return false;
        }
    }
    true
}

/// The receiving end of one stream.
struct Reader {
    messages: Streaming<ExecuteCommitsRequest>,
    limits: crate::network::CommitLimits,
}

impl Reader {
    /// The first message.
    async fn opening(&mut self) -> Result<Opening, Status> {
        let first = timeout(OPENING_DEADLINE, self.messages.message())
            .await
            .map_err(|_| error::no_opening(OPENING_DEADLINE))?;
        match first?.and_then(|request| request.message) {
            Some(Message::Opening(opening)) => wire::opening(&opening).map_err(error::malformed_stream),
            Some(Message::Commit(_)) => Err(error::malformed_stream("a commit came before the opening")),
            None => Err(error::malformed_stream("the first message is not an opening")),
        }
    }

    /// Hands the stream to the driver, then decodes commits for it until either side ends.
    async fn feed(mut self, opening: Opening, requests: mpsc::Sender<driver::Request>, outbound: Outbound) {
        let (decoded, inbound) = mpsc::channel(DECODED_COMMITS);
        if !hand_over(&requests, opening, inbound, outbound).await {
            return;
        }
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = decoded.closed() => return,
            };
            let Some(next) = next else { return };
            let last = !matches!(next, Inbound::Commit(_));
            if decoded.send(next).await.is_err() || last {
                return;
            }
        }
    }

    /// The next message; `None` when the client has ended the stream or has gone.
    async fn next(&mut self) -> Option<Inbound> {
        match self.messages.message().await {
            Ok(None) => None,
            Ok(Some(request)) => Some(match request.message {
                Some(Message::Commit(commit)) => {
                    let index = Some(commit.index);
                    match wire::commit(commit, &self.limits) {
                        Ok(commit) => Inbound::Commit(commit),
                        Err(error) => Inbound::Malformed { index, problem: error.to_string() },
                    }
                }
                Some(Message::Opening(_)) => Inbound::OutOfOrder { problem: "a second opening came" },
                None => Inbound::OutOfOrder { problem: "a message is empty" },
            }),
            // Too large to decode, or no message at all. Other codes are those of a connection that ended.
            Err(status) if matches!(status.code(), Code::OutOfRange | Code::Internal) => {
                Some(Inbound::Malformed { index: None, problem: status.message().to_owned() })
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
