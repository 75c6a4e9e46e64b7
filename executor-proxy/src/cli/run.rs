//! `executor-proxy run`.

use std::{path::Path, process::ExitCode, time::Duration};

use metanode_shell::{
    config::EX_CONFIG,
    tasks::{Stopped, TaskError},
};
use metanode_telemetry::{Telemetry, TelemetryError, metrics::ExecutorMetrics};
use thiserror::Error;
use tokio::runtime::Runtime;

use super::tell;
use crate::{
    backend::BackendError,
    config::{BackendKind, Config},
    node::{Node, StartError, embedded, legacy_master, master},
};

/// Time for threads that are still busy when all tasks have ended.
const LAST_THREADS: Duration = Duration::from_secs(2);

/// Why the process ends with 1.
#[derive(Debug, Error)]
enum RunError {
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
    #[error("cannot start")]
    Start(#[from] StartError),
    #[error("cannot start")]
    Backend(#[from] BackendError),
    #[error("stopped")]
    Task(#[from] TaskError),
}

pub(super) fn run(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            tell(&error);
            return ExitCode::from(EX_CONFIG);
        }
    };
    let telemetry = match Telemetry::init("executor-proxy", config.log_format, &config.log_filter) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            tell(&error);
            let configured = matches!(error, TelemetryError::Filter { .. } | TelemetryError::Format { .. });
            return if configured { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE };
        }
    };
    match serve(&config, telemetry) {
        Ok(stopped) => {
            tracing::info!(cause = ?stopped.cause, "ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "ended by an error");
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config, telemetry: Telemetry) -> Result<Stopped, RunError> {
    let runtime = Runtime::new().map_err(RunError::Runtime)?;
    let metrics = ExecutorMetrics::new(&telemetry.meter());
    let outcome = runtime.block_on(async {
        let node = match &config.backend {
            BackendKind::Embedded => {
                let backend = embedded(config, metrics.clone());
                Node::start(config, backend, telemetry, metrics).await?
            }
            BackendKind::Grpc { endpoint } => {
                Node::start(config, master(config, endpoint)?, telemetry, metrics).await?
            }
            BackendKind::Uds(master) => {
                Node::start(config, legacy_master(config, master), telemetry, metrics).await?
            }
        };
        Ok(node.run_until_signal().await?)
    });
    runtime.shutdown_timeout(LAST_THREADS);
    outcome
}
