//! Which signed bytes are a block, judged from real bytes: both sides of every rule.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use bytes::Bytes;
use consensus_core::{
    Authority, AuthorityIndex, Block, BlockDigest, BlockError, BlockRef, BlockVerifier, ChainId,
    CommitDigest, CommitIndex, CommitVote, Committee, CommitteeDigest, Epoch, EpochVote, ExecutedRoot,
    Genesis, ProtocolKey, ProtocolParameters, Round, Signer, Stake, StateRoot, Timestamp, Transaction,
    VerifiedBlock, codec::DecodeError, testkit,
};

struct Bench {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    verifier: BlockVerifier,
}

/// Limits small enough to stand on both sides of: 7 transactions of 112 bytes fill a block exactly.
fn limits() -> ProtocolParameters {
    ProtocolParameters {
        max_block_bytes: 1024,
        max_block_transactions: 20,
        max_transaction_bytes: 112,
        ..ProtocolParameters::default()
    }
}

fn bench(stakes: &[u64]) -> Bench {
    let (genesis, signers) = testkit::genesis_with(stakes, limits());
    let genesis = Arc::new(genesis);
    Bench { verifier: BlockVerifier::new(genesis.clone()), genesis, signers }
}

fn parent(author: u16, round: u64) -> BlockRef {
    let digest = BlockDigest::new([u8::try_from(author).expect("small"); 32]);
    BlockRef { round: Round::new(round), author: AuthorityIndex::new(author), digest }
}

fn transactions(sizes: &[usize]) -> Vec<Transaction> {
    let fill = |(number, size): (usize, &usize)| vec![u8::try_from(number).expect("small"); *size];
    sizes.iter().enumerate().map(fill).map(Bytes::from).map(Transaction::new).collect()
}

impl Bench {
    /// A block of authority 0 in round 5 on parents of everybody.
    fn block(&self) -> Block {
        let authorities = u16::try_from(self.genesis.committee().size()).expect("small");
        Block {
            chain_id: self.genesis.chain_id(),
            epoch: Epoch::GENESIS,
            round: Round::new(5),
            author: AuthorityIndex::new(0),
            timestamp: Timestamp::from_millis(1),
            ancestors: (0..authorities).map(|author| parent(author, 4)).collect(),
            transactions: transactions(&[10]),
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Block)) -> Result<VerifiedBlock, BlockError> {
        let mut block = self.block();
        change(&mut block);
        self.verifier.verify(block.sign(&self.signers[0]).signed_bytes().clone())
    }

    fn with_parents(&self, parents: &[(u16, u64)]) -> Result<VerifiedBlock, BlockError> {
        self.with(|block| block.ancestors = parents.iter().map(|(a, r)| parent(*a, *r)).collect())
    }

    fn with_transactions(&self, sizes: &[usize]) -> Result<VerifiedBlock, BlockError> {
        self.with(|block| block.transactions = transactions(sizes))
    }
}

fn malformed(error: DecodeError) -> Result<VerifiedBlock, BlockError> {
    Err(BlockError::Malformed(error))
}

#[test]
fn a_valid_block_verifies_and_keeps_bytes_and_name() {
    let bench = bench(&[1; 4]);
    let signed = bench.block().sign(&bench.signers[0]);
    let verified = bench.verifier.verify(signed.signed_bytes().clone()).expect("valid");
    assert_eq!(verified.reference(), signed.reference());
    assert_eq!(verified.signed_bytes(), signed.signed_bytes());
    assert_eq!(verified.block(), &bench.block());
}

#[test]
fn bytes_cut_anywhere_are_truncated() {
    let bench = bench(&[1; 4]);
    let bytes = bench.block().sign(&bench.signers[0]).signed_bytes().clone();
    for length in 0..bytes.len() {
        let error = bench.verifier.verify(bytes.slice(..length)).expect_err("cut");
        assert!(matches!(error, BlockError::Malformed(DecodeError::Truncated { .. })), "{length}: {error:?}");
    }
    let short = bench.verifier.verify(bytes.slice(..63));
    assert_eq!(short, malformed(DecodeError::Truncated { field: "signature" }));
}

#[test]
fn bytes_after_the_end_are_refused() {
    let bench = bench(&[1; 4]);
    let mut bytes = bench.block().sign(&bench.signers[0]).signed_bytes().to_vec();
    bytes.extend([0; 3]);
    assert_eq!(bench.verifier.verify(bytes.into()), malformed(DecodeError::Trailing { count: 3 }));
}

