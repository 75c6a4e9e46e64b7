//! A proxy before an existing master, behind the framed protocol.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use executor_proxy::{
    backend::uds::{DEFAULT_KEEPALIVE, FOLDER, Layout, LegacyMaster, Settings, UdsBackend},
    config::Config,
};
use metanode_proto::{
    consensus::v1::Commit,
    executor::v1::{Acknowledgement, AdvanceEpochRequest},
    reason,
};
use metanode_shell::tasks::TaskError;
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::Code;

use crate::{
    harness::{OTHER, Proxy, assert_error, commit, commit_with, digest, opening, transfer, write_files},
    legacy_peer::{Block, Odd, Peer, reaches},
};

/// Time for one commit, where the subject is that it passes. Elsewhere a busy machine has the default.
const LATE: Duration = Duration::from_secs(1);

pub(crate) fn settings(config: &Config, master: LegacyMaster) -> Settings {
    Settings {
        master,
        path: config.data_dir.join(FOLDER),
        network: config.network.clone(),
        authority: config.authority,
        window_commits: 4,
        empty_limit: Duration::from_millis(300),
        keepalive: DEFAULT_KEEPALIVE,
    }
}

async fn front(folder: &Path, master: LegacyMaster) -> Proxy {
    let config = write_files(folder);
    Proxy::start_with(&config, UdsBackend::new(settings(&config, master))).await
}

/// A master that executes at once, and a proxy before it that is ready.
pub(crate) async fn start() -> (TempDir, Peer, Proxy) {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Config)) -> (TempDir, Peer, Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(folder.path(), Layout::ExecutableBlock);
    let mut config = write_files(folder.path());
    change(&mut config);
    let proxy = Proxy::start_with(&config, UdsBackend::new(settings(&config, peer.master()))).await;
    proxy.client().wait_until_ready().await;
    (folder, peer, proxy)
}

fn block(index: u64) -> Block {
    Block { index, transactions: vec![transfer(1, index - 1)], hash: digest(index).to_vec() }
}

fn provisional(acknowledgement: &Acknowledgement, index: u64) -> bool {
    acknowledgement.index == index
        && acknowledgement.digest == digest(index)
        && acknowledgement.results_unknown
        && !acknowledgement.duplicate
}

/// Why the driver ended, with what lies behind it.
async fn cause(proxy: Proxy) -> String {
    let ended = timeout(Duration::from_secs(20), proxy.ended()).await.expect("the service goes on");
    let TaskError::Failed { task: "driver", source } = ended.unwrap_err() else {
        panic!("another task ended")
    };
    let mut error = source.source();
    let mut text = String::new();
    while let Some(cause) = error {
        text = format!("{text}: {cause}");
        error = cause.source();
    }
    text
}

