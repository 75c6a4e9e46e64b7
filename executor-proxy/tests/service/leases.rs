//! Who may send.

use metanode_proto::{executor::v1::AdvanceEpochRequest, reason};
use tonic::Code;

use crate::harness::{Client, OTHER, Proxy, assert_error, commit, digest, opening};

#[tokio::test]
async fn d11_a_new_stream_ends_the_earlier_one_of_the_same_process() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut first, incarnation) = client.open(0).await;
    first.execute(commit(1)).await;
    let (mut second, same) = client.open(incarnation).await;
    assert_eq!(same, incarnation);
    assert_error(&first.error().await, Code::Aborted, reason::FENCED, &[("incarnation", "1")]);
    second.execute(commit(2)).await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d11_what_the_earlier_stream_sent_is_executed_before_the_new_one_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (first, incarnation) = client.open(0).await;
    for index in 1..=4 {
        first.commit(commit(index)).await;
    }
    let (mut second, opened) = client.try_open(opening(incarnation, 0)).await.unwrap();
    // However many got through: the number in the answer is where the resent ones stop being duplicates.
    for index in 1..=4 {
        assert_eq!(second.execute(commit(index)).await.duplicate, index <= opened.block_number);
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d12_a_newer_process_fences_the_older_one_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut old, first) = client.open(0).await;
    let (mut new, second) = client.open(0).await;
    assert_eq!((first, second), (1, 2));
    assert_error(&old.error().await, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
    let refused = client.try_open(opening(first, 0)).await.err().unwrap();
    assert_error(&refused, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
    new.execute(commit(1)).await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d12_the_incarnation_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    assert_eq!(proxy.client().open(0).await.1, 1);
    assert_eq!(proxy.client().open(0).await.1, 2);
    proxy.abort().await;
    let proxy = Proxy::start(folder.path()).await;
    let refused = proxy.client().try_open(opening(1, 0)).await.err().unwrap();
    assert_error(&refused, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
    assert_eq!(proxy.client().open(2).await.1, 2);
    assert_eq!(proxy.client().open(0).await.1, 3);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn another_chain_and_another_authority_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let mut other = opening(0, 0);
    other.chain_id = OTHER.to_vec().into();
    let refused = client.try_open(other).await.err().unwrap();
    assert_error(&refused, Code::FailedPrecondition, reason::WRONG_CHAIN, &[]);
    let mut other = opening(0, 0);
    other.lease.as_mut().unwrap().authority = OTHER.to_vec().into();
    let refused = client.try_open(other).await.err().unwrap();
    assert_error(&refused, Code::FailedPrecondition, reason::WRONG_AUTHORITY, &[]);
    // Neither took an incarnation.
    assert_eq!(client.open(0).await.1, 1);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn x06_an_opening_after_another_commit_is_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    stream.execute(commit(1)).await;
    let mut other = opening(incarnation, 1);
    other.after_digest = OTHER.to_vec().into();
    let refused = client.try_open(other).await.err().unwrap();
    assert_error(&refused, Code::FailedPrecondition, reason::COMMIT_FORK, &[("index", "1")]);
    let ahead = client.try_open(opening(incarnation, 2)).await.err().unwrap();
    assert_error(&ahead, Code::FailedPrecondition, reason::COMMIT_GAP, &[("expected_index", "2")]);
    stream.execute(commit(2)).await;
    proxy.stop().await.unwrap();
}

async fn advance(client: &Client, new_epoch: u64, boundary: u64) -> Result<u64, tonic::Status> {
    let request = AdvanceEpochRequest {
        new_epoch,
        boundary_index: boundary,
        boundary_digest: digest(boundary),
        committee_digest: vec![5; 32].into(),
        timestamp_ms: 1,
    };
    client.0.clone().advance_epoch(request).await.map(|answer| answer.into_inner().epoch)
}

#[tokio::test]
async fn an_epoch_advances_at_its_boundary_and_stays_so_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, _) = client.open(0).await;
    stream.execute(commit(1)).await;
    let early = advance(&client, 1, 2).await.unwrap_err();
    assert_error(&early, Code::FailedPrecondition, reason::COMMIT_GAP, &[("expected_index", "2")]);
    let far = advance(&client, 2, 1).await.unwrap_err();
    assert_error(&far, Code::FailedPrecondition, reason::WRONG_EPOCH, &[("ours", "0")]);
    assert_eq!(advance(&client, 0, 1).await.unwrap(), 0);
    assert_eq!(advance(&client, 1, 1).await.unwrap(), 1);
    assert_eq!(advance(&client, 1, 1).await.unwrap(), 1);
    stream.commit(commit(2)).await;
    let old = stream.error().await;
    assert_error(&old, Code::FailedPrecondition, reason::WRONG_EPOCH, &[("ours", "1"), ("theirs", "0")]);
    proxy.abort().await;
    let proxy = Proxy::start(folder.path()).await;
    assert_eq!(proxy.client().position().await.epoch, 1);
    let (mut stream, _) = proxy.client().open(0).await;
    let mut next = commit(2);
    next.epoch = 1;
    stream.execute(next).await;
    proxy.stop().await.unwrap();
}
