//! The chain of commits that readers get: one, linked, each block and each transaction once, with the bytes that were made.

use bytes::Bytes;
use consensus_core::{CommitDigest, Transaction};

use super::hand;
use crate::invariants::{Kind, Record};

#[test]
fn two_digests_at_one_index_break_agreement() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 2, 0, &[], b""));
    let (first, second) = (hand.commit(None, 0, &[&one]), hand.commit(None, 0, &[&other]));
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(1, &first), None);
    let violation = hand
        .watch
        .observe(7, &Record::Delivered { node: 2, at_ms: 7, sub_dag: &second, stored: true, again: false });
    let violation = violation.unwrap();
    assert_eq!((violation.invariant, violation.kind, violation.at_ms), ("agreement", Kind::Diverged, 7));
}

#[test]
fn a_commit_that_names_another_predecessor_or_digest_breaks_the_hash_chain() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 2, 0, &[], b""));
    let first = hand.commit(None, 0, &[&one]);
    assert_eq!(hand.delivered(0, &first), None);
    let mut second = hand.commit(Some(&first), 0, &[&other]);
    second.commit.previous_digest = CommitDigest::new([1; 32]);
    second.digest = second.commit.digest();
    assert_eq!(hand.delivered(0, &second), Some("hash-chain"));
    let mut second = self::hand().commit(Some(&first), 0, &[&other]);
    second.commit.closing = false;
    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &second), Some("hash-chain"));
}

#[test]
fn a_hole_a_repetition_and_a_block_in_two_commits_break_each_once() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 2, 0, &[], b""));
    let first = hand.commit(None, 0, &[&one]);
    let second = hand.commit(Some(&first), 0, &[&other]);
    let twice = hand.commit(Some(&first), 0, &[&one]);
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &first), Some("each-once"));
    assert_eq!(hand.delivered(1, &first), None);
    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &second), None);
    assert_eq!(hand.delivered(1, &second), Some("each-once"));
    let again = Record::Delivered { node: 0, at_ms: 0, sub_dag: &first, stored: true, again: true };
    assert_eq!(hand.see(&again), None, "a node on an old store forms commits again");
    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &twice), Some("each-once"));
}

#[test]
fn d19_bytes_that_nobody_made_or_that_differ_break_transaction_bytes() {
    let mut hand = hand();
    let block = hand.block(1, 1, 0, &[], b"pay");
    let first = hand.commit(None, 0, &[&block]);
    assert_eq!(hand.delivered(0, &first), Some("transaction-bytes"), "nobody made it");
    let mut hand = self::hand();
    let transaction = Transaction::new(Bytes::from_static(b"pay")).digest();
    assert_eq!(hand.see(&Record::Made { transactions: &[transaction] }), None);
    assert_eq!(hand.delivered(0, &first), None);
    let mut replayed = first.clone();
    replayed.blocks.clear();
    assert_eq!(hand.delivered(1, &replayed), Some("transaction-bytes"));
    let mut replayed = first;
    replayed.blocks = vec![hand.block(1, 1, 0, &[], b"pa!")];
    assert_eq!(hand.delivered(2, &replayed), Some("transaction-bytes"));
}

#[test]
fn t02_a_repetition_that_is_not_marked_and_a_mark_without_one_break_duplicates() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b"pay"), hand.block(1, 2, 0, &[], b"pay"));
    let transaction = Transaction::new(Bytes::from_static(b"pay")).digest();
    assert_eq!(hand.see(&Record::Made { transactions: &[transaction] }), None);
    let first = hand.commit(None, 0, &[&one]);
    assert_eq!(hand.delivered(0, &first), None);
    let unmarked = hand.commit(Some(&first), 0, &[&other]);
    assert_eq!(hand.delivered(0, &unmarked), Some("duplicates"));
    let mut hand = self::hand();
    assert_eq!(hand.see(&Record::Made { transactions: &[transaction] }), None);
    let mut marked = first;
    marked.commit.duplicate_marks = Bytes::from_static(&[1]);
    marked.digest = marked.commit.digest();
    assert_eq!(hand.delivered(0, &marked), Some("duplicates"));
}
