//! A peer network with a store in memory and a driver played by the test; and bare clients.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use consensus_core::{
    AuthorityIndex, BlockRef, BlockSource, CommitIndex, FetchEnd, RangeBytes, RangeSource, Round,
    VerifiedBlock, collect_range, testkit::network::TestStore,
};
use consensus_svc::identity::SecretKey;
use consensus_svc::peer::{
    AcceptedRounds, BlockStore, PeerConfig, PeerEvent, PeerHandle, PeerLimits, PeerNetwork, PeerView,
    StoreReadError, tls::PeerTls,
};
use hyper_util::rt::TokioIo;
use metanode_proto::peer::v1::peer_service_client::PeerServiceClient;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::{TestCommittee, within};

/// Waits short enough for tests that provoke losses and faults.
pub(crate) fn quick_limits() -> PeerLimits {
    PeerLimits {
        max_rounds_ahead: 1_000_000,
        reconnect_min: Duration::from_millis(2),
        reconnect_max: Duration::from_millis(20),
        penalty_min: Duration::from_millis(2),
        penalty_max: Duration::from_millis(20),
        drain_deadline: Duration::from_millis(200),
        ..PeerLimits::default()
    }
}

/// Blocks in memory.
#[derive(Default)]
pub(crate) struct MemoryStore {
    blocks: Mutex<BTreeMap<BlockRef, VerifiedBlock>>,
    own: AuthorityIndex,
    /// Verified and not stored.
    pub(crate) seen: Mutex<BTreeMap<AuthorityIndex, VerifiedBlock>>,
    /// Commits to serve.
    pub(crate) commits: Mutex<TestStore>,
    /// Commits below this were pruned, say; none by default.
    pub(crate) earliest: Mutex<CommitIndex>,
    /// Every read of a single block waits until this can be locked.
    pub(crate) gate: Mutex<()>,
}

impl MemoryStore {
    pub(crate) fn insert(&self, block: &VerifiedBlock) {
        self.blocks.lock().unwrap().insert(block.reference(), block.clone());
    }
}

impl BlockStore for MemoryStore {
    fn block(&self, block: &BlockRef) -> Result<Option<VerifiedBlock>, StoreReadError> {
        drop(self.gate.lock().unwrap());
        Ok(self.blocks.lock().unwrap().get(block).cloned())
    }

    fn own_blocks(
        &self,
        after: Round,
        through: Round,
        max_count: usize,
        max_bytes: u64,
    ) -> Result<Vec<VerifiedBlock>, StoreReadError> {
        let blocks = self.blocks.lock().unwrap();
        let own = blocks
            .values()
            .filter(|block| block.author() == self.own && block.round() > after && block.round() <= through);
        let mut size_bytes = 0;
        let within = own.take(max_count).take_while(|block| {
            let first = size_bytes == 0;
            size_bytes += block.signed_bytes().len() as u64;
            first || size_bytes <= max_bytes
        });
        Ok(within.cloned().collect())
    }

    fn earliest_commit(&self) -> CommitIndex {
        *self.earliest.lock().unwrap()
    }

    fn certified_range(
        &self,
        first: CommitIndex,
        last: CommitIndex,
        _released: Round,
        limit_bytes: u64,
    ) -> Result<(Option<RangeBytes>, CommitIndex), StoreReadError> {
        let commits = self.commits.lock().unwrap();
        let Ok(highest) = commits.last_certified();
        let Ok(range) = collect_range(&*commits, first, limit_bytes);
        Ok((range.filter(|_| first <= last), highest))
    }

    fn latest_block_by(
        &self,
        author: AuthorityIndex,
        through: Round,
    ) -> Result<Option<VerifiedBlock>, StoreReadError> {
        let blocks = self.blocks.lock().unwrap();
        let latest = blocks.values().rev().find(|block| block.author() == author && block.round() <= through);
        Ok(latest.cloned())
    }

    fn latest_seen(&self, author: AuthorityIndex) -> Result<Option<VerifiedBlock>, StoreReadError> {
        let stored = self.latest_block_by(author, Round::new(u64::MAX))?;
        let seen = self.seen.lock().unwrap().get(&author).cloned();
        Ok(stored.into_iter().chain(seen).max_by_key(VerifiedBlock::round))
    }
}

/// How a node is started.
pub(crate) struct NodeOptions {
    pub(crate) limits: PeerLimits,
    /// Room for events that the driver has not taken yet.
    pub(crate) events: usize,
    pub(crate) clock_round: u64,
    /// Blocks in the store at start.
    pub(crate) stored: Vec<VerifiedBlock>,
    /// Highest own round that may be sent at start; `None` for the last of those in the store.
    pub(crate) own_round: Option<u64>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { limits: quick_limits(), events: 64, clock_round: 0, stored: vec![], own_round: None }
    }
}

/// A running peer network.
pub(crate) struct Node {
    pub(crate) handle: PeerHandle,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) accepted: AcceptedRounds,
    pub(crate) clock: watch::Sender<Round>,
    pub(crate) start_answered: watch::Sender<bool>,
    pub(crate) address: String,
    events: mpsc::Receiver<PeerEvent>,
    shutdown: CancellationToken,
}

