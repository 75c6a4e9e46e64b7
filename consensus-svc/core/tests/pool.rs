//! The pool: first come, first proposed; bounded; every transaction once.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bytes::Bytes;
use consensus_core::{Params, Round, SubmitOutcome, Timestamp, Transaction, pool::Pool};

const START: Timestamp = Timestamp::from_millis(1_000_000);

/// A transaction of 8 bytes: it counts 24.
fn tx(number: u64) -> Transaction {
    Transaction::new(Bytes::copy_from_slice(&number.to_le_bytes()))
}

fn batch(numbers: impl IntoIterator<Item = u64>) -> Vec<Transaction> {
    numbers.into_iter().map(tx).collect()
}

fn pool(max_transactions: usize, max_bytes: u64) -> Pool {
    Pool::new(&Params {
        max_pool_transactions: max_transactions,
        max_pool_bytes: max_bytes,
        ..Params::default()
    })
}

fn roomy() -> Pool {
    pool(100, 10_000)
}

fn all(pool: &mut Pool, round: u64) -> Vec<Transaction> {
    pool.propose(Round::new(round), 100, 10_000)
}

fn already(position: usize, transaction: &Transaction) -> SubmitOutcome {
    SubmitOutcome::AlreadyPooled { position, digest: transaction.digest() }
}

#[test]
fn transactions_are_proposed_in_the_order_they_came() {
    let mut pool = roomy();
    assert_eq!(pool.submit(START, batch([5, 3])), SubmitOutcome::Accepted);
    assert_eq!(pool.submit(START, batch([9, 1])), SubmitOutcome::Accepted);
    assert_eq!(pool.propose(Round::new(1), 3, 10_000), batch([5, 3, 9]));
    assert_eq!(all(&mut pool, 2), batch([1]));
    assert_eq!(all(&mut pool, 3), []);
}

#[test]
fn a_block_takes_what_fits_both_limits() {
    let mut pool = roomy();
    pool.submit(START, batch(0..6));
    assert_eq!(pool.propose(Round::new(1), 2, 10_000), batch([0, 1]));
    assert_eq!(pool.propose(Round::new(2), 100, 2 * 24 - 1), batch([2]));
    assert_eq!(pool.propose(Round::new(3), 100, 2 * 24), batch([3, 4]));
    assert_eq!(pool.propose(Round::new(4), 0, 10_000), []);
    assert!(pool.has_queued());
}

#[test]
fn t04_full_by_count_at_the_bound_and_not_before() {
    let mut pool = pool(3, 10_000);
    assert_eq!(pool.submit(START, batch(0..2)), SubmitOutcome::Accepted);
    let full = |transactions, bytes| SubmitOutcome::PoolFull {
        transactions,
        max_transactions: 3,
        bytes,
        max_bytes: 10_000,
    };
    assert_eq!(pool.submit(START, batch(2..4)), full(2, 48));
    assert_eq!(pool.submit(START, batch([2])), SubmitOutcome::Accepted);
    assert_eq!(pool.submit(START, batch([3])), full(3, 72));
    assert_eq!(pool.submit(START, Vec::new()), SubmitOutcome::Accepted);
}

#[test]
fn t04_full_by_bytes_at_the_bound_and_not_before() {
    let mut pool = pool(100, 3 * 24);
    assert_eq!(pool.submit(START, batch(0..2)), SubmitOutcome::Accepted);
    let one_over = Transaction::new(Bytes::from_static(&[0; 9]));
    let full = SubmitOutcome::PoolFull { transactions: 2, max_transactions: 100, bytes: 48, max_bytes: 72 };
    assert_eq!(pool.submit(START, vec![one_over]), full);
    assert_eq!(pool.submit(START, batch([2])), SubmitOutcome::Accepted);
    assert_eq!(pool.bytes(), 72);
}

#[test]
fn t04_proposed_transactions_hold_their_room_until_they_are_committed() {
    let mut pool = pool(2, 10_000);
    pool.submit(START, batch(0..2));
    all(&mut pool, 1);
    assert!(!pool.has_queued());
    assert!(matches!(pool.submit(START, batch([2])), SubmitOutcome::PoolFull { transactions: 2, .. }));
    pool.committed(tx(0).digest());
    assert_eq!(pool.submit(START, batch([2])), SubmitOutcome::Accepted);
}

#[test]
fn a_transaction_is_pooled_once_while_it_waits_and_while_it_is_proposed() {
    let mut pool = roomy();
    pool.submit(START, batch([7]));
    assert_eq!(pool.submit(START, batch([8, 7])), already(1, &tx(7)));
    all(&mut pool, 1);
    assert_eq!(pool.submit(START, batch([7])), already(0, &tx(7)));
    assert_eq!(pool.submit(START, batch([1, 2, 1])), already(2, &tx(1)));
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let mut pool = pool(3, 10_000);
    pool.submit(START, batch([0]));
    let before = (pool.len(), pool.bytes());
    assert_eq!(pool.submit(START, batch([1, 2, 0])), already(2, &tx(0)));
    assert!(matches!(pool.submit(START, batch([1, 2, 3])), SubmitOutcome::PoolFull { .. }));
    assert_eq!((pool.len(), pool.bytes()), before);
    assert_eq!(all(&mut pool, 1), batch([0]));
}

