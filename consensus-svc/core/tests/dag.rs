//! The DAG: what is held, what counts as present, and what collection forgets. And the texts that draw one.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use consensus_core::{
    AuthorityIndex, Dag, Round, Slot, VerifiedBlock,
    testkit::{
        self,
        drawing::{DrawProblem, Drawing, draw, try_draw},
    },
};

fn dag(text: &str) -> Drawing {
    dag_of(&[1; 4], text)
}

fn dag_of(stakes: &[u64], text: &str) -> Drawing {
    let (genesis, signers) = testkit::genesis_with(stakes, Default::default());
    draw(&Arc::new(genesis), &signers, text)
}

fn latest(drawing: &Drawing, author: u16, above: u64, below: u64) -> String {
    let author = AuthorityIndex::new(author);
    let found = drawing.dag().latest_between(author, Round::new(above), Round::new(below));
    drawing.names(found.map(VerifiedBlock::reference).as_ref())
}

#[test]
fn a_new_dag_holds_the_genesis_blocks() {
    let drawing = dag("");
    assert_eq!(drawing.dag().len(), 4);
    assert!(!drawing.dag().is_empty());
    assert_eq!(drawing.dag().highest_round(), Round::GENESIS);
    assert!(drawing.dag().has_quorum(Round::GENESIS));
    let author = AuthorityIndex::new(2);
    let genesis = drawing.block("C0");
    assert_eq!((genesis.author(), genesis.round()), (author, Round::GENESIS));
    assert_eq!(drawing.dag().get(&genesis.reference()), Some(genesis));
}

#[test]
fn a_block_is_taken_once() {
    let mut drawing = dag("A1:[*]");
    let block = drawing.block("A1").clone();
    assert!(!drawing.dag_mut().insert(block));
    assert_eq!(drawing.dag().len(), 5);
}

/// Such a block cannot be verified, but a store may be of another committee. It was refused, and still raised the highest
/// round: the commit rule then looked at rounds that hold nothing.
#[test]
fn a_block_of_no_member_leaves_nothing_behind() {
    let five = dag_of(&[1; 5], "ABCDE1:[*]; E2:[*]");
    let mut dag = Dag::new(Arc::new(testkit::genesis(4).0));
    assert!(!dag.insert(five.block("E2").clone()));
    assert_eq!((dag.len(), dag.highest_round()), (4, Round::GENESIS));
}

#[test]
fn blocks_of_a_round_stand_by_author_and_twins_by_digest() {
    let drawing = dag("D1:[*]; B1:[*]; B1b:[*]; B1c:[*]; A1:[*]");
    let references: Vec<_> = drawing.dag().round(Round::FIRST).map(VerifiedBlock::reference).collect();
    assert!(references.is_sorted());
    assert_eq!(references.len(), 5);
    let slot = Slot { round: Round::FIRST, authority: AuthorityIndex::new(1) };
    assert_eq!(drawing.dag().slot(slot).len(), 3);
}

#[test]
fn a_quorum_of_a_round_is_counted_by_stake_and_twins_once() {
    let quorum = |text| dag_of(&[1, 2, 3, 4], text).dag().has_quorum(Round::FIRST);
    assert!(quorum("ABD1:[*]"));
    assert!(!quorum("ABC1:[*]"));
    assert!(!quorum("ABC1:[*]; C1b:[*]"));
    assert!(quorum("CD1:[*]"));
}

#[test]
fn latest_between_looks_strictly_between_the_rounds() {
    let drawing = dag("ABC1..3:[*]; A4:[*]");
    assert_eq!(latest(&drawing, 0, 0, 5), "A4");
    assert_eq!(latest(&drawing, 0, 0, 4), "A3");
    assert_eq!(latest(&drawing, 0, 2, 4), "A3");
    assert_eq!(latest(&drawing, 0, 3, 4), "");
    assert_eq!(latest(&drawing, 0, 4, 4), "");
    assert_eq!(latest(&drawing, 0, 5, 4), "");
    assert_eq!(latest(&drawing, 3, 0, 5), "");
    assert_eq!(latest(&drawing, 9, 0, 5), "");
}

#[test]
fn latest_between_passes_over_rounds_without_a_block_of_the_author() {
    let drawing = dag("ABCD1:[*]; ABC2..4:[*]");
    assert_eq!(latest(&drawing, 3, 0, 5), "D1");
}

#[test]
fn latest_between_takes_the_twin_of_the_lowest_digest() {
    let drawing = dag("A1:[*]; A1b:[*]; A1c:[*]");
    let lowest = ["A1", "A1b", "A1c"].into_iter().min_by_key(|name| drawing.block(name).reference());
    assert_eq!(Some(latest(&drawing, 0, 0, 2).as_str()), lowest);
}

