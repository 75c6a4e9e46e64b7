//! Puts the parts together: one server, and two tasks for each other authority.

use std::{
    panic,
    sync::{Arc, OnceLock},
};

use consensus_core::{AuthorityIndex, BlockVerifier, ChainPoint, Fetch, Round, VerifiedBlock};
use metanode_proto::peer::v1::peer_service_server::PeerServiceServer;
use metanode_shell::{
    grpc::{self, decode_limit},
    panic_text,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{
    asker::Asker,
    client::{Shared, Subscriber},
    commits::CommitsWorker,
    config::{PeerConfig, PeerLimits},
    error::PeerError,
    event::{PeerEvent, PeerView},
    fetch::FetchWorker,
    link::{Peer, PeerStatus},
    listener::{Acceptor, AcceptorConfig, Connections},
    own_blocks::OwnBlocks,
    server::{PeerServer, Served},
    store::BlockStore,
    tls::PeerTls,
    verify::VerifierPool,
};

/// Connections of members that wait for the server to take them.
const WAITING_CONNECTIONS: usize = 16;
/// Calls that one connection may have open at a time; an honest peer has two.
const MAX_CONCURRENT_STREAMS: u32 = 16;

/// Starts the network.
#[derive(Debug)]
pub struct PeerNetwork;

impl PeerNetwork {
    /// Starts serving and calling. Everything runs until `shutdown`, or until the driver lets go of the other end of
    /// `events`; [`PeerHandle::stopped`] tells when all has ended.
    ///
    /// # Errors
    /// If the configuration does not fit the committee, or the TLS identity cannot be set up. Nothing is started then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(
        config: PeerConfig,
        store: Arc<dyn BlockStore>,
        events: mpsc::Sender<PeerEvent>,
        view: PeerView,
        shutdown: CancellationToken,
    ) -> Result<PeerHandle, PeerError> {
        let tls = Arc::new(checked(&config)?);
        // A failure of the network ends the network; what that means for the service, its supervisor says.
        let shutdown = shutdown.child_token();
        let PeerConfig { listener, addresses, own, own_round, genesis, limits, .. } = config;
        let own_blocks = Arc::new(OwnBlocks::new(own_round, limits.recent_blocks, limits.recent_bytes));
        let connections = Arc::new(Connections::new(genesis.committee().size(), &limits));
        let mut tasks = JoinSet::new();

        let shared = Shared {
            own,
            genesis: Arc::clone(&genesis),
            limits: limits.clone(),
            verifier: VerifierPool::new(BlockVerifier::new(Arc::clone(&genesis))),
            view,
            events,
            shutdown: shutdown.clone(),
        };
        let mut peers = Vec::with_capacity(addresses.len());
        for (authority, address) in genesis.committee().indexes().zip(addresses) {
            if authority == own {
                peers.push(None);
                continue;
            }
            let client_tls = tls.client_config(authority)?;
            let peer = Arc::new(Peer::new(authority, address));
            let (fetches, requests) = mpsc::channel(limits.waiting_fetches);
            let subscriber = Subscriber { peer: Arc::clone(&peer), tls: client_tls, shared: shared.clone() };
            let asker = || Asker { peer: Arc::clone(&peer), shared: shared.clone() };
            let fetcher = FetchWorker { asker: asker(), requests };
            // One question at a time is put; one more may wait behind one that is overdue.
            let (commits, questions) = mpsc::channel(1);
            let follower = CommitsWorker { asker: asker(), requests: questions };
            peers.push(Some((peer, fetches, commits, subscriber, fetcher, follower)));
        }
        let acceptor = AcceptorConfig {
            tls: TlsAcceptor::from(tls.server_config()?),
            handshakes: limits.handshakes,
            deadline: limits.handshake_deadline,
        };

        let (members, incoming) = mpsc::channel(WAITING_CONNECTIONS);
        let acceptor = Acceptor { listener, tls, acceptor, connections: Arc::clone(&connections), members };
        let served = Served {
            own,
            genesis,
            store,
            own_blocks: Arc::clone(&own_blocks),
            limits: limits.clone(),
            shutdown: shutdown.clone(),
        };
        let closing = Closing { connections: Arc::clone(&connections), limits, shutdown: shutdown.clone() };
        let accepting = acceptor.run(shutdown.clone());
        tasks.spawn(async move {
            accepting.await;
            Ok(())
        });
        tasks.spawn(serve(served, ReceiverStream::new(incoming), closing));
        let peers = peers
            .into_iter()
            .map(|peer| {
                let (peer, fetches, commits, subscriber, fetcher, follower) = peer?;
                tasks.spawn(async move {
                    subscriber.run().await;
                    Ok(())
                });
                tasks.spawn(async move {
                    fetcher.run().await;
                    Ok(())
                });
                tasks.spawn(async move {
                    follower.run().await;
                    Ok(())
                });
                Some(PeerEntry { peer, fetches, commits })
            })
            .collect();

        let outcome = Arc::new(Outcome::default());
        tokio::spawn(supervise(tasks, Arc::clone(&outcome), shutdown));
        Ok(PeerHandle { inner: Arc::new(Inner { own, own_blocks, connections, peers, outcome }) })
    }
}