#[test]
fn committed_in_an_own_block_leaves_the_pool() {
    let mut pool = roomy();
    pool.submit(START, batch([0, 1]));
    all(&mut pool, 1);
    pool.committed(tx(0).digest());
    pool.committed(tx(1).digest());
    assert!(pool.is_empty());
    assert_eq!(pool.bytes(), 0);
    assert!(pool.collect(START, Round::new(1)).is_empty());
    assert!(!pool.has_queued());
}

#[test]
fn committed_in_another_authoritys_block_is_not_proposed_any_more() {
    let mut pool = roomy();
    pool.submit(START, batch([0, 1, 2]));
    pool.committed(tx(1).digest());
    pool.committed(tx(9).digest());
    assert_eq!((pool.len(), pool.bytes()), (2, 48));
    assert_eq!(all(&mut pool, 1), batch([0, 2]));
}

#[test]
fn t01_what_a_collected_block_held_returns_to_its_old_place() {
    let mut pool = roomy();
    pool.submit(START, batch([0, 1, 2]));
    pool.propose(Round::new(4), 2, 10_000);
    pool.submit(START, batch([3]));
    assert!(pool.collect(START, Round::new(3)).is_empty());
    assert_eq!(pool.propose(Round::new(5), 1, 10_000), batch([2]));
    // Round 4 is collected, round 5 is not.
    assert!(pool.collect(START, Round::new(4)).is_empty());
    assert_eq!(all(&mut pool, 6), batch([0, 1, 3]));
}

#[test]
fn t01_what_was_committed_in_the_meantime_does_not_return() {
    let mut pool = roomy();
    pool.submit(START, batch([0, 1]));
    all(&mut pool, 4);
    pool.committed(tx(0).digest());
    assert!(pool.collect(START, Round::new(4)).is_empty());
    assert_eq!(all(&mut pool, 5), batch([1]));
}

#[test]
fn t01_a_transaction_returns_once() {
    let mut pool = roomy();
    pool.submit(START, batch([0]));
    all(&mut pool, 4);
    assert!(pool.collect(START, Round::new(4)).is_empty());
    assert!(pool.collect(START, Round::new(4)).is_empty());
    assert!(pool.collect(START, Round::new(5)).is_empty());
    assert_eq!(all(&mut pool, 6), batch([0]));
    assert_eq!(all(&mut pool, 7), []);
    assert_eq!((pool.len(), pool.bytes()), (1, 24));
}

#[test]
fn a_transaction_may_be_submitted_again_after_it_was_committed() {
    let mut pool = roomy();
    pool.submit(START, batch([0]));
    all(&mut pool, 4);
    pool.committed(tx(0).digest());
    assert_eq!(pool.submit(START, batch([0])), SubmitOutcome::Accepted);
    // The old block returns nothing: the transaction waits already.
    assert!(pool.collect(START, Round::new(4)).is_empty());
    assert_eq!(all(&mut pool, 9), batch([0]));
    assert_eq!(all(&mut pool, 10), []);
}

/// A transaction stood in the own block of round 4, was committed by another authority's block, was submitted again and
/// stood in the own block of round 9. When round 4 was collected it came back to the queue although round 9 still held
/// it, and was proposed a third time.
#[test]
fn t01_a_transaction_proposed_again_does_not_return_with_its_older_block() {
    let mut pool = roomy();
    pool.submit(START, batch([0]));
    all(&mut pool, 4);
    pool.committed(tx(0).digest());
    pool.submit(START, batch([0]));
    assert_eq!(all(&mut pool, 9), batch([0]));
    assert!(pool.collect(START, Round::new(4)).is_empty());
    assert!(!pool.has_queued());
    assert!(pool.collect(START, Round::new(9)).is_empty());
    assert_eq!(all(&mut pool, 10), batch([0]));
}

#[test]
fn recovered_transactions_are_held_as_proposed_until_their_block_is_decided() {
    let mut pool = roomy();
    pool.recover(Round::new(7), START, batch([0, 1]));
    assert_eq!((pool.len(), pool.bytes(), pool.has_queued()), (2, 48, false));
    assert_eq!(pool.submit(START, batch([1])), already(0, &tx(1)));
    pool.committed(tx(0).digest());
    pool.submit(START, batch([2]));
    assert!(pool.collect(START, Round::new(6)).is_empty());
    assert!(!all(&mut pool, 8).contains(&tx(1)));
    assert!(pool.collect(START, Round::new(7)).is_empty());
    assert_eq!(all(&mut pool, 9), batch([1]));
}

#[test]
fn a_transaction_in_two_recovered_blocks_is_held_once() {
    let mut pool = roomy();
    pool.recover(Round::new(7), START, batch([0]));
    pool.recover(Round::new(8), START, batch([0, 1]));
    assert_eq!((pool.len(), pool.bytes()), (2, 48));
    pool.committed(tx(0).digest());
    assert!(pool.collect(START, Round::new(8)).is_empty());
    assert_eq!(all(&mut pool, 9), batch([1]));
}
