//! S06: the question of every start for the highest own block that a peer knows.

use bytes::Bytes;
use consensus_core::{AuthorityIndex, VerifiedBlock};
use consensus_svc::peer::PeerEvent;
use metanode_proto::peer::v1::FetchOwnLastBlockRequest;

use super::support::{Node, NodeOptions, ScriptedPeer, TestCommittee, client, listener, within};

fn told(event: PeerEvent) -> (AuthorityIndex, Option<VerifiedBlock>) {
    let PeerEvent::OwnLastBlock { from, block } = event else { panic!("{event:?}") };
    (from, block)
}

#[tokio::test]
async fn s06_a_peer_tells_the_callers_highest_block_and_its_own_that_was_released() {
    let committee = TestCommittee::new(4);
    let (own, callers) = (committee.chain(0, 3, 0), committee.chain(1, 5, 0));
    let stored = callers[..4].iter().chain(&own).cloned().collect();
    let options = NodeOptions { stored, own_round: Some(2), ..NodeOptions::default() };
    let node = Node::start(&committee, 0, listener().await, &[], options).await;
    let ask = async |secret: usize| {
        let secret = committee.secrets[secret].clone();
        let mut client = client(&committee, secret, 0, &node.address).await.unwrap();
        within(client.fetch_own_last_block(FetchOwnLastBlockRequest { epoch: 0 })).await.unwrap().into_inner()
    };
    let answer = ask(1).await;
    assert_eq!(answer.callers_last_block, callers[3].signed_bytes());
    assert_eq!(answer.own_last_block, own[1].signed_bytes(), "round 3 was not released yet");
    assert!(ask(2).await.callers_last_block.is_empty(), "nothing is known of authority 2");
    node.stop().await;
}

#[tokio::test]
async fn s06_each_peer_is_asked_once_in_the_life_of_a_process() {
    let committee = TestCommittee::new(4);
    let mine = committee.chain(0, 2, 0);
    let mut peer = ScriptedPeer::start(&committee, 2).await;
    peer.callers_last(mine[1].signed_bytes().clone());
    let mut node = Node::plain(&committee, 0, &[(2, &peer.address)]).await;
    assert_eq!(told(node.any_event().await), (AuthorityIndex::new(2), Some(mine[1].clone())));
    drop(peer.session().await);
    // The session was cut; the next one goes straight on to the stream.
    let session = peer.session().await;
    let theirs = committee.chain(2, 1, 0);
    session.blocks(&theirs).await;
    assert!(matches!(node.any_event().await, PeerEvent::Blocks { .. }));
    node.stop().await;
}

#[tokio::test]
async fn t07_an_answer_that_is_not_an_own_block_is_a_fault_and_no_answer() {
    let committee = TestCommittee::new(4);
    let mine = committee.chain(0, 1, 0).remove(0);
    let mut forged = mine.signed_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let foreign = committee.chain(3, 1, 0).remove(0);
    let cases = [
        ("bad_signature", Bytes::from(forged)),
        ("wrong_author", foreign.signed_bytes().clone()),
        ("malformed", Bytes::from_static(b"nonsense")),
    ];
    for (expected, bytes) in cases {
        let peer = ScriptedPeer::start(&committee, 2).await;
        peer.callers_last(bytes);
        let mut node = Node::plain(&committee, 0, &[(2, &peer.address)]).await;
        let event = node.any_event().await;
        assert!(matches!(event, PeerEvent::Invalid { label, .. } if label == expected), "{event:?}");
        // It is asked again, and its answer then counts.
        peer.callers_last(mine.signed_bytes().clone());
        loop {
            match node.any_event().await {
                PeerEvent::Invalid { .. } => {}
                event => break assert_eq!(told(event).1, Some(mine.clone())),
            }
        }
        node.stop().await;
    }
}