fn checked(config: &PeerConfig) -> Result<PeerTls, PeerError> {
    config.limits.validate()?;
    let (committee, own) = (config.genesis.committee(), config.own);
    let size = committee.size();
    let authority = committee.authority(own).ok_or(PeerError::NotInCommittee { own, size })?;
    let found = config.addresses.len();
    if found != size {
        return Err(PeerError::Addresses { expected: size, found });
    }
    let tls = PeerTls::new(&config.network_secret, committee)?;
    if tls.public_key() != authority.network_key {
        return Err(PeerError::NetworkKey { own });
    }
    Ok(tls)
}

/// What ends connections at shutdown.
#[derive(Debug)]
struct Closing {
    connections: Arc<Connections>,
    limits: PeerLimits,
    shutdown: CancellationToken,
}

async fn serve(
    served: Served,
    incoming: ReceiverStream<std::io::Result<super::listener::PeerIo>>,
    closing: Closing,
) -> Result<(), PeerError> {
    let limit = decode_limit(served.genesis.parameters().max_commit_bytes);
    let service = PeerServiceServer::new(PeerServer::new(served)).max_decoding_message_size(limit);
    let serving = grpc::server()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, closing.shutdown.clone().cancelled_owned());
    let deadline = async {
        closing.shutdown.cancelled().await;
        time::sleep(closing.limits.drain_deadline).await;
    };
    let served = tokio::select! {
        served = serving => served.map_err(PeerError::Server),
        () = deadline => Ok(()),
    };
    closing.connections.close_all();
    served
}

/// How the network ended.
#[derive(Debug)]
struct Outcome {
    failure: OnceLock<Arc<PeerError>>,
    ended: watch::Sender<bool>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { failure: OnceLock::new(), ended: watch::Sender::new(false) }
    }
}

/// Waits for all tasks; the first failure ends the others.
async fn supervise(
    mut tasks: JoinSet<Result<(), PeerError>>,
    outcome: Arc<Outcome>,
    shutdown: CancellationToken,
) {
    while let Some(ended) = tasks.join_next().await {
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(error) => error
                .try_into_panic()
                .ok()
                .map(|payload| PeerError::Panicked { reason: panic_text(&*payload) }),
        };
        if let Some(failure) = failure {
            tracing::error!(error = &failure as &dyn std::error::Error, "the peer network fails");
            // Only the first is kept: the others follow from it.
            outcome.failure.set(Arc::new(failure)).ok();
            shutdown.cancel();
        }
    }
    outcome.ended.send_replace(true);
}

#[derive(Debug)]
struct PeerEntry {
    peer: Arc<Peer>,
    fetches: mpsc::Sender<Fetch>,
    commits: mpsc::Sender<ChainPoint>,
}

#[derive(Debug)]
struct Inner {
    own: AuthorityIndex,
    own_blocks: Arc<OwnBlocks>,
    connections: Arc<Connections>,
    /// By index; `None` at the own place.
    peers: Vec<Option<PeerEntry>>,
    outcome: Arc<Outcome>,
}