#[tokio::test]
async fn d05_a_block_that_was_written_is_acknowledged_when_it_is_reported_and_provisionally() {
    let (_folder, mut peer, proxy) = start().await;
    peer.script().executes = false;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.commit(commit(1)).await;
    assert_eq!(peer.blocks.recv().await.unwrap(), block(1));
    // It asks, and is told that it is not executed.
    let asked = *peer.queries().borrow();
    reaches(peer.queries(), asked + 3).await;
    assert_eq!(proxy.client().position().await.block_number, 0);
    peer.script().number = 1;
    let acknowledgement = stream.acknowledgement().await;
    assert!(provisional(&acknowledgement, 1) && acknowledgement.state_root.is_empty(), "{acknowledgement:?}");
    assert_eq!(proxy.client().position().await.block_number, 1);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d05_what_was_written_before_the_master_died_is_sent_again_after_it_was_asked() {
    let (_folder, mut peer, proxy) = start().await;
    peer.script().executes = false;
    let (mut stream, incarnation) = proxy.client().open(0).await;
    stream.commit(commit(1)).await;
    peer.blocks.recv().await.unwrap();
    peer.cut();
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    peer.script().executes = true;
    proxy.client().wait_until_ready().await;
    let (mut stream, same) = proxy.client().open(incarnation).await;
    assert_eq!((incarnation, same), (1, 1));
    assert!(provisional(&stream.execute(commit(1)).await, 1));
    assert_eq!(peer.blocks.recv().await.unwrap(), block(1));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d08_a_block_is_sent_only_when_the_one_before_it_is_reported() {
    let (_folder, mut peer, proxy) = start().await;
    peer.script().executes = false;
    let (mut stream, _) = proxy.client().open(0).await;
    for index in 1..=3 {
        stream.commit(commit(index)).await;
    }
    for index in 1..=3 {
        assert_eq!(peer.blocks.recv().await.unwrap(), block(index));
        let asked = *peer.queries().borrow();
        reaches(peer.queries(), asked + 3).await;
        assert!(peer.blocks.try_recv().is_err(), "sent ahead of what is reported");
        peer.script().number = index;
        assert_eq!(stream.acknowledgement().await.index, index);
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d13_a_late_answer_is_read_by_nobody() {
    let (_folder, peer, proxy) = start_with(|config| config.execute_timeout = LATE).await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    let (accepted, ended) = (*peer.accepted().borrow(), *peer.ended().borrow());
    peer.script().odd.push_back(Odd::Late);
    stream.commit(commit(2)).await;
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    peer.answer_late();
    // Both were closed; the answer went nowhere.
    reaches(peer.ended(), ended + 1).await;
    reaches(peer.accepted(), accepted + 1).await;
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.block_number, 2, "executed all the same");
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d13_an_answer_that_comes_twice_is_not_that_of_the_next_query() {
    let (_folder, peer, proxy) = start().await;
    let accepted = *peer.accepted().borrow();
    let (mut stream, _) = proxy.client().open(0).await;
    peer.script().odd.push_back(Odd::Twice);
    stream.commit(commit(1)).await;
    // The first of the two may have said already that it is executed.
    let ended = loop {
        if let Err(status) = stream.answer().await {
            break status;
        }
    };
    assert_error(&ended, Code::Unavailable, reason::NOT_READY, &[]);
    reaches(peer.accepted(), accepted + 1).await;
    proxy.client().wait_until_ready().await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d13_half_an_answer_is_none() {
    let (_folder, peer, proxy) = start().await;
    let (mut stream, incarnation) = proxy.client().open(0).await;
    peer.script().odd.push_back(Odd::Half);
    stream.commit(commit(1)).await;
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    proxy.client().wait_until_ready().await;
    let (mut stream, _) = proxy.client().open(incarnation).await;
    assert!(provisional(&stream.execute(commit(2)).await, 2));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d14_connections_that_were_closed_in_silence_are_renewed_and_nothing_is_lost() {
    let (_folder, mut peer, proxy) = start().await;
    let (mut stream, _) = proxy.client().open(0).await;
    for index in 1..=3 {
        let accepted = *peer.accepted().borrow();
        peer.cut();
        reaches(peer.accepted(), accepted + 1).await;
        assert!(provisional(&stream.execute(commit(index)).await, index), "the stream goes on");
        assert_eq!(peer.blocks.recv().await.unwrap(), block(index));
        assert!(peer.blocks.try_recv().is_err(), "sent twice");
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d14_a_silent_link_is_kept_by_questions_and_then_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(folder.path(), Layout::ExecutableBlock);
    let config = write_files(folder.path());
    let keepalive = Duration::from_millis(50);
    let backend = UdsBackend::new(Settings { keepalive, ..settings(&config, peer.master()) });
    let proxy = Proxy::start_with(&config, backend).await;
    proxy.client().wait_until_ready().await;
    let (mut stream, _) = proxy.client().open(0).await;
    let (accepted, asked) = (*peer.accepted().borrow(), *peer.queries().borrow());
    reaches(peer.queries(), asked + 3).await;
    reaches(peer.accepted(), accepted + 2).await;
    assert!(provisional(&stream.execute(commit(1)).await, 1), "the stream goes on");
    proxy.stop().await.unwrap();
}

/// A process of its own that listens for blocks, where `LEGACY_BLOCKS` says so.
#[test]
fn listens_as_another_process() {
    if let Ok(path) = std::env::var("LEGACY_BLOCKS") {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        // It holds its connections until it is killed.
        let mut held = Vec::new();
        for connection in listener.incoming() {
            held.push(connection);
        }
    }
}

/// Killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn d12_two_lives_of_a_process_are_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::without_blocks(folder.path(), Layout::ExecutableBlock);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "legacy::listens_as_another_process"])
        .env("LEGACY_BLOCKS", folder.path().join("blocks.sock"))
        .stdout(std::process::Stdio::null())
        .spawn();
    let other = Killed(child.unwrap());
    let proxy = front(folder.path(), peer.master()).await;
    // Queries are connected after blocks, and closed without a word.
    reaches(peer.ended(), 2).await;
    assert_eq!(*peer.queries().borrow(), 0);
    assert!(!proxy.client().position().await.ready);
    drop(other);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d12_a_second_proxy_waits_until_the_first_lets_go_of_the_socket() {
    let (_folder, peer, first) = start().await;
    let other = tempfile::tempdir().unwrap();
    let accepted = *peer.accepted().borrow();
    let second = front(other.path(), peer.master()).await;
    for _ in 0..50 {
        first.client().open(0).await;
    }
    assert!(!second.client().position().await.ready);
    assert_eq!(*peer.accepted().borrow(), accepted, "it has not even connected");
    first.stop().await.unwrap();
    second.client().wait_until_ready().await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn d12_incarnations_are_the_proxys_and_outlive_it() {
    let (folder, peer, proxy) = start().await;
    let (mut old, first) = proxy.client().open(0).await;
    old.execute(commit(1)).await;
    let (_new, second) = proxy.client().open(0).await;
    assert_eq!((first, second), (1, 2));
    assert_error(&old.error().await, Code::Aborted, reason::FENCED, &[]);
    proxy.stop().await.unwrap();
    let proxy = front(folder.path(), peer.master()).await;
    proxy.client().wait_until_ready().await;
    let stale = opening(first, 1);
    let refused = proxy.client().try_open(stale).await.err().unwrap();
    assert_error(&refused, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
    let (mut stream, third) = proxy.client().open(0).await;
    assert_eq!(third, 3);
    assert!(provisional(&stream.execute(commit(2)).await, 2), "the digest of 1 is known");
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d07_another_commit_at_an_index_that_was_sent_is_a_fork() {
    let (_folder, mut peer, proxy) = start().await;
    peer.script().executes = false;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.commit(commit(1)).await;
    peer.blocks.recv().await.unwrap();
    peer.cut();
    stream.error().await;
    proxy.client().wait_until_ready().await;
    let (mut stream, _) = proxy.client().open(1).await;
    stream.commit(Commit { digest: OTHER.to_vec().into(), ..commit(1) }).await;
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::COMMIT_FORK, &[("index", "1")]);
    assert!(peer.blocks.try_recv().is_err());
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d09_what_was_executed_is_acknowledged_from_the_records_and_not_sent_again() {
    let (folder, mut peer, proxy) = start().await;
    peer.script().root = Some([5; 32]);
    proxy.stop().await.unwrap();
    let proxy = front(folder.path(), peer.master()).await;
    proxy.client().wait_until_ready().await;
    let (mut stream, _) = proxy.client().open(0).await;
    for index in 1..=2 {
        assert_eq!(stream.execute(commit(index)).await.state_root[..], [5; 32]);
        peer.blocks.recv().await.unwrap();
    }
    proxy.stop().await.unwrap();
    let proxy = front(folder.path(), peer.master()).await;
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.state_root[..], [5; 32]);
    let after_digest = digest(0);
    let at_start = metanode_proto::executor::v1::StreamOpening { after_digest, ..opening(0, 0) };
    let (mut stream, _) = proxy.client().try_open(at_start).await.unwrap();
    let again = stream.execute(commit(1)).await;
    assert!(again.duplicate && again.results_unknown && again.state_root[..] == [5; 32], "{again:?}");
    assert!(stream.execute(commit(2)).await.duplicate);
    assert!(peer.blocks.try_recv().is_err());
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn x03_a_master_that_fell_is_sent_again_what_it_lost() {
    let (_folder, mut peer, proxy) = start().await;
    let (mut stream, incarnation) = proxy.client().open(0).await;
    for index in 1..=3 {
        stream.execute(commit(index)).await;
        peer.blocks.recv().await.unwrap();
    }
    peer.script().number = 1;
    peer.cut();
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.block_number, 1, "the cursor is the master's");
    let (mut stream, _) = proxy.client().open(incarnation).await;
    for index in 2..=3 {
        assert!(provisional(&stream.execute(commit(index)).await, index));
        assert_eq!(peer.blocks.recv().await.unwrap(), block(index));
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn x04_a_master_that_stands_where_it_was_never_sent_is_not_fed() {
    let (_folder, mut peer, proxy) = start().await;
    peer.script().executes = false;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.commit(commit(1)).await;
    peer.blocks.recv().await.unwrap();
    peer.script().number = 5;
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    let cause = cause(proxy).await;
    assert!(cause.contains("stands at 5, which this proxy never sent (acknowledged is 0)"), "{cause}");
}

#[tokio::test]
async fn x02_a_master_that_reports_ready_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(folder.path(), Layout::ExecutableBlock);
    peer.script().ready = false;
    let proxy = front(folder.path(), LegacyMaster { reports_ready: true, ..peer.master() }).await;
    // It connects anew to ask again.
    reaches(peer.accepted(), 3).await;
    assert!(!proxy.client().position().await.ready);
    peer.script().ready = true;
    proxy.client().wait_until_ready().await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn x02_a_zero_after_an_acknowledgement_is_waited_out_unless_an_operator_says_so() {
    let (folder, peer, proxy) = start().await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    drop(stream);
    proxy.stop().await.unwrap();
    peer.script().number = 0;
    let asked = *peer.queries().borrow();
    let proxy = front(folder.path(), peer.master()).await;
    reaches(peer.queries(), asked + 2).await;
    assert!(!proxy.client().position().await.ready);
    // It had not loaded its state.
    peer.script().number = 1;
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.block_number, 1);
    proxy.stop().await.unwrap();
    peer.script().number = 0;
    let proxy = front(folder.path(), LegacyMaster { accept_zero: true, ..peer.master() }).await;
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.block_number, 0);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn x08_a_master_that_hangs_is_given_up_and_asked_again() {
    let (_folder, mut peer, proxy) = start_with(|config| config.execute_timeout = LATE).await;
    peer.script().executes = false;
    let (mut stream, incarnation) = proxy.client().open(0).await;
    stream.commit(commit(1)).await;
    peer.blocks.recv().await.unwrap();
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    // It executed it after all.
    peer.script().number = 1;
    let client = proxy.client();
    let found = timeout(Duration::from_secs(20), client.wait_until_ready()).await;
    found.expect("the digest of what was sent is known");
    let (mut stream, _) = proxy.client().open(incarnation).await;
    peer.script().executes = true;
    assert!(provisional(&stream.execute(commit(2)).await, 2));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d04_a_master_that_counts_no_empty_commits_is_refused_with_that_reason() {
    let (_folder, mut peer, proxy) = start().await;
    peer.script().blocks_alone = true;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    peer.blocks.recv().await.unwrap();
    stream.commit(commit_with(2, Vec::new())).await;
    assert!(peer.blocks.recv().await.unwrap().transactions.is_empty());
    let cause = cause(proxy).await;
    assert!(cause.contains("did not advance to 2 for an empty commit"), "{cause}");
}

#[tokio::test]
async fn an_epoch_begins_at_the_master() {
    let (folder, peer, proxy) = start().await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    let boundary = AdvanceEpochRequest {
        new_epoch: 1,
        boundary_index: 1,
        boundary_digest: digest(1),
        committee_digest: vec![7; 32].into(),
        timestamp_ms: 9,
    };
    let advanced = proxy.client().0.clone().advance_epoch(boundary).await.unwrap().into_inner();
    assert_eq!((advanced.epoch, peer.script().epoch), (1, 1));
    assert!(provisional(&stream.execute(Commit { epoch: 1, ..commit(2) }).await, 2));
    proxy.stop().await.unwrap();
    let proxy = front(folder.path(), peer.master()).await;
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.epoch, 1);
    // A life of the master that knows less of epochs is no renewed connection.
    let (mut stream, _) = proxy.client().open(0).await;
    peer.script().epoch = 0;
    peer.cut();
    let ended = timeout(Duration::from_secs(20), stream.error()).await.expect("the epoch is asked");
    assert_error(&ended, Code::Unavailable, reason::NOT_READY, &[]);
    proxy.client().wait_until_ready().await;
    assert_eq!(proxy.client().position().await.epoch, 0, "the epoch is the master's");
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn f06_a_master_of_another_committee_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(folder.path(), Layout::ExecutableBlock);
    peer.script().stake = "2";
    let cause = cause(front(folder.path(), peer.master()).await).await;
    assert!(cause.contains("the master has stake `2`"), "{cause}");
}

#[tokio::test]
async fn the_other_layout_carries_the_same_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let mut peer = Peer::start(folder.path(), Layout::CommittedEpochData);
    let proxy = front(folder.path(), peer.master()).await;
    proxy.client().wait_until_ready().await;
    let (mut stream, _) = proxy.client().open(0).await;
    assert!(provisional(&stream.execute(commit(1)).await, 1));
    assert_eq!(peer.blocks.recv().await.unwrap(), Block { hash: Vec::new(), ..block(1) });
    proxy.stop().await.unwrap();
}
