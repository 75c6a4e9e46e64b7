//! Shares, eviction, and what is asked for.

use super::*;
use crate::{block::Block, testkit, types::BlockDigest};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

fn named(round: u64, author: u16) -> BlockRef {
    let digest = BlockDigest::new([u8::try_from(round).expect("small"); 32]);
    BlockRef { round: Round::new(round), author: authority(author), digest }
}

/// A block of authority 1 that names `ancestors`; the waiting room does not judge it.
fn block(round: u64, ancestors: Vec<BlockRef>) -> VerifiedBlock {
    let (genesis, signers) = testkit::genesis(4);
    let block = Block {
        chain_id: genesis.chain_id(),
        epoch: genesis.committee().epoch(),
        round: Round::new(round),
        author: authority(1),
        timestamp: NOW,
        ancestors,
        transactions: Vec::new(),
        commit_votes: Vec::new(),
        executed_roots: Vec::new(),
        epoch_vote: None,
    };
    block.sign(&signers[1])
}

fn add(room: &mut WaitingRoom, block: &VerifiedBlock) -> Option<BlockRef> {
    room.add(
        NOW,
        authority(2),
        BlockSource::Streamed,
        block.clone(),
        block.ancestors().iter().copied().collect(),
    )
}

fn room(max_waiting_blocks: usize) -> WaitingRoom {
    WaitingRoom::new(authority(0), 4, &Params { max_waiting_blocks, ..Params::default() })
}

fn dag() -> Dag {
    Dag::new(std::sync::Arc::new(testkit::genesis(4).0))
}

fn asked(room: &mut WaitingRoom) -> Vec<BlockRef> {
    let later = NOW.plus(std::time::Duration::from_secs(60));
    let fetches = room.due_fetches(later, &dag()).fetches;
    fetches.iter().for_each(|fetch| room.fetch_ended(later, fetch.id, FetchEnd::Answered));
    let mut blocks: Vec<_> = fetches.into_iter().flat_map(|fetch| fetch.blocks).collect();
    blocks.sort_unstable();
    blocks
}

#[test]
fn a_block_leaves_when_its_last_ancestor_has_come() {
    let mut room = room(100);
    let waits = block(9, vec![named(8, 2), named(8, 3)]);
    assert_eq!(add(&mut room, &waits), None);
    assert_eq!(room.resolve(&named(8, 2)), []);
    assert_eq!(room.resolve(&named(8, 3)), [waits]);
    assert_eq!((room.len(), room.missing_len(), room.bytes(), room.next_deadline()), (0, 0, 0, None));
}

#[test]
fn what_waits_itself_is_not_asked_for() {
    let mut room = room(100);
    let lower = block(8, vec![named(7, 2)]);
    let upper = block(9, vec![lower.reference()]);
    add(&mut room, &upper);
    assert_eq!(asked(&mut room), [lower.reference()]);
    add(&mut room, &lower);
    assert_eq!(asked(&mut room), [named(7, 2)]);
    assert_eq!(room.resolve(&named(7, 2)), [lower]);
}

#[test]
fn t07_a_full_share_gives_up_its_highest_block_for_a_lower_one_only() {
    // Shares of two blocks an author.
    let mut room = room(8);
    let blocks: Vec<_> = (5..=8).map(|round| block(round, vec![named(round - 1, 2)])).collect();
    assert_eq!(add(&mut room, &blocks[1]), None);
    assert_eq!(add(&mut room, &blocks[2]), None);
    assert_eq!(add(&mut room, &blocks[3]), Some(blocks[3].reference()), "a higher one is dropped itself");
    assert_eq!(add(&mut room, &blocks[0]), Some(blocks[2].reference()), "a lower one drives out the highest");
    assert!(room.contains(&blocks[0].reference()) && room.contains(&blocks[1].reference()));
    assert_eq!(room.len(), 2);
}

#[test]
fn an_evicted_block_that_others_wait_for_is_asked_for_again() {
    let mut room = WaitingRoom::new(authority(0), 4, &Params { max_waiting_blocks: 4, ..Params::default() });
    let middle = block(8, vec![named(7, 2)]);
    // Another author's block waits for it, in a share of its own.
    let (_, signers) = testkit::genesis(4);
    let mut child = block(9, vec![middle.reference()]).block().clone();
    child.author = authority(3);
    let child = child.sign(&signers[3]);
    add(&mut room, &child);
    add(&mut room, &middle);
    assert_eq!(asked(&mut room), [named(7, 2)]);
    assert_eq!(add(&mut room, &block(6, vec![named(5, 2)])), Some(middle.reference()));
    assert_eq!(asked(&mut room), [named(5, 2), middle.reference()]);
}

#[test]
fn t07_a_block_too_large_for_its_share_evicts_nothing() {
    let params = Params { max_waiting_bytes: 4 * 1_000, ..Params::default() };
    let mut room = WaitingRoom::new(authority(0), 4, &params);
    let small = block(9, vec![named(8, 2)]);
    add(&mut room, &small);
    let mut large = block(5, vec![named(4, 2)]).block().clone();
    large.transactions = vec![crate::Transaction::new(bytes::Bytes::from(vec![0; 1_000]))];
    let (_, signers) = testkit::genesis(4);
    let large = large.sign(&signers[1]);
    assert_eq!(add(&mut room, &large), Some(large.reference()));
    assert!(room.contains(&small.reference()));
}

#[test]
fn collecting_counts_ancestors_as_present_and_drops_what_is_below() {
    let mut room = room(100);
    let below = block(5, vec![named(4, 2)]);
    let above = block(7, vec![named(5, 2)]);
    let waits_on = block(8, vec![named(5, 3), named(6, 3)]);
    for waiting in [&below, &above, &waits_on] {
        add(&mut room, waiting);
    }
    assert_eq!(room.collect(Round::new(5)), [above]);
    assert_eq!(room.len(), 1);
    assert_eq!(asked(&mut room), [named(6, 3)]);
}
