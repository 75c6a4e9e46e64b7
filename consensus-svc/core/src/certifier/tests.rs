use super::*;
use crate::{
    block::{Block, CommitVote},
    crypto::Signer,
    testkit,
    types::{Epoch, Round},
};

struct Votes {
    signers: Vec<Signer>,
    certifier: Certifier,
}

fn digest(byte: u8) -> CommitDigest {
    CommitDigest::new([byte; 32])
}

fn index(index: u64) -> CommitIndex {
    CommitIndex::new(index)
}

impl Votes {
    fn new(stakes: &[u64]) -> Self {
        let (genesis, signers) = testkit::genesis_with(stakes, Default::default());
        Self { signers, certifier: Certifier::new(Arc::new(genesis), CommitIndex::NONE, CommitIndex::NONE) }
    }

    fn block(&self, author: u16, round: u64, votes: &[(u64, u8)]) -> VerifiedBlock {
        let block = Block {
            chain_id: self.certifier.genesis.chain_id(),
            epoch: Epoch::GENESIS,
            round: Round::new(round),
            author: AuthorityIndex::new(author),
            timestamp: Default::default(),
            ancestors: Vec::new(),
            transactions: Vec::new(),
            commit_votes: votes
                .iter()
                .map(|(at, byte)| CommitVote { index: index(*at), digest: digest(*byte) })
                .collect(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        };
        block.sign(&self.signers[usize::from(author)])
    }

    fn vote(&mut self, author: u16, round: u64, votes: &[(u64, u8)]) -> BlockRef {
        let block = self.block(author, round, votes);
        self.certifier.observe(&block);
        block.reference()
    }
}

#[test]
fn a_quorum_for_one_digest_certifies_and_names_its_blocks() {
    let mut votes = Votes::new(&[1; 4]);
    votes.certifier.formed(index(1), digest(1));
    let blocks = [0, 1].map(|author| votes.vote(author, 5, &[(1, 1)]));
    assert_eq!(votes.certifier.certified(), CommitIndex::NONE);
    let last = votes.vote(3, 6, &[(1, 1)]);
    assert_eq!(votes.certifier.certified(), index(1));
    let findings = votes.certifier.take_findings();
    let blocks = vec![blocks[0], blocks[1], last];
    assert_eq!(findings.certificates, [Certificate { index: index(1), digest: digest(1), blocks }]);
    assert_eq!(findings.fork, None);
    assert!(votes.certifier.take_findings().certificates.is_empty());
}

#[test]
fn stake_counts_and_not_heads() {
    let mut votes = Votes::new(&[1, 1, 1, 4]);
    votes.certifier.formed(index(1), digest(1));
    for author in 0..3 {
        votes.vote(author, 5, &[(1, 1)]);
    }
    assert_eq!(votes.certifier.certified(), CommitIndex::NONE, "three of seven");
    votes.vote(3, 5, &[(1, 1)]);
    assert_eq!(votes.certifier.certified(), index(1));
}

#[test]
fn an_author_counts_once_an_index_and_its_first_vote_holds() {
    let mut votes = Votes::new(&[1; 4]);
    votes.certifier.formed(index(1), digest(1));
    votes.vote(0, 5, &[(1, 2), (1, 1)]);
    votes.vote(0, 6, &[(1, 1)]);
    votes.vote(1, 5, &[(1, 1)]);
    votes.vote(1, 6, &[(1, 1)]);
    votes.vote(2, 5, &[(1, 1)]);
    assert_eq!(votes.certifier.certified(), CommitIndex::NONE);
    votes.vote(3, 5, &[(1, 1)]);
    assert_eq!(votes.certifier.certified(), index(1));
}

#[test]
fn votes_that_come_before_the_own_commit_count_when_it_is_formed() {
    let mut votes = Votes::new(&[1; 4]);
    for author in 1..4 {
        votes.vote(author, 5, &[(1, 1), (2, 2)]);
    }
    votes.certifier.formed(index(1), digest(1));
    assert_eq!(votes.certifier.certified(), index(1));
    votes.certifier.formed(index(2), digest(2));
    assert_eq!(votes.certifier.certified(), index(2));
}

#[test]
fn a_later_commit_that_is_certified_certifies_those_before() {
    let mut votes = Votes::new(&[1; 4]);
    for at in 1..=3 {
        votes.certifier.formed(index(at), digest(1));
    }
    for author in 0..3 {
        votes.vote(author, 5, &[(3, 1)]);
    }
    assert_eq!(votes.certifier.certified(), index(3));
    assert_eq!(votes.certifier.votes_len(), 0);
    for author in 0..3 {
        votes.vote(author, 6, &[(1, 1), (2, 1)]);
    }
    assert_eq!(votes.certifier.votes_len(), 0, "of no use any more");
    assert_eq!(votes.certifier.take_findings().certificates.len(), 1);
}

#[test]
fn d07_a_quorum_for_another_digest_is_a_fork_whichever_comes_first() {
    let fork = Fork { index: index(1), own: Some(digest(1)), certified: digest(2) };
    for own_first in [true, false] {
        let mut votes = Votes::new(&[1; 4]);
        if own_first {
            votes.certifier.formed(index(1), digest(1));
        }
        for author in 0..2 {
            votes.vote(author, 5, &[(1, 2)]);
        }
        assert_eq!(votes.certifier.take_findings().fork, None, "two of four may lie or have forked");
        votes.vote(2, 5, &[(1, 2)]);
        if !own_first {
            votes.certifier.formed(index(1), digest(1));
        }
        let findings = votes.certifier.take_findings();
        assert_eq!((findings.fork, findings.certificates.len()), (Some(fork), 0));
        assert_eq!(votes.certifier.certified(), CommitIndex::NONE);
    }
}

/// A Byzantine author votes for every index that there is, in every block another digest.
#[test]
fn t06_t07_votes_are_bounded_whatever_an_author_invents() {
    let mut votes = Votes::new(&[1; 4]);
    votes.certifier.formed(index(1_000), digest(1));
    for round in 1..=300 {
        let invented: Vec<_> = (0..100).map(|step| (round * 100 + step, (round % 200) as u8 + 2)).collect();
        votes.vote(3, round, &invented);
    }
    votes.vote(3, 400, &[(0, 2), (u64::MAX, 2)]);
    let window = usize::try_from(2 * WINDOW).expect("small");
    assert!(votes.certifier.votes_len() <= window, "{} votes", votes.certifier.votes_len());
    for at in 1..=3_000 {
        votes.certifier.formed(index(at), digest(1));
    }
    assert!(votes.certifier.own.len() <= window / 2);
    assert!(votes.certifier.votes_len() <= window);
    assert_eq!(votes.certifier.take_findings().fork, None);
}

#[test]
fn certificates_come_back_from_their_bytes_and_only_from_them() {
    let votes = Votes::new(&[1; 4]);
    let blocks = (0..3).map(|author| votes.block(author, 5, &[]).reference()).collect();
    let certificate = Certificate { index: index(7), digest: digest(3), blocks };
    let bytes = Bytes::from(certificate.canonical_bytes());
    assert_eq!(bytes.len(), 2 + 8 + 32 + 4 + 3 * 42);
    assert_eq!(Certificate::decode(bytes.clone()), Ok(certificate));
    for length in 0..bytes.len() {
        assert!(Certificate::decode(bytes.slice(..length)).is_err());
    }
}
