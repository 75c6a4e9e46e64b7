//! What an answer to a question for blocks holds: composed by who is asked, checked by who asks, by one rule.
//!
//! An answer is a sequence without repetition in which each block is one that was asked for, or an ancestor, above the
//! asker's hint, of one that stands before it. So each appended block has become wanted when it is taken, if those before
//! it were taken, and whether an answer is honest depends on the question and on nothing that has happened since.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    block::VerifiedBlock,
    types::{BlockRef, Round},
};

/// How much an answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Most blocks.
    pub max_blocks: usize,
    /// Most bytes, [`AnswerLimits::ENTRY_BYTES`] a block included; the first block may exceed it.
    pub max_bytes: u64,
    /// Most blocks of these that were not asked for by name.
    pub max_appended_blocks: usize,
    /// Most bytes of these.
    pub max_appended_bytes: u64,
}

impl AnswerLimits {
    /// What a block takes beside its bytes.
    pub const ENTRY_BYTES: u64 = 8;

    /// The limits of every honest server: 1000 blocks and `max_bytes`, of which at most 256 blocks and a quarter of the bytes
    /// were not asked for by name.
    pub const fn new(max_bytes: u64) -> Self {
        Self { max_blocks: 1000, max_bytes, max_appended_blocks: 256, max_appended_bytes: max_bytes / 4 }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The blocks: first those asked for that are held, in the order of the question, then ancestors, nearest first.
    pub blocks: Vec<VerifiedBlock>,
    /// How many of them were not asked for by name.
    pub appended: usize,
}

/// Composes the answer to a question for `wanted`, by an asker that needs no ancestors up to `held`, by authority. With a
/// hint that is not of the committee's size nothing is appended. `read` tells what is held.
///
/// # Errors
/// The first of `read`.
pub fn compose<E>(
    wanted: &[BlockRef],
    held: &[Round],
    limits: AnswerLimits,
    mut read: impl FnMut(&BlockRef) -> Result<Option<VerifiedBlock>, E>,
) -> Result<Answer, E> {
    let mut answer = Answer { blocks: Vec::new(), appended: 0 };
    let (mut size_bytes, mut appended_bytes) = (0u64, 0u64);
    let mut known: BTreeSet<BlockRef> = wanted.iter().copied().collect();
    let mut open = VecDeque::new();
    for reference in wanted {
        let Some(block) = read(reference)? else { continue };
        size_bytes = size_bytes.saturating_add(entry_bytes(&block));
        let is_full = size_bytes > limits.max_bytes && !answer.blocks.is_empty();
        if is_full || answer.blocks.len() >= limits.max_blocks {
            return Ok(answer);
        }
        open_ancestors(&block, held, &mut known, &mut open, limits.max_appended_blocks);
        answer.blocks.push(block);
    }
    while let Some(reference) = open.pop_front() {
        let Some(block) = read(&reference)? else { continue };
        size_bytes = size_bytes.saturating_add(entry_bytes(&block));
        appended_bytes = appended_bytes.saturating_add(entry_bytes(&block));
        let is_full = size_bytes > limits.max_bytes || appended_bytes > limits.max_appended_bytes;
        if is_full || answer.blocks.len() >= limits.max_blocks {
            break;
        }
        // What is still open will be read; beyond that nothing more is.
        let room = limits.max_appended_blocks.saturating_sub(answer.appended).saturating_sub(1);
        open_ancestors(&block, held, &mut known, &mut open, room);
        answer.blocks.push(block);
        answer.appended = answer.appended.saturating_add(1);
    }
    Ok(answer)
}

/// Adds the ancestors that the asker lacks, as long as at most `room` are open.
fn open_ancestors(
    block: &VerifiedBlock,
    held: &[Round],
    known: &mut BTreeSet<BlockRef>,
    open: &mut VecDeque<BlockRef>,
    room: usize,
) {
    for ancestor in block.ancestors().iter().filter(|ancestor| is_lacked(ancestor, held)) {
        if open.len() < room && known.insert(*ancestor) {
            open.push_back(*ancestor);
        }
    }
}

fn is_lacked(reference: &BlockRef, held: &[Round]) -> bool {
    held.get(reference.author.as_usize()).is_some_and(|held| reference.round > *held)
}

fn entry_bytes(block: &VerifiedBlock) -> u64 {
    (block.signed_bytes().len() as u64).saturating_add(AnswerLimits::ENTRY_BYTES)
}

/// Checks an answer, block by block. Bounded by the question, and by the ancestors of what it let pass.
#[derive(Clone, Debug)]
pub struct AnswerCheck {
    held: Vec<Round>,
    /// Blocks that may still come.
    expected: BTreeSet<BlockRef>,
    /// Blocks that came.
    came: BTreeSet<BlockRef>,
}

impl AnswerCheck {
    /// Expects the answer to a question.
    pub fn new(wanted: impl IntoIterator<Item = BlockRef>, held: Vec<Round>) -> Self {
        Self { held, expected: wanted.into_iter().collect(), came: BTreeSet::new() }
    }

