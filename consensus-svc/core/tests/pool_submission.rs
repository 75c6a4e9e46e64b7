//! T03: what is submitted to the machine is what a block may hold, or it is refused with its size and the limit.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use bytes::Bytes;
use consensus_core::{
    BlockVerifier, Consensus, Effect, Input, Params, ProtocolParameters, RecoveredLog, SubmitOutcome, Ticket,
    Transaction, testkit,
};

const LIMIT_BYTES: u32 = 100;

/// What a committee of one answers to a batch of these sizes, and how many transactions it then holds. Its own blocks are
/// judged as another authority would.
fn submit(sizes: &[usize]) -> (SubmitOutcome, usize) {
    let parameters =
        ProtocolParameters { max_transaction_bytes: LIMIT_BYTES, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(&[1], parameters);
    let genesis = Arc::new(genesis);
    let verifier = BlockVerifier::new(genesis.clone());
    let now = testkit::GENESIS_TIMESTAMP;
    let (params, signer) = (Params::default(), signers[0].clone());
    let (mut machine, _) =
        Consensus::recover(genesis, params, signer, RecoveredLog::default(), now).expect("an empty log");
    let transactions = sizes.iter().map(|size| Transaction::new(Bytes::from(vec![7; *size]))).collect();
    let mut outcome = None;
    for effect in machine.handle(now, Input::Transactions { ticket: Ticket(1), transactions }) {
        match effect {
            Effect::Answer { outcome: answer, .. } => outcome = Some(answer),
            Effect::Broadcast(block) => {
                assert!(verifier.verify(block.signed_bytes().clone()).is_ok(), "own block {block:?}");
            }
            _ => {}
        }
    }
    (outcome.expect("every submission is answered"), machine.status().pooled_transactions)
}

const fn refused(position: usize, size_bytes: u64) -> (SubmitOutcome, usize) {
    (SubmitOutcome::TransactionSize { position, size_bytes, limit_bytes: LIMIT_BYTES as u64 }, 0)
}

/// An empty transaction once went into an own block, was signed, and made every peer refuse that block: the authority
/// could never be heard again, since all its later blocks build on it.
#[test]
fn t03_an_empty_transaction_never_reaches_an_own_block() {
    assert_eq!(submit(&[0]), refused(0, 0));
    assert_eq!(submit(&[1]).0, SubmitOutcome::Accepted);
}

#[test]
fn t03_a_transaction_over_the_limit_never_reaches_an_own_block() {
    assert_eq!(submit(&[101]), refused(0, 101));
    assert_eq!(submit(&[100]).0, SubmitOutcome::Accepted);
}

/// Such a transaction did not even fit a block, and stood at the head of the queue for ever.
#[test]
fn t03_a_transaction_larger_than_a_block_does_not_hold_up_the_pool() {
    assert_eq!(submit(&[3 << 20]), refused(0, 3 << 20));
}

#[test]
fn t03_the_batch_is_refused_whole_and_names_the_position() {
    assert_eq!(submit(&[5, 100, 101, 0]), refused(2, 101));
}
