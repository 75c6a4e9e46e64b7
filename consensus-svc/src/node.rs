//! One authority, put together: storage, machine, peers, intake, delivery, and the API around them.
//!
//! Order of the start: open the store (one process a store), read it and the guard, recover the machine, then listen, then run.
//! Nothing is sent or served before the machine has recovered. Every task is supervised: the first that fails takes the
//! node down in order, and the process ends with 1.
//!
//! Order of the end: health says NOT_SERVING, streams and waits end, the driver lets out what is on its way, the store
//! syncs and closes.

mod api;
mod blocks;
mod health;
mod liveness;
mod storage;

pub use health::EXECUTOR_HEALTH;
pub use liveness::{ProgressView, StallReason, Stalled, Work};

use std::{net::SocketAddr, sync::Arc, time::Duration};

use consensus_core::{RecoverError, Round};
use metanode_shell::{
    durable::WriteError,
    grpc::{self, BindError, EndpointError},
    tasks::{Stopped, Supervisor, TaskError},
};
use metanode_telemetry::{Telemetry, metrics::ConsensusMetrics, names::TARGET_STARTUP, scrape};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use self::{
    blocks::LogBlocks,
    health::{Health, Signals},
    storage::Storage,
};
use crate::{
    commit_log::{LogError, OpenError},
    commit_stream::{Bridge, BridgeError, BridgeSettings, LogSource, MachineLine, OnUnavailable},
    config::{Config, OnExecutorUnavailable},
    driver::{
        Clock, Driver, DriverError, Inputs, LogAndGuard, Outlets, Questioner, SeenBlocks, ShownToPeers,
    },
    guard::GuardError,
    metrics::CoreMetrics,
    peer::{AcceptedRounds, PeerConfig, PeerError, PeerHandle, PeerNetwork, PeerView},
    status::NodeView,
    submit::{Submitter, Tracker},
};

/// How long one question to the executor may take.
const EXECUTOR_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Batches of transactions that wait for the driver.
const SUBMISSION_QUEUE: usize = 256;
/// Events of peers that wait for the driver.
const PEER_EVENT_QUEUE: usize = 64;

