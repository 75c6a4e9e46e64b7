//! F02: the timestamp of a commit is a stake-weighted median of what is committed, and never falls.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    Linearizer, ProtocolParameters,
    testkit::{self, drawing::draw},
};

/// Offsets in milliseconds, from the genesis timestamp, of the commits of these leaders; one commit each.
fn timestamps(stakes: &[u64], text: &str, leaders: &[&str]) -> Vec<u128> {
    let parameters = ProtocolParameters {
        heartbeat_rounds: 1,
        heartbeat_interval: Duration::from_secs(3_600),
        ..ProtocolParameters::default()
    };
    let (genesis, signers) = testkit::genesis_with(stakes, parameters);
    let genesis = Arc::new(genesis);
    let drawing = draw(&genesis, &signers, text);
    let mut linearizer = Linearizer::new(genesis);
    let mut timestamp = |leader: &&str| {
        let commits = linearizer.commit_leader(drawing.dag(), drawing.block(leader));
        assert_eq!(commits.len(), 1);
        commits[0].commit.timestamp.since(testkit::GENESIS_TIMESTAMP).as_millis()
    };
    leaders.iter().map(&mut timestamp).collect()
}

/// Timestamp of a commit led by A2, on blocks of round 1 with these offsets.
fn median(stakes: &[u64], offsets_ms: &[(char, u64)]) -> u128 {
    let blocks: String = offsets_ms.iter().map(|(name, at)| format!("{name}1:[*] t=+{at}ms;")).collect();
    timestamps(stakes, &format!("{blocks} A2:[*] t=+999999ms"), &["A2"])[0]
}

#[test]
fn f02_equal_stakes_take_the_middle_and_of_an_even_number_the_upper() {
    assert_eq!(median(&[1; 4], &[('A', 10), ('B', 20), ('C', 30)]), 20);
    assert_eq!(median(&[1; 4], &[('A', 30), ('B', 10), ('C', 20)]), 20);
    assert_eq!(median(&[1; 4], &[('A', 10), ('B', 20), ('C', 30), ('D', 40)]), 30);
    assert_eq!(median(&[1], &[('A', 10)]), 10);
}

#[test]
fn f02_stakes_weigh() {
    // Total 10: 1 + 2 are not over 5, 1 + 2 + 3 are.
    assert_eq!(median(&[1, 2, 3, 4], &[('A', 10), ('B', 20), ('C', 30), ('D', 40)]), 30);
    assert_eq!(median(&[1, 2, 3, 4], &[('D', 10), ('C', 20), ('B', 30), ('A', 40)]), 20);
}

#[test]
fn f02_exactly_half_does_not_decide() {
    // A and D hold 5 of 10; the next one decides.
    assert_eq!(median(&[1, 2, 3, 4], &[('A', 10), ('D', 20), ('B', 30), ('C', 40)]), 30);
    // With one more on their side they do.
    assert_eq!(median(&[1, 2, 3, 5], &[('A', 10), ('D', 20), ('B', 30), ('C', 40)]), 20);
}

#[test]
fn f02_half_is_of_the_parents_stake_and_not_of_the_total() {
    // Parents A, B, D hold 7: D alone with 4 is over half of that, though not over half of 10.
    assert_eq!(median(&[1, 2, 3, 4], &[('D', 10), ('A', 20), ('B', 30)]), 10);
    // A and B with 3 are not.
    assert_eq!(median(&[1, 2, 3, 4], &[('A', 10), ('B', 20), ('D', 30)]), 30);
}

#[test]
fn f02_a_minority_in_the_future_or_in_the_past_does_not_decide() {
    let future = 9_000_000_000_000;
    assert_eq!(median(&[1; 4], &[('A', 10), ('B', 20), ('C', 30), ('D', future)]), 30);
    assert_eq!(median(&[1; 4], &[('A', 10), ('B', 20), ('C', 30), ('D', 0)]), 20);
    // f = 2 of 7, both ahead of everybody: still a time that an honest authority named.
    let seven: Vec<_> = ('A'..='G').zip([10, 20, 30, 40, 50, future, future]).collect();
    assert_eq!(median(&[1; 7], &seven), 40);
}

#[test]
fn f02_weak_links_and_the_leaders_own_clock_do_not_count() {
    let text = "ABCD1:[*] t=+900ms; ABC2:[ABC1] t=+50ms; A3:[ABC2,D1] t=+999999ms";
    assert_eq!(timestamps(&[1; 4], text, &["A3"]), [50]);
}

#[test]
fn f02_a_leader_of_round_1_has_the_time_of_the_genesis() {
    assert_eq!(timestamps(&[1; 4], "ABCD1:[*] t=+900ms", &["B1"]), [0]);
}

#[test]
fn f02_timestamps_never_fall_and_may_stay() {
    let text = "ABCD1:[*] t=+100ms; ABCD2:[*] t=+40ms; ABCD3:[*] t=+100ms; ABCD4:[*] t=+101ms; A5:[*]";
    assert_eq!(timestamps(&[1; 4], text, &["C2", "D3", "A4", "A5"]), [100, 100, 100, 101]);
}

#[test]
fn f02_of_a_group_the_last_leader_decides() {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let text = "ABCD1:[*] t=+70ms; ABCD2:[*] t=+80ms; ABCD3:[*] t=+90ms tx; A4:[*]";
    let drawing = draw(&genesis, &signers, text);
    let mut linearizer = Linearizer::new(genesis);
    assert_eq!(linearizer.commit_leader(drawing.dag(), drawing.block("C2")), []);
    let commits = linearizer.commit_leader(drawing.dag(), drawing.block("A4"));
    assert_eq!(commits[0].commit.timestamp.since(testkit::GENESIS_TIMESTAMP).as_millis(), 90);
}
