//! Blocks flow in order, resume where the driver stands, and never pile up.

use std::sync::Arc;

use consensus_core::{AuthorityIndex, BlockSource, Round};
use consensus_svc::peer::{PeerEvent, PeerLimits};
use metanode_proto::peer::v1::{WakeHint, subscribe_blocks_response::Event};

use super::support::{
    Node, NodeOptions, ScriptedPeer, TestCommittee, question, quick_limits, rounds, within,
};

const SERVER: u16 = 0;
const CLIENT: u16 = 1;

fn server_index() -> AuthorityIndex {
    AuthorityIndex::new(SERVER)
}

async fn listener_at(address: &str) -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind(address).await.unwrap()
}

#[tokio::test]
async fn blocks_come_from_the_store_and_then_live() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 8, 100);
    let options = NodeOptions { stored: chain[..5].to_vec(), ..NodeOptions::default() };
    let server = Node::start(&committee, SERVER, listener_at("127.0.0.1:0").await, &[], options).await;
    let mut client = Node::plain(&committee, CLIENT, &[(SERVER, &server.address)]).await;
    assert_eq!(client.blocks_to(5, BlockSource::Streamed).await, [1, 2, 3, 4, 5]);
    for block in &chain[5..] {
        server.propose(block);
    }
    assert_eq!(client.blocks_to(8, BlockSource::Streamed).await, [6, 7, 8]);
    assert_eq!(client.handle.connected(), [true, true, false, false]);
    assert_eq!(server.handle.open_connections(AuthorityIndex::new(CLIENT)), 1);
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn s02_a_stored_block_is_not_sent_before_it_is_released() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 3, 10);
    // The third is in the store, but its batch may not be durable yet.
    let options = NodeOptions { stored: chain.clone(), own_round: Some(2), ..NodeOptions::default() };
    let server = Node::start(&committee, SERVER, listener_at("127.0.0.1:0").await, &[], options).await;
    let mut client = Node::plain(&committee, CLIENT, &[(SERVER, &server.address)]).await;
    assert_eq!(client.blocks_to(2, BlockSource::Streamed).await, [1, 2]);
    server.handle.wake(Round::new(2));
    assert!(matches!(client.event().await, PeerEvent::Wake { .. }));
    server.handle.broadcast(chain[2].clone());
    assert_eq!(client.blocks_to(3, BlockSource::Streamed).await, [3]);
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_resumes_after_the_highest_accepted_round() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 5, 10);
    let mut peer = ScriptedPeer::start(&committee, SERVER).await;
    let mut node = Node::plain(&committee, CLIENT, &[(SERVER, &peer.address)]).await;
    let session = peer.session().await;
    assert_eq!(session.request.after_round, 0);
    session.blocks(&chain).await;
    assert_eq!(node.blocks_to(5, BlockSource::Streamed).await, [1, 2, 3, 4, 5]);
    // Two of them wait for ancestors, or were dropped.
    node.accepted.raise(server_index(), Round::new(3));
    drop(session);
    let session = peer.session().await;
    assert_eq!(session.request.after_round, 3);
    session.blocks(&chain[3..]).await;
    assert_eq!(node.blocks_to(5, BlockSource::Streamed).await, [4, 5]);
    node.stop().await;
}

#[tokio::test]
async fn a_server_that_went_away_and_came_back_is_found_again() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 6, 10);
    let options = NodeOptions { stored: chain[..3].to_vec(), ..NodeOptions::default() };
    let server = Node::start(&committee, SERVER, listener_at("127.0.0.1:0").await, &[], options).await;
    let address = server.address.clone();
    let mut client = Node::plain(&committee, CLIENT, &[(SERVER, &address)]).await;
    assert_eq!(client.blocks_to(3, BlockSource::Streamed).await, [1, 2, 3]);
    client.accepted.raise(server_index(), Round::new(3));
    server.stop().await;
    client.connected(SERVER, false).await;
    assert!(client.handle.statuses()[0].last_loss.is_some());
    let options = NodeOptions { stored: chain[..5].to_vec(), ..NodeOptions::default() };
    let server = Node::start(&committee, SERVER, listener_at(&address).await, &[], options).await;
    assert_eq!(client.blocks_to(5, BlockSource::Streamed).await, [4, 5]);
    server.propose(&chain[5]);
    assert_eq!(client.blocks_to(6, BlockSource::Streamed).await, [6]);
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn blocks_far_ahead_of_the_clock_hold_their_stream() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 9, 10);
    let limits = PeerLimits { max_rounds_ahead: 2, ..quick_limits() };
    let mut peer = ScriptedPeer::start(&committee, SERVER).await;
    let options = NodeOptions { limits, clock_round: 1, ..NodeOptions::default() };
    let mut node = Node::start(
        &committee,
        CLIENT,
        listener_at("127.0.0.1:0").await,
        &[(SERVER, &peer.address)],
        options,
    )
    .await;
    let session = peer.session().await;
    let sending = tokio::spawn(async move {
        session.blocks(&chain).await;
        session
    });
    assert_eq!(node.blocks_to(3, BlockSource::Streamed).await, [1, 2, 3]);
    node.clock.send_replace(Round::new(2));
    assert_eq!(rounds(&node.event().await), [4]);
    node.clock.send_replace(Round::new(7));
    assert_eq!(node.blocks_to(9, BlockSource::Streamed).await, [5, 6, 7, 8, 9]);
    assert_eq!(node.handle.statuses()[0].sessions, 1);
    drop(within(sending).await.unwrap());
    node.stop().await;
}