/// Why the node did not start, or went down.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store could not be synced at the end.
    #[error("the store could not be closed")]
    Close(#[from] WriteError),
    /// The signing guard could not be read or raised.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The machine cannot go on with this store.
    #[error("cannot recover from the store")]
    Recover(#[from] RecoverError),
    /// An address is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The executor's address is not usable.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Delivery cannot begin.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The first batch could not be handed over.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The peer network did not start.
    #[error("the peer network does not start")]
    Peers(#[from] PeerError),
    /// The descriptors for reflection cannot be decoded.
    #[error("reflection cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A thread of the start panicked.
    #[error("the start was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    /// A task failed while the node ran.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// A node that has recovered and runs.
#[derive(Debug)]
pub struct Node {
    supervisor: Supervisor,
    /// Where the API listens.
    pub api_address: Option<SocketAddr>,
    /// Where other authorities connect to.
    pub peer_address: Option<SocketAddr>,
    storage: Arc<crate::commit_log::CommitLog>,
}

/// Runs an authority until SIGTERM, SIGINT or a failure.
///
/// # Errors
/// [`NodeError`].
pub async fn run(config: Config, telemetry: Telemetry) -> Result<Stopped, NodeError> {
    Node::start(config, telemetry).await?.run_until_signal().await
}

impl Node {
    /// Opens, recovers, listens and starts all tasks.
    ///
    /// # Errors
    /// [`NodeError`]; nothing runs then.
    pub async fn start(config: Config, telemetry: Telemetry) -> Result<Self, NodeError> {
        let metrics = Arc::new(ConsensusMetrics::new(&telemetry.meter()));
        let clock = Clock::start();
        let storage = Storage::open(&config, clock, Arc::clone(&metrics)).await?;
        let listeners = Listeners::bind(&config).await?;
        let mut supervisor = Supervisor::new().with_drain_deadline(config.drain_timeout);
        let shutdown = supervisor.shutdown_token();
        // From the first task on, a start that fails ends what it has begun.
        let failed = shutdown.clone().drop_guard();
        let parts = Parts::build(&config, storage, clock, metrics, listeners.peer, &shutdown).await?;

        let addresses = (listeners.api.local_addr().ok(), parts.peer_address);
        let metrics_address = listeners.metrics.as_ref().and_then(|listener| listener.local_addr().ok());
        tracing::info!(
            target: TARGET_STARTUP,
            authority = i64::from(config.own.get()),
            chain_id = %config.genesis.chain_id(),
            api = addresses.0.map(tracing::field::display),
            peer = addresses.1.map(tracing::field::display),
            metrics = metrics_address.map(tracing::field::display),
            "[STARTUP] node runs"
        );
        let log = Arc::clone(&parts.view.log);
        parts.spawn(&mut supervisor, &config, listeners.api).await?;
        if let Some(listener) = listeners.metrics {
            supervisor.spawn("metrics", scrape::serve(listener, telemetry, shutdown));
        }
        failed.disarm();
        Ok(Self { supervisor, api_address: addresses.0, peer_address: addresses.1, storage: log })
    }

    /// Cancelled when the node goes down; cancelling it takes the node down in order.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.supervisor.shutdown_token()
    }

    /// Runs until SIGTERM, SIGINT, the cancelled token or a failure.
    ///
    /// # Errors
    /// The first [`TaskError`]; [`NodeError::Close`].
    pub async fn run_until_signal(self) -> Result<Stopped, NodeError> {
        let stopped = self.supervisor.run_until_signal().await;
        // The last holder closes the store, which syncs and so blocks.
        match Arc::try_unwrap(self.storage) {
            Ok(log) => log.close().await?,
            Err(shared) => tokio::task::spawn_blocking(move || drop(shared)).await?,
        }
        Ok(stopped?)
    }
}

/// All addresses of this node, taken before anything runs.
struct Listeners {
    api: TcpListener,
    peer: TcpListener,
    metrics: Option<TcpListener>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, BindError> {
        Ok(Self {
            api: grpc::bind(&config.api_listen).await?,
            peer: grpc::bind(&config.peer_listen).await?,
            metrics: match &config.metrics_listen {
                Some(address) => Some(grpc::bind(address).await?),
                None => None,
            },
        })
    }
}

/// The tasks, ready to run.
struct Parts {
    driver: Driver<LogAndGuard, PeerHandle>,
    bridge: Bridge<LogSource>,
    peers: PeerHandle,
    peer_address: Option<SocketAddr>,
    view: NodeView,
    submitter: Submitter,
    tracker: Arc<Tracker>,
    metrics: Arc<ConsensusMetrics>,
    progress: watch::Sender<ProgressView>,
}

impl Parts {
    async fn build(
        config: &Config,
        storage: Storage,
        clock: Clock,
        metrics: Arc<ConsensusMetrics>,
        peer_listener: TcpListener,
        shutdown: &CancellationToken,
    ) -> Result<Self, NodeError> {
        let Storage { log, feed, guard, core, recovered, own_round, tracker } = storage;
        let genesis = Arc::clone(&config.genesis);
        let halt = CancellationToken::new();
        let (machine, executor_line) = MachineLine::new(halt.clone(), genesis.parameters().root_interval);

        let (bridge, executor) = Bridge::new(
            Arc::new(LogSource::new(Arc::clone(&feed), Arc::clone(&log))),
            Arc::clone(&genesis),
            config.identity.protocol_key().to_bytes(),
            bridge_settings(config)?,
            Arc::clone(&tracker),
            Arc::clone(&metrics),
            machine,
        )
        .await?;

        let (status, core_status) = watch::channel(core.status());
        let (clock_round, clock_rounds) = watch::channel(core.status().round);
        let (start_answered, start_answers) = watch::channel(false);
        let accepted = AcceptedRounds::new(genesis.committee());
        // Before the first subscription, or it would ask for the whole history of every author.
        accepted.observe(&core.status());
        let (peer_events, peer_inputs) = mpsc::channel(PEER_EVENT_QUEUE);
        let peer_address = peer_listener.local_addr().ok();
        let seen = SeenBlocks::new(genesis.committee());
        let blocks = LogBlocks::new(Arc::clone(&log), genesis.committee().epoch(), config.own, seen.clone());
        let peers = PeerNetwork::spawn(
            peer_config(config, own_round, peer_listener),
            Arc::new(blocks),
            peer_events,
            PeerView { accepted: accepted.clone(), clock_round: clock_rounds, start_answered: start_answers },
            shutdown.clone(),
        )?;

        let (submitter, submissions) = Submitter::new(SUBMISSION_QUEUE);
        let (questioner, questions) = Questioner::new();
        let (progress, progress_view) = watch::channel(ProgressView::default());
        let outlets = Outlets::new(
            peers.clone(),
            Arc::clone(&feed),
            Arc::clone(&tracker),
            status,
            ShownToPeers { clock_round, start_answered, accepted, seen },
        );
        let driver = Driver::new(
            core,
            recovered,
            clock,
            LogAndGuard::new(Arc::clone(&log), guard),
            Inputs { peers: peer_inputs, submissions, questions, executor: executor_line, halt },
            outlets,
            CoreMetrics::new(Arc::clone(&metrics)),
        )
        .await?;
        let view = NodeView {
            genesis,
            own: config.own,
            log,
            feed,
            core: core_status,
            executor,
            peers: peers.clone(),
            progress: progress_view,
            questioner,
        };
        Ok(Self { driver, bridge, peers, peer_address, view, submitter, tracker, metrics, progress })
    }

    async fn spawn(
        self,
        supervisor: &mut Supervisor,
        config: &Config,
        api: TcpListener,
    ) -> Result<(), NodeError> {
        let Self { driver, bridge, peers, view, submitter, tracker, metrics, progress, .. } = self;
        let shutdown = supervisor.shutdown_token();
        let (reporter, health) = grpc::health().await;
        let server = api::serve(
            api,
            config,
            &view,
            submitter,
            tracker,
            Arc::clone(&metrics),
            health,
            shutdown.clone(),
        )?;
        let signals = Signals { core: view.core, executor: view.executor, head: view.feed.watch() };
        let health = Health::new(signals, config.stalled_after, progress, reporter, metrics);
        let log = view.log;
        supervisor.spawn("driver", driver.run(shutdown.clone()));
        supervisor.spawn("executor", bridge.run(shutdown.clone()));
        supervisor.spawn("peers", async move { peers.stopped().await });
        supervisor.spawn("storage", storage::watch(log, shutdown.clone()));
        supervisor.spawn("api", server);
        supervisor.spawn("health", health.run(shutdown));
        Ok(())
    }
}

fn bridge_settings(config: &Config) -> Result<BridgeSettings, EndpointError> {
    let executor = &config.executor;
    Ok(BridgeSettings {
        endpoint: grpc::endpoint(&executor.endpoint)?,
        read_enabled: executor.read_enabled,
        on_unavailable: match executor.on_unavailable {
            OnExecutorUnavailable::Wait => OnUnavailable::Wait,
            OnExecutorUnavailable::Genesis => OnUnavailable::Genesis,
        },
        window_commits: executor.window_commits,
        window_bytes: executor.window_bytes,
        acknowledge_timeout: executor.acknowledge_timeout,
        call_timeout: EXECUTOR_CALL_TIMEOUT,
    })
}

fn peer_config(config: &Config, own_round: Round, listener: TcpListener) -> PeerConfig {
    let secret = config.identity.network_secret.clone();
    let mut peers = PeerConfig::new(listener, config.own, own_round, Arc::clone(&config.genesis), secret);
    for (authority, address) in &config.peers {
        if let Some(place) = peers.addresses.get_mut(authority.as_usize()) {
            place.clone_from(address);
        }
    }
    peers.limits.max_rounds_ahead = config.params.max_rounds_ahead;
    peers
}
