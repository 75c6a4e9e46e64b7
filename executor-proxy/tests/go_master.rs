//! The proxy before the Go master, as processes are: over a Unix socket, with kill -9. Needs Go; without it the test says that it
//! is skipped, unless REQUIRE_GO=1.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a skipped test says so")]

#[path = "service/harness.rs"]
#[allow(dead_code, reason = "the harness serves other tests too")]
mod harness;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use executor_proxy::{
    backend::{
        grpc::GrpcBackend,
        uds::{DEFAULT_KEEPALIVE, FOLDER, Layout, LegacyMaster, Settings, UdsBackend},
    },
    config::Config,
};
use harness::{CHAIN, Client, Proxy, Stream, alice, commit, digest, write_files};
use metanode_proto::executor::v1::{ExecuteCommitsRequest, execute_commits_request::Message};
use reference_ledger::{ChainId, Digest, Ledger, Transaction, account_key};
use tokio::task::JoinHandle;
use tonic::Code;

/// Commits between two kills, and how many are sent ahead when one falls.
const AHEAD: u64 = 40;
const KILLS: u64 = 8;

/// `None` where there is no Go.
fn build(folder: &Path) -> Option<PathBuf> {
    let found = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        assert_ne!(env::var("REQUIRE_GO").as_deref(), Ok("1"), "REQUIRE_GO=1, but there is no Go");
        eprintln!("skipped: there is no Go on this machine (REQUIRE_GO=1 makes this a failure)");
        return None;
    }
    let binary = folder.join("go-master");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg("./cmd/go-master")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go-master"))
        .status()
        .unwrap();
    assert!(built.success());
    Some(binary)
}

/// A running master; killed when it is dropped.
struct Master(Child);

impl Master {
    fn start(binary: &Path, folder: &Path) -> Self {
        Self::start_with(binary, folder, &[])
    }

