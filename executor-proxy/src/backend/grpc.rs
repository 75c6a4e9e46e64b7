//! A master of one's own: another `executor.v1.ExecutorService`, over TCP or a Unix socket.
//!
//! The master is the final executor. It keeps the position, issues the incarnations, and compares and sets; the proxy checks
//! form and order before it, and keeps nothing. Whatever breaks ends the one stream to the master and that of the client;
//! both are opened again from where the master then says that it stands. An error that the master means for the sender
//! reaches the sender as it is.

mod judge;
mod link;
mod unacknowledged;

use std::time::Duration;

use metanode_proto::executor::v1::{AdvanceEpochRequest, Lease as WireLease, StreamOpening};
use metanode_shell::{
    executor::{CallError, ExecutorClient, ExecutorPosition, answer_limit},
    grpc,
};
use metanode_telemetry::{as_i64, names::TARGET_STARTUP};
use sequencer_core::{Digest, Incarnation, Opening, Position};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use super::{
    Backend, BackendError, Commit, EpochAnswer, EpochStart, Executed, Executor, Lease, Loaded,
    PendingExecution, pauses::Pauses,
};
use crate::{network::Network, wire};
use link::Link;
use unacknowledged::Kind;

/// Time for one question to the master, or for the answer to an opening. It syncs before it answers one.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a master listens, and what it must agree to.
#[derive(Debug)]
pub struct GrpcBackend {
    address: String,
    endpoint: Endpoint,
    network: Network,
    window_commits: usize,
    pauses: Pauses,
    committee_checked: bool,
}

/// Why a master could not be loaded this time.
enum LoadError {
    /// It may help to ask again.
    NotYet(CallError),
    /// It has not loaded its own state (X02).
    NotReady,
    /// It is the wrong one.
    Final(BackendError),
}

impl From<CallError> for LoadError {
    fn from(error: CallError) -> Self {
        Self::NotYet(error)
    }
}

impl GrpcBackend {
    /// A master at `http://host:port` or `unix:/absolute/path`. At most `window_commits` are in flight to it.
    ///
    /// # Errors
    /// [`BackendError::Endpoint`]. Nothing is connected yet.
    pub fn new(address: &str, network: Network, window_commits: usize) -> Result<Self, BackendError> {
        Ok(Self {
            address: address.to_owned(),
            endpoint: grpc::endpoint(address)?,
            network,
            window_commits,
            pauses: Pauses::default(),
            committee_checked: false,
        })
    }

    async fn attempt(&mut self) -> Result<(GrpcExecutor, Loaded), LoadError> {
        let limits = &self.network.limits;
        let most = u64::try_from(limits.max_transactions).unwrap_or(u64::MAX);
        let limit = answer_limit(limits.max_bytes, most);
        let mut client = ExecutorClient::connect(&self.endpoint, limit, CALL_TIMEOUT).await?;
        let position = client.position().await?.ok_or(LoadError::NotReady)?;
        self.check_chain(&position).map_err(LoadError::Final)?;
        if !self.committee_checked {
            if client.committee(0).await? != self.network.committee {
                let endpoint = self.address.clone();
                return Err(LoadError::Final(BackendError::MasterOfOtherCommittee { endpoint }));
            }
            self.committee_checked = true;
        }
        let loaded = Loaded {
            executed: Position { index: position.block_number, digest: Digest(position.commit_digest) },
            state_root: position.state_root.map(Digest),
            authority: None,
            incarnation: Incarnation(0),
            epoch: position.epoch,
        };
        let mut health = JoinSet::new();
        health.spawn(client.unhealthy());
        let window_commits = self.window_commits;
        Ok((GrpcExecutor { client, health, link: None, window_commits }, loaded))
    }

    fn check_chain(&self, position: &ExecutorPosition) -> Result<(), BackendError> {
        let (ours, theirs) = (self.network.chain_id.0, position.chain_id);
        if ours == theirs {
            return Ok(());
        }
        let endpoint = self.address.clone();
        Err(BackendError::MasterOfOtherChain {
            endpoint,
            ours: hex::encode(ours),
            theirs: hex::encode(theirs),
        })
    }
}

impl Backend for GrpcBackend {
    type Executor = GrpcExecutor;

    async fn load(&mut self) -> Result<(GrpcExecutor, Loaded), BackendError> {
        self.pauses.before_load().await;
        loop {
            match self.attempt().await {
                Ok(loaded) => {
                    self.pauses.loaded();
                    return Ok(loaded);
                }
                Err(LoadError::Final(error)) => return Err(error),
                Err(LoadError::NotReady) => tracing::info!(
                    target: TARGET_STARTUP,
                    endpoint = self.address,
                    "[STARTUP] the master is not ready, its position is not known yet"
                ),
                Err(LoadError::NotYet(error)) => tracing::warn!(
                    target: TARGET_STARTUP,
                    endpoint = self.address,
                    error = &error as &dyn std::error::Error,
                    "[STARTUP] no answer of the master that can be used"
                ),
            }
            self.pauses.after_attempt().await;
        }
    }

