//! Bytes from outside, drawn at random: never a panic, never a block that nobody signed, and one encoding a value.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockDigest, BlockRef, BlockVerifier, ChainId, Commit, CommitDigest, CommitIndex,
    CommitVote, CommitteeDigest, Epoch, EpochVote, ExecutedRoot, Round, StateRoot, Timestamp, Transaction,
    VerifiedBlock, testkit,
};
use proptest::{collection::vec, prelude::*};

fn reference() -> impl Strategy<Value = BlockRef> {
    (any::<u64>(), any::<u16>(), any::<[u8; 32]>()).prop_map(|(round, author, digest)| BlockRef {
        round: Round::new(round),
        author: AuthorityIndex::new(author),
        digest: BlockDigest::new(digest),
    })
}

fn indexed() -> impl Strategy<Value = (CommitIndex, [u8; 32])> {
    (any::<u64>().prop_map(CommitIndex::new), any::<[u8; 32]>())
}

prop_compose! {
    fn any_block()(
        chain_id in any::<[u8; 32]>(),
        (epoch, round, author, timestamp) in any::<(u64, u64, u16, u64)>(),
        ancestors in vec(reference(), 0..6),
        transactions in vec(vec(any::<u8>(), 0..40), 0..6),
        votes in vec(indexed(), 0..4),
        roots in vec(indexed(), 0..4),
        epoch_vote in proptest::option::of((any::<u64>(), indexed())),
    ) -> Block {
        Block {
            chain_id: ChainId::new(chain_id),
            epoch: Epoch::new(epoch),
            round: Round::new(round),
            author: AuthorityIndex::new(author),
            timestamp: Timestamp::from_millis(timestamp),
            ancestors,
            transactions: transactions.into_iter().map(Bytes::from).map(Transaction::new).collect(),
            commit_votes: votes
                .into_iter()
                .map(|(index, digest)| CommitVote { index, digest: CommitDigest::new(digest) })
                .collect(),
            executed_roots: roots
                .into_iter()
                .map(|(index, root)| ExecutedRoot { index, root: StateRoot::new(root) })
                .collect(),
            epoch_vote: epoch_vote.map(|(epoch, (boundary, committee))| EpochVote {
                epoch: Epoch::new(epoch),
                boundary,
                committee: CommitteeDigest::new(committee),
            }),
        }
    }
}

prop_compose! {
    fn any_commit()(
        (index, epoch, timestamp, closing) in any::<(u64, u64, u64, bool)>(),
        previous_digest in any::<[u8; 32]>(),
        leaders in vec(reference(), 0..4),
        blocks in vec(reference(), 0..6),
        mut duplicate_marks in vec(any::<u8>(), 0..6),
    ) -> Commit {
        while duplicate_marks.last() == Some(&0) {
            duplicate_marks.pop();
        }
        Commit {
            index: CommitIndex::new(index),
            epoch: Epoch::new(epoch),
            previous_digest: CommitDigest::new(previous_digest),
            timestamp: Timestamp::from_millis(timestamp),
            closing,
            leaders,
            blocks,
            duplicate_marks: duplicate_marks.into(),
        }
    }
}

fn verifier() -> BlockVerifier {
    BlockVerifier::new(Arc::new(testkit::genesis(4).0))
}

fn valid_bytes() -> Vec<u8> {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let drawing = testkit::drawing::draw(&genesis, &signers, "A1:[*] tx=2");
    drawing.block("A1").signed_bytes().to_vec()
}

proptest! {
    #[test]
    fn any_block_comes_back_from_its_bytes(block in any_block()) {
        let signed = block.clone().sign(&testkit::signers(1)[0]);
        let back = VerifiedBlock::from_store(signed.signed_bytes().clone()).expect("own bytes");
        prop_assert_eq!(back.block(), &block);
        prop_assert_eq!(back.reference(), signed.reference());
        prop_assert_eq!(back.block().canonical_bytes(), block.canonical_bytes());
    }

    #[test]
    fn marks_with_a_trailing_zero_byte_are_not_canonical(commit in any_commit()) {
        let padded = Commit { duplicate_marks: [&commit.duplicate_marks[..], &[0]].concat().into(), ..commit };
        prop_assert!(Commit::decode(padded.canonical_bytes().into()).is_err());
    }

    #[test]
    fn any_commit_comes_back_from_its_bytes(commit in any_commit()) {
        let back = Commit::decode(commit.canonical_bytes().into()).expect("own bytes");
        prop_assert_eq!(back.canonical_bytes(), commit.canonical_bytes());
        prop_assert_eq!(back.digest(), commit.digest());
        prop_assert_eq!(back, commit);
    }

    #[test]
    fn arbitrary_bytes_never_verify(bytes in vec(any::<u8>(), 0..2000)) {
        prop_assert!(verifier().verify(bytes.into()).is_err());
    }

    #[test]
    fn arbitrary_bytes_behind_a_valid_header_never_verify(tail in vec(any::<u8>(), 0..400)) {
        let mut bytes = valid_bytes();
        bytes.truncate(60);
        bytes.extend(tail);
        prop_assert!(verifier().verify(bytes.into()).is_err());
    }

    #[test]
    fn a_valid_block_with_a_changed_byte_never_verifies(place in any::<prop::sample::Index>(), by in 1u8..) {
        let mut bytes = valid_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= by;
        prop_assert!(verifier().verify(bytes.into()).is_err());
    }

    #[test]
    fn what_decodes_as_a_commit_is_canonical(mut bytes in any_commit().prop_map(|c| c.canonical_bytes()), place in any::<prop::sample::Index>(), by in 1u8..) {
        let place = place.index(bytes.len());
        bytes[place] ^= by;
        if let Ok(commit) = Commit::decode(bytes.clone().into()) {
            prop_assert_eq!(commit.canonical_bytes(), bytes);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_valid_block_is_refused() {
    let (verifier, valid) = (verifier(), valid_bytes());
    assert!(verifier.verify(valid.clone().into()).is_ok());
    for bit in 0..valid.len() * 8 {
        let mut bytes = valid.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(verifier.verify(bytes.into()).is_err(), "bit {bit}");
    }
}

/// A list's announced length is compared with the bytes that are there before anything is allocated for it.
#[test]
fn a_list_that_announces_more_than_there_is_is_truncated() {
    let commit = Commit {
        index: CommitIndex::new(1),
        epoch: Epoch::GENESIS,
        previous_digest: CommitDigest::ZERO,
        timestamp: Timestamp::from_millis(0),
        closing: true,
        leaders: Vec::new(),
        blocks: Vec::new(),
        duplicate_marks: Bytes::new(),
    };
    let mut bytes = commit.canonical_bytes();
    let leaders = bytes.len() - 12;
    bytes[leaders..leaders + 4].fill(0xff);
    let refused = consensus_core::codec::DecodeError::Truncated { field: "leaders" };
    assert_eq!(Commit::decode(bytes.into()), Err(refused));
}
