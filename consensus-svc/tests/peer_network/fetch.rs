//! Missing blocks by name.

use consensus_core::{AuthorityIndex, BlockSource};
use consensus_svc::peer::PeerEvent;

use super::support::{Node, ScriptedPeer, TestCommittee, rounds};

const PEER: u16 = 2;
const NODE: u16 = 0;

fn peer_index() -> AuthorityIndex {
    AuthorityIndex::new(PEER)
}

#[tokio::test]
async fn blocks_of_any_author_are_fetched_and_unknown_ones_left_out() {
    let committee = TestCommittee::new(4);
    let held = [committee.chain(1, 2, 30), committee.chain(3, 2, 30)].concat();
    let unknown = committee.chain(1, 3, 0).remove(2);
    let server = Node::plain(&committee, PEER, &[]).await;
    held.iter().for_each(|block| server.store.insert(block));
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;
    let wanted = held.iter().chain([&unknown]).map(|block| block.reference()).collect();
    assert!(node.handle.fetch(peer_index(), wanted));
    let event = node.event().await;
    let PeerEvent::Blocks { from, source, mut blocks } = event else { panic!("{event:?}") };
    assert_eq!((from, source), (peer_index(), BlockSource::Fetched));
    blocks.sort_by_key(|block| (block.author(), block.round()));
    assert_eq!(blocks, held);
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_one_answer_is_asked_for_again() {
    let committee = TestCommittee::new(4);
    // 16 blocks of half a MiB: two answers and a rest.
    let held = committee.chain(1, 16, 512 << 10);
    let server = Node::plain(&committee, PEER, &[]).await;
    held.iter().for_each(|block| server.store.insert(block));
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;
    assert!(node.handle.fetch(peer_index(), held.iter().map(|block| block.reference()).collect()));
    let first = rounds(&node.event().await);
    assert!(first.len() < 16, "{first:?}");
    let rest = node.blocks_to(16, BlockSource::Fetched).await;
    assert_eq!([first, rest].concat(), (1..=16).collect::<Vec<_>>());
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn t07_only_what_was_asked_for_is_handed_on() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(1, 3, 10);
    let mut peer = ScriptedPeer::start(&committee, PEER).await;
    let mut node = Node::plain(&committee, NODE, &[(PEER, &peer.address)]).await;
    let session = peer.session().await;
    node.connected(PEER, true).await;
    peer.answer(&[chain[0].clone(), chain[2].clone()]);
    assert!(node.handle.fetch(peer_index(), vec![chain[0].reference(), chain[1].reference()]));
    assert_eq!(rounds(&node.event().await), [1]);
    assert!(matches!(node.event().await, PeerEvent::Invalid { label: "unrequested", .. }));
    // Who answers wrongly also loses its stream.
    session.closed().await;
    peer.session().await;
    node.stop().await;
}

#[tokio::test]
async fn t07_more_blocks_than_asked_for_are_not_even_judged() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(1, 3, 10);
    let mut peer = ScriptedPeer::start(&committee, PEER).await;
    let mut node = Node::plain(&committee, NODE, &[(PEER, &peer.address)]).await;
    let _session = peer.session().await;
    node.connected(PEER, true).await;
    peer.answer(&chain);
    assert!(node.handle.fetch(peer_index(), vec![chain[0].reference()]));
    assert!(matches!(node.event().await, PeerEvent::Invalid { label: "unrequested", .. }));
    node.stop().await;
}

#[tokio::test]
async fn a_fetch_without_a_connection_is_dropped() {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, NODE, &[]).await;
    let wanted = committee.chain(1, 1, 0)[0].reference();
    for peer in [NODE, PEER, 77] {
        assert!(!node.handle.fetch(AuthorityIndex::new(peer), vec![wanted]));
    }
    node.stop().await;
}