impl Node {
    /// Starts authority `own`, which reaches the others at `addresses`; places that are left out cannot be reached.
    pub(crate) async fn start(
        committee: &TestCommittee,
        own: u16,
        listener: TcpListener,
        addresses: &[(u16, &str)],
        options: NodeOptions,
    ) -> Self {
        let own = AuthorityIndex::new(own);
        let address = listener.local_addr().unwrap().to_string();
        let secret = committee.secrets[own.as_usize()].clone();
        let last = options.stored.last().map_or(Round::GENESIS, VerifiedBlock::round);
        let own_round = options.own_round.map_or(last, Round::new);
        let mut config = PeerConfig::new(listener, own, own_round, Arc::clone(&committee.genesis), secret);
        for (place, address) in addresses {
            config.addresses[usize::from(*place)] = (*address).to_owned();
        }
        config.limits = options.limits;
        let store = Arc::new(MemoryStore { own, ..MemoryStore::default() });
        options.stored.iter().for_each(|block| store.insert(block));
        let (sender, events) = mpsc::channel(options.events);
        let accepted = AcceptedRounds::new(committee.genesis.committee());
        let (clock, clock_round) = watch::channel(Round::new(options.clock_round));
        let (start_answered, answered) = watch::channel(false);
        let view = PeerView { accepted: accepted.clone(), clock_round, start_answered: answered };
        let shutdown = CancellationToken::new();
        let dyn_store: Arc<dyn BlockStore> = Arc::<MemoryStore>::clone(&store);
        let handle = PeerNetwork::spawn(config, dyn_store, sender, view, shutdown.clone()).unwrap();
        Self { handle, store, accepted, clock, start_answered, address, events, shutdown }
    }

    /// As [`Node::start`] on a free port, with defaults.
    pub(crate) async fn plain(committee: &TestCommittee, own: u16, addresses: &[(u16, &str)]) -> Self {
        Self::start(committee, own, listener().await, addresses, NodeOptions::default()).await
    }

    /// The next event, but for answers to the question of the start and ends of fetches.
    pub(crate) async fn event(&mut self) -> PeerEvent {
        loop {
            let event = self.any_event().await;
            if !matches!(
                event,
                PeerEvent::OwnLastBlock { .. } | PeerEvent::FetchEnded { .. } | PeerEvent::SeenAhead { .. }
            ) {
                return event;
            }
        }
    }

    /// The next end of a fetch; blocks before it are passed over.
    pub(crate) async fn fetch_end(&mut self) -> (u64, FetchEnd) {
        loop {
            if let PeerEvent::FetchEnded { fetch, end } = self.any_event().await {
                return (fetch.0, end);
            }
        }
    }

    pub(crate) async fn any_event(&mut self) -> PeerEvent {
        within(self.events.recv()).await.expect("the network has ended")
    }

    /// Takes blocks until the round `last`; their rounds, in order.
    pub(crate) async fn blocks_to(&mut self, last: u64, expected: BlockSource) -> Vec<u64> {
        let mut taken = vec![];
        while taken.last() != Some(&last) {
            let event = self.event().await;
            assert!(matches!(&event, PeerEvent::Blocks { source, .. } if *source == expected), "{event:?}");
            taken.extend(super::rounds(&event));
        }
        taken
    }

    /// Durable, then broadcast: as the driver does it.
    pub(crate) fn propose(&self, block: &VerifiedBlock) {
        self.store.insert(block);
        self.handle.broadcast(block.clone());
    }

    /// Waits until the stream of `peer` is open, or not.
    pub(crate) async fn connected(&self, peer: u16, connected: bool) {
        let mut status = self.handle.status(AuthorityIndex::new(peer)).unwrap();
        within(status.wait_for(|status| status.connected == connected)).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.handle.stopped()).await.unwrap();
    }
}

/// A free port of this machine.
pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A bare client with the given key, of the authority `server`.
pub(crate) async fn client(
    committee: &TestCommittee,
    secret: SecretKey,
    server: u16,
    address: &str,
) -> io::Result<PeerServiceClient<Channel>> {
    let tls = PeerTls::new(&secret, committee.genesis.committee()).unwrap();
    client_of(tls.client_config(AuthorityIndex::new(server)).unwrap(), address).await
}

/// A bare client with its own idea of TLS.
pub(crate) async fn client_of(
    tls: Arc<ClientConfig>,
    address: &str,
) -> io::Result<PeerServiceClient<Channel>> {
    let connector = TlsConnector::from(tls);
    let stream = TcpStream::connect(address).await?;
    let stream = connector.connect(ServerName::try_from("test").unwrap(), stream).await?;
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        std::future::ready(once.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let channel = Endpoint::from_static("http://test").connect_with_connector(connector).await;
    Ok(PeerServiceClient::new(channel.map_err(io::Error::other)?))
}
