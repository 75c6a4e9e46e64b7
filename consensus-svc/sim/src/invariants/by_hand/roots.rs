//! Votes for state roots, what is agreed on, and executors that are contradicted.

use consensus_core::{
    Block, CommitIndex, CommittedSubDag, ExecutedRoot, RootAgreement, RootContradiction, StateRoot,
    VerifiedBlock,
};

use super::{Hand, hand};
use crate::{executor::right_root, invariants::Record};

const FIRST: CommitIndex = CommitIndex::new(1);
const WRONG: StateRoot = StateRoot::new([1; 32]);

fn voting(hand: &Hand, author: usize, root: StateRoot) -> VerifiedBlock {
    let block = hand.block(5, author, 0, &[], b"").block().clone();
    let vote = ExecutedRoot { index: FIRST, root };
    Block { executed_roots: vec![vote], ..block }.sign(&hand.signers[author])
}

/// A first commit that node 0 has handed on, and its root.
fn delivered(hand: &mut Hand) -> (CommittedSubDag, StateRoot) {
    let block = hand.block(1, 1, 0, &[], b"");
    let first = hand.commit(None, 0, &[&block]);
    assert_eq!(hand.delivered(0, &first), None);
    let root = right_root(StateRoot::ZERO, first.digest);
    (first, root)
}

/// An agreement on the votes of these authors, all of which were sent.
fn agreement(hand: &mut Hand, authors: &[usize], root: StateRoot) -> RootAgreement {
    let votes: Vec<_> = authors.iter().map(|author| voting(hand, *author, root)).collect();
    for vote in &votes {
        assert_eq!(hand.sent(vote), None);
    }
    let blocks = votes.iter().map(VerifiedBlock::reference).collect();
    RootAgreement { index: FIRST, root, blocks }
}

fn agrees(hand: &mut Hand, agreement: &RootAgreement, kept: bool) -> Option<&'static str> {
    hand.see(&Record::RootAgreed { node: 0, agreement, kept })
}

#[test]
fn an_agreement_of_less_than_a_quorum_or_without_votes_breaks_roots() {
    let mut hand = hand();
    let (_, root) = delivered(&mut hand);
    let whole = agreement(&mut hand, &[0, 1, 2], root);
    assert_eq!(agrees(&mut hand, &whole, true), None);
    assert_eq!(agrees(&mut hand, &whole, false), Some("roots"), "it is not durable");
    let half = RootAgreement { blocks: whole.blocks[..2].to_vec(), ..whole.clone() };
    assert_eq!(agrees(&mut hand, &half, true), Some("roots"), "two of four");
    let twice = RootAgreement { blocks: [&whole.blocks[..2], &whole.blocks[..1]].concat(), ..whole.clone() };
    assert_eq!(agrees(&mut hand, &twice, true), Some("roots"), "one counts once");
    let unheard = voting(&hand, 3, root).reference();
    let unheard = RootAgreement { blocks: [&whole.blocks[..2], &[unheard]].concat(), ..whole };
    assert_eq!(agrees(&mut hand, &unheard, true), Some("roots"), "nobody has heard that vote");
}

#[test]
fn a_false_root_that_is_agreed_on_breaks_roots() {
    let mut hand = hand();
    delivered(&mut hand);
    let wrong = agreement(&mut hand, &[0, 1, 2], WRONG);
    assert_eq!(agrees(&mut hand, &wrong, true), Some("roots"));
}

#[test]
fn an_executor_is_stopped_if_it_is_wrong_and_only_then() {
    let mut hand = hand();
    let (_, root) = delivered(&mut hand);
    let agreed = agreement(&mut hand, &[0, 1, 2], root);
    let stopped = |hand: &mut Hand, own, kept| {
        let contradiction = &RootContradiction { own, agreed: agreed.clone() };
        hand.see(&Record::RootContradicted { node: 0, contradiction, kept })
    };
    assert_eq!(stopped(&mut hand, root, true), Some("roots"), "it is right");
    assert_eq!(stopped(&mut hand, WRONG, false), Some("roots"), "without evidence");
    assert_eq!(stopped(&mut hand, WRONG, true), None);
}

#[test]
fn an_executor_that_is_trusted_against_what_is_agreed_on_breaks_roots() {
    let ends = |stops: bool, dies: bool| {
        let mut hand = hand();
        let (_, root) = delivered(&mut hand);
        let agreed = agreement(&mut hand, &[0, 1, 2], root);
        assert_eq!(hand.see(&Record::Executed { node: 0, index: FIRST, root: WRONG }), None);
        assert_eq!(agrees(&mut hand, &agreed, true), None);
        if stops {
            let contradiction = &RootContradiction { own: WRONG, agreed };
            assert_eq!(hand.see(&Record::RootContradicted { node: 0, contradiction, kept: true }), None);
        }
        if dies {
            assert_eq!(hand.see(&Record::Crashed { node: 0 }), None);
        }
        hand.see(&Record::Ended { nodes: &[], target: 0, owed: 0, waited_ms: 0 })
    };
    assert_eq!(ends(false, false), Some("roots"));
    assert_eq!(ends(true, false), None);
    assert_eq!(ends(false, true), None, "the next life has not heard it");
}
