//! A proxy to test, and a client that speaks the contract.

use std::{net::SocketAddr, path::Path};

use executor_proxy::{
    backend::Backend,
    config::Config,
    node::{Node, embedded},
};
use metanode_proto::{
    consensus::v1::{BlockRef, Commit, CommittedBlock},
    executor::v1::{
        Acknowledgement, ExecuteCommitsRequest, ExecuteCommitsResponse, GetLastBlockNumberRequest,
        GetLastBlockNumberResponse, Lease, StreamOpened, StreamOpening, execute_commits_request,
        execute_commits_response::Message, executor_service_client::ExecutorServiceClient,
    },
};
use metanode_shell::{
    grpc,
    status::{metadata_of, reason_of},
    tasks::{Stopped, TaskError},
};
use metanode_telemetry::{Telemetry, metrics::ExecutorMetrics};
use reference_ledger::{ChainId, SigningKey, TransferBody, account_key};
use tokio::{sync::mpsc, sync::oneshot, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

pub(crate) const CHAIN: [u8; 32] = [0xc1; 32];
pub(crate) const AUTHORITY: [u8; 32] = [0xa1; 32];

pub(crate) fn alice() -> SigningKey {
    SigningKey::from([1; 32])
}

pub(crate) fn bob() -> SigningKey {
    SigningKey::from([2; 32])
}

/// Writes genesis and configuration into the folder. Limits: 100 transactions and 64 KiB a commit, 8 KiB a transaction.
pub(crate) fn write_files(folder: &Path) -> Config {
    let genesis = format!(
        "chain_id = '{}'\nname = 'test'\ntimestamp_ms = 1\n\
         [parameters]\nmax_commit_transactions = 100\nmax_block_transactions = 100\nmax_commit_bytes = 65536\n\
         max_block_bytes = 32768\nmax_transaction_bytes = 8192\n\
         [[authorities]]\nstake = 1\nprotocol_key = '{}'\nnetwork_key = '{}'\naddress = '127.0.0.1:1'\n\
         [[accounts]]\npublic_key = '{}'\nbalance = 1000\n",
        hex::encode(CHAIN),
        hex::encode(AUTHORITY),
        hex::encode([0xb1; 32]),
        account_key(&alice()),
    );
    std::fs::write(folder.join("genesis.toml"), genesis).unwrap();
    let config = format!(
        "data_dir = 'data'\ngenesis = 'genesis.toml'\nauthority_key = '{}'\nlisten = '127.0.0.1:0'\n\
         [log]\nformat = 'json'\n[window]\ncommits = 4\n",
        hex::encode(AUTHORITY),
    );
    let path = folder.join("proxy.toml");
    std::fs::write(&path, config).unwrap();
    Config::load(&path).unwrap()
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<Stopped, TaskError>>,
}

impl Proxy {
    /// Starts with the embedded ledger and waits until it is loaded.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_at(folder, "127.0.0.1:0").await
    }

    /// As [`Proxy::start`], at an address.
    pub(crate) async fn start_at(folder: &Path, address: &str) -> Self {
        let mut config = write_files(folder);
        config.listen = address.to_owned();
        let telemetry = Telemetry::for_test().unwrap();
        let backend = embedded(&config, ExecutorMetrics::new(&telemetry.meter()));
        let proxy = Self::start_with(&config, backend).await;
        proxy.client().wait_until_ready().await;
        proxy
    }

    /// Starts with any backend, and does not wait.
    pub(crate) async fn start_with(config: &Config, backend: impl Backend) -> Self {
        let telemetry = Telemetry::for_test().unwrap();
        let metrics = ExecutorMetrics::new(&telemetry.meter());
        let node = Node::start(config, backend, telemetry, metrics).await.unwrap();
        let address = node.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(node.run_until(async {
            let _ = stopped.await;
            "test"
        }));
        Self { address, stop, running }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.address.to_string())
    }

    /// Ends in order.
    pub(crate) async fn stop(self) -> Result<Stopped, TaskError> {
        drop(self.stop);
        self.running.await.unwrap()
    }

    /// The outcome of a proxy that ends by itself.
    pub(crate) async fn ended(self) -> Result<Stopped, TaskError> {
        let outcome = self.running.await.unwrap();
        drop(self.stop);
        outcome
    }

    /// Ends without a word: no drain, no last acknowledgement.
    pub(crate) async fn abort(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

/// A client of the contract.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) ExecutorServiceClient<Channel>, HealthClient<Channel>);

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        let channel = grpc::channel(&format!("http://{address}")).unwrap();
        Self(ExecutorServiceClient::new(channel.clone()), HealthClient::new(channel))
    }

    pub(crate) async fn position(&self) -> GetLastBlockNumberResponse {
        self.0.clone().get_last_block_number(GetLastBlockNumberRequest {}).await.unwrap().into_inner()
    }

    /// Waits for the event that health tells.
    pub(crate) async fn wait_until_ready(&self) {
        self.wait_until(ServingStatus::Serving).await;
        assert!(self.position().await.ready);
    }

    pub(crate) async fn wait_until_not_ready(&self) {
        self.wait_until(ServingStatus::NotServing).await;
    }

    async fn wait_until(&self, status: ServingStatus) {
        let request = HealthCheckRequest { service: String::new() };
        let mut changes = self.1.clone().watch(request).await.unwrap().into_inner();
        while changes.message().await.unwrap().unwrap().status() != status {}
    }

    /// Starts a stream without an opening.
    pub(crate) async fn raw_stream(&self) -> Stream {
        let (messages, receiver) = mpsc::channel(64);
        let answers = self.0.clone().execute_commits(ReceiverStream::new(receiver)).await.unwrap();
        Stream { messages, answers: answers.into_inner() }
    }

    /// Sends an opening, and returns the stream with the answer to it.
    pub(crate) async fn try_open(&self, opening: StreamOpening) -> Result<(Stream, StreamOpened), Status> {
        let mut stream = self.raw_stream().await;
        stream.send(execute_commits_request::Message::Opening(opening)).await;
        match stream.answer().await? {
            Message::Opened(opened) => Ok((stream, opened)),
            other @ Message::Acknowledgement(_) => panic!("{other:?}"),
        }
    }

    /// Opens at the position that the executor reports.
    pub(crate) async fn open(&self, incarnation: u64) -> (Stream, u64) {
        let position = self.position().await;
        let opening = StreamOpening {
            after_digest: position.commit_digest,
            ..opening(incarnation, position.block_number)
        };
        let (stream, opened) = self.try_open(opening).await.unwrap();
        (stream, opened.incarnation)
    }
}

