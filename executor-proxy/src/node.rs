//! One running proxy: the server comes up first, the executor loads behind it.

use std::{io, net::SocketAddr};

use metanode_proto::executor::v1::executor_service_server::{ExecutorServiceServer, SERVICE_NAME};
use metanode_shell::{
    grpc::{self, BindError},
    tasks::{Stopped, Supervisor, TaskError},
};
use metanode_telemetry::{Telemetry, metrics::ExecutorMetrics, scrape};
use reference_ledger::ChainId;
use sequencer_core::Params;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    backend::{
        Backend, BackendError,
        embedded::{EmbeddedBackend, FOLDER},
        grpc::GrpcBackend,
        uds::{self, LegacyMaster, UdsBackend},
    },
    config::Config,
    driver::{self, Standing},
    server::Service,
};

/// Requests that may wait for the driver. More wait at their callers.
const WAITING_REQUESTS: usize = 16;

/// Connections at a time: one of consensus, which keeps its place by its client stream, and those of health checks and of
/// operators.
const MAX_CONNECTIONS: usize = 64;

/// Why a proxy did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener does not tell its address.
    #[error("cannot read the address of a listener")]
    Address(#[source] io::Error),
    /// The descriptors of reflection cannot be read; a bug of the build.
    #[error("cannot set up reflection")]
    Reflection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A proxy that runs. Dropping it aborts it.
#[derive(Debug)]
pub struct Node {
    supervisor: Supervisor,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
}

/// The embedded executor of a configuration.
#[must_use]
pub fn embedded(config: &Config, metrics: ExecutorMetrics) -> EmbeddedBackend {
    EmbeddedBackend {
        path: config.data_dir.join(FOLDER),
        chain_id: ChainId(config.network.chain_id.0),
        accounts: config.network.accounts.clone(),
        authority: config.authority,
        window_commits: window_commits(config),
        metrics,
    }
}

/// The master that the configuration asks for.
///
/// # Errors
/// [`BackendError::Endpoint`]; a configuration that was checked has none.
pub fn master(config: &Config, endpoint: &str) -> Result<GrpcBackend, BackendError> {
    GrpcBackend::new(endpoint, config.network.clone(), window_commits(config))
}

/// The existing master that the configuration asks for.
#[must_use]
pub fn legacy_master(config: &Config, master: &LegacyMaster) -> UdsBackend {
    UdsBackend::new(uds::Settings {
        master: master.clone(),
        path: config.data_dir.join(uds::FOLDER),
        network: config.network.clone(),
        authority: config.authority,
        window_commits: window_commits(config),
        // Told by its name before it would be told as a master that hangs.
        empty_limit: config.execute_timeout / 2,
        keepalive: uds::DEFAULT_KEEPALIVE,
    })
}

impl Node {
    /// Listens, and starts to load the executor. Reads are answered with `ready = false` until it is.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start<B: Backend>(
        config: &Config,
        backend: B,
        telemetry: Telemetry,
        metrics: ExecutorMetrics,
    ) -> Result<Self, StartError> {
        let mut supervisor = Supervisor::new();
        let shutdown = supervisor.shutdown_token();
        let listener = grpc::bind(&config.listen).await?;
        let address = listener.local_addr().map_err(StartError::Address)?;
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "whoever reaches this address can feed the executor: it asks for no credential, so let only its consensus-svc through"
            );
        }

        let (requests, waiting) = mpsc::channel(WAITING_REQUESTS);
        let (standing, stands) = watch::channel(Standing::LOADING);
        let streams = TaskTracker::new();
        let service = Service {
            network: config.network.clone(),
            standing: stands.clone(),
            requests,
            window_commits: window_commits(config),
            tasks: streams.clone(),
        };
        let (reporter, health) = grpc::health().await;
        reporter.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
        let reflection =
            grpc::reflection(&[SERVICE_NAME]).map_err(|error| StartError::Reflection(error.into()))?;
        let limit = grpc::decode_limit(config.network.limits.max_bytes);
        let routes = grpc::server()
            .layer(grpc::Admission::new(limit).client_streams(SERVICE_NAME, &["ExecuteCommits"]))
            .add_service(ExecutorServiceServer::new(service).max_decoding_message_size(limit))
            .add_service(health)
            .add_service(reflection);
        let stop = shutdown.clone();
        let connections = grpc::incoming(listener).at_most(MAX_CONNECTIONS);
        metrics.connections.watch(connections.open_connections());
        supervisor.spawn("server", async move {
            routes.serve_with_incoming_shutdown(connections, stop.cancelled_owned()).await
        });
        let settings = driver::Settings {
            network: config.network.clone(),
            authority: config.authority,
            params: Params {
                window_commits: config.window_commits,
                window_bytes: config.window_bytes,
                ..Params::default()
            },
            requests: waiting,
            standing,
            metrics,
            execute_timeout: config.execute_timeout,
            shutdown: shutdown.clone(),
        };
        supervisor.spawn("driver", driver::run(settings, backend));
        supervisor.spawn("health", report_health(stands, reporter));
        supervisor.spawn("streams", end_with(streams, shutdown.clone()));
        let metrics_address = match &config.metrics_listen {
            None => None,
            Some(address) => {
                let listener = grpc::bind(address).await?;
                let address = listener.local_addr().map_err(StartError::Address)?;
                supervisor.spawn("metrics", scrape::serve(listener, telemetry, shutdown));
                Some(address)
            }
        };
        tracing::info!(%address, "listening");
        Ok(Self { supervisor, address, metrics_address })
    }

    /// Where the API is served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are served.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Runs until SIGTERM, SIGINT or the first failure, then drains.
    ///
    /// # Errors
    /// The first [`TaskError`].
    pub async fn run_until_signal(self) -> Result<Stopped, TaskError> {
        self.supervisor.run_until_signal().await
    }

    /// As [`Node::run_until_signal`], until an event.
    ///
    /// # Errors
    /// The first [`TaskError`].
    pub async fn run_until(self, event: impl Future<Output = &'static str>) -> Result<Stopped, TaskError> {
        self.supervisor.run_until(event).await
    }
}

fn window_commits(config: &Config) -> usize {
    usize::try_from(config.window_commits).unwrap_or(usize::MAX)
}

/// SERVING exactly while the executor is ready: not before it is loaded, not while draining, not after a failure.
async fn report_health(
    mut standing: watch::Receiver<Standing>,
    reporter: HealthReporter,
) -> Result<(), std::convert::Infallible> {
    let mut reported = false;
    loop {
        let ready = standing.borrow_and_update().ready;
        if ready != reported {
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            reporter.set_service_status(SERVICE_NAME, status).await;
            reported = ready;
        }
        // The driver ends by dropping its end, after it said that it is not ready.
        if standing.changed().await.is_err() && standing.borrow().ready == reported {
            return Ok(());
        }
    }
}

/// Waits for the tasks of the streams at shutdown; the driver ends their streams.
async fn end_with(streams: TaskTracker, shutdown: CancellationToken) -> Result<(), std::convert::Infallible> {
    shutdown.cancelled().await;
    streams.close();
    streams.wait().await;
    Ok(())
}
