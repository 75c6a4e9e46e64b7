//! S06: the question of every start for the highest own block that a peer knows.

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{AuthorityIndex, VerifiedBlock};
use consensus_svc::peer::{PeerEvent, PeerLimits};
use metanode_proto::peer::v1::FetchOwnLastBlockRequest;

use super::support::{
    Node, NodeOptions, ScriptedPeer, TestCommittee, client, listener, quick_limits, within,
};

fn told(event: PeerEvent) -> (AuthorityIndex, Option<VerifiedBlock>, Option<VerifiedBlock>) {
    let PeerEvent::OwnLastBlock { from, block, peers_last } = event else { panic!("{event:?}") };
    (from, block, peers_last)
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
    node.store.seen.lock().unwrap().insert(AuthorityIndex::new(1), callers[4].clone());
    assert_eq!(ask(1).await.callers_last_block, callers[4].signed_bytes(), "it waits for an ancestor, say");
    node.stop().await;
}

#[tokio::test]
async fn s06_a_peer_is_asked_on_one_connection_until_the_machine_has_its_answers_and_then_no_more() {
    let committee = TestCommittee::new(4);
    let (mine, theirs) = (committee.chain(0, 2, 0), committee.chain(2, 3, 0));
    let mut peer = ScriptedPeer::start(&committee, 2).await;
    peer.callers_last(mine[1].signed_bytes().clone());
    peer.own_last(theirs[0].signed_bytes().clone());
    let limits = PeerLimits { ask_again: Duration::from_millis(10), ..quick_limits() };
    let options = NodeOptions { limits, ..NodeOptions::default() };
    let mut node = Node::start(&committee, 0, listener().await, &[(2, &peer.address)], options).await;
    let from = AuthorityIndex::new(2);
    assert_eq!(told(node.any_event().await), (from, Some(mine[1].clone()), Some(theirs[0].clone())));
    let session = peer.session().await;
    peer.own_last(theirs[1].signed_bytes().clone());
    loop {
        let (_, _, peers_last) = told(node.any_event().await);
        if peers_last == Some(theirs[1].clone()) {
            break;
        }
    }
    node.start_answered.send_replace(true);
    // The session is cut; the next one goes straight on to the stream.
    drop(session);
    peer.own_last(theirs[2].signed_bytes().clone());
    let session = peer.session().await;
    session.blocks(&theirs[..1]).await;
    loop {
        match node.any_event().await {
            // One question may have been under way.
            PeerEvent::OwnLastBlock { peers_last, .. } => assert_eq!(peers_last, Some(theirs[1].clone())),
            event => break assert!(matches!(event, PeerEvent::Blocks { .. }), "{event:?}"),
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn t07_an_answer_that_is_not_an_own_block_is_a_fault_and_no_answer() {
    let committee = TestCommittee::new(4);
    let mine = committee.chain(0, 1, 0).remove(0);
    let mut forged = mine.signed_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let foreign = committee.chain(3, 1, 0).remove(0);
    let theirs = committee.chain(2, 1, 0).remove(0);
    let forged = Bytes::from(forged);
    let (nonsense, mine_sent) = (Bytes::from_static(b"nonsense"), mine.signed_bytes().clone());
    let (foreign, theirs_sent) = (foreign.signed_bytes().clone(), theirs.signed_bytes().clone());
    let cases = [
        ("bad_signature", forged, theirs_sent.clone()),
        ("wrong_author", foreign.clone(), theirs_sent.clone()),
        ("malformed", nonsense.clone(), theirs_sent.clone()),
        ("wrong_author", mine_sent.clone(), foreign),
        ("wrong_author", mine_sent.clone(), mine_sent.clone()),
        ("malformed", mine_sent.clone(), nonsense),
    ];
    for (expected, callers_last, own_last) in cases {
        let peer = ScriptedPeer::start(&committee, 2).await;
        peer.callers_last(callers_last);
        peer.own_last(own_last);
        let mut node = Node::plain(&committee, 0, &[(2, &peer.address)]).await;
        let event = node.any_event().await;
        assert!(matches!(event, PeerEvent::Invalid { label, .. } if label == expected), "{event:?}");
        // It is asked again, and its answer then counts.
        peer.callers_last(mine_sent.clone());
        peer.own_last(theirs_sent.clone());
        loop {
            match node.any_event().await {
                PeerEvent::Invalid { .. } => {}
                event => {
                    break assert_eq!(
                        told(event),
                        (AuthorityIndex::new(2), Some(mine.clone()), Some(theirs.clone()))
                    );
                }
            }
        }
        node.stop().await;
    }
}
