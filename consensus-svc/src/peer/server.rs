//! `metanode.peer.v1.PeerService`, served to members.

mod subscription;

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{AuthorityIndex, BlockRef, Genesis, Round, VerifiedBlock, fetch_answer};
use futures::Stream;
use metanode_proto::{
    peer::v1::{
        FetchBlocksRequest, FetchBlocksResponse, FetchBoundaryRequest, FetchBoundaryResponse,
        FetchCommitsRequest, FetchCommitsResponse, FetchOwnLastBlockRequest, FetchOwnLastBlockResponse,
        SubscribeBlocksRequest, SubscribeBlocksResponse, peer_service_server::PeerService,
    },
    reason,
};
use metanode_shell::status::{self, WithRetry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::{
    config::PeerLimits,
    listener::Caller,
    own_blocks::OwnBlocks,
    request,
    store::{BlockStore, StoreReadError},
};
use subscription::Subscription;

/// When a peer with too many calls may try again.
const TOO_MANY_CALLS_RETRY: Duration = Duration::from_millis(100);

/// What the calls are answered from.
pub(super) struct Served {
    pub(super) own: AuthorityIndex,
    pub(super) genesis: Arc<Genesis>,
    pub(super) store: Arc<dyn BlockStore>,
    pub(super) own_blocks: Arc<OwnBlocks>,
    pub(super) limits: PeerLimits,
    pub(super) shutdown: CancellationToken,
}

/// The service.
pub(super) struct PeerServer {
    served: Arc<Served>,
    quotas: Vec<Quota>,
}

/// What one authority may have under way.
struct Quota {
    subscriptions: Arc<Semaphore>,
    fetches: Arc<Semaphore>,
}

impl PeerServer {
    pub(super) fn new(served: Served) -> Self {
        let limits = &served.limits;
        let quota = |_| Quota {
            subscriptions: Arc::new(Semaphore::new(limits.subscriptions_per_peer)),
            fetches: Arc::new(Semaphore::new(limits.fetches_per_peer)),
        };
        let quotas = served.genesis.committee().indexes().map(quota).collect();
        Self { served: Arc::new(served), quotas }
    }

    fn quota<T>(&self, request: &Request<T>) -> Result<(AuthorityIndex, &Quota), Status> {
        let caller = request.extensions().get::<Caller>();
        let quota = caller.and_then(|caller| Some((caller.0, self.quotas.get(caller.0.as_usize())?)));
        quota.ok_or_else(|| {
            status::reason(Code::PermissionDenied, reason::NOT_A_MEMBER, "the caller is no member", &[])
        })
    }
}

#[tonic::async_trait]
impl PeerService for PeerServer {
    type SubscribeBlocksStream =
        Pin<Box<dyn Stream<Item = Result<SubscribeBlocksResponse, Status>> + Send + 'static>>;

    async fn subscribe_blocks(
        &self,
        request: Request<SubscribeBlocksRequest>,
    ) -> Result<Response<Self::SubscribeBlocksStream>, Status> {
        let (caller, quota) = self.quota(&request)?;
        let request = request.into_inner();
        request::check_chain(&self.served.genesis, &request.chain_id)?;
        request::check_epoch(&self.served.genesis, request.epoch)?;
        let permit = admit(&quota.subscriptions, "SubscribeBlocks")?;
        tracing::debug!(
            authority = i64::from(caller.get()),
            after_round = request.after_round,
            "peer subscribes"
        );
        let subscription =
            Subscription::new(Arc::clone(&self.served), Round::new(request.after_round), permit);
        Ok(Response::new(Box::pin(subscription.into_stream())))
    }

    async fn fetch_blocks(
        &self,
        request: Request<FetchBlocksRequest>,
    ) -> Result<Response<FetchBlocksResponse>, Status> {
        let (_, quota) = self.quota(&request)?;
        let request = request.into_inner();
        request::check_epoch(&self.served.genesis, request.epoch)?;
        let wanted = request::fetch_refs(&request)?;
        let held = request::held_rounds(&self.served.genesis, &request)?;
        let permit = admit(&quota.fetches, "FetchBlocks")?;
        let served = Arc::clone(&self.served);
        let blocks = read(move || {
            let blocks = read_blocks(&served, &wanted, &held);
            drop(permit);
            blocks
        })
        .await?;
        Ok(Response::new(FetchBlocksResponse { blocks }))
    }

    async fn fetch_commits(
        &self,
        request: Request<FetchCommitsRequest>,
    ) -> Result<Response<FetchCommitsResponse>, Status> {
        let (_, quota) = self.quota(&request)?;
        let (first, last) = request::commit_range(&request.into_inner())?;
        // Never an answer without commits: that says "nothing later", and ends catch-ups.
        request::check_held(first, self.served.store.earliest_commit())?;
        let permit = admit(&quota.fetches, "FetchCommits")?;
        let served = Arc::clone(&self.served);
        let answer = read(move || {
            let (released, limit_bytes) = (served.own_blocks.released(), request::cut_bytes(&served.genesis));
            let (range, highest) = served.store.certified_range(first, last, released, limit_bytes)?;
            drop(permit);
            let range = range.unwrap_or_default();
            Ok(FetchCommitsResponse {
                commits: range.commits,
                blocks: range.blocks,
                certifiers: range.certifiers,
                highest_certified_index: highest.get(),
            })
        })
        .await?;
        Ok(Response::new(answer))
    }

    async fn fetch_boundary(
        &self,
        _request: Request<FetchBoundaryRequest>,
    ) -> Result<Response<FetchBoundaryResponse>, Status> {
        Err(status::not_served_yet("PeerService.FetchBoundary"))
    }

    async fn fetch_own_last_block(
        &self,
        request: Request<FetchOwnLastBlockRequest>,
    ) -> Result<Response<FetchOwnLastBlockResponse>, Status> {
        let (caller, quota) = self.quota(&request)?;
        request::check_epoch(&self.served.genesis, request.into_inner().epoch)?;
        let permit = admit(&quota.fetches, "FetchOwnLastBlock")?;
        let served = Arc::clone(&self.served);
        let answer = read(move || {
            let callers = served.store.latest_seen(caller)?;
            let own = served.store.latest_block_by(served.own, served.own_blocks.released())?;
            drop(permit);
            let bytes = |block: Option<VerifiedBlock>| block.map(|block| block.signed_bytes().clone());
            Ok(FetchOwnLastBlockResponse {
                callers_last_block: bytes(callers).unwrap_or_default(),
                own_last_block: bytes(own).unwrap_or_default(),
            })
        })
        .await?;
        Ok(Response::new(answer))
    }
}

fn admit(quota: &Arc<Semaphore>, call: &'static str) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(quota).try_acquire_owned().map_err(|_| {
        let message = format!("too many calls of {call} under way");
        status::reason(Code::ResourceExhausted, reason::TOO_MANY_CALLS, message, &[("call", &call)])
            .with_retry(TOO_MANY_CALLS_RETRY)
    })
}

/// Reads from the store on a thread for blocking work. The permit of a call goes along, so that a caller who hangs up
/// does not leave more reads behind than its quota.
async fn read<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreReadError> + Send + 'static,
) -> Result<T, Status> {
    match task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "blocks cannot be read for a peer");
            Err(status::reason(Code::Internal, reason::STORAGE_FAILED, "the block store cannot be read", &[]))
        }
        Err(_) => Err(status::reason(Code::Unavailable, reason::DRAINING, "the service goes down", &[])),
    }
}

/// The answer to a question for blocks. An own block that was not released for sending yet is not held: it may not be
/// durable.
fn read_blocks(served: &Served, wanted: &[BlockRef], held: &[Round]) -> Result<Vec<Bytes>, StoreReadError> {
    let released = served.own_blocks.released();
    let read = |reference: &BlockRef| {
        if reference.author == served.own && reference.round > released {
            return Ok(None);
        }
        served.store.block(reference)
    };
    let answer = fetch_answer::compose(wanted, held, request::answer_limits(&served.genesis), read)?;
    Ok(answer.blocks.iter().map(|block| block.signed_bytes().clone()).collect())
}
