//! What is in a commit, in which order and at which time, as its leaders have it.

use consensus_core::{CoreStatus, Epoch, Round, VerifiedBlock};

use super::{Hand, hand};
use crate::invariants::Record;

#[test]
fn a_collected_block_in_a_commit_and_a_wrong_gc_round_break_the_gc_bound() {
    let mut hand = hand();
    let low = hand.block(1, 1, 0, &[], b"");
    let high = hand.block(100, 1, 0, &[&low], b"");
    assert_eq!(hand.sent(&low), None);
    assert_eq!(hand.sent(&high), None);
    let first = hand.commit(None, 0, &[&high]);
    let late = hand.commit(Some(&first), 0, &[&low]);
    let broken = Some("gc-bound");
    // The leader of a drawn commit has no honest parents, which `timestamps` would object to later.
    assert!(hand.delivered(0, &first).is_none_or(|name| name == "timestamps"));
    assert_eq!(hand.delivered(0, &late), broken);
    let status = CoreStatus {
        last_committed_round: Round::new(100),
        gc_round: Round::new(41),
        ..CoreStatus::default()
    };
    assert_eq!(hand.see(&Record::Probed { node: 0, status: &status }), broken);
}

/// Parents by three authorities and a leader over them, all sent: what `timestamps` wants of a leader.
fn two_leaders(hand: &mut Hand) -> (Vec<VerifiedBlock>, VerifiedBlock) {
    let parents: Vec<_> = (0..3).map(|author| hand.block(1, author, 0, &[], b"")).collect();
    let leader = hand.block(2, 2, 0, &parents.iter().collect::<Vec<_>>(), b"");
    for block in parents.iter().chain([&leader]) {
        assert_eq!(hand.sent(block), None);
    }
    (parents, leader)
}

#[test]
fn f03_a_commit_without_all_of_its_leaders_history_breaks_the_order() {
    let mut hand = hand();
    let (parents, leader) = two_leaders(&mut hand);
    let lacking = hand.commit(None, 0, &[&parents[0], &parents[1], &leader]);
    assert_eq!(hand.delivered(0, &lacking), Some("order"));
}

#[test]
fn f08_histories_that_are_unsorted_or_sorted_together_break_the_order() {
    let mut hand = hand();
    let (parents, leader) = two_leaders(&mut hand);
    let unsorted = hand.commit(None, 0, &[&parents[1], &parents[0], &parents[2], &leader]);
    assert_eq!(hand.delivered(0, &unsorted), Some("order"));

    // Two leaders of one group: the first has no late history, the second brings a block below the first.
    let by_leaders = |order: fn(&[VerifiedBlock]) -> Vec<VerifiedBlock>| {
        let mut hand = self::hand();
        let (parents, leader) = two_leaders(&mut hand);
        let late = hand.block(1, 3, 0, &[], b"");
        let next = hand.block(3, 0, 0, &[&parents[0], &leader, &late], b"");
        assert_eq!((hand.sent(&late), hand.sent(&next)), (None, None));
        let groups = [&parents[..], &[leader.clone(), late, next]].concat();
        let mut commit = hand.commit(None, 0, &order(&groups).iter().collect::<Vec<_>>());
        commit.commit.leaders.insert(0, leader.reference());
        commit.digest = commit.commit.digest();
        hand.delivered(0, &commit)
    };
    assert_eq!(by_leaders(<[_]>::to_vec), None, "leader by leader");
    let together = by_leaders(|groups| {
        let mut union = groups.to_vec();
        union.sort_by_key(VerifiedBlock::reference);
        union
    });
    assert_eq!(together, Some("order"));
}

#[test]
fn f02_a_time_that_only_a_liar_said_or_that_falls_breaks_timestamps() {
    let mut hand = hand();
    let times = [100, 200, 300, 900_000];
    let parents: Vec<_> = (0..4).map(|author| hand.block(1, author, times[author], &[], b"")).collect();
    for (author, block) in parents.iter().enumerate() {
        let guard = Some((Epoch::GENESIS, Round::FIRST));
        let record = Record::Sent { node: author, honest: author < 3, block, stored: true, guard };
        assert_eq!(hand.see(&record), None);
    }
    let leader = hand.block(2, 2, 400, &parents.iter().collect::<Vec<_>>(), b"");
    assert_eq!(hand.sent(&leader), None);
    let broken = Some("timestamps");
    let by_liar = hand.commit(None, 900_000, &[&leader]);
    assert_eq!(hand.delivered(0, &by_liar), broken);
    let mut hand_again = self::hand();
    let parents: Vec<_> = parents.iter().take(3).collect();
    let leader = hand_again.block(2, 2, 400, &parents, b"");
    let next = hand_again.block(2, 1, 400, &parents, b"");
    for block in parents.iter().copied().chain([&leader, &next]) {
        assert_eq!(hand_again.sent(block), None);
    }
    let first = hand_again.commit(None, 200, &[parents[0], parents[1], parents[2], &leader]);
    assert_eq!(hand_again.delivered(0, &first), None);
    let falling = hand_again.commit(Some(&first), 150, &[&next]);
    assert_eq!(hand_again.delivered(0, &falling), broken);
}
