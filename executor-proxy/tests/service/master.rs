//! A proxy before a master of its own: a second proxy, with the embedded ledger, or one that does what the test says.

use std::{path::Path, time::Duration};

use executor_proxy::{
    backend::{BackendError, grpc::GrpcBackend},
    config::Config,
};
use metanode_proto::{
    executor::v1::{Acknowledgement, AdvanceEpochRequest, StreamOpening},
    reason,
};
use metanode_shell::tasks::TaskError;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::{
    harness::{
        Client, OTHER, Proxy, assert_error, commit, commit_with, digest, opening, transfer, write_files,
    },
    scripted::{Answer, Scripted, executed},
};

/// A master with the embedded ledger, and a proxy before it.
pub(crate) struct Pair {
    folder: tempfile::TempDir,
    pub(crate) master: Proxy,
    pub(crate) front: Proxy,
}

async fn front_of(config: &Config, master: &str) -> Proxy {
    let backend = GrpcBackend::new(&format!("http://{master}"), config.network.clone(), 4).unwrap();
    Proxy::start_with(config, backend).await
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = Proxy::start(folder.path()).await;
        let front = front_of(&write_files(folder.path()), &master.address.to_string()).await;
        front.client().wait_until_ready().await;
        Self { folder, master, front }
    }

    /// Ends the master without a word, lets `between` change its folder, and starts it again at the same address.
    async fn restart_master(self, between: impl FnOnce(&Path)) -> Self {
        let Self { folder, master, front } = self;
        let address = master.address.to_string();
        let client = front.client();
        master.abort().await;
        client.wait_until_not_ready().await;
        between(folder.path());
        let master = Proxy::start_at(folder.path(), &address).await;
        client.wait_until_ready().await;
        Self { folder, master, front }
    }

    pub(crate) async fn stop(self) {
        self.front.stop().await.unwrap();
        self.master.stop().await.unwrap();
    }
}

async fn position(client: &Client) -> (u64, bytes::Bytes) {
    let position = client.position().await;
    (position.block_number, position.state_root)
}

#[tokio::test]
async fn d01_what_the_proxy_acknowledges_the_master_has_executed() {
    let pair = Pair::start().await;
    let (front, master) = (pair.front.client(), pair.master.client());
    let (mut stream, incarnation) = front.open(0).await;
    assert_eq!(incarnation, 1, "the master issues it");
    for index in 1..=6 {
        stream.commit(commit(index)).await;
    }
    for index in 1..=6 {
        assert_eq!(stream.acknowledgement().await.index, index);
        assert!(position(&master).await.0 >= index);
    }
    let rejected = stream.execute(commit_with(7, vec![b"no transfer".to_vec()])).await;
    assert_eq!((rejected.rejected.len(), rejected.rejected[0].position), (1, 0));
    assert_eq!(position(&front).await, position(&master).await);
    pair.stop().await;
}

#[tokio::test]
async fn d09_d07_resends_are_told_apart_from_forks_before_the_master() {
    let pair = Pair::start().await;
    let (mut stream, _) = pair.front.client().open(0).await;
    stream.execute(commit(1)).await;
    stream.execute(commit(2)).await;
    drop(stream);
    let (mut stream, _) = pair.front.client().open(1).await;
    let other = metanode_proto::consensus::v1::Commit { digest: OTHER.to_vec().into(), ..commit(2) };
    stream.commit(other).await;
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::COMMIT_FORK, &[("index", "2")]);
    pair.stop().await;
}

/// The proxy keeps no results, and after its start no digests either: the master does, and is asked.
#[tokio::test]
async fn d09_d16_a_commit_that_comes_again_is_answered_by_the_master_as_the_first_time() {
    let Pair { folder, master, front } = Pair::start().await;
    let (mut stream, incarnation) = front.client().open(0).await;
    let mut first = Vec::new();
    for index in 1..=3 {
        first.push(stream.execute(commit(index)).await);
    }
    first.push(stream.execute(commit_with(4, vec![b"no transfer".to_vec()])).await);
    let as_duplicate = |index: usize| Acknowledgement { duplicate: true, ..first[index - 1].clone() };
    // A call that was retried though it was executed.
    assert_eq!(stream.execute(commit(3)).await, as_duplicate(3));
    assert_eq!(stream.execute(commit_with(4, vec![b"no transfer".to_vec()])).await, as_duplicate(4));
    drop(stream);
    front.stop().await.unwrap();

    let front = front_of(&write_files(folder.path()), &master.address.to_string()).await;
    front.client().wait_until_ready().await;
    let (mut stream, opened) = front.client().try_open(opening(incarnation, 0)).await.unwrap();
    assert_eq!((opened.incarnation, opened.block_number), (incarnation, 4));
    for index in [1, 2, 3, 5] {
        stream.commit(commit(index)).await;
    }
    for index in 1..=3 {
        assert_eq!(stream.acknowledgement().await, as_duplicate(index));
    }
    let next = stream.acknowledgement().await;
    assert_eq!((next.index, next.duplicate), (5, false));
    drop(stream);

    // D07: it compares the digest first, also where the proxy has none.
    let (mut stream, _) = front.client().open(incarnation).await;
    stream.commit(metanode_proto::consensus::v1::Commit { digest: OTHER.to_vec().into(), ..commit(1) }).await;
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::COMMIT_FORK, &[("index", "1")]);
    front.client().wait_until_ready().await;
    let forged = StreamOpening { after_digest: OTHER.to_vec().into(), ..opening(incarnation, 1) };
    let refused = front.client().try_open(forged).await.err().unwrap();
    assert_error(&refused, Code::FailedPrecondition, reason::COMMIT_FORK, &[("index", "1")]);
    assert_eq!(position(&master.client()).await.0, 5);
    Pair { folder, master, front }.stop().await;
}

