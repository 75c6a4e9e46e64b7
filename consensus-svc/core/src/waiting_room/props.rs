//! The room keeps account, whatever comes, is found or is collected.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{block::Block, testkit};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const AUTHORITIES: u16 = 4;
const ROUNDS: u64 = 6;

/// Blocks of every slot, each over up to three blocks of the rounds before; sizes differ.
static BLOCKS: LazyLock<Vec<VerifiedBlock>> = LazyLock::new(|| {
    let (genesis, signers) = testkit::genesis(AUTHORITIES);
    let mut blocks: Vec<VerifiedBlock> = Vec::new();
    for round in 1..=ROUNDS {
        for author in 0..AUTHORITIES {
            let place = blocks.len();
            let ancestors = [1, 3, 5 + usize::from(author)].map(|back| place.checked_sub(back));
            let below = ancestors.into_iter().flatten().map(|place| blocks[place].reference());
            let block = Block {
                chain_id: genesis.chain_id(),
                epoch: genesis.committee().epoch(),
                round: Round::new(round),
                author: AuthorityIndex::new(author),
                timestamp: NOW,
                ancestors: below.filter(|ancestor| ancestor.round < Round::new(round)).collect(),
                transactions: vec![crate::transaction::Transaction::new(vec![1; place * 7].into())],
                commit_votes: Vec::new(),
                executed_roots: Vec::new(),
                epoch_vote: None,
            };
            blocks.push(block.sign(&signers[usize::from(author)]));
        }
    }
    blocks
});

#[derive(Clone, Debug)]
enum Step {
    /// A block comes, and some of its ancestors are missing.
    Come(usize, u8),
    /// An ancestor is there.
    Resolve(usize),
    Collect(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let blocks = usize::from(AUTHORITIES) * usize::try_from(ROUNDS).expect("small");
    let step = prop_oneof![
        6 => (0..blocks, 1u8..8).prop_map(|(place, missing)| Step::Come(place, missing)),
        2 => (0..blocks).prop_map(Step::Resolve),
        1 => (0..ROUNDS).prop_map(Step::Collect),
    ];
    vec(step, 0..120)
}

/// Everything that is counted, counted again.
fn check(room: &WaitingRoom) {
    let mut shares = vec![Share::default(); usize::from(AUTHORITIES)];
    let mut missing: BTreeMap<BlockRef, BTreeSet<BlockRef>> = BTreeMap::new();
    for (reference, waiting) in &room.waiting {
        let share = &mut shares[reference.author.as_usize()];
        *share = share.with(&waiting.block);
        assert!(!waiting.missing.is_empty(), "{reference} waits for nothing");
        for ancestor in &waiting.missing {
            missing.entry(*ancestor).or_default().insert(*reference);
        }
    }
    assert_eq!(room.missing, missing);
    for (counted, again) in room.shares.iter().zip(&shares) {
        assert_eq!((counted.blocks, counted.bytes), (again.blocks, again.bytes));
        assert!(counted.fits(room.max_share), "a share is over its bound");
    }
    assert_eq!(room.len(), shares.iter().map(|share| share.blocks).sum::<usize>());
    assert_eq!(room.bytes(), shares.iter().map(|share| share.bytes).sum::<u64>());
}

proptest! {
    #[test]
    fn blocks_and_bytes_are_accounted_for_and_nothing_is_lost_in_silence(
        steps in steps(),
        max_waiting_blocks in 4usize..20,
        max_waiting_bytes in 1_000u64..10_000,
    ) {
        let params = Params { max_waiting_blocks, max_waiting_bytes, ..Params::default() };
        let mut room = WaitingRoom::new(AuthorityIndex::new(0), usize::from(AUTHORITIES), &params);
        for step in steps {
            let before = room.len();
            match step {
                Step::Come(place, bits) => {
                    let block = BLOCKS[place].clone();
                    let missing = block.ancestors().iter().zip(0..3).filter(|(_, bit)| bits & (1 << bit) != 0);
                    let missing: BTreeSet<_> = missing.map(|(ancestor, _)| *ancestor).collect();
                    if missing.is_empty() || room.contains(&block.reference()) {
                        continue;
                    }
                    let from = AuthorityIndex::new(1);
                    let dropped = room.add(NOW, from, BlockSource::Streamed, block, missing);
                    prop_assert_eq!(room.len(), before + usize::from(dropped.is_none()));
                }
                Step::Resolve(place) => {
                    let released = room.resolve(&BLOCKS[place].reference()).len();
                    prop_assert_eq!(room.len() + released, before);
                }
                Step::Collect(round) => {
                    let round = Round::new(round);
                    let below = room.waiting.keys().filter(|reference| reference.round <= round).count();
                    let released = room.collect(round);
                    prop_assert!(released.iter().all(|block| block.round() > round));
                    prop_assert_eq!(room.len() + released.len() + below, before);
                    prop_assert!(room.missing.keys().all(|ancestor| ancestor.round > round));
                }
            }
            check(&room);
        }
    }
}