    /// Whether the next block belongs to the answer. An honest server's always does.
    pub fn admit(&mut self, block: &VerifiedBlock) -> bool {
        if !self.expected.remove(&block.reference()) {
            return false;
        }
        self.came.insert(block.reference());
        let lacked = block.ancestors().iter().filter(|ancestor| is_lacked(ancestor, &self.held));
        self.expected.extend(lacked.filter(|ancestor| !self.came.contains(*ancestor)));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testkit;

    const MANY: AnswerLimits = AnswerLimits::new(1 << 20);

    /// Rounds 1 to 6 of four authorities, where only D's blocks name D's.
    fn hidden_chain() -> (BTreeMap<BlockRef, VerifiedBlock>, Vec<VerifiedBlock>) {
        let (genesis, signers) = testkit::genesis(4);
        let mut last: Vec<_> =
            genesis.committee().indexes().map(|author| VerifiedBlock::genesis(&genesis, author)).collect();
        let (mut store, mut hidden) = (BTreeMap::new(), Vec::new());
        for round in 1..=6 {
            let next: Vec<_> = (0..4u16)
                .map(|author| {
                    let own = std::iter::once(author);
                    let named = own.chain((0..3).filter(|other| *other != author));
                    let ancestors = named.map(|other| last[usize::from(other)].reference()).collect();
                    let mut block = testkit::empty_block(&genesis, author, round);
                    block.ancestors = ancestors;
                    block.sign(&signers[usize::from(author)])
                })
                .collect();
            store.extend(next.iter().map(|block| (block.reference(), block.clone())));
            hidden.push(next[3].clone());
            last = next;
        }
        (store, hidden)
    }

    fn answer(
        store: &BTreeMap<BlockRef, VerifiedBlock>,
        wanted: &[BlockRef],
        held: [u64; 4],
        limits: AnswerLimits,
    ) -> Answer {
        let read = |reference: &BlockRef| Ok::<_, ()>(store.get(reference).cloned());
        compose(wanted, &held.map(Round::new), limits, read).expect("reading never fails")
    }

    fn rounds(answer: &Answer) -> Vec<(u16, u64)> {
        answer.blocks.iter().map(|block| (block.author().get(), block.round().get())).collect()
    }

    fn is_admitted(wanted: &[BlockRef], held: [u64; 4], answer: &Answer) -> bool {
        let mut check = AnswerCheck::new(wanted.iter().copied(), held.map(Round::new).to_vec());
        answer.blocks.iter().all(|block| check.admit(block))
    }

    #[test]
    fn a_hidden_chain_comes_in_one_answer_nearest_first() {
        let (store, hidden) = hidden_chain();
        let (wanted, held) = ([hidden[5].reference()], [6, 6, 6, 1]);
        let answer = answer(&store, &wanted, held, MANY);
        assert_eq!((rounds(&answer), answer.appended), (vec![(3, 6), (3, 5), (3, 4), (3, 3), (3, 2)], 4));
        assert!(is_admitted(&wanted, held, &answer));
    }

    #[test]
    fn every_appended_block_is_an_ancestor_of_one_before_and_comes_once() {
        let (store, hidden) = hidden_chain();
        let (wanted, held) = ([hidden[5].reference(), hidden[3].reference()], [2, 0, 9, 0]);
        let answer = answer(&store, &wanted, held, MANY);
        assert!(answer.appended > 5 && is_admitted(&wanted, held, &answer));
        assert!(answer.blocks.iter().all(|block| block.author().get() != 2));
    }

    #[test]
    fn what_was_asked_for_comes_first_and_the_limits_hold() {
        let (store, hidden) = hidden_chain();
        let wanted = [hidden[5].reference(), hidden[1].reference()];
        let small = hidden[5].signed_bytes().len() as u64 + AnswerLimits::ENTRY_BYTES;
        let of = |limits| rounds(&answer(&store, &wanted, [6, 6, 6, 0], limits));
        assert_eq!(of(AnswerLimits { max_bytes: small, ..MANY }), [(3, 6)]);
        assert_eq!(of(AnswerLimits { max_bytes: 1, ..MANY }), [(3, 6)], "at least one");
        assert_eq!(of(AnswerLimits { max_blocks: 2, ..MANY }), [(3, 6), (3, 2)]);
        assert_eq!(of(AnswerLimits { max_appended_blocks: 1, ..MANY }), [(3, 6), (3, 2), (3, 5)]);
        assert_eq!(of(AnswerLimits { max_appended_blocks: 0, ..MANY }), [(3, 6), (3, 2)]);
        assert_eq!(of(AnswerLimits { max_appended_bytes: 2 * small, ..MANY }).len(), 4);
    }

    #[test]
    fn without_a_hint_of_the_committee_nothing_is_appended() {
        let (store, hidden) = hidden_chain();
        let read = |reference: &BlockRef| Ok::<_, ()>(store.get(reference).cloned());
        let answer = compose(&[hidden[5].reference()], &[], MANY, read).expect("reading never fails");
        assert_eq!((answer.blocks.len(), answer.appended), (1, 0));
    }

    #[test]
    fn t07_what_is_neither_asked_for_nor_an_ancestor_of_it_is_not_admitted() {
        let (store, hidden) = hidden_chain();
        let held = [6, 6, 6, 1].map(Round::new).to_vec();
        let check = || AnswerCheck::new([hidden[5].reference()], held.clone());
        let mut early = check();
        assert!(!early.admit(&hidden[4]), "an ancestor stands behind what names it");
        let mut twice = check();
        assert!(twice.admit(&hidden[5]) && !twice.admit(&hidden[5]));
        let mut skipped = check();
        assert!(skipped.admit(&hidden[5]) && !skipped.admit(&hidden[3]));
        let mut below = check();
        assert!(hidden[1..].iter().rev().all(|block| below.admit(block)));
        assert!(!below.admit(&hidden[0]), "the asker has said that it has that");
        let others = store.values().find(|block| block.author().get() == 0 && block.round().get() == 5);
        let mut held_by_asker = check();
        assert!(held_by_asker.admit(&hidden[5]) && !held_by_asker.admit(others.expect("drawn")));
    }
}
