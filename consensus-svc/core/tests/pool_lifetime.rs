//! What becomes of transactions that wait too long: dropped where they wait, never where they may still be committed.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use bytes::Bytes;
use consensus_core::{Params, Round, SubmitOutcome, Timestamp, Transaction, TransactionDigest, pool::Pool};

/// A transaction that is taken at `at(t)` is past its lifetime at `at(t + 100)`, and not a millisecond before.
fn pool() -> Pool {
    Pool::new(&Params { transaction_lifetime: Duration::from_millis(100), ..Params::default() })
}

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(5_000 + millis)
}

fn tx(number: u64) -> Transaction {
    Transaction::new(Bytes::copy_from_slice(&number.to_le_bytes()))
}

fn batch(numbers: impl IntoIterator<Item = u64>) -> Vec<Transaction> {
    numbers.into_iter().map(tx).collect()
}

fn digests(numbers: impl IntoIterator<Item = u64>) -> Vec<TransactionDigest> {
    numbers.into_iter().map(|number| tx(number).digest()).collect()
}

fn all(pool: &mut Pool, round: u64) -> Vec<Transaction> {
    pool.propose(Round::new(round), 100, 10_000)
}

#[test]
fn what_waits_is_dropped_when_its_lifetime_ends_and_not_before() {
    let mut pool = pool();
    pool.submit(at(0), batch([0, 1]));
    pool.submit(at(7), batch([2]));
    assert_eq!(pool.next_expiry(), Some(at(100)));
    assert_eq!(pool.expire(at(99)), []);
    assert_eq!(pool.expire(at(100)), digests([0, 1]));
    assert_eq!((pool.len(), pool.bytes()), (1, 24));
    assert_eq!(pool.next_expiry(), Some(at(107)));
    assert_eq!(pool.expire(at(100)), [], "once");
    assert_eq!(all(&mut pool, 1), batch([2]));
}

#[test]
fn what_is_dropped_may_be_submitted_again() {
    let mut pool = pool();
    pool.submit(at(0), batch([0]));
    assert_eq!(pool.expire(at(100)), digests([0]));
    assert_eq!(pool.submit(at(100), batch([0])), SubmitOutcome::Accepted);
    assert_eq!(pool.expire(at(199)), []);
    assert_eq!(pool.expire(at(200)), digests([0]));
    assert!(pool.is_empty());
    assert_eq!(pool.next_expiry(), None);
}

#[test]
fn what_stands_in_an_own_block_is_not_dropped_before_that_is_collected() {
    let mut pool = pool();
    pool.submit(at(0), batch([0, 1]));
    all(&mut pool, 4);
    assert_eq!(pool.next_expiry(), None);
    assert_eq!(pool.expire(at(10_000)), []);
    assert_eq!(pool.collect(at(10_000), Round::new(3)), []);
    assert_eq!(pool.len(), 2);
}

#[test]
fn t01_a_collected_transaction_past_its_lifetime_is_dropped_and_a_younger_one_returns() {
    let mut pool = pool();
    pool.submit(at(0), batch([0]));
    pool.submit(at(1), batch([1]));
    all(&mut pool, 4);
    assert_eq!(pool.collect(at(100), Round::new(4)), digests([0]));
    assert_eq!(pool.len(), 1);
    assert_eq!(pool.collect(at(100), Round::new(5)), [], "once");
    assert_eq!(all(&mut pool, 6), batch([1]));
}

#[test]
fn t01_what_returned_keeps_the_age_that_it_had() {
    let mut pool = pool();
    pool.submit(at(0), batch([0]));
    all(&mut pool, 4);
    assert_eq!(pool.collect(at(60), Round::new(4)), []);
    assert_eq!(pool.next_expiry(), Some(at(100)));
    assert_eq!(pool.expire(at(100)), digests([0]));
}

#[test]
fn what_was_committed_is_not_dropped() {
    let mut pool = pool();
    pool.submit(at(0), batch([0, 1]));
    pool.propose(Round::new(4), 1, 10_000);
    pool.committed(tx(0).digest());
    pool.committed(tx(1).digest());
    assert_eq!(pool.collect(at(100), Round::new(4)), []);
    assert_eq!(pool.expire(at(100)), []);
}

/// Committed by another's block while the own block of round 4 held it, and submitted again: round 4 may still be committed,
/// and would have made a lie of the report.
#[test]
fn a_transaction_submitted_again_is_not_dropped_while_an_older_own_block_holds_it() {
    let mut pool = pool();
    pool.submit(at(0), batch([0]));
    all(&mut pool, 4);
    pool.committed(tx(0).digest());
    pool.submit(at(10), batch([0, 1]));
    assert_eq!(pool.next_expiry(), Some(at(110)), "of the other one");
    assert_eq!(pool.expire(at(110)), digests([1]));
    assert_eq!(pool.next_expiry(), None);
    assert_eq!(pool.collect(at(120), Round::new(4)), []);
    assert_eq!(pool.next_expiry(), Some(at(110)));
    assert_eq!(pool.expire(at(120)), digests([0]));
}

#[test]
fn recovered_transactions_age_from_what_their_block_tells() {
    let mut pool = pool();
    pool.recover(Round::new(7), at(0), batch([0]));
    pool.recover(Round::new(8), at(50), batch([1]));
    assert_eq!(pool.collect(at(100), Round::new(8)), digests([0]));
    assert_eq!(all(&mut pool, 9), batch([1]));
}

#[test]
fn a_transaction_in_two_recovered_blocks_waits_for_the_higher_one() {
    let mut pool = pool();
    pool.recover(Round::new(7), at(0), batch([0]));
    pool.recover(Round::new(8), at(0), batch([0]));
    assert_eq!(pool.collect(at(100), Round::new(7)), []);
    assert!(!pool.has_queued());
    assert_eq!(pool.collect(at(100), Round::new(8)), digests([0]));
    assert!(pool.is_empty());
}

#[test]
fn l06_only_what_a_commit_takes_out_counts_as_committed() {
    let mut pool = pool();
    pool.submit(at(0), batch([0, 1, 2]));
    pool.propose(Round::new(4), 2, 10_000);
    pool.committed(tx(0).digest());
    pool.committed(tx(2).digest());
    assert_eq!(pool.committed_total(), 2, "proposed or not");
    pool.committed(tx(0).digest());
    pool.committed(tx(9).digest());
    assert_eq!(pool.committed_total(), 2, "it was not in the pool");
    assert_eq!(pool.collect(at(100), Round::new(4)), digests([1]));
    assert_eq!(pool.committed_total(), 2, "what is dropped is not committed");
}
