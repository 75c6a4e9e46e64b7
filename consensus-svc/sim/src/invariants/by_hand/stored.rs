//! What stores hold beside the commits: the schedule, the progress record, evidence.

use consensus_core::{CommitIndex, EquivocationProof, Progress, Round, ScheduleState, Slot};

use super::{Hand, hand};
use crate::invariants::Record;

#[test]
fn f04_a_stored_schedule_that_differs_from_another_or_from_the_commits_breaks_schedule() {
    let progress = |points| Progress {
        last_commit: CommitIndex::new(1),
        schedule: ScheduleState { scores: vec![points, 0, 0, 0], ..ScheduleState::default() },
        ..Progress::default()
    };
    let (right, wrong) = (progress(0), progress(1));
    let ends = (right.last_commit, right.last_commit);
    let stored = |node, progress| Record::Stored { node, progress, certificates: &[], ends };
    let block = self::hand().block(1, 1, 0, &[], b"");
    let first = self::hand().commit(None, 0, &[&block]);

    let mut hand = hand();
    assert_eq!(hand.see(&stored(0, &right)), None);
    assert_eq!(hand.see(&stored(1, &right)), None);
    assert_eq!(hand.see(&stored(2, &wrong)), Some("schedule"));

    let mut hand = self::hand();
    assert_eq!(hand.see(&stored(0, &right)), None);
    assert_eq!(hand.delivered(0, &first), None);

    let mut hand = self::hand();
    assert_eq!(hand.see(&stored(0, &wrong)), None);
    assert_eq!(hand.delivered(0, &first), Some("schedule"), "all are wrong alike");

    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.see(&stored(0, &wrong)), Some("schedule"));
}

#[test]
fn s03_a_progress_record_ahead_of_the_commits_is_found() {
    let progress = Progress::default();
    let stored = |held, named| {
        let ends = (CommitIndex::new(held), CommitIndex::new(named));
        Record::Stored { node: 0, progress: &progress, certificates: &[], ends }
    };
    assert_eq!(hand().see(&stored(1, 1)), None);
    assert_eq!(hand().see(&stored(1, 2)), Some("store-agrees"));
}

#[test]
fn f07_an_equivocation_that_was_told_and_is_not_proven_breaks_evidence() {
    let broken = Some("evidence");
    let ended = Record::Ended { nodes: &[], target: 0, owed: 0, waited_ms: 0 };
    let pair = |hand: &Hand, round: u64| {
        let parents: Vec<_> = (0..4).map(|author| hand.block(round - 1, author, 0, &[], b"")).collect();
        let parents: Vec<_> = if round == 1 { Vec::new() } else { parents.iter().collect() };
        let mut own_first = parents;
        own_first.sort_by_key(|parent| parent.author().as_usize() != 1);
        let (one, other) =
            (hand.block(round, 1, 0, &own_first, b"a"), hand.block(round, 1, 0, &own_first, b"b"));
        EquivocationProof { first: one.signed_bytes().clone(), second: other.signed_bytes().clone() }
    };
    let at = |round| Slot { round: Round::new(round), authority: consensus_core::AuthorityIndex::new(1) };
    let met = |round| Record::MetEquivocation { node: 0, slot: at(round) };

    let mut hand = hand();
    assert_eq!(hand.see(&met(2)), None);
    assert_eq!(hand.see(&ended), broken);
    let proof = pair(&hand, 2);
    let kept = Record::Proof { node: 3, slot: at(2), proof: &proof };
    assert_eq!(hand.see(&kept), None);
    assert_eq!(hand.see(&ended), None, "another honest node has it");

    let mut hand = self::hand();
    assert_eq!(hand.see(&met(2)), None);
    assert_eq!(hand.see(&Record::StoreReplaced { node: 0 }), None);
    assert_eq!(hand.see(&ended), None);
    assert_eq!(hand.see(&Record::Proof { node: 3, slot: at(3), proof: &proof }), broken, "of another slot");
    let one_block = EquivocationProof { second: proof.first.clone(), ..proof.clone() };
    assert_eq!(hand.see(&Record::Proof { node: 3, slot: at(2), proof: &one_block }), broken);

    let mut hand = self::hand();
    let proofs: Vec<_> = (2..7).map(|round| (at(round), pair(&hand, round))).collect();
    for (slot, proof) in &proofs[..4] {
        assert_eq!(hand.see(&Record::Proof { node: 0, slot: *slot, proof }), None);
    }
    assert_eq!(hand.see(&met(9)), None);
    assert_eq!(hand.see(&ended), None, "the share of its author is full");
    assert_eq!(
        hand.see(&Record::Proof { node: 0, slot: proofs[4].0, proof: &proofs[4].1 }),
        broken,
        "over the share"
    );
}