#[tokio::test]
async fn d12_the_master_issues_incarnations_and_fences_through_the_proxy() {
    let pair = Pair::start().await;
    let (mut old, first) = pair.front.client().open(0).await;
    old.execute(commit(1)).await;
    // Another process, past this proxy.
    let (mut new, second) = pair.master.client().open(0).await;
    assert_eq!((first, second), (1, 2));
    assert_error(&old.error().await, Code::Aborted, reason::FENCED, &[]);
    pair.front.client().wait_until_ready().await;
    let position = pair.front.client().position().await;
    let stale =
        StreamOpening { after_digest: position.commit_digest, ..opening(first, position.block_number) };
    let refused = pair.front.client().try_open(stale).await.err().unwrap();
    assert_error(&refused, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
    new.execute(commit(2)).await;
    drop(new);
    // It stands elsewhere than this proxy knew; then a third process is issued the next one.
    let moved = pair.front.client().try_open(opening(0, 1)).await.err().unwrap();
    assert_error(&moved, Code::Unavailable, reason::NOT_READY, &[]);
    pair.front.client().wait_until_ready().await;
    let (mut third, incarnation) = pair.front.client().open(0).await;
    // The opening that found the master elsewhere was issued 3.
    assert_eq!(incarnation, 4);
    third.execute(commit(3)).await;
    pair.stop().await;
}

#[tokio::test]
async fn d11_a_newer_stream_ends_the_older_one_in_both() {
    let pair = Pair::start().await;
    let (mut old, first) = pair.front.client().open(0).await;
    old.execute(commit(1)).await;
    let (mut new, second) = pair.front.client().open(first).await;
    assert_eq!(first, second);
    assert_error(&old.error().await, Code::Aborted, reason::FENCED, &[]);
    new.execute(commit(2)).await;
    assert_eq!(position(&pair.master.client()).await.0, 2);
    pair.stop().await;
}

#[tokio::test]
async fn x11_a_master_that_restarts_is_found_again_where_it_stands() {
    let mut pair = Pair::start().await;
    let mut incarnation = 0;
    for round in 0..3 {
        let (mut stream, issued) = pair.front.client().open(incarnation).await;
        incarnation = issued;
        stream.execute(commit(2 * round + 1)).await;
        stream.execute(commit(2 * round + 2)).await;
        pair = pair.restart_master(|_| {}).await;
        // It may have been told that the stream ended before it was aborted.
        let ended = stream.error().await;
        assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
        assert_eq!(position(&pair.front.client()).await.0, 2 * round + 2);
    }
    let (mut stream, _) = pair.front.client().open(incarnation).await;
    assert!(!stream.execute(commit(7)).await.duplicate);
    pair.stop().await;
}

#[tokio::test]
async fn x03_a_master_that_lost_what_it_had_is_told_as_it_is() {
    let pair = Pair::start().await;
    let (mut stream, _) = pair.front.client().open(0).await;
    stream.execute(commit(1)).await;
    stream.execute(commit(2)).await;
    let pair = pair.restart_master(|folder| std::fs::remove_dir_all(folder.join("data")).unwrap()).await;
    assert_eq!(position(&pair.front.client()).await.0, 0, "the cursor is the master's");
    let (mut stream, _) = pair.front.client().open(0).await;
    stream.execute(commit(1)).await;
    assert_eq!(position(&pair.master.client()).await.0, 1);
    pair.stop().await;
}

/// A master whose executor does what the test says, and a proxy before it.
async fn scripted() -> (tempfile::TempDir, Proxy, Proxy, mpsc::Receiver<(u64, Answer)>) {
    scripted_before(|_| {}).await
}

async fn scripted_before(
    change: impl FnOnce(&mut Config),
) -> (tempfile::TempDir, Proxy, Proxy, mpsc::Receiver<(u64, Answer)>) {
    let folder = tempfile::tempdir().unwrap();
    let (taken, commits) = mpsc::channel(16);
    let mut patient = write_files(folder.path());
    patient.execute_timeout = Duration::from_secs(600);
    let master = Proxy::start_with(&patient, Scripted(taken)).await;
    master.client().wait_until_ready().await;
    let mut config = write_files(folder.path());
    change(&mut config);
    let front = front_of(&config, &master.address.to_string()).await;
    front.client().wait_until_ready().await;
    (folder, master, front, commits)
}

#[tokio::test]
async fn d05_nothing_is_acknowledged_before_the_master_does() {
    let (_folder, master, front, mut commits) = scripted().await;
    let (mut stream, _) = front.client().open(0).await;
    stream.commit(commit(1)).await;
    let (_, answer) = commits.recv().await.unwrap();
    assert_eq!(position(&front.client()).await.0, 0);
    answer.send(Ok(executed(1))).unwrap();
    assert_eq!(stream.acknowledgement().await.index, 1);
    assert_eq!(position(&front.client()).await.0, 1);
    front.stop().await.unwrap();
    master.abort().await;
}

#[tokio::test]
async fn x08_a_master_that_hangs_is_given_up_and_asked_again() {
    let impatient = |config: &mut Config| config.execute_timeout = Duration::from_secs(1);
    let (_folder, master, front, mut commits) = scripted_before(impatient).await;
    let client = front.client();
    let (mut stream, incarnation) = client.open(0).await;
    stream.commit(commit(1)).await;
    let (_, hangs) = commits.recv().await.unwrap();
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    client.wait_until_ready().await;
    assert_eq!(position(&client).await.0, 0, "not acknowledged, so not executed");
    hangs.send(Ok(executed(1))).unwrap();
    // It was executed all the same. The proxy learns so from the master, not from the sender.
    while position(&master.client()).await.0 == 0 {
        tokio::task::yield_now().await;
    }
    let stale = client.try_open(opening(incarnation, 0)).await.err().unwrap();
    assert_error(&stale, Code::Unavailable, reason::NOT_READY, &[]);
    client.wait_until_ready().await;
    assert_eq!(position(&client).await, (1, bytes::Bytes::new()));
    front.stop().await.unwrap();
    master.abort().await;
}

#[tokio::test]
async fn x10_what_the_master_refuses_reaches_the_sender_as_it_is() {
    let (_folder, master, front, mut commits) = scripted().await;
    let (mut stream, _) = front.client().open(0).await;
    stream.commit(commit(1)).await;
    let (_, answer) = commits.recv().await.unwrap();
    answer.send(Err(BackendError::Ended)).unwrap();
    assert_error(&stream.error().await, Code::Internal, reason::STORAGE_FAILED, &[]);
    assert_eq!(position(&front.client()).await.0, 0);
    front.stop().await.unwrap();
    drop(master);
}

#[tokio::test]
async fn x02_a_proxy_is_not_ready_before_its_master() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path());
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let front = front_of(&config, &free.to_string()).await;
    let client = front.client();
    assert!(!client.position().await.ready);
    let early: Status = client.try_open(opening(0, 0)).await.err().unwrap();
    assert_error(&early, Code::Unavailable, reason::NOT_READY, &[]);
    let master = Proxy::start_at(folder.path(), &free.to_string()).await;
    client.wait_until_ready().await;
    front.stop().await.unwrap();
    master.stop().await.unwrap();
}

