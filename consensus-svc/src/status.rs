//! `NodeService`: how this node is doing. Status comes from snapshots, and asking costs the driver nothing; an explanation is the
//! machine's own answer.

mod evidence;
mod explain;

use std::{sync::Arc, time::Duration};

use consensus_core::{Amnesia, AmnesiaCause, AuthorityIndex, CoreStatus, Genesis, RootContradiction};
use metanode_proto::consensus::v1::{
    self, ExplainRequest, ExplainResponse, GetStatusRequest, GetStatusResponse, ListEquivocationsRequest,
    ListEquivocationsResponse, NodeRole, Stall, node_service_server::NodeService,
};
use metanode_shell::grpc::{Shares, UntilSent};
use metanode_telemetry::metrics::ConsensusMetrics;
use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status};

use self::evidence::Page;
use crate::{
    commit_log::{CommitFeed, CommitLog},
    commit_stream::ExecutorView,
    driver::Questioner,
    node::{ProgressView, StallReason, Stalled, Work},
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
    /// Whether commits come.
    pub progress: watch::Receiver<ProgressView>,
    /// Asks the machine.
    pub questioner: Questioner,
}

impl NodeView {
    /// The watermarks.
    pub fn status(&self) -> GetStatusResponse {
        let (now, head) = (Instant::now(), self.feed.head());
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
            stall: self.stall(now),
            last_commit_ms_ago: self
                .progress
                .borrow()
                .last_commit
                .map(|at| explain::millis(now.saturating_duration_since(at))),
            start_waits_for: core.amnesia.as_ref().map(waits_for).unwrap_or_default(),
            certified_index: core.certified_index.get(),
            catching_up: core.catching_up,
            agreed_root_index: core.agreed_root.map_or(0, |agreed| agreed.index.get()),
            agreed_root: core
                .agreed_root
                .map(|agreed| wire::bytes32(agreed.root.as_bytes()))
                .unwrap_or_default(),
            root_contradiction: core.root_evidence.as_ref().map(contradiction),
            ..GetStatusResponse::default()
        };
        status.set_role(role(&core));
        status.set_executor_state(executor.executor_state());
        status
    }

    /// What is waited for, where that is too long.
    fn stall(&self, now: Instant) -> Option<Stall> {
        let stalled = self.progress.borrow().stalled?;
        stall(stalled, Work::of(&self.core.borrow()), now)
    }

    fn disconnected_peers(&self) -> Vec<u32> {
        let connected = self.peers.connected();
        (0u32..).zip(connected).filter(|(_, connected)| !connected).map(|(authority, _)| authority).collect()
    }
}

fn stall(Stalled { reason, since }: Stalled, work: Work, now: Instant) -> Option<Stall> {
    let (reason, waits_for) = match reason {
        // What there was to do may have gone a moment ago.
        StallReason::NoCommit if work.is_none() => return None,
        StallReason::NoCommit => (
            v1::StallReason::NoCommit,
            "a commit: too few authorities are heard, or this node has not caught up; `explain` names them",
        ),
        StallReason::OwnOnly => (
            v1::StallReason::OwnOnly,
            "an own block among the committed ones: others commit, but nothing of this node; its blocks may not reach them: check \
             the address and the network key of this node in the genesis and configuration of its peers, and what lies between",
        ),
    };
    Some(Stall {
        since_ms: explain::millis(now.saturating_duration_since(since)),
        pooled_transactions: work.pooled_transactions,
        uncommitted_blocks: work.uncommitted_blocks,
        rounds_behind: work.rounds_behind,
        reason: reason.into(),
        waits_for: waits_for.to_owned(),
    })
}

fn contradiction(found: &RootContradiction) -> v1::RootContradiction {
    v1::RootContradiction {
        commit_index: found.index().get(),
        own_root: wire::bytes32(found.own.as_bytes()),
        agreed_root: wire::bytes32(found.agreed.root.as_bytes()),
        votes: found.agreed.blocks.iter().map(wire::block_ref_to_proto).collect(),
    }
}

const fn role(core: &CoreStatus) -> NodeRole {
    match (core.halted, &core.amnesia) {
        (true, _) => NodeRole::Stopped,
        (false, Some(_)) => NodeRole::Amnesiac,
        (false, None) => NodeRole::Authority,
    }
}

/// What an amnesiac waits for, and why it is one.
fn waits_for(amnesia: &Amnesia) -> String {
    let what = match amnesia.first_round {
        Some(round) => format!("round {round}, the first that it may propose in"),
        None => {
            let awaited: Vec<_> = amnesia.awaited.iter().map(ToString::to_string).collect();
            format!(
                "answers about its last block that make a quorum; of authorities {} none counts yet, or its own last block is not \
                 held here",
                awaited.join(", ")
            )
        }
    };
    let why = match amnesia.cause {
        AmnesiaCause::BelowGuard { stored, guard } if stored < guard => {
            format!("the store ends at own round {stored}, below the signing guard at {guard}")
        }
        AmnesiaCause::BelowGuard { .. } => {
            "the store was being filled from peers when it was closed".to_owned()
        }
        AmnesiaCause::UnknownOwnBlock { from, block } => {
            format!("authority {from} holds own block {block}, which this store did not")
        }
        AmnesiaCause::ExecutorAhead => "the executor has commits that this store lacks".to_owned(),
    };
    format!("{what}; {why}")
}

