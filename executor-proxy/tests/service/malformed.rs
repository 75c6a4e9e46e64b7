//! Whatever a client sends, it gets a typed error, and nobody else is disturbed.

use metanode_proto::{executor::v1::execute_commits_request::Message, reason};
use tonic::Code;

use crate::harness::{Proxy, assert_error, commit, commit_with, opening};

#[tokio::test]
async fn d10_a_malformed_commit_stops_at_its_index_and_is_never_passed() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    stream.execute(commit(1)).await;
    let mut malformed = commit(2);
    malformed.digest = vec![1; 31].into();
    stream.commit(malformed).await;
    stream.commit(commit(3)).await;
    assert_error(&stream.error().await, Code::InvalidArgument, reason::MALFORMED_COMMIT, &[("index", "2")]);
    assert_eq!(client.position().await.block_number, 1);
    let (mut stream, _) = client.open(incarnation).await;
    stream.execute(commit(2)).await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn a_commit_over_the_limits_of_genesis_is_malformed() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    for transactions in [vec![vec![0; 8193]], vec![Vec::new(); 101], vec![vec![0; 8192]; 8]] {
        let (mut stream, _) = client.open(0).await;
        stream.commit(commit_with(1, transactions)).await;
        let error = stream.error().await;
        assert_error(&error, Code::InvalidArgument, reason::MALFORMED_COMMIT, &[("index", "1")]);
        assert!(error.message().contains("at most"), "{error}");
    }
    let (mut stream, _) = client.open(0).await;
    let acknowledgement = stream.execute(commit_with(1, vec![Vec::new(); 100])).await;
    assert_eq!(acknowledgement.rejected.len(), 100);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_over_the_decode_limit_stops_at_the_next_index() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let (mut stream, incarnation) = client.open(0).await;
    stream.execute(commit(1)).await;
    // 64 KiB of commit and 1 MiB on top is the limit.
    stream.commit(commit_with(2, vec![vec![0; (64 << 10) + (1 << 20)]])).await;
    assert_error(&stream.error().await, Code::InvalidArgument, reason::MALFORMED_COMMIT, &[("index", "2")]);
    let (mut stream, _) = client.open(incarnation).await;
    stream.execute(commit(2)).await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_in_the_wrong_order_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let client = proxy.client();
    let malformed = |status| assert_error(&status, Code::InvalidArgument, reason::MALFORMED_STREAM, &[]);

    let mut stream = client.raw_stream().await;
    stream.commit(commit(1)).await;
    malformed(stream.error().await);

    let mut stream = client.raw_stream().await;
    stream.send_empty().await;
    malformed(stream.error().await);

    let mut without_lease = opening(0, 0);
    without_lease.lease = None;
    malformed(client.try_open(without_lease).await.err().unwrap());

    let (mut stream, _) = client.open(0).await;
    stream.send(Message::Opening(opening(1, 0))).await;
    malformed(stream.error().await);

    let (mut stream, _) = client.open(0).await;
    stream.send_empty().await;
    malformed(stream.error().await);

    let (mut stream, _) = client.open(0).await;
    stream.execute(commit(1)).await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn one_stream_more_than_there_may_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    proxy.client().wait_until_ready().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        // A quarter is what one connection may have.
        let client = proxy.client();
        for _ in 0..4 {
            streams.push(client.raw_stream().await);
        }
    }
    let mut client = proxy.client();
    let (_requests, waiting) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(waiting);
    let refused = client.0.execute_commits(requests).await.unwrap_err();
    assert_error(&refused, Code::ResourceExhausted, reason::TOO_MANY_CALLS, &[("limit", "16")]);
    drop(streams);
    proxy.stop().await.unwrap();
}