    fn outlives(error: &BackendError) -> bool {
        matches!(
            error,
            BackendError::Lost(_)
                | BackendError::Told(_)
                | BackendError::Moved { .. }
                | BackendError::Late { .. }
        )
    }
}

/// A master that answered, and the one stream to it.
#[derive(Debug)]
pub struct GrpcExecutor {
    client: ExecutorClient,
    /// Resolves when the master says that it does not serve, or the connection breaks.
    health: JoinSet<CallError>,
    /// `None` before the first opening.
    link: Option<Link>,
    window_commits: usize,
}

impl Executor for GrpcExecutor {
    async fn lease(&mut self, opening: &Opening, at: Position) -> Result<Lease, BackendError> {
        let asked = StreamOpening {
            chain_id: bytes::Bytes::copy_from_slice(&opening.chain_id.0),
            lease: Some(WireLease {
                authority: bytes::Bytes::copy_from_slice(&opening.authority.0),
                incarnation: opening.incarnation,
            }),
            // As it came: where this proxy has no digest, the master compares its own.
            after_index: opening.after.index,
            after_digest: wire::to_bytes(opening.after.digest),
        };
        let stream = match self.client.clone().open(asked).await {
            Ok(stream) => stream,
            Err(CallError::Refused { status, .. }) if judge::is_for_the_sender(&status) => {
                return Ok(Lease::Refused(Box::new(judge::passed_on(&status))));
            }
            Err(error) => return Err(error.into()),
        };
        let opened = stream.opened;
        if opened.block_number != at.index {
            return Err(BackendError::Moved { ours: at.index, theirs: opened.block_number });
        }
        let kept = opening.incarnation == 0 || opening.incarnation == opened.incarnation;
        if opened.incarnation == 0 || !kept {
            return Err(CallError::Malformed { call: "ExecuteCommits", field: "opened.incarnation" }.into());
        }
        tracing::info!(
            target: TARGET_STARTUP,
            block_number = as_i64(opened.block_number),
            incarnation = as_i64(opened.incarnation),
            "[EXECUTOR-REQ] stream to the master opened"
        );
        self.link = Some(Link::start(stream, self.window_commits));
        Ok(Lease::Issued(Incarnation(opened.incarnation)))
    }

    async fn lost(&mut self) -> BackendError {
        tokio::select! {
            Some(outcome) = self.health.join_next() => match outcome {
                Ok(error) => error.into(),
                Err(_) => BackendError::Ended,
            },
            error = link::ended(&mut self.link) => error,
        }
    }

    async fn execute(&mut self, _: Incarnation, commit: Commit) -> Result<PendingExecution, BackendError> {
        match &mut self.link {
            Some(link) => link.send(commit, Kind::New).await,
            None => Err(BackendError::Ended),
        }
    }

    fn keeps_history(&self) -> bool {
        true
    }

    async fn again(&mut self, commit: Commit) -> Result<Option<PendingExecution>, BackendError> {
        match &mut self.link {
            Some(link) => link.send(commit, Kind::Again).await.map(Some),
            None => Err(BackendError::Ended),
        }
    }

    /// A refusal contradicts what was known of the master, which is asked anew where it stands.
    async fn begin_epoch(&mut self, start: EpochStart) -> Result<EpochAnswer, BackendError> {
        let EpochStart { boundary, committee_digest, timestamp_ms } = start;
        let request = AdvanceEpochRequest {
            new_epoch: boundary.new_epoch,
            boundary_index: boundary.last.index,
            boundary_digest: wire::to_bytes(boundary.last.digest),
            committee_digest: bytes::Bytes::copy_from_slice(&committee_digest),
            timestamp_ms,
        };
        let epoch = self.client.advance_epoch(request).await.map_err(judge::call)?;
        if epoch == boundary.new_epoch {
            return Ok(EpochAnswer::Begun);
        }
        Err(CallError::Malformed { call: "AdvanceEpoch", field: "epoch" }.into())
    }

    /// The master answers what comes again on its stream; it is not asked beside that.
    async fn executed(&self, _: u64) -> Result<Option<Executed>, BackendError> {
        Ok(None)
    }

    /// The master finishes by itself what it has taken.
    async fn close(self) -> Result<(), BackendError> {
        Ok(())
    }
}
