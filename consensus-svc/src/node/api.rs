//! The API server: transactions, commits, status, health, reflection.

use std::{sync::Arc, time::Duration};

use consensus_core::CommitIndex;
use metanode_proto::consensus::v1::{
    commit_service_server::{self, CommitServiceServer},
    node_service_server::{self, NodeServiceServer},
    transaction_service_server::{self, TransactionServiceServer},
};
use metanode_shell::grpc;
use metanode_telemetry::metrics::ConsensusMetrics;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tonic::transport;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::{
    commit_log::CommitFeed,
    commit_stream::{CommitReader, ExecutorView},
    config::Config,
    status::{NodeStatus, NodeView},
    submit::{ExecutorLag, SubmitLimits, SubmitSettings, Submitter, Tracker, TransactionIntake},
};

/// When refused clients are told to come back: a few rounds.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// What reflection lists.
const SERVICES: [&str; 3] = [
    transaction_service_server::SERVICE_NAME,
    commit_service_server::SERVICE_NAME,
    node_service_server::SERVICE_NAME,
];

/// Serves everything on `listener` until `shutdown`.
#[expect(clippy::too_many_arguments, reason = "each is one part of the node that the API reaches")]
pub(super) fn serve<H: Health>(
    listener: TcpListener,
    config: &Config,
    view: &NodeView,
    submitter: Submitter,
    tracker: Arc<Tracker>,
    metrics: Arc<ConsensusMetrics>,
    health: HealthServer<H>,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = Result<(), transport::Error>> + use<H>, tonic_reflection::server::Error> {
    let settings = SubmitSettings {
        limits: SubmitLimits {
            max_transactions: config.submit.max_batch_transactions,
            max_batch_bytes: usize::try_from(config.submit.max_batch_bytes).unwrap_or(usize::MAX),
            max_transaction_bytes: usize::try_from(config.genesis.parameters().max_transaction_bytes)
                .unwrap_or(usize::MAX),
        },
        max_executed_lag: config.submit.max_executed_lag,
        retry_delay: RETRY_DELAY,
    };
    let lag = Lag { feed: Arc::clone(&view.feed), executor: view.executor.clone() };
    let reader = CommitReader::new(Arc::clone(&view.feed), shutdown.clone());
    reader.observe(&metrics);
    let node = NodeStatus::new(view.clone());
    node.observe(&metrics);
    let largest = grpc::decode_limit(config.submit.max_batch_bytes);
    let admission = grpc::Admission::new(largest);
    metrics.incomplete_bytes.watch(admission.incomplete_bytes());
    let connections = grpc::incoming(listener);
    metrics.connections.watch(connections.open_connections());
    let intake = TransactionIntake::new(submitter, tracker, settings, lag, metrics, shutdown.clone());
    let routes = grpc::server()
        .layer(admission)
        .add_service(health)
        .add_service(grpc::reflection(&SERVICES)?)
        .add_service(TransactionServiceServer::new(intake).max_decoding_message_size(largest))
        .add_service(CommitServiceServer::new(reader))
        .add_service(NodeServiceServer::new(node));
    Ok(routes.serve_with_incoming_shutdown(connections, shutdown.cancelled_owned()))
}

/// How far execution is behind, from the two watches.
#[derive(Debug)]
struct Lag {
    feed: Arc<CommitFeed>,
    executor: watch::Receiver<ExecutorView>,
}

impl ExecutorLag for Lag {
    fn commit_index(&self) -> CommitIndex {
        self.feed.last_index()
    }

    fn executed_index(&self) -> CommitIndex {
        self.executor.borrow().executed_index
    }
}
