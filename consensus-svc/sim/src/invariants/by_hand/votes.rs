//! Votes for commits, and the certificates that nodes store.

use consensus_core::{Block, Certificate, CommitDigest, CommitIndex, CommitVote, Progress, VerifiedBlock};

use super::{Hand, hand};
use crate::invariants::Record;

fn voting(hand: &Hand, author: usize, digest: CommitDigest) -> VerifiedBlock {
    let block = hand.block(5, author, 0, &[], b"").block().clone();
    let vote = CommitVote { index: CommitIndex::new(1), digest };
    Block { commit_votes: vec![vote], ..block }.sign(&hand.signers[author])
}

#[test]
fn a_certificate_of_less_than_a_quorum_breaks_certification() {
    let mut hand = hand();
    let digest = CommitDigest::new([1; 32]);
    let votes: Vec<_> = (0..4).map(|author| voting(&hand, author, digest)).collect();
    for vote in &votes[..2] {
        assert_eq!(hand.sent(vote), None);
    }
    let mut kept = |node: usize, authors: &[usize]| {
        let blocks = authors.iter().map(|author| votes[*author].reference()).collect();
        let certificates = [Certificate { index: CommitIndex::new(1), digest, blocks }];
        let (progress, ends) = (&Progress::default(), (CommitIndex::NONE, CommitIndex::NONE));
        hand.see(&Record::Stored { node, progress, certificates: &certificates, ends })
    };
    assert_eq!(kept(2, &[0, 1, 2]), None, "its own vote may go out behind it");
    assert_eq!(kept(2, &[0, 1]), Some("certification"), "two of four");
    assert_eq!(kept(2, &[0, 0, 2]), Some("certification"), "one counts once");
    assert_eq!(kept(2, &[0, 1, 3]), Some("certification"), "nobody has heard that vote");
}

#[test]
fn votes_for_what_is_not_handed_on_break_certification() {
    let liar = |hand: &mut Hand, block: &VerifiedBlock| {
        let node = block.author().as_usize();
        hand.see(&Record::Sent { node, honest: false, block, stored: true, guard: None })
    };
    let false_digest = CommitDigest::new([1; 32]);
    let mut hand = hand();
    let block = hand.block(1, 1, 0, &[], b"");
    let first = hand.commit(None, 0, &[&block]);
    let honest = voting(&hand, 0, first.digest);
    assert_eq!(hand.sent(&honest), None);
    assert_eq!(hand.delivered(0, &first), None);
    let lie = voting(&hand, 1, false_digest);
    assert_eq!(liar(&mut hand, &lie), None, "a lie that no quorum tells");
    let wrong = voting(&hand, 2, false_digest);
    assert_eq!(hand.sent(&wrong), Some("certification"));

    let mut hand = self::hand();
    assert_eq!(hand.sent(&wrong), None, "nobody has handed anything on");
    assert_eq!(hand.delivered(0, &first), Some("certification"));

    let mut hand = self::hand();
    for author in 0..2 {
        let lie = voting(&hand, author, false_digest);
        assert_eq!(liar(&mut hand, &lie), None);
    }
    assert_eq!(hand.delivered(3, &first), None);
    let lie = voting(&hand, 2, false_digest);
    assert_eq!(liar(&mut hand, &lie), Some("certification"), "a quorum of lies");
}
