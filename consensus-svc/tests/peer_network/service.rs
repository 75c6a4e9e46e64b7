//! What the service answers to requests that it cannot serve.

use consensus_core::VerifiedBlock;
use metanode_proto::{
    consensus::v1::BlockRef,
    peer::v1::{
        FetchBlocksRequest, FetchBoundaryRequest, SubscribeBlocksRequest,
        peer_service_client::PeerServiceClient,
    },
    reason,
};
use metanode_shell::status::{metadata_of, reason_of, retry_delay};
use tonic::{Code, Status, transport::Channel};

use super::support::{Node, TestCommittee, client, within};

async fn served() -> (TestCommittee, Node, PeerServiceClient<Channel>) {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, 0, &[]).await;
    let client = client(&committee, committee.secrets[1].clone(), 0, &node.address).await.unwrap();
    (committee, node, client)
}

fn wire(block: &VerifiedBlock) -> BlockRef {
    let reference = block.reference();
    BlockRef {
        round: reference.round.get(),
        author: u32::from(reference.author.get()),
        digest: reference.digest.as_bytes().to_vec().into(),
    }
}

fn wanted(blocks: Vec<BlockRef>) -> FetchBlocksRequest {
    FetchBlocksRequest { epoch: 0, blocks, held_rounds: vec![] }
}

fn facts(status: &Status) -> (Code, Option<String>) {
    (status.code(), reason_of(status))
}

#[tokio::test]
async fn another_chain_or_epoch_is_refused_by_name() {
    let (committee, node, mut client) = served().await;
    let good = SubscribeBlocksRequest {
        chain_id: committee.genesis.chain_id().as_bytes().to_vec().into(),
        epoch: 0,
        after_round: 0,
    };
    let other = SubscribeBlocksRequest { chain_id: vec![1; 32].into(), ..good.clone() };
    let status = within(client.subscribe_blocks(other)).await.unwrap_err();
    assert_eq!(facts(&status), (Code::FailedPrecondition, Some(reason::WRONG_CHAIN.to_owned())));
    let later = SubscribeBlocksRequest { epoch: 1, ..good.clone() };
    let status = within(client.subscribe_blocks(later)).await.unwrap_err();
    assert_eq!(facts(&status), (Code::FailedPrecondition, Some(reason::WRONG_EPOCH.to_owned())));
    let short = SubscribeBlocksRequest { chain_id: vec![1; 31].into(), ..good };
    let status = within(client.subscribe_blocks(short)).await.unwrap_err();
    assert_eq!(facts(&status), (Code::InvalidArgument, Some(reason::INVALID_FIELD.to_owned())));
    let later = FetchBlocksRequest { epoch: 1, blocks: vec![BlockRef::default()], ..Default::default() };
    let status = within(client.fetch_blocks(later)).await.unwrap_err();
    assert_eq!(facts(&status), (Code::FailedPrecondition, Some(reason::WRONG_EPOCH.to_owned())));
    node.stop().await;
}

