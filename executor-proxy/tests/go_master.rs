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

use executor_proxy::backend::grpc::GrpcBackend;
use harness::{Client, Proxy, commit, write_files};
use metanode_proto::executor::v1::{ExecuteCommitsRequest, execute_commits_request::Message};
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
        let child = Command::new(binary)
            .args(["run", "--genesis", "genesis.toml", "--data-dir", "master", "--log-level", "error"])
            .arg("--listen")
            .arg(format!("unix:{}", socket(folder).display()))
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

async fn executed(client: &Client) -> u64 {
    client.position().await.block_number
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
        let sender = stream.messages.clone();
        let sending = tokio::spawn(async move {
            for index in last + 1..=last + AHEAD {
                let message = Some(Message::Commit(commit(index)));
                if sender.send(ExecuteCommitsRequest { message }).await.is_err() {
                    return;
                }
            }
        });
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
