//! Frozen bytes. They are on other machines' disks and under other machines' signatures: a change that turns one of
//! these red needs a new format version, never a new file here.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use consensus_core::{
    Authority, AuthorityIndex, Block, BlockDigest, BlockRef, Certificate, ChainId, Commit, CommitDigest,
    CommitIndex, CommitVote, Committee, CommitteeDigest, Epoch, EpochVote, ExecutedRoot, Genesis,
    ProtocolParameters, Round, Signer, Stake, StateRoot, Timestamp, Transaction, VerifiedBlock,
};

/// The bytes of a hex file; white space and what follows `#` are left out.
fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: String =
        text.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
    hex::decode(digits).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn assert_frozen(name: &str, bytes: &[u8]) {
    assert_eq!(hex::encode(bytes), hex::encode(golden(name)), "{name}");
}

fn reference(round: u64, author: u16, fill: u8) -> BlockRef {
    let digest = BlockDigest::new([fill; 32]);
    BlockRef { round: Round::new(round), author: AuthorityIndex::new(author), digest }
}

fn signer() -> Signer {
    Signer::from_bytes([0x42; 32])
}

fn full_block() -> Block {
    let transaction = |bytes: &'static [u8]| Transaction::new(Bytes::from_static(bytes));
    Block {
        chain_id: ChainId::new([0x11; 32]),
        epoch: Epoch::new(2),
        round: Round::new(0x0102_0304_0506_0708),
        author: AuthorityIndex::new(3),
        timestamp: Timestamp::from_millis(1_767_225_600_123),
        ancestors: vec![reference(0x0102_0304_0506_0707, 3, 0xa3), reference(7, 0x0201, 0xa1)],
        transactions: vec![transaction(b"transfer"), transaction(&[0xff])],
        commit_votes: vec![
            CommitVote { index: CommitIndex::new(40), digest: CommitDigest::new([0xc0; 32]) },
            CommitVote { index: CommitIndex::new(41), digest: CommitDigest::new([0xc1; 32]) },
        ],
        executed_roots: vec![ExecutedRoot { index: CommitIndex::new(32), root: StateRoot::new([0xe0; 32]) }],
        epoch_vote: Some(EpochVote {
            epoch: Epoch::new(2),
            boundary: CommitIndex::new(50),
            committee: CommitteeDigest::new([0xd0; 32]),
        }),
    }
}

fn empty_block() -> Block {
    Block {
        chain_id: ChainId::ZERO,
        epoch: Epoch::GENESIS,
        round: Round::FIRST,
        author: AuthorityIndex::new(0),
        timestamp: Timestamp::from_millis(0),
        ancestors: Vec::new(),
        transactions: Vec::new(),
        commit_votes: Vec::new(),
        executed_roots: Vec::new(),
        epoch_vote: None,
    }
}

fn full_commit() -> Commit {
    Commit {
        index: CommitIndex::new(0x0102_0304_0506_0708),
        epoch: Epoch::new(2),
        previous_digest: CommitDigest::new([0xc0; 32]),
        timestamp: Timestamp::from_millis(1_767_225_600_123),
        closing: true,
        leaders: vec![reference(4, 0, 0xb0), reference(5, 1, 0xb1)],
        blocks: vec![reference(3, 2, 0xb2), reference(4, 0, 0xb0), reference(5, 1, 0xb1)],
        duplicate_marks: Bytes::from_static(&[0b0000_0101, 0b1000_0000]),
    }
}

fn empty_commit() -> Commit {
    Commit {
        index: CommitIndex::new(1),
        epoch: Epoch::GENESIS,
        previous_digest: CommitDigest::ZERO,
        timestamp: Timestamp::from_millis(0),
        closing: false,
        leaders: Vec::new(),
        blocks: Vec::new(),
        duplicate_marks: Bytes::new(),
    }
}

/// Stored behind the key of its commit, and read by every later version.
fn full_certificate() -> Certificate {
    Certificate {
        index: CommitIndex::new(0x0102_0304_0506_0708),
        digest: CommitDigest::new([0xc0; 32]),
        blocks: vec![
            reference(9, 0, 0xb0),
            reference(0x0102_0304_0506_0707, 2, 0xb2),
            reference(10, 0x0201, 0xb3),
        ],
    }
}

fn empty_certificate() -> Certificate {
    Certificate { index: CommitIndex::new(1), digest: CommitDigest::ZERO, blocks: Vec::new() }
}

fn committee() -> Committee {
    let mut signers = [1u8, 2].map(|fill| Signer::from_bytes([fill; 32]));
    signers.sort_by_key(|signer| signer.public_key().to_bytes());
    let authorities = signers.iter().zip(1u8..).map(|(signer, place)| Authority {
        stake: Stake::new(u64::from(place) * 100),
        protocol_key: signer.public_key(),
        network_key: [place; 32],
        address: format!("node-{place}.example:7100"),
    });
    Committee::new(Epoch::new(3), authorities.collect()).expect("a committee")
}