#[test]
fn an_unknown_version_is_refused() {
    let bench = bench(&[1; 4]);
    let mut bytes = bench.block().sign(&bench.signers[0]).signed_bytes().to_vec();
    bytes[0] = 2;
    let expected = DecodeError::Unexpected { field: "block version", found: 2, expected: 1 };
    assert_eq!(bench.verifier.verify(bytes.into()), malformed(expected));
}

#[test]
fn the_flag_of_the_epoch_vote_is_zero_or_one() {
    let bench = bench(&[1; 4]);
    let mut bytes = bench.block().sign(&bench.signers[0]).signed_bytes().to_vec();
    let flag = bytes.len() - 64 - 1;
    bytes[flag] = 2;
    let expected = DecodeError::Unexpected { field: "epoch vote", found: 2, expected: 1 };
    assert_eq!(bench.verifier.verify(bytes.into()), malformed(expected));
}

#[test]
fn more_bytes_than_any_valid_block_has_are_not_even_decoded() {
    let bench = bench(&[1; 4]);
    let limit_bytes = bench.verifier.max_signed_bytes();
    let zeros = |size: u64| Bytes::from(vec![0; usize::try_from(size).expect("small")]);
    let at_limit = DecodeError::Unexpected { field: "block version", found: 0, expected: 1 };
    assert_eq!(bench.verifier.verify(zeros(limit_bytes)), malformed(at_limit));
    let size_bytes = limit_bytes + 1;
    assert_eq!(
        bench.verifier.verify(zeros(size_bytes)),
        Err(BlockError::Oversized { size_bytes, limit_bytes })
    );
}

#[test]
fn the_largest_valid_block_is_within_the_signed_limit() {
    let bench = bench(&[1; 4]);
    let vote = CommitVote { index: CommitIndex::new(1), digest: CommitDigest::ZERO };
    let root = ExecutedRoot { index: CommitIndex::new(1), root: StateRoot::ZERO };
    let largest = bench
        .with(|block| {
            block.transactions = transactions(&[112; 7]);
            block.commit_votes = vec![vote; 100];
            block.executed_roots = vec![root; 100];
            block.epoch_vote = Some(EpochVote {
                epoch: Epoch::GENESIS,
                boundary: CommitIndex::new(1),
                committee: CommitteeDigest::ZERO,
            });
        })
        .expect("valid");
    assert!(largest.signed_bytes().len() as u64 <= bench.verifier.max_signed_bytes());
}

#[test]
fn a_block_of_another_chain_is_refused() {
    let bench = bench(&[1; 4]);
    let found = ChainId::new([9; 32]);
    let expected = bench.genesis.chain_id();
    let refused = bench.with(|block| block.chain_id = found);
    assert_eq!(refused, Err(BlockError::WrongChain { found, expected }));
}

#[test]
fn a_block_of_another_epoch_is_refused() {
    let bench = bench(&[1; 4]);
    let found = Epoch::new(1);
    let refused = bench.with(|block| block.epoch = found);
    assert_eq!(refused, Err(BlockError::WrongEpoch { found, expected: Epoch::GENESIS }));
}

#[test]
fn the_first_author_outside_the_committee_is_unknown() {
    let bench = bench(&[1; 4]);
    let author = AuthorityIndex::new(4);
    let refused = bench.with(|block| block.author = author);
    assert_eq!(refused, Err(BlockError::UnknownAuthority { author, size: 4 }));
    let last = bench.with(|block| {
        block.author = AuthorityIndex::new(3);
        block.ancestors.rotate_right(1);
    });
    // A member, so judged to the end: signed by authority 0, not by authority 3.
    assert_eq!(last, Err(BlockError::BadSignature { author: AuthorityIndex::new(3) }));
}

#[test]
fn round_0_is_never_sent_and_round_1_is() {
    let bench = bench(&[1; 4]);
    assert_eq!(bench.with(|block| block.round = Round::GENESIS), Err(BlockError::GenesisRound));
    let first = bench.with(|block| {
        block.round = Round::FIRST;
        block.ancestors = (0..4).map(|author| parent(author, 0)).collect();
    });
    assert!(first.is_ok());
}

#[test]
fn a_signature_of_another_member_or_over_other_bytes_is_refused() {
    let bench = bench(&[1; 4]);
    let refused = Err(BlockError::BadSignature { author: AuthorityIndex::new(0) });
    let foreign = bench.block().sign(&bench.signers[1]);
    assert_eq!(bench.verifier.verify(foreign.signed_bytes().clone()), refused);

    let mut other = bench.block();
    other.timestamp = Timestamp::from_millis(2);
    let mut bytes = other.canonical_bytes();
    let signed = bench.block().sign(&bench.signers[0]);
    bytes.extend_from_slice(&signed.signed_bytes()[signed.signed_bytes().len() - 64..]);
    assert_eq!(bench.verifier.verify(bytes.into()), refused);
}

