//! T07: whatever a peer sends is counted with its label, ends its session, and costs no honest block.

use bytes::Bytes;
use consensus_core::{AuthorityIndex, BlockSource, BlockVerifier, Round, Signer, VerifiedBlock};
use consensus_svc::peer::PeerEvent;
use metanode_proto::peer::v1::subscribe_blocks_response::Event;

use super::support::{Node, ScriptedPeer, TestCommittee};

const PEER: u16 = 2;
const NODE: u16 = 0;

fn block(bytes: impl Into<Bytes>) -> Option<Event> {
    Some(Event::Block(bytes.into()))
}

/// Label, and what provokes it after the peer's blocks of rounds 1 and 2.
fn cases(committee: &TestCommittee, chain: &[VerifiedBlock]) -> Vec<(&'static str, Option<Event>)> {
    let next = &chain[2];
    let mut forged = next.signed_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let mut truncated = next.signed_bytes().to_vec();
    truncated.truncate(80);
    let limit = usize::try_from(BlockVerifier::new(committee.genesis.clone()).max_signed_bytes()).unwrap();
    let mut stranger = committee.draft(PEER, 3, chain[1].reference(), 0);
    stranger.author = AuthorityIndex::new(9);
    let other_chain = TestCommittee::named("other", 4).chain(PEER, 3, 0).remove(2);
    let mut later_epoch = committee.draft(PEER, 3, chain[1].reference(), 0);
    later_epoch.epoch = consensus_core::Epoch::new(1);
    let mut few_parents = committee.draft(PEER, 3, chain[1].reference(), 0);
    few_parents.ancestors.truncate(2);
    let large = committee.block(PEER, 3, chain[1].reference(), (512 << 10) + 1);
    let signer = &committee.signers[usize::from(PEER)];
    vec![
        ("bad_signature", block(forged)),
        ("malformed", block(truncated)),
        ("malformed", block(vec![0xff; 500])),
        ("malformed", block(Bytes::new())),
        ("malformed", None),
        ("oversized", block(vec![0; limit + 1])),
        ("oversized", block(vec![0; 6 << 20])),
        ("oversized", block(large.signed_bytes().clone())),
        ("unknown_authority", block(stranger.sign(&Signer::from_bytes([77; 32])).signed_bytes().clone())),
        ("wrong_chain", block(other_chain.signed_bytes().clone())),
        ("wrong_epoch", block(later_epoch.sign(signer).signed_bytes().clone())),
        ("invalid", block(few_parents.sign(signer).signed_bytes().clone())),
        ("wrong_author", block(committee.chain(1, 3, 0)[2].signed_bytes().clone())),
        ("stream_order", block(chain[1].signed_bytes().clone())),
    ]
}

#[tokio::test]
async fn t07_each_fault_has_its_label_ends_the_session_and_loses_nothing() {
    let committee = TestCommittee::new(4);
    let chain = committee.chain(PEER, 3, 20);
    for (expected, event) in cases(&committee, &chain) {
        let mut peer = ScriptedPeer::start(&committee, PEER).await;
        let mut node = Node::plain(&committee, NODE, &[(PEER, &peer.address)]).await;
        let session = peer.session().await;
        session.blocks(&chain[..1]).await;
        assert_eq!(node.blocks_to(1, BlockSource::Streamed).await, [1]);
        node.accepted.raise(AuthorityIndex::new(PEER), Round::new(1));
        // The second is honest, may share a batch with the fault, and must not be lost.
        session.blocks(&chain[1..2]).await;
        session.send(event).await;
        assert_eq!(node.blocks_to(2, BlockSource::Streamed).await, [2], "{expected}");
        let event = node.event().await;
        let is_fault = matches!(&event, PeerEvent::Invalid { from, label }
            if from.get() == PEER && *label == expected);
        assert!(is_fault, "{expected}: {event:?}");
        session.closed().await;
        let faults = node.handle.statuses().remove(usize::from(PEER) - 1).faults;
        assert_eq!(faults.into_iter().collect::<Vec<_>>(), [(expected, 1)]);

        let session = peer.session().await;
        assert_eq!(session.request.after_round, 1, "{expected}");
        session.blocks(&chain[1..]).await;
        assert_eq!(node.blocks_to(3, BlockSource::Streamed).await, [2, 3], "{expected}");
        node.stop().await;
    }
}

#[tokio::test]
async fn t07_a_fault_of_one_peer_leaves_the_others_alone() {
    let committee = TestCommittee::new(4);
    let mut bad = ScriptedPeer::start(&committee, PEER).await;
    let mut good = ScriptedPeer::start(&committee, 1).await;
    let addresses = [(PEER, bad.address.as_str()), (1, good.address.as_str())];
    let mut node = Node::plain(&committee, NODE, &addresses).await;
    let (bad_session, good_session) = (bad.session().await, good.session().await);
    bad_session.bytes(vec![1, 2, 3]).await;
    assert!(matches!(node.event().await, PeerEvent::Invalid { label: "malformed", .. }));
    good_session.blocks(&committee.chain(1, 3, 0)).await;
    assert_eq!(node.blocks_to(3, BlockSource::Streamed).await, [1, 2, 3]);
    let statuses = node.handle.statuses();
    assert!(statuses[0].faults.is_empty() && statuses[0].sessions == 1);
    node.stop().await;
}