/// Why this node, or its delivery, has stopped, and what mends it; empty while both run.
fn stop_reason(core: &CoreStatus, executor: &ExecutorView) -> String {
    let own_block = core.unknown_own_block.map(|block| {
        format!(
            "a peer holds own block {block}, which this store did not: the key is used elsewhere, or the store is older than what \
             was signed. The signing guard was raised: end the other process, or restore the newest store, then restart"
        )
    });
    let fork = core.fork.map(|fork| {
        format!(
            "{fork}. Keep the store as it is, stop the executor's intake, and compare the commits around {} \
             (CommitService.GetCommit) with those of another authority",
            fork.index
        )
    });
    fork.or(own_block).or_else(|| executor.stop_reason().map(ToString::to_string)).unwrap_or_default()
}

/// Questions to the machine, and pages of proofs, at a time.
const MAX_COSTLY_CALLS: usize = 4;
/// Time that a call waits for its turn: one connection has one, and gives it back a moment after its answer has come.
const COSTLY_WAIT: Duration = Duration::from_secs(1);

/// Serves `NodeService`.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    view: NodeView,
    costly: Shares,
}

impl NodeStatus {
    /// Answers from `view`.
    pub fn new(view: NodeView) -> Self {
        Self { view, costly: Shares::new("explanations and pages of proofs", MAX_COSTLY_CALLS) }
    }

    /// Lets `metrics` show how many costly calls are under way.
    pub fn observe(&self, metrics: &ConsensusMetrics) {
        let costly = self.costly.clone();
        metrics.node_answers.watch(move || costly.taken());
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

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let permit = self.costly.take(&request, COSTLY_WAIT).await?;
        let answer = self.view.questioner.ask().await;
        Ok(counted(self.view.explain(answer.as_ref()), permit))
    }

    async fn list_equivocations(
        &self,
        request: Request<ListEquivocationsRequest>,
    ) -> Result<Response<ListEquivocationsResponse>, Status> {
        let permit = self.costly.take(&request, COSTLY_WAIT).await?;
        let (page, log) = (Page::of(request.get_ref())?, Arc::clone(&self.view.log));
        let read = tokio::task::spawn_blocking(move || page.read(&log)).await;
        Ok(counted(read.map_err(|_| Status::unavailable("the service goes down"))??, permit))
    }
}

/// With a permit that counts until the answer is sent.
fn counted<T>(answer: T, permit: UntilSent) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(permit);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{CommitDigest, CommitIndex, Fork};

    #[test]
    fn l06_a_stall_says_what_is_waited_for_and_one_that_has_just_ended_is_none() {
        let now = Instant::now();
        let since = now.checked_sub(Duration::from_secs(31)).unwrap();
        let told = |reason, work| stall(Stalled { reason, since }, work, now);
        let work = Work { pooled_transactions: 4, ..Work::default() };
        let unheard = told(StallReason::OwnOnly, work).unwrap();
        assert_eq!((unheard.since_ms, unheard.pooled_transactions), (31_000, 4));
        assert_eq!(unheard.reason(), v1::StallReason::OwnOnly);
        assert!(unheard.waits_for.contains("others commit, but nothing of this node"), "{unheard:?}");
        assert!(told(StallReason::OwnOnly, Work::default()).is_some(), "it was dropped, not committed");
        assert_eq!(told(StallReason::NoCommit, work).unwrap().reason(), v1::StallReason::NoCommit);
        assert_eq!(told(StallReason::NoCommit, Work::default()), None);
    }

    #[test]
    fn d07_a_fork_is_named_before_every_other_reason() {
        let executor = ExecutorView::new(CommitIndex::NONE, CommitDigest::ZERO);
        let fork = Fork {
            index: CommitIndex::new(9),
            own: Some(CommitDigest::new([1; 32])),
            certified: CommitDigest::new([2; 32]),
        };
        let core = CoreStatus { fork: Some(fork), halted: true, ..CoreStatus::default() };
        let reason = stop_reason(&core, &executor);
        assert!(reason.starts_with(&fork.to_string()), "{reason}");
        assert!(reason.contains(&fork.certified.to_string()), "{reason}");
        assert_eq!(role(&core), NodeRole::Stopped);
        assert_eq!(stop_reason(&CoreStatus::default(), &executor), "");
    }
}