#[test]
fn the_own_ancestor_comes_first() {
    let bench = bench(&[1; 4]);
    assert_eq!(bench.with_parents(&[]), Err(BlockError::OwnAncestorNotFirst));
    assert_eq!(bench.with_parents(&[(1, 4), (2, 4), (3, 4)]), Err(BlockError::OwnAncestorNotFirst));
    assert_eq!(bench.with_parents(&[(1, 4), (0, 4), (2, 4)]), Err(BlockError::OwnAncestorNotFirst));
    assert!(bench.with_parents(&[(0, 4), (1, 4), (2, 4)]).is_ok());
}

#[test]
fn the_own_ancestor_may_be_older_where_others_make_the_quorum() {
    let bench = bench(&[1; 4]);
    assert!(bench.with_parents(&[(0, 1), (1, 4), (2, 4), (3, 4)]).is_ok());
}

#[test]
fn an_ancestor_is_of_a_lower_round() {
    let bench = bench(&[1; 4]);
    for ancestor in [5, 6, u64::MAX] {
        let refused = bench.with_parents(&[(0, 4), (1, 4), (2, 4), (3, ancestor)]);
        let (round, ancestor) = (Round::new(5), Round::new(ancestor));
        assert_eq!(refused, Err(BlockError::AncestorNotLower { round, ancestor }));
    }
}

#[test]
fn an_ancestor_of_no_member_is_refused() {
    let bench = bench(&[1; 4]);
    let refused = bench.with_parents(&[(0, 4), (1, 4), (2, 4), (4, 4)]);
    assert_eq!(refused, Err(BlockError::UnknownAncestorAuthority { author: AuthorityIndex::new(4) }));
}

#[test]
fn t07_an_author_is_an_ancestor_once() {
    let bench = bench(&[1; 4]);
    let twice = bench.with(|block| {
        block.ancestors[2] = BlockRef { digest: BlockDigest::new([9; 32]), ..block.ancestors[1] };
    });
    let repeated = |author| Err(BlockError::AncestorRepeated { author: AuthorityIndex::new(author) });
    assert_eq!(twice, repeated(1));
    assert_eq!(bench.with_parents(&[(0, 4), (1, 4), (2, 4), (1, 3)]), repeated(1), "in another round too");
    assert_eq!(bench.with_parents(&[(0, 4), (1, 4), (2, 4), (0, 3)]), repeated(0), "and of its own");
    assert!(bench.with_parents(&[(0, 4), (1, 4), (2, 4), (3, 3)]).is_ok());
}

#[test]
fn parents_hold_a_quorum_by_stake() {
    // Total 10, quorum 7.
    let bench = bench(&[1, 2, 3, 4]);
    let quorum = Stake::new(7);
    let short = |stake| Err(BlockError::NoQuorumOfParents { stake: Stake::new(stake), quorum });
    assert!(bench.with_parents(&[(0, 4), (1, 4), (3, 4)]).is_ok());
    assert_eq!(bench.with_parents(&[(0, 4), (1, 4), (2, 4)]), short(6));
    assert_eq!(bench.with_parents(&[(0, 4), (1, 3), (3, 4)]), short(5));
    assert!(bench.with_parents(&[(0, 3), (2, 4), (3, 4)]).is_ok());
}

#[test]
fn a_committee_of_one_builds_on_itself() {
    let bench = bench(&[1]);
    assert!(bench.with_parents(&[(0, 4)]).is_ok());
    let (stake, quorum) = (Stake::ZERO, Stake::new(1));
    assert_eq!(bench.with_parents(&[(0, 3)]), Err(BlockError::NoQuorumOfParents { stake, quorum }));
}

#[test]
fn a_transaction_has_1_byte_to_the_limit() {
    let bench = bench(&[1; 4]);
    assert!(bench.with_transactions(&[]).is_ok());
    assert!(bench.with_transactions(&[1, 112]).is_ok());
    assert_eq!(bench.with_transactions(&[1, 0]), Err(BlockError::EmptyTransaction { position: 1 }));
    let over = BlockError::TransactionOversized { position: 1, size_bytes: 113, limit_bytes: 112 };
    assert_eq!(bench.with_transactions(&[1, 113]), Err(over));
}

