//! Starts and ends of the master.

use std::{fs, path::PathBuf, time::Duration};

use metanode_proto::executor::v1::GetLastBlockNumberResponse;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::Bench;
use crate::{
    chain::Chain,
    client::describe,
    process::{Group, Spec, last_words},
    row::{Failure, Outcome},
    settings::{DATA_DIR, GENESIS, Protocol},
};

/// Between two questions to a master that starts: nothing tells when it listens.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Why a row cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Nothing can be judged: the command does not start a master.
    #[error("{0}")]
    NotStarted(String),
    /// What an earlier row left behind is no ground to go on from.
    #[error("{0}")]
    LeftBehind(String),
}

impl Bench {
    /// Makes the master ready for a row: a new life with a new data folder, where the command keeps its data there, else the
    /// life of the row before.
    ///
    /// # Errors
    /// [`BeginError`].
    pub async fn begin(&mut self) -> Result<(), BeginError> {
        let first = self.rows == 0;
        self.rows += 1;
        if first && self.ask().await.is_ok() {
            let text = format!("somebody listens at {} already; end that process", self.settings.endpoint());
            return Err(BeginError::NotStarted(text));
        }
        let fresh = self.settings.is_fresh_each_row();
        if fresh || first {
            self.kill().await.map_err(|failure| BeginError::LeftBehind(failure.came))?;
            // A folder that is kept has those of earlier runs.
            let mut names = (self.rows..).map(|number| self.settings.folder.join(format!("data-{number}")));
            self.data = names.find(|folder| !folder.exists()).unwrap_or_default();
            let made = fs::create_dir_all(&self.data);
            made.map_err(|error| {
                BeginError::NotStarted(format!("cannot make {}: {error}", self.data.display()))
            })?;
            self.chain = Chain::new(std::sync::Arc::clone(&self.network));
        }
        let alive = self.group.as_mut().is_some_and(|group| group.ended().is_none());
        let position = if alive { self.position().await } else { self.start().await };
        let error = |text| if first { BeginError::NotStarted(text) } else { BeginError::LeftBehind(text) };
        let position = position
            .map_err(|failure| error(format!("expected {}, came {}", failure.expected, failure.came)))?;
        if (fresh || first) && position.block_number != 0 {
            return Err(BeginError::NotStarted(format!(
                "the master stands at block {} before the first commit; empty its data folder, or have it keep its data in ${DATA_DIR}",
                position.block_number
            )));
        }
        if !fresh && !first {
            self.judge_position(&position).map_err(|failure| {
                let text = format!("an earlier row left the master elsewhere: {}", failure.came);
                BeginError::LeftBehind(text)
            })?;
        }
        Ok(())
    }

    /// Asks where the master stands, on a connection of its own: its answer, or its error.
    ///
    /// # Errors
    /// [`Failure`] where nobody listens, or nothing comes in time.
    pub(crate) async fn ask(&self) -> Outcome<Result<GetLastBlockNumberResponse, Status>> {
        match &self.settings.protocol {
            Protocol::Grpc { .. } => self.client().await?.position().await,
            Protocol::Uds(master) => self.ask_framed(master).await,
        }
    }

    /// The first answer of a master that says that it is ready. It is not compared with anything yet.
    pub(crate) async fn start(&mut self) -> Outcome<GetLastBlockNumberResponse> {
        const EXPECTED: &str = "the command starts a master that says ready = true";
        let spec = Spec {
            command: self.settings.command.clone(),
            environment: vec![(GENESIS, self.genesis.clone()), (DATA_DIR, self.data.clone())],
            authority: hex::encode(self.network.authority()),
            log: self.log(),
        };
        let group = Group::start(&spec).map_err(|error| Failure::new(EXPECTED, error.to_string()))?;
        self.group = Some(group);
        let (deadline, mut last) = (Instant::now() + self.settings.patience, String::new());
        let failed = |came: String| Failure::new(EXPECTED, format!("{came}; {}", last_words(&spec.log)));
        while Instant::now() < deadline {
            if let Some(status) = self.group.as_mut().and_then(Group::ended) {
                return Err(failed(format!("it ended with {status}")));
            }
            match self.ask().await {
                Ok(Ok(position)) if position.ready => return Ok(position),
                Ok(Ok(_)) => "ready = false".clone_into(&mut last),
                Ok(Err(status)) if status.code() == Code::Unimplemented => {
                    return Err(failed(describe(&status)));
                }
                Ok(Err(status)) => last = describe(&status),
                Err(failure) => last = failure.came,
            }
            sleep(ASK_AGAIN).await;
        }
        Err(failed(format!("still {last} after {} s", self.settings.patience.as_secs())))
    }

    /// kill -9 of all processes of the master, if it lives.
    pub(crate) async fn kill(&mut self) -> Outcome {
        let Some(group) = self.group.take() else { return Ok(()) };
        if group.kill().await {
            Ok(())
        } else {
            Err(Failure::new("killed processes end", "one of them is still there after 20 s"))
        }
    }

    /// kill -9, and a new life; the position that it says first, which is one of this chain.
    pub(crate) async fn restart(&mut self) -> Outcome<GetLastBlockNumberResponse> {
        self.kill().await?;
        let position = self.start().await?;
        self.judge_position(&position)?;
        Ok(position)
    }

    /// Sends a signal to all processes of the master.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = &self.group {
            group.signal(signal);
        }
    }

    /// Fails where the master's command has ended.
    pub(crate) fn lives(&mut self) -> Outcome {
        match self.group.as_mut().and_then(Group::ended) {
            None => Ok(()),
            Some(status) => {
                let came = format!("it ended with {status}; {}", last_words(&self.log()));
                Err(Failure::new("the master goes on", came))
            }
        }
    }

    /// Bytes of memory of the master's own; `None` where the system does not tell.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.group.as_ref().and_then(Group::memory_bytes)
    }

    /// Where the master's output goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.settings.folder.join("master.log")
    }
}
