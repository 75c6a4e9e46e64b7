//! Waiting until a service serves.

use crate::process::{Process, ProcessState, ServiceId};
use metanode_shell::grpc::{EndpointError, channel};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How often the health is asked for: there is no event before the service listens.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Lines of a log that are shown.
const TAIL_LINES: usize = 12;
/// Bytes of a log that they are looked for in.
const TAIL_BYTES: u64 = 16 << 10;

/// A service does not serve.
#[derive(Debug, thiserror::Error)]
pub enum NotServing {
    /// Its process has ended.
    #[error("{id} has ended with {status}{}", tail(log))]
    Ended {
        /// Which one.
        id: ServiceId,
        /// Exit code, or the signal.
        status: ExitStatus,
        /// Its output.
        log: PathBuf,
    },
    /// It runs and does not serve.
    #[error("{id} does not serve after {} s{}", waited.as_secs(), tail(log))]
    TooSlow {
        /// Which one.
        id: ServiceId,
        /// How long it had.
        waited: Duration,
        /// Its output.
        log: PathBuf,
    },
    /// Its address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Waits until the process at `uri` (as a gRPC client takes it) says SERVING.
///
/// # Errors
/// [`NotServing`]: at once when the process ends, else at the deadline.
pub async fn wait_until_serving(
    process: &Process,
    uri: String,
    deadline: Duration,
) -> Result<(), NotServing> {
    let (id, log) = (process.spec().id, &process.spec().log);
    let mut health = HealthClient::new(channel(&uri)?);
    let serving = async {
        let mut poll = interval(POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            let request = HealthCheckRequest { service: String::new() };
            if let Ok(Ok(answer)) = timeout(deadline, health.check(request)).await
                && answer.get_ref().status() == ServingStatus::Serving
            {
                return;
            }
        }
    };
    let mut state = process.state();
    let ended = async {
        match state.wait_for(|state| matches!(state, ProcessState::Ended { .. })).await.as_deref() {
            Ok(ProcessState::Ended { status, .. }) => *status,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = serving => Ok(()),
        status = ended => Err(NotServing::Ended { id, status, log: log.clone() }),
        () = tokio::time::sleep(deadline) => {
            Err(NotServing::TooSlow { id, waited: deadline, log: log.clone() })
        }
    }
}

/// The end of a log, for people.
pub fn tail(log: &Path) -> String {
    let mut text = format!("; the end of {}:", log.display());
    match read_tail(log) {
        Ok(lines) if lines.is_empty() => text.push_str("\n  (empty)"),
        Ok(lines) => lines.iter().for_each(|line| {
            let _ = write!(text, "\n  {line}");
        }),
        Err(error) => {
            let _ = write!(text, "\n  (cannot be read: {error})");
        }
    }
    text
}

fn read_tail(log: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    Ok(lines.into_iter().rev().take(TAIL_LINES).rev().collect())
}
