//! What becomes of accepted transactions.

use bytes::Bytes;
use consensus_core::Transaction;

use super::{Hand, hand};
use crate::invariants::Record;

fn tx(bytes: &'static [u8]) -> Transaction {
    Transaction::new(Bytes::from_static(bytes))
}

#[test]
fn t01_two_fates_a_fate_without_acceptance_and_a_second_acceptance_break_fates() {
    let pay = [tx(b"pay").digest()];
    let accepted = |node| Record::Accepted { node, transactions: &pay };
    let dropped = |node| Record::Dropped { node, transactions: &pay };
    let committed = |hand: &mut Hand, node| {
        let block = hand.block(1, 1, 0, &[], b"pay");
        let first = hand.commit(None, 0, &[&block]);
        assert_eq!(hand.see(&Record::Made { transactions: &pay[..1] }), None);
        hand.delivered(node, &first)
    };
    let broken = Some("fates");
    let mut hand = hand();
    assert_eq!(hand.see(&dropped(1)), broken, "nobody was promised anything");
    assert_eq!(hand.see(&accepted(1)), None);
    assert_eq!(hand.see(&accepted(1)), broken, "it is held already");
    assert_eq!(hand.see(&accepted(2)), None, "another node promises for itself");
    assert_eq!(hand.watch.owed(), 2);
    assert_eq!(hand.see(&dropped(1)), None);
    assert_eq!(hand.see(&dropped(1)), broken, "once");
    assert_eq!(committed(&mut hand, 1), None, "a copy may be committed later");
    assert_eq!(hand.watch.owed(), 1);
    let mut hand = self::hand();
    assert_eq!(hand.see(&accepted(1)), None);
    assert_eq!(committed(&mut hand, 1), None);
    assert_eq!(hand.see(&dropped(1)), broken, "committed there beforehand");
}

#[test]
fn t01_a_drop_of_what_the_window_holds_and_a_place_that_it_does_not_hold_break_fates() {
    let pay = [tx(b"pay").digest()];
    let accepted = Record::Accepted { node: 1, transactions: &pay };
    let dropped = Record::Dropped { node: 1, transactions: &pay };
    let before = Record::CommittedBefore { node: 1, transactions: &pay };
    let window_ms = u64::try_from(hand().genesis.parameters().duplicate_window.as_millis()).unwrap();
    let broken = Some("fates");
    // Committed, submitted again, and given up after a commit that is so much later.
    let given_up = |later_ms: Option<u64>, record: &Record<'_>| {
        let mut hand = hand();
        assert_eq!(hand.see(&Record::Made { transactions: &pay }), None);
        let block = hand.block(1, 1, 0, &[], b"pay");
        let first = hand.commit(None, 0, &[&block]);
        assert_eq!(hand.delivered(1, &first), None);
        if let Some(later_ms) = later_ms {
            let parent = hand.block(2, 1, later_ms, &[&block], b"");
            let leader = hand.block(3, 1, later_ms, &[&parent], b"");
            for block in [&block, &parent, &leader] {
                assert_eq!(hand.sent(block), None);
            }
            let second = hand.commit(Some(&first), later_ms, &[&parent, &leader]);
            assert_eq!(hand.delivered(1, &second), None);
        }
        assert_eq!(hand.see(&accepted), None);
        hand.see(record)
    };
    for later_ms in [None, Some(window_ms)] {
        assert_eq!(given_up(later_ms, &dropped), broken, "{later_ms:?}");
        assert_eq!(given_up(later_ms, &before), None, "{later_ms:?}");
    }
    assert_eq!(given_up(Some(window_ms + 1), &dropped), None);
    assert_eq!(given_up(Some(window_ms + 1), &before), broken);

    let mut hand = hand();
    assert_eq!(hand.see(&accepted), None);
    assert_eq!(hand.see(&before), broken, "nobody has committed it");

    // Committed, and the store lost; accepted by the next life.
    let forgetful = |record: &Record<'_>| {
        let mut hand = self::hand();
        assert_eq!(hand.see(&Record::Made { transactions: &pay }), None);
        let block = hand.block(1, 1, 0, &[], b"pay");
        let first = hand.commit(None, 0, &[&block]);
        assert_eq!(hand.delivered(1, &first), None);
        assert_eq!(hand.see(&Record::Crashed { node: 1 }), None);
        assert_eq!(hand.see(&Record::Recovered { node: 1, commits: 0, transactions: &[] }), None);
        assert_eq!(hand.see(&accepted), None);
        hand.see(record)
    };
    assert_eq!(
        forgetful(&dropped),
        None,
        "an earlier life has committed it, and this one knows nothing of that"
    );
    assert_eq!(forgetful(&before), broken);
}

#[test]
fn t01_a_crash_forgives_what_was_not_durable_and_nothing_else() {
    let (kept, lost) = ([tx(b"kept").digest()], [tx(b"lost").digest()]);
    let mut hand = hand();
    for transactions in [&kept, &lost] {
        assert_eq!(hand.see(&Record::Accepted { node: 0, transactions }), None);
    }
    assert_eq!(hand.see(&Record::Crashed { node: 0 }), None);
    assert_eq!(hand.see(&Record::Recovered { node: 0, commits: 0, transactions: &kept }), None);
    assert_eq!(hand.watch.owed(), 1);
    assert_eq!(hand.see(&Record::Dropped { node: 0, transactions: &kept }), None);
    assert_eq!(hand.see(&Record::Dropped { node: 0, transactions: &lost }), Some("fates"));
}