#[tokio::test]
async fn t06_a_slow_subscriber_costs_no_memory_and_misses_nothing() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 300, 64 << 10);
    let limits = PeerLimits { recent_blocks: 8, recent_bytes: 300 << 10, batch_blocks: 4, ..quick_limits() };
    let options = NodeOptions { limits: limits.clone(), ..NodeOptions::default() };
    let server = Node::start(&committee, SERVER, listener_at("127.0.0.1:0").await, &[], options).await;
    let options = NodeOptions { limits: limits.clone(), events: 1, ..NodeOptions::default() };
    let addresses = [(SERVER, server.address.as_str())];
    let mut client =
        Node::start(&committee, CLIENT, listener_at("127.0.0.1:0").await, &addresses, options).await;
    client.connected(SERVER, true).await;
    // About 19 MiB, while the subscriber's driver takes nothing.
    for block in &chain {
        server.propose(block);
        let (blocks, size_bytes) = server.handle.held();
        assert!(blocks <= limits.recent_blocks && size_bytes <= limits.recent_bytes);
    }
    let expected: Vec<u64> = (1..=300).collect();
    assert_eq!(client.blocks_to(300, BlockSource::Streamed).await, expected);
    assert_eq!(client.handle.statuses()[0].sessions, 1);
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_wake_hint_comes_after_the_block_that_it_speaks_of() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(SERVER, 1, 10);
    let server = Node::plain(&committee, SERVER, &[]).await;
    let mut client = Node::plain(&committee, CLIENT, &[(SERVER, &server.address)]).await;
    client.connected(SERVER, true).await;
    server.propose(&chain[0]);
    server.handle.wake(Round::new(1));
    assert_eq!(rounds(&client.event().await), [1]);
    let event = client.event().await;
    assert!(
        matches!(event, PeerEvent::Wake { from, round } if from == server_index() && round == Round::new(1))
    );
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn t07_hints_are_handed_on_once_and_in_step() {
    let committee = TestCommittee::new(4);
    let limits = PeerLimits { max_rounds_ahead: 2, ..quick_limits() };
    let mut peer = ScriptedPeer::start(&committee, SERVER).await;
    let options = NodeOptions { limits, clock_round: 5, ..NodeOptions::default() };
    let addresses = [(SERVER, peer.address.as_str())];
    let mut node =
        Node::start(&committee, CLIENT, listener_at("127.0.0.1:0").await, &addresses, options).await;
    let session = peer.session().await;
    let sending = tokio::spawn(async move {
        for round in [7, 7, 6, 7, 8, u64::MAX] {
            session.send(Some(Event::Wake(WakeHint { round }))).await;
        }
        session
    });
    let mut hints = vec![];
    for clock in [5, 6] {
        node.clock.send_replace(Round::new(clock));
        let event = node.event().await;
        let PeerEvent::Wake { from, round } = event else { panic!("{event:?}") };
        assert_eq!(from, server_index());
        hints.push(round.get());
    }
    assert_eq!(hints, [7, 8]);
    drop(within(sending).await.unwrap());
    node.stop().await;
}

#[tokio::test]
async fn four_authorities_hear_each_other() {
    let committee = TestCommittee::new(4);
    let mut listeners = vec![];
    for _ in 0..4 {
        listeners.push(listener_at("127.0.0.1:0").await);
    }
    let addresses: Vec<String> =
        listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let addresses: Vec<(u16, &str)> = (0..).zip(addresses.iter().map(String::as_str)).collect();
    let mut nodes = vec![];
    for (own, listener) in (0..).zip(listeners) {
        nodes.push(Node::start(&committee, own, listener, &addresses, NodeOptions::default()).await);
    }
    for (own, node) in (0..).zip(&nodes) {
        committee.chain(own, 10, 50).iter().for_each(|block| node.propose(block));
    }
    for (own, node) in (0usize..).zip(&mut nodes) {
        let mut highest = [0u64; 4];
        highest[own] = 10;
        while highest != [10; 4] {
            let event = node.event().await;
            let PeerEvent::Blocks { from, blocks, .. } = event else { panic!("{event:?}") };
            for block in blocks {
                assert_eq!(block.author(), from);
                assert_eq!(block.round().get(), highest[from.as_usize()] + 1);
                highest[from.as_usize()] += 1;
            }
        }
        assert_eq!(node.handle.connected(), [true; 4]);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_committee_of_one_has_no_peers() {
    let committee = TestCommittee::new(1);
    let node = Node::plain(&committee, 0, &[]).await;
    for block in committee.chain(0, 3, 10) {
        node.propose(&block);
    }
    assert_eq!(node.handle.connected(), [true]);
    assert!(node.handle.statuses().is_empty());
    assert!(!node.handle.fetch(question(0, 1, vec![])));
    assert_eq!(Arc::strong_count(&node.store), 2);
    node.stop().await;
}
