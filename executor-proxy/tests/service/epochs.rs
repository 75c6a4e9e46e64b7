//! Epochs that an executor does not begin: whoever asked is told, and what is open goes on where the executor does.

use metanode_proto::{executor::v1::AdvanceEpochRequest, reason};
use tonic::{Code, Status};

use crate::{
    harness::{Client, assert_error, commit, digest},
    legacy,
    legacy_peer::Odd,
    master::Pair,
};

async fn advance(client: &Client, new_epoch: u64) -> Result<u64, Status> {
    let request = AdvanceEpochRequest {
        new_epoch,
        boundary_index: 1,
        boundary_digest: digest(1),
        committee_digest: vec![7; 32].into(),
        timestamp_ms: 9,
    };
    client.0.clone().advance_epoch(request).await.map(|answer| answer.into_inner().epoch)
}

#[tokio::test]
async fn a_refusal_of_an_existing_master_is_an_answer_and_the_stream_goes_on() {
    let (_folder, peer, proxy) = legacy::start().await;
    let client = proxy.client();
    let (mut stream, _) = client.open(0).await;
    stream.execute(commit(1)).await;
    peer.script().keeps_epoch = Some("the epoch is not over");
    for _ in 0..2 {
        let refused = advance(&client, 1).await.unwrap_err();
        let metadata = [("ours", "0"), ("theirs", "1")];
        assert_error(&refused, Code::FailedPrecondition, reason::WRONG_EPOCH, &metadata);
        assert!(refused.message().ends_with(": the epoch is not over"), "{refused:?}");
    }
    assert_eq!(client.position().await.epoch, 0);
    stream.execute(commit(2)).await;
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_asks_an_executor_that_is_lost_is_told_to_ask_again() {
    let (_folder, peer, proxy) = legacy::start().await;
    let client = proxy.client();
    let (mut stream, _) = client.open(0).await;
    stream.execute(commit(1)).await;
    peer.script().odd.push_back(Odd::Half);
    let lost = advance(&client, 1).await.unwrap_err();
    assert_error(&lost, Code::Unavailable, reason::NOT_READY, &[]);
    assert_error(&stream.error().await, Code::Unavailable, reason::NOT_READY, &[]);
    client.wait_until_ready().await;
    // It had begun it all the same.
    assert_eq!((client.position().await.epoch, advance(&client, 1).await.unwrap()), (1, 1));
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_master_says_of_an_epoch_reaches_whoever_asked() {
    let pair = Pair::start().await;
    let (front, master) = (pair.front.client(), pair.master.client());
    let (mut stream, _) = front.open(0).await;
    stream.execute(commit(1)).await;
    for epoch in 1..=2 {
        assert_eq!(advance(&master, epoch).await.unwrap(), epoch);
    }
    let refused = advance(&front, 1).await.unwrap_err();
    assert_error(&refused, Code::FailedPrecondition, reason::WRONG_EPOCH, &[("ours", "2"), ("theirs", "1")]);
    // It is asked anew where it stands.
    assert_error(&stream.error().await, Code::FailedPrecondition, reason::WRONG_EPOCH, &[]);
    front.wait_until_ready().await;
    assert_eq!(front.position().await.epoch, 2);
    pair.stop().await;
}
