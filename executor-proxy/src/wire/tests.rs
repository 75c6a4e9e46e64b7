use metanode_shell::executor::answer_limit;
use prost::Message as _;
use sequencer_core::Position;

use super::*;
use crate::backend::{EpochRecord, RejectedTransaction};

const LIMITS: CommitLimits =
    CommitLimits { max_transactions: 10, max_bytes: 1_000, max_transaction_bytes: 100 };

fn block_ref() -> consensus::BlockRef {
    consensus::BlockRef { round: 1, author: 0, digest: vec![1; 32].into() }
}

fn message(transactions: &[usize]) -> consensus::Commit {
    let transactions = transactions.iter().map(|length| vec![0; *length].into()).collect();
    consensus::Commit {
        index: 1,
        epoch: 0,
        previous_digest: vec![0; 32].into(),
        digest: vec![1; 32].into(),
        leaders: vec![block_ref()],
        timestamp_ms: 1,
        closing: true,
        blocks: vec![consensus::CommittedBlock { block: Some(block_ref()), transactions }],
        duplicate_marks: Vec::new().into(),
    }
}

fn refused_field(message: consensus::Commit) -> &'static str {
    commit(message, &LIMITS).unwrap_err().field
}

#[test]
fn d10_every_field_that_is_needed_is_checked() {
    assert!(commit(message(&[1]), &LIMITS).is_ok());
    assert_eq!(refused_field(consensus::Commit { index: 0, ..message(&[1]) }), "commit.index");
    for length in [0, 31, 33] {
        let digest = bytes::Bytes::from(vec![1; length]);
        let broken = consensus::Commit { digest: digest.clone(), ..message(&[1]) };
        assert_eq!(refused_field(broken), "commit.digest");
        let broken = consensus::Commit { previous_digest: digest, ..message(&[1]) };
        assert_eq!(refused_field(broken), "commit.previous_digest");
    }
    assert_eq!(refused_field(consensus::Commit { leaders: Vec::new(), ..message(&[1]) }), "commit.leaders");
    let far = consensus::BlockRef { author: 65_536, ..block_ref() };
    assert_eq!(refused_field(consensus::Commit { leaders: vec![far], ..message(&[1]) }), "commit.leaders");
    let mut broken = message(&[1]);
    broken.blocks[0].block = None;
    assert_eq!(refused_field(broken), "commit.blocks.block");
}

#[test]
fn counts_and_sizes_pass_up_to_the_limit() {
    assert!(commit(message(&[100]), &LIMITS).is_ok());
    assert_eq!(refused_field(message(&[101])), "commit.blocks.transactions");
    assert!(commit(message(&[0; 10]), &LIMITS).is_ok());
    assert_eq!(refused_field(message(&[0; 11])), "commit.blocks");
    // 128 for the block, 16 a transaction.
    let at_the_limit = [100, 100, 100, 100, 100, 100, 100, 44];
    assert_eq!(commit(message(&at_the_limit), &LIMITS).unwrap().size_bytes, 1_000);
    let above = [100, 100, 100, 100, 100, 100, 100, 45];
    assert_eq!(refused_field(message(&above)), "commit.blocks");
}

#[test]
fn marks_are_read_from_the_least_significant_bit_on() {
    let marked = |marks: &[u8]| consensus::Commit {
        duplicate_marks: marks.to_vec().into(),
        ..message(&[0, 0, 0, 0, 0, 0, 0, 0, 0])
    };
    let read = commit(marked(&[0b0000_0101, 0b1]), &LIMITS).unwrap();
    let places: Vec<_> = (0..9_usize)
        .zip(read.transactions())
        .filter(|(_, one)| one.duplicate)
        .map(|(place, _)| place)
        .collect();
    assert_eq!(places, [0, 2, 8]);
    assert_eq!(refused_field(marked(&[0, 0b10])), "commit.duplicate_marks");
    assert_eq!(refused_field(marked(&[0, 0, 0])), "commit.duplicate_marks");
    assert!(commit(marked(&[0b1]), &LIMITS).is_ok(), "what is left out is not marked");
}

#[test]
fn an_opening_needs_a_lease_and_whole_digests() {
    let message = wire::StreamOpening {
        chain_id: vec![1; 32].into(),
        lease: Some(wire::Lease { authority: vec![2; 32].into(), incarnation: 3 }),
        after_index: 4,
        after_digest: vec![5; 32].into(),
    };
    let read = opening(&message).unwrap();
    assert_eq!((read.incarnation, read.after.index), (3, 4));
    let without = wire::StreamOpening { lease: None, ..message.clone() };
    assert_eq!(opening(&without).unwrap_err().field, "opening.lease");
    let cut = wire::StreamOpening { after_digest: vec![5; 31].into(), ..message };
    assert_eq!(opening(&cut).unwrap_err().field, "opening.after_digest");
}

/// One that rejects more covers several commits, and breaks the contract.
#[test]
fn an_acknowledgement_that_rejects_a_whole_commit_fits_the_largest_answer() {
    let most = 100_000;
    let longest = |position| RejectedTransaction { position, code: u32::MAX, reason: "x".repeat(256) };
    let executed = Executed {
        position: Position { index: u64::MAX, digest: Digest([1; 32]) },
        state_root: Some(Digest([2; 32])),
        rejected: (u32::MAX - most..u32::MAX).map(longest).collect(),
        results_unknown: true,
        epoch_end: Some(EpochRecord { epoch: u64::MAX, committee_digest: [3; 32] }),
    };
    let answer = acknowledgement(executed, true).encoded_len();
    let limit = answer_limit(0, u64::from(most));
    assert!(answer <= limit, "{answer} bytes, and {limit} are taken");
}