/// The driver's end. Cheap to clone; nothing but [`PeerHandle::stopped`] waits.
#[derive(Clone, Debug)]
pub struct PeerHandle {
    inner: Arc<Inner>,
}

impl PeerHandle {
    /// Sends an own block to every subscriber, now and later. It must be durable, covered by the signing guard, and
    /// readable in the [`BlockStore`]; rounds rise.
    pub fn broadcast(&self, block: VerifiedBlock) {
        self.inner.own_blocks.push(block);
    }

    /// Tells subscribers that this authority has transactions and has proposed in `round`.
    pub fn wake(&self, round: Round) {
        self.inner.own_blocks.wake(round);
    }

    /// Asks a peer for blocks; its end comes as [`PeerEvent::FetchEnded`]. Not taken, and without an end, when the peer is not
    /// connected, already has as many requests waiting as it may, is unknown or this authority itself. Whether it was taken.
    pub fn fetch(&self, fetch: Fetch) -> bool {
        let Some(Some(entry)) = self.inner.peers.get(fetch.peer.as_usize()) else { return false };
        !fetch.blocks.is_empty() && entry.peer.link().is_some() && entry.fetches.try_send(fetch).is_ok()
    }

    /// Asks a peer for certified commits; the answer comes as [`PeerEvent::Commits`]. Not taken, and without an answer, as with
    /// [`PeerHandle::fetch`]. Whether it was taken.
    pub fn fetch_commits(&self, peer: AuthorityIndex, after: ChainPoint) -> bool {
        let Some(Some(entry)) = self.inner.peers.get(peer.as_usize()) else { return false };
        entry.peer.link().is_some() && entry.commits.try_send(after).is_ok()
    }

    /// Counts a fault of a peer that the machine found. Its connection stays: what it passes on may be of others, and who
    /// signed two blocks for a slot is still needed for its other ones.
    pub fn fault(&self, peer: AuthorityIndex, label: &'static str) {
        if let Some(Some(entry)) = self.inner.peers.get(peer.as_usize()) {
            entry.peer.fault(label);
        }
    }

    /// Whether the block stream of each authority is open, by index; the own place is always true.
    pub fn connected(&self) -> Vec<bool> {
        let connected = |entry: &Option<PeerEntry>| {
            entry.as_ref().is_none_or(|entry| entry.peer.status().borrow().connected)
        };
        self.inner.peers.iter().map(connected).collect()
    }

    /// What is known of every other authority, by rising index.
    pub fn statuses(&self) -> Vec<PeerStatus> {
        self.inner.peers.iter().flatten().map(|entry| entry.peer.snapshot()).collect()
    }

    /// Follows what is known of one other authority; `None` for this one and for unknown ones.
    pub fn status(&self, peer: AuthorityIndex) -> Option<watch::Receiver<PeerStatus>> {
        let entry = self.inner.peers.get(peer.as_usize())?;
        entry.as_ref().map(|entry| entry.peer.status())
    }

    /// This authority.
    pub fn own(&self) -> AuthorityIndex {
        self.inner.own
    }

    /// The own blocks in memory: how many, and how many signed bytes. Both bounded by
    /// [`PeerLimits`](super::PeerLimits).
    pub fn held(&self) -> (usize, u64) {
        self.inner.own_blocks.held()
    }

    /// Incoming connections that did not get through their handshake: no member's key, no TLS, too slow.
    pub fn refused_connections(&self) -> u64 {
        self.inner.connections.refused()
    }

    /// Incoming connections of an authority that are open.
    pub fn open_connections(&self, peer: AuthorityIndex) -> usize {
        self.inner.connections.open_count(peer)
    }

    /// Waits until every task has ended.
    ///
    /// # Errors
    /// The failure that ended them, if it was not shutdown.
    pub async fn stopped(&self) -> Result<(), Arc<PeerError>> {
        // The sender is in this handle, so the watch cannot be closed.
        self.inner.outcome.ended.subscribe().wait_for(|ended| *ended).await.ok();
        self.inner.outcome.failure.get().map_or(Ok(()), |failure| Err(Arc::clone(failure)))
    }
}
