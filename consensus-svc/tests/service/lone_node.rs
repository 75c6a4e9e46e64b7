//! A committee of one: files, a real process, and clients of its API.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use consensus_core::Genesis;
use consensus_svc::{
    cli::genesis::{NetworkOptions, write_network},
    genesis_file,
};
use metanode_proto::{
    consensus::v1::Commit,
    consensus::v1::{
        GetCommitRequest, GetStatusRequest, GetStatusResponse, SubmitRequest, TransactionOutcome, WaitFor,
        commit_service_client::CommitServiceClient, node_service_client::NodeServiceClient,
        transaction_service_client::TransactionServiceClient,
    },
    genesis::GenesisParameters,
};
use metanode_shell::{config::Problems, grpc};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc,
};
use tonic::{Status, transport::Channel};

use crate::soon;

/// The files of a network of one authority, in a folder that goes with it.
pub(crate) struct LoneNetwork {
    folder: tempfile::TempDir,
    config: PathBuf,
    pub(crate) genesis: Arc<Genesis>,
}

/// A running consensus-svc.
pub(crate) struct Process {
    child: Child,
    events: mpsc::Receiver<Value>,
    pub(crate) api: String,
    pub(crate) metrics: String,
}

impl LoneNetwork {
    /// Commits come from transactions alone: the heartbeat is too far away for a test to see.
    pub(crate) fn new() -> Self {
        Self::of(1)
    }

    /// ... of more authorities, of which the first alone is ever started.
    pub(crate) fn of(authorities: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let parameters = GenesisParameters {
            gc_depth: 10_000,
            heartbeat_interval_ms: 3_600_000,
            heartbeat_rounds: 5_000,
            max_transaction_bytes: 1_000,
            root_interval: 2,
            ..GenesisParameters::default()
        };
        let options = NetworkOptions {
            authorities,
            out: folder.path().join("net"),
            parameters,
            timestamp_ms: now_ms(),
            ..NetworkOptions::default()
        };
        let files = write_network(&options).unwrap();
        let file = genesis_file::read(&files.genesis).unwrap();
        let genesis = Arc::new(genesis_file::check(&file, &mut Problems::default()).unwrap());
        let config = files.authorities[0].consensus_config.clone();
        Self { folder, config, genesis }
    }

    pub(crate) fn chain_id(&self) -> [u8; 32] {
        *self.genesis.chain_id().as_bytes()
    }

    /// The configuration of the one authority.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// The signing guard of the one authority.
    pub(crate) fn guard(&self) -> PathBuf {
        self.config.parent().unwrap().join("consensus-data/signing.guard")
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the real program and waits until its API listens.
    pub(crate) async fn start(&self, executor: &str) -> Process {
        self.start_with(executor, &[]).await
    }

    /// ... with more keys of the configuration, named as in the environment.
    pub(crate) async fn start_with(&self, executor: &str, settings: &[(&str, &str)]) -> Process {
        let mut process = self.spawn(executor, settings);
        let running = process.event("[STARTUP] node runs").await;
        process.api = format!("http://{}", running["api"].as_str().unwrap());
        process.metrics = running["metrics"].as_str().unwrap().to_owned();
        process
    }

    /// Starts the real program, which may fail.
    pub(crate) fn spawn(&self, executor: &str, settings: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_consensus-svc"));
        command
            .args(["run", "--config"])
            .arg(&self.config)
            .current_dir(self.folder())
            .env("METANODE_CONSENSUS_PEER_LISTEN", "127.0.0.1:0")
            .env("METANODE_CONSENSUS_API_LISTEN", "127.0.0.1:0")
            .env("METANODE_CONSENSUS_METRICS_LISTEN", "127.0.0.1:0")
            .env("METANODE_CONSENSUS_LOG__FORMAT", "json")
            .env("METANODE_CONSENSUS_EXECUTOR__ENDPOINT", executor)
            .env("METANODE_CONSENSUS_PROPOSER__MIN_ROUND_INTERVAL_MS", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (key, value) in settings {
            command.env(format!("METANODE_CONSENSUS_{key}"), value);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, events) = mpsc::channel(100_000);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                // The program must never wait for the test.
                let _ = sender.try_send(event);
            }
        });
        Process { child, events, api: String::new(), metrics: String::new() }
    }
}

/// The heartbeat is counted from the genesis on, so that one must be new.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

impl Process {
    /// Waits for an event with this message.
    pub(crate) async fn event(&mut self, message: &str) -> Value {
        let mut before = Vec::new();
        let found = soon(message, async {
            while let Some(event) = self.events.recv().await {
                if event["message"] == message {
                    return Some(event);
                }
                before.push(event);
            }
            None
        });
        found.await.unwrap_or_else(|| panic!("the process ended without `{message}`: {before:#?}"))
    }

    /// All that it said until it ended, as text.
    pub(crate) async fn last_words(&mut self) -> String {
        let mut words = String::new();
        while let Some(event) = soon("the end of the process", self.events.recv()).await {
            words.push_str(event.as_str().map_or_else(|| event.to_string(), str::to_owned).as_str());
            words.push('\n');
        }
        words
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        soon("the end of the process", self.child.wait()).await.unwrap()
    }

    /// kill -9.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.ended().await;
    }

    /// SIGTERM, and what it ended with.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGTERM).unwrap();
        self.ended().await
    }

    pub(crate) fn channel(&self) -> Channel {
        grpc::channel(&self.api).unwrap()
    }

    pub(crate) async fn submit(
        &self,
        transactions: &[&'static str],
        wait_for: WaitFor,
    ) -> Result<Vec<TransactionOutcome>, Status> {
        let transactions = transactions.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        let request = SubmitRequest { transactions, wait_for: wait_for.into() };
        let mut client = TransactionServiceClient::new(self.channel());
        Ok(soon("the answer to Submit", client.submit(request)).await?.into_inner().outcomes)
    }

    pub(crate) async fn status(&self) -> GetStatusResponse {
        let mut client = NodeServiceClient::new(self.channel());
        soon("the status", client.get_status(GetStatusRequest {})).await.unwrap().into_inner()
    }

    pub(crate) async fn commit(&self, index: u64) -> Result<Commit, Status> {
        let mut client = CommitServiceClient::new(self.channel());
        let answer = soon("the commit", client.get_commit(GetCommitRequest { index })).await?;
        Ok(answer.into_inner().commit.unwrap())
    }
}
