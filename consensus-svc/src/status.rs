//! `NodeService`: how this node is doing, from snapshots; asking costs the driver nothing.

use std::sync::Arc;

use consensus_core::{AuthorityIndex, CoreStatus, Genesis};
use metanode_proto::consensus::v1::{
    ExplainRequest, ExplainResponse, GetStatusRequest, GetStatusResponse, NodeRole,
    node_service_server::NodeService,
};
use metanode_shell::status;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::{
    commit_log::{CommitFeed, CommitLog},
    commit_stream::ExecutorView,
    peer::PeerHandle,
    wire,
};

/// What can be seen of a running node.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Chain and committee.
    pub genesis: Arc<Genesis>,
    /// This authority.
    pub own: AuthorityIndex,
    /// The store.
    pub log: Arc<CommitLog>,
    /// Durable commits.
    pub feed: Arc<CommitFeed>,
    /// The machine, after its newest input.
    pub core: watch::Receiver<CoreStatus>,
    /// The executor and the stream to it.
    pub executor: watch::Receiver<ExecutorView>,
    /// The other authorities.
    pub peers: PeerHandle,
}

impl NodeView {
    /// The watermarks.
    pub fn status(&self) -> GetStatusResponse {
        let head = self.feed.head();
        let core = self.core.borrow().clone();
        let executor = self.executor.borrow().clone();
        let mut status = GetStatusResponse {
            commit_index: head.index.get(),
            commit_digest: wire::bytes32(head.digest.as_bytes()),
            earliest_index: self.feed.earliest_index().get(),
            executed_index: executor.executed_index.get(),
            executed_digest: wire::bytes32(executor.executed_digest.as_bytes()),
            state_root: executor.state_root.map(|root| wire::bytes32(root.as_bytes())).unwrap_or_default(),
            replay_from: executor.replay_from.get(),
            first_sent: executor.first_sent.get(),
            sent_total: executor.sent_total,
            duplicates_total: executor.duplicates_total,
            epoch: self.genesis.committee().epoch().get(),
            round: core.round.get(),
            stop_reason: stop_reason(&core, &executor),
            chain_id: wire::bytes32(self.genesis.chain_id().as_bytes()),
            authority: u32::from(self.own.get()),
            last_committed_round: core.last_committed_round.get(),
            proposed_round: core.proposed_round.get(),
            pooled_transactions: core.pooled_transactions as u64,
            waiting_blocks: core.waiting_blocks as u64,
            syncs_total: self.log.syncs_total(),
            disconnected_peers: self.disconnected_peers(),
            ..GetStatusResponse::default()
        };
        status.set_role(if core.halted { NodeRole::Stopped } else { NodeRole::Authority });
        status.set_executor_state(executor.executor_state());
        status
    }

    fn disconnected_peers(&self) -> Vec<u32> {
        let connected = self.peers.connected();
        (0u32..).zip(connected).filter(|(_, connected)| !connected).map(|(authority, _)| authority).collect()
    }
}

/// Why this node, or its delivery, has stopped, and what mends it; empty while both run.
fn stop_reason(core: &CoreStatus, executor: &ExecutorView) -> String {
    let own_block = core.unknown_own_block.map(|block| {
        format!(
            "a peer holds own block {block}, which this store did not: the store is older than what was signed, or the key is \
             used elsewhere. The signing guard was raised: end the other process, or restore the newest store, or keep \
             this authority down"
        )
    });
    own_block.or_else(|| executor.stop_reason().map(ToString::to_string)).unwrap_or_default()
}

/// Serves `NodeService`.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    view: NodeView,
}

impl NodeStatus {
    /// Answers from `view`.
    pub const fn new(view: NodeView) -> Self {
        Self { view }
    }
}

#[tonic::async_trait]
impl NodeService for NodeStatus {
    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(self.view.status()))
    }

    async fn explain(&self, _request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Err(status::not_served_yet("NodeService.Explain"))
    }
}