#[test]
fn collection_forgets_the_gc_round_and_what_is_below() {
    let mut drawing = dag("ABCD1..5:[*]");
    drawing.dag_mut().collect(Round::new(3));
    let dag = drawing.dag();
    assert_eq!(dag.gc_round(), Round::new(3));
    assert_eq!(dag.len(), 8);
    assert_eq!(dag.highest_round(), Round::new(5));
    assert_eq!(dag.get(&drawing.block("A3").reference()), None);
    assert_eq!(dag.get(&drawing.block("A4").reference()), Some(drawing.block("A4")));
    assert_eq!(dag.round(Round::GENESIS).count(), 0);
}

#[test]
fn at_the_gc_round_every_block_counts_as_present_and_above_only_those_held() {
    let other = dag("ABCD1..4:[*] tx");
    let mut drawing = dag("ABCD1..4:[*]");
    drawing.dag_mut().collect(Round::new(3));
    assert!(drawing.dag().is_present(&drawing.block("A3").reference()));
    assert!(drawing.dag().is_present(&other.block("A3").reference()));
    assert!(drawing.dag().is_present(&drawing.block("A4").reference()));
    assert!(!drawing.dag().is_present(&other.block("A4").reference()));
}

#[test]
fn the_gc_round_never_moves_down() {
    let mut drawing = dag("ABCD1..5:[*]");
    drawing.dag_mut().collect(Round::new(3));
    drawing.dag_mut().collect(Round::new(3));
    drawing.dag_mut().collect(Round::new(2));
    assert_eq!(drawing.dag().gc_round(), Round::new(3));
    assert_eq!(drawing.dag().len(), 8);
}

#[test]
fn accepted_rounds_outlive_collection() {
    let mut drawing = dag("D1:[*]; ABC1..3:[*-D]");
    drawing.dag_mut().collect(Round::new(5));
    let rounds: Vec<_> = drawing.dag().accepted_rounds().iter().map(|round| round.get()).collect();
    assert_eq!(rounds, [3, 3, 3, 1]);
    assert!(drawing.dag().is_empty());
    assert_eq!(drawing.dag().highest_round(), Round::GENESIS);
}

#[test]
fn a_drawing_says_what_is_wrong_with_it() {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let problem = |text| try_draw(&genesis, &signers, text).expect_err(text).problem;
    assert_eq!(problem("A1"), DrawProblem::Shape);
    assert_eq!(problem("A1:A0"), DrawProblem::Shape);
    assert_eq!(problem("A1:[A0"), DrawProblem::Shape);
    assert_eq!(problem("1A:[*]"), DrawProblem::Name("1A".to_owned()));
    assert_eq!(problem("A1a:[*]"), DrawProblem::Name("A1a".to_owned()));
    assert_eq!(problem("AB1b:[*]"), DrawProblem::Name("AB1b".to_owned()));
    assert_eq!(problem("A1:[*] ty"), DrawProblem::Attribute("ty".to_owned()));
    assert_eq!(problem("E1:[*]"), DrawProblem::UnknownAuthority('E'));
    assert_eq!(problem("A2:[A1]"), DrawProblem::Undrawn("A1".to_owned()));
    assert_eq!(problem("A1:[*]; A1:[*] tx"), DrawProblem::DrawnTwice("A1".to_owned()));
    assert_eq!(problem("A1:[*]; A1b:[*] t=+1ms"), DrawProblem::SameBlock("A1b".to_owned()));
    let error = try_draw(&genesis, &signers, "A1:[*]; B2:[A1,C1]").expect_err("C1 is missing");
    assert_eq!(error.to_string(), "in `B2:[A1,C1]`: C1 is not drawn yet");
}

#[test]
fn a_drawing_keeps_order_puts_own_first_and_sets_sizes_and_times() {
    let drawing = dag("A1:[C0,A0,B0]; BC1:[ABC0]; D1:[*-A] tx=2x100 t=+50ms; A2:[BCD1,A1]");
    let ancestors = |name: &str| drawing.names(drawing.block(name).ancestors());
    assert_eq!(ancestors("A1"), "C0 A0 B0");
    assert_eq!(ancestors("B1"), "B0 A0 C0");
    assert_eq!(ancestors("C1"), "C0 A0 B0");
    assert_eq!(ancestors("D1"), "D0 B0 C0");
    assert_eq!(ancestors("A2"), "B1 C1 D1 A1");
    let block = drawing.block("D1").block();
    assert_eq!(block.counted_bytes(), 128 + 2 * 116);
    assert_eq!(block.timestamp.since(testkit::GENESIS_TIMESTAMP).as_millis(), 50);
    assert_eq!(
        drawing.names(&drawing.blocks().iter().map(VerifiedBlock::reference).collect::<Vec<_>>()),
        "A1 B1 C1 D1 A2"
    );
}