#[tokio::test]
async fn a_node_of_another_chain_is_not_subscribed_to() {
    let (ours, others) = (TestCommittee::new(4), TestCommittee::named("other", 4));
    let server = Node::plain(&others, 0, &[]).await;
    let node = Node::plain(&ours, 1, &[(0, &server.address)]).await;
    let mut status = node.handle.status(consensus_core::AuthorityIndex::new(0)).unwrap();
    let lost = within(status.wait_for(|status| status.last_loss.is_some())).await.unwrap().clone();
    assert!(lost.last_loss.unwrap().starts_with("FailedPrecondition"));
    assert_eq!(lost.sessions, 0);
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn t07_garbage_in_a_fetch_is_answered_with_the_field() {
    let (committee, node, mut client) = served().await;
    let good = wire(&committee.chain(1, 1, 0)[0]);
    let cases = [
        (vec![], "blocks"),
        (vec![good.clone(); 1001], "blocks"),
        (vec![good.clone(), BlockRef { digest: vec![1; 31].into(), ..good.clone() }], "blocks[1].digest"),
        (vec![BlockRef { digest: vec![].into(), ..good.clone() }], "blocks[0].digest"),
        (vec![BlockRef { author: 65_536, ..good.clone() }], "blocks[0].author"),
    ];
    for (blocks, field) in cases {
        let status = within(client.fetch_blocks(wanted(blocks))).await.unwrap_err();
        assert_eq!(facts(&status), (Code::InvalidArgument, Some(reason::INVALID_FIELD.to_owned())));
        assert_eq!(metadata_of(&status, "field").as_deref(), Some(field));
    }
    let strange = [BlockRef { round: u64::MAX, author: 65_535, ..good.clone() }, good];
    let request = wanted(vec![strange; 500].concat());
    assert!(within(client.fetch_blocks(request)).await.unwrap().into_inner().blocks.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn t07_a_hint_of_another_size_than_the_committee_is_refused_and_a_strange_one_is_not() {
    let (committee, node, mut client) = served().await;
    let chain = committee.chain(1, 3, 0);
    chain.iter().for_each(|block| node.store.insert(block));
    let ask = |held_rounds| FetchBlocksRequest { held_rounds, ..wanted(vec![wire(&chain[2])]) };
    for held_rounds in [vec![0; 3], vec![0; 5], vec![0; 100_000]] {
        let status = within(client.fetch_blocks(ask(held_rounds))).await.unwrap_err();
        assert_eq!(facts(&status), (Code::InvalidArgument, Some(reason::INVALID_FIELD.to_owned())));
        assert_eq!(metadata_of(&status, "field").as_deref(), Some("held_rounds"));
    }
    for (held_rounds, expected) in [(vec![], 1), (vec![0; 4], 3), (vec![u64::MAX, 1, 0, u64::MAX], 2)] {
        let blocks = within(client.fetch_blocks(ask(held_rounds))).await.unwrap().into_inner().blocks;
        let nearest_first: Vec<_> =
            chain.iter().rev().take(expected).map(|block| block.signed_bytes().clone()).collect();
        assert_eq!(blocks, nearest_first);
    }
    node.stop().await;
}

#[tokio::test]
async fn t07_a_small_question_is_answered_by_a_bounded_number_of_ancestors() {
    let (committee, node, client) = served().await;
    let chain = committee.chain(1, 400, 0);
    chain.iter().for_each(|block| node.store.insert(block));
    let request = FetchBlocksRequest { held_rounds: vec![0; 4], ..wanted(vec![wire(&chain[399])]) };
    let mut client = client.max_decoding_message_size(5 << 20);
    let blocks = within(client.fetch_blocks(request)).await.unwrap().into_inner().blocks;
    assert_eq!(blocks.len(), 1 + 256);
    node.stop().await;
}

#[tokio::test]
async fn an_answer_is_cut_below_the_decode_limit_in_the_order_of_the_request() {
    let (committee, node, client) = served().await;
    let chain = committee.chain(1, 16, 512 << 10);
    chain.iter().for_each(|block| node.store.insert(block));
    let mut client = client.max_decoding_message_size(5 << 20);
    let request = wanted(chain.iter().rev().map(wire).collect());
    let blocks = within(client.fetch_blocks(request)).await.unwrap().into_inner().blocks;
    let expected: Vec<_> = chain.iter().rev().take(7).map(|block| block.signed_bytes().clone()).collect();
    assert_eq!(blocks, expected);
    node.stop().await;
}

#[tokio::test]
async fn s02_an_own_block_is_not_fetched_before_it_is_released() {
    let (committee, node, mut client) = served().await;
    let own = committee.chain(0, 1, 0).remove(0);
    node.store.insert(&own);
    let request = wanted(vec![wire(&own)]);
    assert!(within(client.fetch_blocks(request.clone())).await.unwrap().into_inner().blocks.is_empty());
    // Nor does it come as an ancestor.
    let child = committee.block(1, 2, own.reference(), 0);
    node.store.insert(&child);
    let behind = FetchBlocksRequest { held_rounds: vec![0; 4], ..wanted(vec![wire(&child)]) };
    let blocks = within(client.fetch_blocks(behind)).await.unwrap().into_inner().blocks;
    assert_eq!(blocks, [child.signed_bytes().clone()]);
    node.handle.broadcast(own.clone());
    let blocks = within(client.fetch_blocks(request)).await.unwrap().into_inner().blocks;
    assert_eq!(blocks, [own.signed_bytes().clone()]);
    node.stop().await;
}

#[tokio::test]
async fn t07_a_peer_has_few_fetches_under_way() {
    let (committee, node, client) = served().await;
    let block = committee.chain(1, 1, 0).remove(0);
    node.store.insert(&block);
    let request = wanted(vec![wire(&block)]);
    // One more than may be under way, while the store does not answer: one is refused, at once.
    let store = std::sync::Arc::clone(&node.store);
    let (held, gate_is_held) = std::sync::mpsc::sync_channel(1);
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let holder = std::thread::spawn(move || {
        let gate = store.gate.lock().unwrap();
        held.send(()).unwrap();
        released.recv().unwrap();
        drop(gate);
    });
    gate_is_held.recv().unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (mut client, request) = (client.clone(), request.clone());
        calls.spawn(async move { client.fetch_blocks(request).await });
    }
    let refused = within(calls.join_next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!(facts(&refused), (Code::ResourceExhausted, Some("TOO_MANY_CALLS".to_owned())));
    assert!(retry_delay(&refused).is_some());
    release.send(()).unwrap();
    for _ in 0..4 {
        let answer = within(calls.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.into_inner().blocks, [block.signed_bytes().clone()]);
    }
    holder.join().unwrap();
    node.stop().await;
}

#[tokio::test]
async fn calls_of_a_later_version_say_so() {
    let (_, node, mut client) = served().await;
    let status = within(client.fetch_boundary(FetchBoundaryRequest { epoch: 0 })).await.unwrap_err();
    assert_eq!(facts(&status), (Code::Unimplemented, Some(reason::NOT_SERVED_YET.to_owned())));
    node.stop().await;
}