    fn start_with(binary: &Path, folder: &Path, more: &[String]) -> Self {
        let child = Command::new(binary)
            .args(["run", "--genesis", "genesis.toml", "--data-dir", "master", "--log-level", "error"])
            .arg("--listen")
            .arg(format!("unix:{}", socket(folder).display()))
            .args(more)
            .current_dir(folder)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("master.sock")
}

/// Sends commits after `last` until there are enough, or the stream ends.
fn send_ahead(stream: &Stream, last: u64) -> JoinHandle<()> {
    let sender = stream.messages.clone();
    tokio::spawn(async move {
        for index in last + 1..=last + AHEAD {
            let message = Some(Message::Commit(commit(index)));
            if sender.send(ExecuteCommitsRequest { message }).await.is_err() {
                return;
            }
        }
    })
}

async fn executed(client: &Client) -> u64 {
    client.position().await.block_number
}

/// State roots of the honest chain after each commit up to `last`, by the ledger in Rust.
fn roots(last: u64) -> Vec<Digest> {
    let mut ledger = Ledger::genesis(ChainId(CHAIN), [(account_key(&alice()), 1000)]).unwrap();
    let bytes32 = |index| Digest(digest(index)[..].try_into().unwrap());
    let mut roots = vec![ledger.state_root()];
    for index in 1..=last {
        let message = commit(index);
        let transactions = message.blocks.iter().flat_map(|block| &block.transactions);
        ledger
            .execute(&reference_ledger::Commit {
                index,
                epoch: 0,
                previous_digest: bytes32(index - 1),
                digest: bytes32(index),
                timestamp_ms: message.timestamp_ms,
                transactions: transactions.map(|bytes| Transaction { bytes, duplicate: false }).collect(),
            })
            .unwrap();
        roots.push(ledger.state_root());
    }
    roots
}

fn existing(config: &Config, blocks: &str, queries: &str, layout: Layout) -> UdsBackend {
    UdsBackend::new(Settings {
        master: LegacyMaster {
            blocks: blocks.parse().unwrap(),
            queries: queries.parse().unwrap(),
            layout,
            reports_ready: true,
            accept_zero: false,
        },
        path: config.data_dir.join(FOLDER),
        network: config.network.clone(),
        authority: config.authority,
        window_commits: 4,
        empty_limit: config.execute_timeout / 2,
        keepalive: DEFAULT_KEEPALIVE,
    })
}

/// Over the framed protocol nothing tells that a commit was executed twice or out of order, but the state root does.
async fn killed_behind_the_framed_protocol(layout: Layout, name: &str, over_tcp: bool) {
    let folder = tempfile::tempdir().unwrap();
    let Some(binary) = build(folder.path()) else { return };
    let config = write_files(folder.path());
    let blocks = folder.path().join("blocks.sock").display().to_string();
    let queries = if over_tcp {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        format!("tcp://{free}")
    } else {
        folder.path().join("queries.sock").display().to_string()
    };
    let flags = ["--uds-legacy", "--uds-blocks", &blocks, "--uds-queries", &queries, "--uds-layout", name];
    let flags = flags.map(str::to_owned);
    let mut master = Master::start_with(&binary, folder.path(), &flags);
    let backend = existing(&config, &blocks, &queries, layout);
    let proxy = Proxy::start_with(&config, backend).await;
    let client = proxy.client();
    client.wait_until_ready().await;

    // Without the digest of a commit, the master's root is over another one.
    let same_roots = layout == Layout::ExecutableBlock;
    let roots = roots(200);
    let check = |index: u64, root: &[u8]| {
        let expected = roots[usize::try_from(index).unwrap()];
        assert!(root.len() == 32 && (!same_roots || root == expected.0), "root after {index}");
    };
    let (mut acknowledged, mut incarnation) = (0, 0);
    for kill in 1..=KILLS / 2 {
        let last = executed(&client).await;
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, {last} is there");
        let (mut stream, issued) = client.open(incarnation).await;
        assert!(incarnation == 0 || issued == incarnation, "a process keeps its incarnation");
        incarnation = issued;
        let sending = send_ahead(&stream, last);
        for index in last + 1..=last + kill * 3 {
            let acknowledgement = stream.acknowledgement().await;
            assert_eq!((acknowledgement.index, acknowledgement.results_unknown), (index, true));
            check(index, &acknowledgement.state_root);
            acknowledged = index;
        }
        drop(master);
        let ended = loop {
            match stream.answer().await {
                Ok(_) => acknowledged += 1,
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
        sending.await.unwrap();
        client.wait_until_not_ready().await;
        master = Master::start_with(&binary, folder.path(), &flags);
        client.wait_until_ready().await;
    }
    let last = executed(&client).await;
    assert!(last >= acknowledged);
    check(last, &client.position().await.state_root);
    let (mut stream, _) = client.open(incarnation).await;
    check(last + 1, &stream.execute(commit(last + 1)).await.state_root);
    drop(stream);
    proxy.stop().await.unwrap();
    drop(master);
}

#[tokio::test]
async fn d05_x05_x11_d09_a_go_master_behind_the_framed_protocol_executes_each_commit_once() {
    killed_behind_the_framed_protocol(Layout::ExecutableBlock, "executable-block", false).await;
}

#[tokio::test]
async fn d05_x05_x11_the_same_with_the_other_layout_and_queries_over_tcp() {
    killed_behind_the_framed_protocol(Layout::CommittedEpochData, "committed-epoch-data", true).await;
}

#[tokio::test]
async fn d05_x05_x11_a_go_master_that_is_killed_executes_each_commit_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(binary) = build(folder.path()) else { return };
    let config = write_files(folder.path());
    let mut master = Master::start(&binary, folder.path());
    let address = format!("unix:{}", socket(folder.path()).display());
    let backend = GrpcBackend::new(&address, config.network.clone(), 4).unwrap();
    let proxy = Proxy::start_with(&config, backend).await;
    let client = proxy.client();
    client.wait_until_ready().await;

    let (mut acknowledged, mut incarnation) = (0, 0);
    for kill in 1..=KILLS {
        let last = executed(&client).await;
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, {last} is there");
        let (mut stream, issued) = client.open(incarnation).await;
        assert!(incarnation == 0 || issued == incarnation, "a process keeps its incarnation");
        incarnation = issued;
        let sending = send_ahead(&stream, last);
        // The kill falls with commits in flight, at another place each time.
        for index in last + 1..=last + kill * 3 {
            let acknowledgement = stream.acknowledgement().await;
            assert_eq!((acknowledgement.index, acknowledgement.duplicate), (index, false));
            assert!(
                acknowledgement.rejected.is_empty(),
                "{acknowledgement:?}: executed out of order, or twice"
            );
            acknowledged = index;
        }
        drop(master);
        let ended = loop {
            match stream.answer().await {
                Ok(_) => acknowledged += 1,
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
        sending.await.unwrap();
        client.wait_until_not_ready().await;
        master = Master::start(&binary, folder.path());
        client.wait_until_ready().await;
    }
    let last = executed(&client).await;
    assert!(last >= acknowledged && last >= KILLS * (KILLS + 1) / 2 * 3);
    let (mut stream, _) = client.open(incarnation).await;
    assert!(stream.execute(commit(last + 1)).await.rejected.is_empty());
    drop(stream);
    proxy.stop().await.unwrap();
    drop(master);
}
