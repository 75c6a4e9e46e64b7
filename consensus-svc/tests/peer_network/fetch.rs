//! Missing blocks by name.

use bytes::Bytes;
use consensus_core::{AuthorityIndex, BlockSource, Fetch, FetchEnd, Round};
use consensus_svc::peer::PeerEvent;

use super::support::{Node, ScriptedPeer, TestCommittee, question, rounds};

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
    assert!(node.handle.fetch(question(PEER, 7, wanted)));
    let event = node.event().await;
    let PeerEvent::Blocks { from, source, mut blocks } = event else { panic!("{event:?}") };
    assert_eq!((from, source), (peer_index(), BlockSource::Fetched));
    blocks.sort_by_key(|block| (block.author(), block.round()));
    assert_eq!(blocks, held);
    assert_eq!(node.fetch_end().await, (7, FetchEnd::Answered), "the unknown one is not held");
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
    assert!(node.handle.fetch(question(PEER, 1, held.iter().map(|block| block.reference()).collect())));
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
    assert!(node.handle.fetch(question(PEER, 1, vec![chain[0].reference(), chain[1].reference()])));
    assert_eq!(rounds(&node.event().await), [1]);
    assert!(matches!(node.event().await, PeerEvent::Invalid { label: "unrequested", .. }));
    assert_eq!(node.fetch_end().await, (1, FetchEnd::Failed));
    // Who answers wrongly also loses its stream.
    session.closed().await;
    peer.session().await;
    node.stop().await;
}

#[tokio::test]
async fn t07_more_blocks_than_an_answer_may_hold_are_not_even_judged() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(1, 1, 10);
    let mut peer = ScriptedPeer::start(&committee, PEER).await;
    let mut node = Node::plain(&committee, NODE, &[(PEER, &peer.address)]).await;
    let _session = peer.session().await;
    node.connected(PEER, true).await;
    peer.answer_raw(vec![Bytes::from_static(b"garbage"); 1_001]);
    assert!(node.handle.fetch(question(PEER, 1, vec![chain[0].reference()])));
    assert!(matches!(node.event().await, PeerEvent::Invalid { label: "unrequested", .. }));
    assert_eq!(node.fetch_end().await, (1, FetchEnd::Failed));
    node.stop().await;
}

#[tokio::test]
async fn a_hidden_chain_comes_in_one_answer() {
    let committee = TestCommittee::new(4);
    let hidden = committee.chain(1, 20, 10);
    let server = Node::plain(&committee, PEER, &[]).await;
    hidden.iter().for_each(|block| server.store.insert(block));
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;
    let held = [20, 5, 20, 20].map(Round::new).to_vec();
    let wanted = vec![hidden[19].reference()];
    assert!(node.handle.fetch(Fetch { held, ..question(PEER, 1, wanted) }));
    assert_eq!(rounds(&node.event().await), (6..=20).rev().collect::<Vec<_>>());
    assert_eq!(node.fetch_end().await, (1, FetchEnd::Answered));
    node.stop().await;
    server.stop().await;
}

/// Each is an ancestor that the asker did not say it lacks, or one that stands before what names it, or comes twice.
#[tokio::test]
async fn t07_ancestors_that_an_answer_may_not_hold_end_the_session_and_what_stands_before_is_kept() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(1, 4, 10);
    let block = |place: usize| chain[place].clone();
    let cases = [
        vec![block(3), block(1)],
        vec![block(3), block(2), block(2)],
        vec![block(3), block(2), block(1), block(0)],
        vec![block(3), block(2), block(3)],
    ];
    for answer in cases {
        let mut peer = ScriptedPeer::start(&committee, PEER).await;
        let mut node = Node::plain(&committee, NODE, &[(PEER, &peer.address)]).await;
        let session = peer.session().await;
        node.connected(PEER, true).await;
        peer.answer(&answer);
        let held = [0, 1, 0, 0].map(Round::new).to_vec();
        assert!(node.handle.fetch(Fetch { held, ..question(PEER, 1, vec![chain[3].reference()]) }));
        assert_eq!(rounds(&node.event().await).len(), answer.len() - 1);
        assert!(matches!(node.event().await, PeerEvent::Invalid { label: "unrequested", .. }));
        session.closed().await;
        node.stop().await;
    }
}

#[tokio::test]
async fn a_refused_or_empty_fetch_ends_at_once() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(1, 1, 10);
    let mut peer = ScriptedPeer::start(&committee, PEER).await;
    let mut node = Node::plain(&committee, NODE, &[(PEER, &peer.address)]).await;
    let _session = peer.session().await;
    node.connected(PEER, true).await;
    assert!(node.handle.fetch(question(PEER, 1, vec![chain[0].reference()])));
    assert_eq!(node.fetch_end().await, (1, FetchEnd::Failed), "nothing is scripted, so it is refused");
    peer.answer(&[]);
    assert!(node.handle.fetch(question(PEER, 2, vec![chain[0].reference()])));
    assert_eq!(node.fetch_end().await, (2, FetchEnd::Answered));
    node.stop().await;
}

#[tokio::test]
async fn a_fetch_without_a_connection_is_dropped() {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, NODE, &[]).await;
    let wanted = committee.chain(1, 1, 0)[0].reference();
    for peer in [NODE, PEER, 77] {
        assert!(!node.handle.fetch(question(peer, 1, vec![wanted])));
    }
    node.stop().await;
}