/// A stream of commits.
pub(crate) struct Stream {
    pub(crate) messages: mpsc::Sender<ExecuteCommitsRequest>,
    pub(crate) answers: Streaming<ExecuteCommitsResponse>,
}

impl Stream {
    /// Where the server has ended the stream already, its answer tells why.
    pub(crate) async fn send(&self, message: execute_commits_request::Message) {
        let _ = self.messages.send(ExecuteCommitsRequest { message: Some(message) }).await;
    }

    pub(crate) async fn send_empty(&self) {
        self.messages.send(ExecuteCommitsRequest { message: None }).await.unwrap();
    }

    pub(crate) async fn commit(&self, commit: Commit) {
        self.send(execute_commits_request::Message::Commit(commit)).await;
    }

    pub(crate) async fn answer(&mut self) -> Result<Message, Status> {
        let answer = self.answers.message().await?;
        Ok(answer.expect("the stream goes on").message.unwrap())
    }

    pub(crate) async fn acknowledgement(&mut self) -> Acknowledgement {
        match self.answer().await.unwrap() {
            Message::Acknowledgement(acknowledgement) => acknowledgement,
            other @ Message::Opened(_) => panic!("{other:?}"),
        }
    }

    /// Sends a commit and waits for its acknowledgement.
    pub(crate) async fn execute(&mut self, commit: Commit) -> Acknowledgement {
        let index = commit.index;
        self.commit(commit).await;
        let acknowledgement = self.acknowledgement().await;
        assert_eq!(acknowledgement.index, index);
        acknowledgement
    }

    /// The error that the stream ends with.
    pub(crate) async fn error(&mut self) -> Status {
        self.answer().await.expect_err("the stream ends with an error")
    }

    /// No more commits.
    pub(crate) fn half_close(self) -> Streaming<ExecuteCommitsResponse> {
        self.answers
    }
}

pub(crate) fn opening(incarnation: u64, after: u64) -> StreamOpening {
    StreamOpening {
        chain_id: CHAIN.to_vec().into(),
        lease: Some(Lease { authority: AUTHORITY.to_vec().into(), incarnation }),
        after_index: after,
        after_digest: digest(after),
    }
}

/// Digest of the commit at an index of the honest chain.
pub(crate) fn digest(index: u64) -> bytes::Bytes {
    let mut bytes = vec![0; 32];
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes.into()
}

pub(crate) const OTHER: [u8; 32] = [0xee; 32];

pub(crate) fn commit_with(index: u64, transactions: Vec<Vec<u8>>) -> Commit {
    let reference = BlockRef { round: index, author: 0, digest: vec![9; 32].into() };
    let transactions = transactions.into_iter().map(Into::into).collect();
    Commit {
        index,
        epoch: 0,
        previous_digest: digest(index - 1),
        digest: digest(index),
        leaders: vec![reference.clone()],
        timestamp_ms: index,
        closing: true,
        blocks: vec![CommittedBlock { block: Some(reference), transactions }],
        duplicate_marks: bytes::Bytes::new(),
    }
}

/// One transfer of 1 from alice to bob; its nonce fits the honest chain.
pub(crate) fn commit(index: u64) -> Commit {
    commit_with(index, vec![transfer(1, index - 1)])
}

pub(crate) fn transfer(amount: u64, nonce: u64) -> Vec<u8> {
    let recipient = account_key(&bob());
    TransferBody { chain_id: ChainId(CHAIN), recipient, amount, nonce, memo: b"" }.sign(&alice()).unwrap()
}

/// Code, reason and metadata of an error of ours.
pub(crate) fn assert_error(status: &Status, code: Code, reason: &str, metadata: &[(&str, &str)]) {
    assert_eq!((status.code(), reason_of(status).as_deref()), (code, Some(reason)), "{status:?}");
    for (key, value) in metadata {
        assert_eq!(metadata_of(status, key).as_deref(), Some(*value), "{key} of {status:?}");
    }
}
