//! `consensus-svc run`.

use std::{io, path::Path, process::ExitCode, time::Duration};

use metanode_shell::tasks::{BoxError, Stopped};
use metanode_telemetry::{Telemetry, TelemetryError};
use tokio::runtime::Runtime;

use super::{failure, misconfigured};
use crate::config::Config;

/// Name of the service in events and metrics.
const SERVICE: &str = "consensus-svc";
/// Time for threads that are still busy when all tasks have ended.
const LAST_THREADS: Duration = Duration::from_secs(2);

/// Why the process ends with 1.
#[derive(Debug, thiserror::Error)]
enum RunError {
    /// The runtime could not be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The node ended by an error.
    #[error("the node stopped")]
    Node(#[source] BoxError),
}

/// Reads the configuration at `path`, sets up events and metrics, and runs `node` to its end on a runtime of its own.
pub fn run<F, N, E>(path: &Path, node: N) -> ExitCode
where
    N: FnOnce(Config, Telemetry) -> F,
    F: Future<Output = Result<Stopped, E>>,
    E: Into<BoxError>,
{
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return misconfigured(&error),
    };
    let telemetry = match Telemetry::init(SERVICE, config.log.format, &config.log.filter) {
        Ok(telemetry) => telemetry,
        Err(error @ (TelemetryError::Filter { .. } | TelemetryError::Format { .. })) => {
            return misconfigured(&error);
        }
        Err(error) => return failure(&error),
    };
    match serve(config, telemetry, node) {
        Ok(stopped) => {
            tracing::info!(cause = ?stopped.cause, aborted = ?stopped.aborted, "ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "ended by an error");
            failure(&error)
        }
    }
}

fn serve<F, N, E>(config: Config, telemetry: Telemetry, node: N) -> Result<Stopped, RunError>
where
    N: FnOnce(Config, Telemetry) -> F,
    F: Future<Output = Result<Stopped, E>>,
    E: Into<BoxError>,
{
    let runtime = Runtime::new().map_err(RunError::Runtime)?;
    let outcome = runtime.block_on(node(config, telemetry)).map_err(|error| RunError::Node(error.into()));
    runtime.shutdown_timeout(LAST_THREADS);
    outcome
}