#[tokio::test]
async fn a_master_of_another_chain_is_refused_by_name() {
    let pair = Pair::start().await;
    let mut other = write_files(pair.folder.path());
    other.network.chain_id = sequencer_core::ChainId(OTHER);
    let error = front_of(&other, &pair.master.address.to_string()).await.ended().await.unwrap_err();
    let TaskError::Failed { task: "driver", source } = error else { panic!("{error:?}") };
    let cause = source.source().unwrap().to_string();
    assert!(cause.contains("belongs to chain c1c1"), "{cause}");
    pair.stop().await;
}

#[tokio::test]
async fn an_epoch_begins_at_the_master() {
    let pair = Pair::start().await;
    let (mut stream, _) = pair.front.client().open(0).await;
    stream.execute(commit_with(1, vec![transfer(1, 0)])).await;
    let boundary = AdvanceEpochRequest {
        new_epoch: 1,
        boundary_index: 1,
        boundary_digest: digest(1),
        committee_digest: vec![7; 32].into(),
        timestamp_ms: 9,
    };
    for client in [pair.front.client(), pair.master.client()] {
        let epoch = client.0.clone().advance_epoch(boundary.clone()).await.unwrap().into_inner().epoch;
        assert_eq!(epoch, 1, "the second finds it in force");
        assert_eq!(client.position().await.epoch, 1);
    }
    pair.stop().await;
}
