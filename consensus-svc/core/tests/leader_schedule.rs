//! Who leads which slot: the plain round, who is unseated by which scores, and who sits there instead.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use consensus_core::{AuthorityIndex, Committee, LeaderSchedule, LeaderSlot, Round, SwapTable, testkit};

fn indexes(authorities: &[u16]) -> Vec<AuthorityIndex> {
    authorities.iter().copied().map(AuthorityIndex::new).collect()
}

fn committee(stakes: &[u64]) -> Committee {
    testkit::committee(stakes).0
}

/// Unseated, substitutes.
fn table(stakes: &[u64], scores: &[u128]) -> (Vec<u16>, Vec<u16>) {
    let table = SwapTable::new(&committee(stakes), scores);
    let numbers = |list: &[AuthorityIndex]| list.iter().map(|authority| authority.get()).collect();
    (numbers(table.unseated()), numbers(table.substitutes()))
}

/// Leaders of the rounds `first..first + count`, a list a round.
fn leaders(schedule: &LeaderSchedule, first: u64, count: u64) -> Vec<Vec<u16>> {
    let round = |round| schedule.slots(Round::new(round)).map(|slot| schedule.leader(slot).get()).collect();
    (first..first + count).map(round).collect()
}

fn with_table(size: u16, leaders_per_round: u16, unseated: &[u16], substitutes: &[u16]) -> LeaderSchedule {
    let table = SwapTable::from_parts(indexes(unseated), indexes(substitutes));
    LeaderSchedule::new(&committee(&vec![1; usize::from(size)]), leaders_per_round).with_tables(
        Round::FIRST,
        table,
        SwapTable::default(),
    )
}

#[test]
fn without_a_table_slots_go_round_whatever_the_stakes() {
    let schedule = LeaderSchedule::new(&committee(&[9, 1, 1, 9]), 2);
    assert_eq!(leaders(&schedule, 1, 5), [[1, 2], [2, 3], [3, 0], [0, 1], [1, 2]]);
}

#[test]
fn an_authority_below_half_of_the_quorums_score_is_unseated_and_one_at_half_is_not() {
    assert_eq!(table(&[1; 4], &[100, 90, 80, 39]), (vec![3], vec![0, 1, 2]));
    assert_eq!(table(&[1; 4], &[100, 90, 80, 40]), (vec![], vec![]), "80 is the score of the quorum");
    assert_eq!(table(&[1; 4], &[0; 4]), (vec![], vec![]));
    // Below the quorum's score and not unseated: neither gives nor takes.
    assert_eq!(table(&[1; 7], &[9, 0, 9, 9, 5, 9, 9]), (vec![1], vec![0, 2, 3, 5, 6]));
}

/// Whoever is below a quorum's score is not part of that quorum.
#[test]
fn the_unseated_have_at_most_f_stake() {
    assert_eq!(table(&[1; 4], &[9, 0, 9, 0]).0, [] as [u16; 0], "a quorum needs one of those with 0");
    assert_eq!(table(&[1; 7], &[8, 0, 8, 3, 8, 8, 8]), (vec![1, 3], vec![0, 2, 4, 5, 6]));
    assert_eq!(table(&[1; 7], &[8, 0, 8, 3, 8, 8, 3]).0, [1], "3 is the quorum's score");
    assert_eq!(table(&[3, 1, 1, 3, 2], &[9, 2, 1, 9, 9]), (vec![1, 2], vec![0, 3, 4]));
    assert_eq!(table(&[4, 1, 3, 3], &[0, 1, 9, 9]).0, [] as [u16; 0], "no quorum without the heavy one");
    assert_eq!(table(&[2, 3, 3, 3], &[0, 9, 9, 9]).0, [0]);
    // Overflow changes nothing.
    assert_eq!(table(&[1; 4], &[u128::MAX, u128::MAX, u128::MAX / 2 + 1, u128::MAX]).0, [] as [u16; 0]);
}

#[test]
fn nobody_is_unseated_where_everybody_is_needed() {
    for size in 1..=3 {
        let mut scores = vec![9; size];
        scores[0] = 0;
        assert_eq!(table(&vec![1; size], &scores).0, [] as [u16; 0], "{size}");
    }
}

#[test]
fn substitutes_take_turns_each_time_that_the_round_has_gone_around() {
    let schedule = with_table(4, 1, &[3], &[0, 1, 2]);
    let seats: Vec<u16> = leaders(&schedule, 4, 16).concat();
    assert_eq!(seats, [0, 1, 2, 1, 0, 1, 2, 2, 0, 1, 2, 0, 0, 1, 2, 1]);
    // Two unseated start at different places, so that they do not both fall to the same one.
    let schedule = with_table(7, 1, &[2, 5], &[0, 1, 3, 4, 6]);
    assert_eq!(leaders(&schedule, 7, 7).concat(), [0, 1, 1, 3, 4, 3, 6]);
    assert_eq!(leaders(&schedule, 14, 7).concat(), [0, 1, 3, 3, 4, 4, 6]);
}

#[test]
fn no_authority_is_seated_twice_in_a_round() {
    for leaders_per_round in 1..=7 {
        for unseated in [vec![1], vec![1, 2], vec![0, 6]] {
            let substitutes: Vec<u16> = (0..7).filter(|index| !unseated.contains(index)).collect();
            let schedule = with_table(7, leaders_per_round, &unseated, &substitutes);
            for (round, seats) in (1..).zip(leaders(&schedule, 1, 70)) {
                let distinct: BTreeSet<_> = seats.iter().collect();
                assert_eq!(distinct.len(), usize::from(leaders_per_round), "{round}: {seats:?}");
                if leaders_per_round <= 5 {
                    assert!(!unseated.iter().any(|index| seats.contains(index)), "{round}: {seats:?}");
                }
                for slot in schedule.slots(Round::new(round)) {
                    let leader = schedule.leader(slot);
                    assert_eq!(schedule.slot_of(slot.round, leader), Some(slot));
                }
            }
        }
    }
}

#[test]
fn where_no_substitute_is_left_the_slot_stays_with_the_authority_whose_turn_it_is() {
    let schedule = with_table(4, 4, &[3], &[0, 1, 2]);
    assert_eq!(leaders(&schedule, 1, 2), [[1, 2, 3, 0], [2, 3, 0, 1]]);
    // One substitute alone cannot sit in two slots.
    let schedule = with_table(7, 2, &[2, 3], &[6]);
    assert_eq!(leaders(&schedule, 2, 1), [[6, 3]]);
    assert_eq!(leaders(&schedule, 1, 1), [[1, 6]]);
}

#[test]
fn further_slots_of_the_last_round_stay_under_the_table_before() {
    let mut schedule = with_table(4, 2, &[3], &[0, 1, 2]);
    let before = leaders(&schedule, 1, 7);
    let table = SwapTable::from_parts(indexes(&[1]), indexes(&[0, 2, 3]));
    schedule.switch(Round::new(8), table.clone());
    assert_eq!(leaders(&schedule, 1, 7), before);
    assert_eq!((schedule.since(), schedule.table()), (Round::new(8), &table));
    for seats in leaders(&schedule, 8, 24) {
        assert!(!seats.contains(&1));
    }
    let last = LeaderSlot { round: Round::new(7), offset: 1 };
    assert_eq!(schedule.next(last), LeaderSlot { round: Round::new(8), offset: 0 });
}
