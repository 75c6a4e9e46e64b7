//! Every commit once, in order.

use metanode_proto::reason;
use metanode_shell::status::reason_of;
use reference_ledger::RejectionCode;
use tonic::Code;

use crate::harness::{OTHER, Proxy, assert_error, commit, commit_with, digest, opening, transfer};

#[tokio::test]
async fn commits_are_executed_in_order_and_the_position_follows() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    assert_eq!(incarnation, 1);
    let mut roots = Vec::new();
    for index in 1..=10 {
        let acknowledgement = stream.execute(commit(index)).await;
        assert_eq!((acknowledgement.digest, acknowledgement.duplicate), (digest(index), false));
        assert!(acknowledgement.rejected.is_empty() && !acknowledgement.results_unknown);
        assert_eq!(acknowledgement.state_root.len(), 32);
        roots.push(acknowledgement.state_root);
        let position = client.position().await;
        assert_eq!((position.block_number, &position.state_root), (index, &roots[roots.len() - 1]));
    }
    roots.dedup();
    assert_eq!(roots.len(), 10, "the root changes with every commit");
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn many_commits_at_once_are_held_by_the_window_and_all_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (mut stream, _) = proxy.client().open(0).await;
    // More than the window of 4, and more than client and server hold between them.
    for index in 1..=40 {
        stream.commit(commit(index)).await;
    }
    for index in 1..=40 {
        assert_eq!(stream.acknowledgement().await.index, index);
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn a_transaction_without_effect_is_told_with_code_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (mut stream, _) = proxy.client().open(0).await;
    let mut mixed = commit_with(1, vec![transfer(1, 0), b"junk".to_vec(), transfer(1, 0), transfer(1, 1)]);
    mixed.duplicate_marks = vec![0b1000].into();
    let acknowledgement = stream.execute(mixed).await;
    let told: Vec<_> = acknowledgement
        .rejected
        .iter()
        .map(|rejected| (rejected.index, rejected.position, rejected.code))
        .collect();
    let (malformed, low) = (RejectionCode::Malformed.number(), RejectionCode::NonceTooLow.number());
    assert_eq!(told, [(1, 1, malformed), (1, 2, low)]);
    assert!(acknowledgement.rejected.iter().all(|rejected| (1..=256).contains(&rejected.reason.len())));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d07_another_commit_at_an_executed_index_is_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    for index in 1..=3 {
        stream.execute(commit(index)).await;
    }
    let mut other = commit(2);
    other.digest = OTHER.to_vec().into();
    stream.commit(other).await;
    let (ours, theirs) = (hex::encode(digest(2)), hex::encode(OTHER));
    let metadata = [("index", "2"), ("ours", ours.as_str()), ("theirs", theirs.as_str())];
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::COMMIT_FORK, &metadata);
    // Nothing was overwritten, and the honest chain goes on.
    let (mut stream, _) = client.open(incarnation).await;
    assert!(stream.execute(commit(2)).await.duplicate);
    assert!(!stream.execute(commit(4)).await.duplicate);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d07_a_commit_after_another_predecessor_is_a_fork() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    let mut other = commit(2);
    other.previous_digest = OTHER.to_vec().into();
    stream.commit(other).await;
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::COMMIT_FORK, &[("index", "1")]);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d08_a_gap_names_the_expected_index_and_resending_from_there_works() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    for index in 1..=7 {
        stream.execute(commit(index)).await;
    }
    stream.commit(commit(9)).await;
    let metadata = [("expected_index", "8"), ("index", "9")];
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::COMMIT_GAP, &metadata);
    assert_eq!(client.position().await.block_number, 7);
    let (mut stream, _) = client.open(incarnation).await;
    assert_eq!(stream.execute(commit(8)).await.index, 8);
    assert_eq!(stream.execute(commit(9)).await.index, 9);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d09_a_duplicate_is_acknowledged_as_the_first_and_not_executed() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, _) = client.open(0).await;
    let mixed = commit_with(1, vec![transfer(1, 0), b"junk".to_vec()]);
    let first = stream.execute(mixed.clone()).await;
    let root = stream.execute(commit_with(2, vec![transfer(1, 1)])).await.state_root;
    let mut again = stream.execute(mixed).await;
    assert!(again.duplicate);
    again.duplicate = false;
    assert_eq!(again, first);
    assert_eq!(client.position().await.state_root, root);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d16_a_commit_whose_acknowledgement_was_lost_is_answered_as_the_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    let first = stream.execute(commit(1)).await;
    drop(stream);
    let (mut stream, _) = client.try_open(opening(incarnation, 0)).await.unwrap();
    let again = stream.execute(commit(1)).await;
    assert_eq!((again.duplicate, again.state_root), (true, first.state_root));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_no_more_gets_all_acknowledgements_and_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (stream, _) = proxy.client().open(0).await;
    for index in 1..=3 {
        stream.commit(commit(index)).await;
    }
    let mut answers = stream.half_close();
    for _ in 1..=3 {
        assert!(answers.message().await.unwrap().is_some());
    }
    assert!(answers.message().await.unwrap().is_none());
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn shutdown_tells_the_stream_that_the_proxy_drains() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    let (error, stopped) = tokio::join!(stream.error(), proxy.stop());
    assert_error(&error, Code::Unavailable, reason::DRAINING, &[]);
    assert_eq!(reason_of(&error).as_deref(), Some(reason::DRAINING));
    assert!(stopped.unwrap().aborted.is_empty());
}