#[test]
fn counted_bytes_reach_the_block_limit_and_not_further() {
    let bench = bench(&[1; 4]);
    let full = bench.with_transactions(&[112; 7]).expect("128 + 7 * (112 + 16) are 1024");
    assert_eq!(full.block().counted_bytes(), 1024);
    let over = bench.with_transactions(&[112, 112, 112, 112, 112, 112, 50, 47]);
    assert_eq!(over, Err(BlockError::BlockOversized { counted_bytes: 1025, limit_bytes: 1024 }));
}

#[test]
fn lists_reach_their_limits_and_not_further() {
    let bench = bench(&[1; 4]);
    let too_many = |field, count, limit| malformed(DecodeError::TooMany { field, count, limit });
    let vote = CommitVote { index: CommitIndex::new(1), digest: CommitDigest::ZERO };
    let root = ExecutedRoot { index: CommitIndex::new(1), root: StateRoot::ZERO };

    assert!(bench.with_transactions(&[1; 20]).is_ok());
    assert_eq!(bench.with_transactions(&[1; 21]), too_many("transactions", 21, 20));
    let one_more = bench.with(|block| block.ancestors.push(parent(3, 3)));
    assert_eq!(one_more, too_many("ancestors", 5, 4));
    assert!(bench.with(|block| block.commit_votes = vec![vote; 100]).is_ok());
    assert_eq!(bench.with(|block| block.commit_votes = vec![vote; 101]), too_many("commit votes", 101, 100));
    assert!(bench.with(|block| block.executed_roots = vec![root; 100]).is_ok());
    assert_eq!(
        bench.with(|block| block.executed_roots = vec![root; 101]),
        too_many("executed roots", 101, 100)
    );
}

/// Ed25519 implementations differ on points of small order. ZIP 215 says what holds: the cofactored equation, so that
/// with such a key and such an R every message is signed by s = 0, in every encoding of the point; s itself is
/// canonical. What matters is that all authorities say the same, alone or in a batch.
#[test]
fn signatures_of_small_order_are_judged_by_zip_215() {
    let point = |first: u8, middle: u8, last: u8| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let identity = point(1, 0, 0);
    let identity_uncanonical = point(0xee, 0xff, 0x7f);
    let order_2 = point(0xec, 0xff, 0x7f);
    let order_4 = [0; 32];
    let group_order: [u8; 32] =
        hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
            .expect("hex")
            .try_into()
            .expect("32 bytes");

    for key in [identity, order_2, order_4] {
        let (genesis, author) = genesis_with_key(key);
        let verifier = BlockVerifier::new(genesis.clone());
        let judge = |timestamp: u64, r: [u8; 32], s: [u8; 32]| {
            let mut parents: Vec<_> = (0..4).map(|author| parent(author, 4)).collect();
            parents.sort_by_key(|parent| parent.author != author);
            let block = Block {
                chain_id: genesis.chain_id(),
                epoch: Epoch::GENESIS,
                round: Round::new(5),
                author,
                timestamp: Timestamp::from_millis(timestamp),
                ancestors: parents,
                transactions: Vec::new(),
                commit_votes: Vec::new(),
                executed_roots: Vec::new(),
                epoch_vote: None,
            };
            let bytes = [block.canonical_bytes(), r.to_vec(), s.to_vec()].concat();
            verifier.verify(bytes.into()).map(|block| block.author())
        };
        for timestamp in 0..8 {
            for r in [identity, identity_uncanonical, order_2, order_4] {
                assert_eq!(judge(timestamp, r, [0; 32]), Ok(author));
                assert_eq!(judge(timestamp, r, group_order), Err(BlockError::BadSignature { author }));
                let one = point(1, 0, 0);
                assert_eq!(judge(timestamp, r, one), Err(BlockError::BadSignature { author }));
            }
        }
    }
}

/// Four members, one of whom has this key.
fn genesis_with_key(key: [u8; 32]) -> (Arc<Genesis>, AuthorityIndex) {
    let special = ProtocolKey::from_bytes(key).expect("a point");
    let mut keys: Vec<_> = testkit::signers(3).iter().map(Signer::public_key).chain([special]).collect();
    keys.sort_by_key(ProtocolKey::to_bytes);
    let authorities = keys.iter().map(|key| Authority {
        stake: Stake::new(1),
        protocol_key: *key,
        network_key: key.to_bytes(),
        address: "127.0.0.1:7100".to_owned(),
    });
    let committee = Committee::new(Epoch::GENESIS, authorities.collect()).expect("a committee");
    let author = committee.index_of(&special).expect("a member");
    let genesis = Genesis::new("test".to_owned(), Timestamp::from_millis(0), limits(), committee);
    (Arc::new(genesis.expect("in range")), author)
}
