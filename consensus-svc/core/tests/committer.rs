//! The commit rule on drawn DAGs, beyond the recorded vectors: thresholds, twins, and the two points in which
//! implementations of the rule differ.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use consensus_core::{
    Committer, Decision, LeaderSlot, ProtocolParameters, Round, Via,
    testkit::{
        self,
        drawing::{Drawing, draw},
    },
};

/// Authorities A to D; the leader of round 1 is B, of round 2 C, of round 3 D, of round 4 A.
fn decide(text: &str) -> String {
    decide_of(&[1; 4], 1, text)
}

fn decide_of(stakes: &[u64], leaders_per_round: u16, text: &str) -> String {
    let (drawing, committer) = drawn(stakes, leaders_per_round, text);
    decisions(&drawing, &committer, None)
}

fn drawn(stakes: &[u64], leaders_per_round: u16, text: &str) -> (Drawing, Committer) {
    let parameters = ProtocolParameters { leaders_per_round, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(stakes, parameters);
    let genesis = Arc::new(genesis);
    (draw(&genesis, &signers, text), Committer::new(genesis))
}

/// `B1` for a commit, `-1.0` for a skip of round 1, offset 0, `?` behind those that an anchor decided.
fn decisions(drawing: &Drawing, committer: &Committer, after: Option<LeaderSlot>) -> String {
    let describe = |decided: &consensus_core::DecidedLeader| {
        let what = match &decided.decision {
            Decision::Commit(block) => drawing.names([&block.reference()]),
            Decision::Skip => format!("-{}.{}", decided.slot.round, decided.slot.offset),
        };
        let via = if decided.via == Via::Indirect { "?" } else { "" };
        format!("{what}{via}")
    };
    committer.decide(drawing.dag(), after).iter().map(describe).collect::<Vec<_>>().join(" ")
}

#[test]
fn nothing_is_decided_before_a_vote() {
    assert_eq!(decide(""), "");
    assert_eq!(decide("ABCD1:[*]"), "");
    assert_eq!(decide("ABCD1..2:[*]"), "");
}

#[test]
fn a_leader_with_a_quorum_of_certificates_is_committed() {
    assert_eq!(decide("ABCD1..2:[*]; ABC3:[*]"), "B1");
}

#[test]
fn a_leader_one_certificate_short_of_a_quorum_stays_undecided() {
    assert_eq!(decide("ABCD1..2:[*]; AB3:[*]"), "");
}

#[test]
fn a_certificate_needs_a_quorum_of_votes() {
    // D2 does not vote. A3 and B3 hold all three votes, C3 only two of them.
    let drawn = "ABCD1:[*]; ABC2:[*]; D2:[D1,A1,C1]; AB3:[*];";
    assert_eq!(decide(&format!("{drawn} C3:[A2,C2,D2]; D3:[*]")), "B1");
    assert_eq!(decide(&format!("{drawn} C3:[A2,C2,D2]; D3:[A2,B2,D2]")), "");
}

#[test]
fn certificates_are_counted_by_stake() {
    // Total 10, quorum 7: A, B and D reach it, A, B and C miss it by one.
    let drawn = "ABCD1..2:[*];";
    assert_eq!(decide_of(&[1, 2, 3, 4], 1, &format!("{drawn} ABD3:[*]")), "B1");
    assert_eq!(decide_of(&[1, 2, 3, 4], 1, &format!("{drawn} ABC3:[*]")), "");
}

#[test]
fn votes_are_counted_by_stake() {
    // Voters A, B, D hold 7; voters A, B, C hold 6, and D alone cannot skip.
    let votes = |voters: &str, other: &str| {
        let text = format!("ABCD1:[*]; {voters}2:[*]; {other}2:[*-B]; ABCD3:[*]");
        decide_of(&[1, 2, 3, 4], 1, &text)
    };
    assert_eq!(votes("ABD", "C"), "B1");
    assert_eq!(votes("ABC", "D"), "");
}

#[test]
fn a_leader_passed_over_by_a_quorum_is_skipped() {
    assert_eq!(decide("ABCD1:[*]; ACD2:[*-B]"), "-1.0");
    assert_eq!(decide("ABCD1:[*]; AC2:[*-B]; B2:[*]"), "");
}

#[test]
fn a_leader_is_passed_over_by_stake() {
    // Against: A, C, D hold 8; C and D hold 7, exactly a quorum; A, B and C hold 6.
    let against = |text: &str| decide_of(&[1, 2, 3, 4], 1, &format!("ABCD1:[*]; {text}"));
    assert_eq!(against("ACD2:[*-B]"), "-1.0");
    assert_eq!(against("CD2:[*-B]; AB2:[*]"), "-1.0");
    assert_eq!(against("ABC2:[*-B]; D2:[*]"), "");
}

#[test]
fn a_slot_without_a_block_is_skipped_by_a_quorum_of_blocks_above() {
    assert_eq!(decide("ACD1:[*]; ACD2:[*]"), "-1.0");
    assert_eq!(decide("ACD1:[*]; AC2:[*]"), "");
    assert_eq!(decide("ACD1:[*]; AC2:[*]; C2b:[*]"), "");
}

#[test]
fn an_undecided_slot_holds_back_what_is_decided_above_it() {
    // B1 has votes of A and B only: no certificate, and no quorum against it. C2 is certified.
    let drawn = "ABCD1:[*]; AB2:[*]; CD2:[*-B]; ABCD3..4:[*]";
    let (drawing, committer) = drawn_equal(drawn);
    assert_eq!(decisions(&drawing, &committer, None), "");
    let first = LeaderSlot { round: Round::FIRST, offset: 0 };
    assert_eq!(decisions(&drawing, &committer, Some(first)), "C2");
}

fn drawn_equal(text: &str) -> (Drawing, Committer) {
    drawn(&[1; 4], 1, text)
}

#[test]
fn an_anchor_skips_a_leader_without_a_certificate_in_its_history() {
    assert_eq!(decide("ABCD1:[*]; AB2:[*]; CD2:[*-B]; ABCD3..6:[*]"), "-1.0? C2 D3 A4");
}

#[test]
fn an_anchor_commits_a_leader_with_a_single_certificate_in_its_history() {
    // Of round 3 only A3 lists the three votes for B1.
    let drawn = "ABCD1:[*]; ABC2:[*]; D2:[*-B]; A3:[ABC2]; C3:[C2,A2,D2]; BD3:[ABD2];";
    assert_eq!(decide(drawn), "");
    let committed = decide(&format!("{drawn} ABCD4..6:[*]"));
    assert_eq!(committed.split(' ').next(), Some("B1?"));
    // The anchor A4 does not list A3 and does not reach it otherwise.
    let skipped = decide(&format!("{drawn} A4:[BCD3]; BCD4:[*]; ABCD5..6:[*]"));
    assert_eq!(skipped.split(' ').next(), Some("-1.0?"));
}

/// Implementations differ here: some walk only from round to round. What holds is the full causal history: whoever
/// has the anchor has the certificate.
#[test]
fn a_weak_link_from_the_anchor_to_the_certificate_commits() {
    // A3 is the only certificate of B1, and nobody builds on it at once. A4 is never made, so the anchor is B5, which
    // reaches A3 over two rounds.
    let drawn = "ABCD1:[*]; ABC2:[*]; D2:[*-B]; A3:[ABC2]; C3:[C2,A2,D2]; BD3:[ABD2]; BCD4:[BCD3];";
    let with = decide(&format!("{drawn} B5:[BCD4,A3]; CD5:[*]; BCD6..7:[*]"));
    let without = decide(&format!("{drawn} B5:[BCD4]; CD5:[*]; BCD6..7:[*]"));
    assert_eq!(with, "B1? -2.0? D3 -4.0 B5");
    assert_eq!(without, "-1.0? -2.0? D3 -4.0 B5");
}

/// Implementations differ here: some count only voters without a vote for any block of the slot. What holds is judged
/// for each twin by itself.
#[test]
fn f07_twins_are_passed_over_one_by_one() {
    // Against B1: B, C, D. Against B1b: A, C, D. Without a vote for either: only C and D.
    let drawn = "ABCD1:[*]; B1b:[*]; A2:[ABCD1]; B2:[B1b,A1,C1,D1];";
    assert_eq!(decide(&format!("{drawn} CD2:[*-B]")), "-1.0");
    // C2 votes for B1b: against it remain A and D.
    assert_eq!(decide(&format!("{drawn} C2:[C1,B1b,A1,D1]; D2:[*-B]")), "");
}

#[test]
fn f07_a_voter_with_twins_counts_in_every_tally_that_one_of_them_falls_in() {
    let drawn = "ABCD1:[*]; AC2:[*-B]; D2:[*];";
    assert_eq!(decide(drawn), "");
    assert_eq!(decide(&format!("{drawn} D2b:[*-B]")), "-1.0");
}

#[test]
fn f07_the_twin_with_the_votes_is_committed_and_the_other_never() {
    // Whichever of the two has the lower digest.
    for (voted, other) in [("B1", "B1b"), ("B1b", "B1")] {
        let text = format!(
            "ABCD1:[*]; B1b:[*]; A2:[A1,{voted},C1]; B2:[{voted},A1,C1]; C2:[C1,{voted},D1]; D2:[D1,{other},C1];
             ABCD3..6:[*]"
        );
        assert_eq!(decide(&text), format!("{voted} C2 D3 A4"));
    }
}

#[test]
fn f07_a_vote_goes_to_the_first_ancestor_of_the_slot() {
    // Block validity refuses two ancestors of one slot; the rule itself still has one answer.
    // Whichever of the two has the lower digest.
    for (first, second) in [("B1", "B1b"), ("B1b", "B1")] {
        let text = format!(
            "ABCD1:[*]; B1b:[*]; A2:[A1,{first},{second},C1]; B2:[{first},{second},C1,D1];
             C2:[C1,{first},{second},D1]; ABC3:[ABC2]"
        );
        assert_eq!(decide(&text), first);
    }
}

#[test]
fn two_leaders_a_round_are_decided_in_slot_order() {
    assert_eq!(decide_of(&[1; 4], 2, "ABCD1..4:[*]"), "B1 C1 C2 D2");
}

#[test]
fn of_two_leaders_an_undecided_first_holds_back_the_second() {
    let drawn = "ABCD1:[*]; AB2:[*]; CD2:[*-B]; ABCD3:[*]";
    let (drawing, committer) = drawn_two(drawn);
    assert_eq!(decisions(&drawing, &committer, None), "");
    let first = LeaderSlot { round: Round::FIRST, offset: 0 };
    assert_eq!(decisions(&drawing, &committer, Some(first)), "C1");
}

fn drawn_two(text: &str) -> (Drawing, Committer) {
    drawn(&[1; 4], 2, text)
}

#[test]
fn with_two_leaders_the_anchor_is_the_first_that_is_not_skipped() {
    // Slots of round 4 are led by A and B. A4 is never made, so B4 is the anchor of round 1.
    let drawn = "ABCD1:[*]; AB2:[*]; CD2:[*-B]; ABCD3:[*]; BCD4..6:[*]";
    assert_eq!(decide_of(&[1; 4], 2, drawn), "-1.0? C1 C2 D2 D3 A3 -4.0 B4");
}

#[test]
fn an_undecided_anchor_decides_nothing() {
    // B1 hangs on the anchor A4, which two of round 5 vote for and two do not; B5 above is not asked.
    let drawn = "ABCD1:[*]; AB2:[*]; CD2:[*-B]; ABCD3..4:[*]; AB5:[*]; CD5:[*-A]; ABCD6..7:[*]";
    assert_eq!(decide(drawn), "");
}

#[test]
fn a_committee_of_one_commits_every_round_but_the_last_two() {
    assert_eq!(decide_of(&[1], 1, "A1..5:[*]"), "A1 A2 A3");
}

#[test]
fn deciding_again_after_the_last_slot_gives_the_rest_of_the_same_run() {
    let (drawing, committer) = drawn_equal("ABCD1..6:[*]");
    let whole = committer.decide(drawing.dag(), None);
    for (number, decided) in whole.iter().enumerate() {
        assert_eq!(committer.decide(drawing.dag(), Some(decided.slot)), whole[number + 1..]);
    }
}
