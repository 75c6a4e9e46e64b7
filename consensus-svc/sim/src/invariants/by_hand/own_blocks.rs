//! What is let out: once for a slot, and durable.

use consensus_core::{Epoch, Round};

use super::hand;
use crate::invariants::Record;

#[test]
fn s06_two_signed_blocks_for_one_slot_break_own_slot_once() {
    let mut hand = hand();
    let (one, twin) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 1, 1, &[], b""));
    assert_eq!(hand.sent(&one), None);
    assert_eq!(hand.sent(&one), None);
    assert_eq!(hand.sent(&twin), Some("own-slot-once"));
    let liar = Record::Sent { node: 1, honest: false, block: &twin, stored: false, guard: None };
    assert_eq!(hand.see(&liar), None, "nothing is demanded of liars");
}

#[test]
fn s02_blocks_and_commits_that_are_seen_before_they_are_durable_are_found() {
    let mut hand = hand();
    let block = hand.block(2, 1, 0, &[], b"");
    let guard = Some((Epoch::GENESIS, Round::new(2)));
    let lower = Some((Epoch::GENESIS, Round::new(1)));
    let broken = Some("durable-before-sent");
    let sent = |stored, guard| Record::Sent { node: 1, honest: true, block: &block, stored, guard };
    assert_eq!(hand.see(&sent(false, guard)), broken);
    assert_eq!(hand.see(&sent(true, lower)), broken);
    assert_eq!(hand.see(&sent(true, None)), broken);
    assert_eq!(hand.see(&sent(true, guard)), None);
    let first = self::hand().block(1, 1, 0, &[], b"");
    let sub_dag = hand.commit(None, 0, &[&first]);
    let early = Record::Delivered { node: 0, at_ms: 0, sub_dag: &sub_dag, stored: false, again: false };
    assert_eq!(hand.see(&early), broken);
}