fn genesis() -> Genesis {
    let parameters = ProtocolParameters {
        leaders_per_round: 2,
        gc_depth: 60,
        heartbeat_interval: Duration::from_millis(5_000),
        heartbeat_rounds: 20,
        max_commit_transactions: 10_000,
        max_commit_bytes: 4 << 20,
        max_block_transactions: 5_000,
        max_block_bytes: 2 << 20,
        max_transaction_bytes: 512 << 10,
        duplicate_window: Duration::from_millis(60_000),
        max_duplicate_entries: 500_000,
        schedule_window_rounds: 120,
        root_interval: 100,
    };
    let timestamp = Timestamp::from_millis(1_767_225_600_000);
    Genesis::new("golden".to_owned(), timestamp, parameters, committee()).expect("in range")
}

#[test]
fn the_bytes_of_blocks_are_frozen() {
    assert_frozen("block_full.hex", &full_block().canonical_bytes());
    assert_frozen("block_empty.hex", &empty_block().canonical_bytes());
    assert_frozen("block_full_signed.hex", full_block().sign(&signer()).signed_bytes());
    assert_frozen("block_empty_signed.hex", empty_block().sign(&signer()).signed_bytes());
}

#[test]
fn the_bytes_of_commits_are_frozen() {
    assert_frozen("commit_full.hex", &full_commit().canonical_bytes());
    assert_frozen("commit_empty.hex", &empty_commit().canonical_bytes());
}

#[test]
fn the_bytes_of_certificates_are_frozen() {
    assert_frozen("certificate_full.hex", &full_certificate().canonical_bytes());
    assert_frozen("certificate_empty.hex", &empty_certificate().canonical_bytes());
}

#[test]
fn the_bytes_of_committees_are_frozen() {
    assert_frozen("committee.hex", &committee().canonical_bytes());
}

#[test]
fn digests_and_names_are_frozen() {
    let genesis = genesis();
    let genesis_block = VerifiedBlock::genesis(&genesis, AuthorityIndex::new(1));
    assert_frozen("digest_block_full.hex", full_block().sign(&signer()).reference().digest.as_bytes());
    assert_frozen("digest_block_empty.hex", empty_block().sign(&signer()).reference().digest.as_bytes());
    assert_frozen("digest_block_genesis_3.hex", genesis_block.reference().digest.as_bytes());
    assert_frozen("digest_commit_full.hex", full_commit().digest().as_bytes());
    assert_frozen("digest_commit_empty.hex", empty_commit().digest().as_bytes());
    assert_frozen("digest_committee.hex", committee().digest().as_bytes());
    assert_frozen("digest_transaction.hex", full_block().transactions[0].digest().as_bytes());
    assert_frozen("chain_id_3.hex", genesis.chain_id().as_bytes());
}

#[test]
fn frozen_blocks_decode_to_the_same_value_and_bytes() {
    for (name, block) in [("block_full_signed.hex", full_block()), ("block_empty_signed.hex", empty_block())]
    {
        let signed = golden(name);
        let decoded = VerifiedBlock::from_store(signed.clone().into()).expect(name);
        assert_eq!(decoded.block(), &block);
        assert_eq!(decoded.block().canonical_bytes(), signed[..signed.len() - 64]);
        assert_eq!(decoded.block().clone().sign(&signer()).signed_bytes(), &signed);
    }
}

#[test]
fn frozen_commits_decode_to_the_same_value_and_bytes() {
    for (name, commit) in [("commit_full.hex", full_commit()), ("commit_empty.hex", empty_commit())] {
        let bytes = golden(name);
        let decoded = Commit::decode(bytes.clone().into()).expect(name);
        assert_eq!(decoded, commit);
        assert_eq!(decoded.canonical_bytes(), bytes);
    }
}

#[test]
fn frozen_certificates_decode_to_the_same_value_and_bytes() {
    for (name, certificate) in
        [("certificate_full.hex", full_certificate()), ("certificate_empty.hex", empty_certificate())]
    {
        let bytes = golden(name);
        let decoded = Certificate::decode(bytes.clone().into()).expect(name);
        assert_eq!(decoded, certificate);
        assert_eq!(decoded.canonical_bytes(), bytes);
    }
}

#[test]
fn a_transaction_is_named_by_plain_blake3() {
    // Any client computes it with `b3sum`.
    assert_eq!(full_block().transactions[0].digest().as_bytes(), blake3::hash(b"transfer").as_bytes());
}
