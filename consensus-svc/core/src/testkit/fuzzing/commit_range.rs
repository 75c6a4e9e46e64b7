//! Answers to `FetchCommits`.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{choices::Choices, subject::World};
use crate::{
    block::{Block, CommitVote, VerifiedBlock},
    block_verifier::BlockVerifier,
    catch_up::range::{ChainPoint, RangeBytes, verify_range},
    commit::{Commit, CommittedSubDag},
    types::{CommitDigest, Round},
};

/// Reads bytes as a range: how many commits, blocks and certifiers in a byte each, then each behind its length in two bytes.
/// The range is judged as it is, and again with its chain and its certificate set right, for no fuzzer finds a digest.
///
/// # Panics
/// If a range passes that is not a whole chain with all its blocks and a quorum of votes: a bug.
pub fn commit_range(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let [commits, blocks, certifiers] = choices.array().map(|count: u8| usize::from(count % 32));
    let pieces = |count: usize, choices: &mut Choices<'_>| {
        (0..count).map(|_| Bytes::copy_from_slice(choices.piece())).collect::<Vec<_>>()
    };
    let range = RangeBytes {
        commits: pieces(commits, &mut choices),
        blocks: pieces(blocks, &mut choices),
        certifiers: pieces(certifiers, &mut choices),
    };
    let world = World::of(0);
    if let Some(mended) = mend(&world, range.clone()) {
        judge(&world, mended);
    }
    judge(&world, range);
}

fn judge(world: &World, range: RangeBytes) {
    let verifier = BlockVerifier::new(world.genesis.clone());
    let Ok(certified) = verify_range(&verifier, ChainPoint::default(), range.clone()) else { return };
    let (commits, committee) = (certified.commits(), world.genesis.committee());
    let mut previous = CommitDigest::ZERO;
    let mut sent: BTreeSet<_> = range.blocks.into_iter().collect();
    assert_eq!(commits.len(), range.commits.len());
    for ((index, CommittedSubDag { commit, digest, blocks }), bytes) in
        (1u64..).zip(commits).zip(&range.commits)
    {
        assert_eq!((commit.index.get(), commit.previous_digest), (index, previous), "not one chain");
        assert_eq!((commit.canonical_bytes(), commit.digest()), (bytes.to_vec(), *digest));
        assert!(blocks.iter().map(VerifiedBlock::reference).eq(commit.blocks.iter().copied()));
        for block in blocks {
            assert!(sent.remove(block.signed_bytes()), "a block that nobody has sent, or twice");
        }
        previous = *digest;
    }
    assert!(sent.is_empty(), "a block that no commit names");
    assert!(commits.last().is_some_and(|last| last.commit.closing));
    let mut voters = crate::committee::Tally::new(committee);
    for bytes in range.certifiers {
        let voter = VerifiedBlock::from_store(bytes).expect("a valid block");
        let votes = &voter.block().commit_votes;
        assert!(votes.iter().any(|vote| vote.digest == previous), "a certifier without the vote");
        voters.add(committee, voter.author());
    }
    assert!(voters.is_quorum(committee), "certified by less than a quorum");
}

/// The same commits in one chain from the first on, certified by blocks that vote for its end.
fn mend(world: &World, range: RangeBytes) -> Option<RangeBytes> {
    let decoded = range.commits.into_iter().map(Commit::decode);
    let mut commits: Vec<Commit> = decoded.collect::<Result<_, _>>().ok()?;
    let (mut index, mut previous_digest) = (crate::types::CommitIndex::NONE, CommitDigest::ZERO);
    for commit in &mut commits {
        index = index.next();
        (commit.index, commit.previous_digest) = (index, previous_digest);
        commit.epoch = world.genesis.committee().epoch();
        previous_digest = commit.digest();
    }
    let vote = CommitVote { index, digest: previous_digest };
    Some(RangeBytes {
        commits: commits.iter().map(|commit| commit.canonical_bytes().into()).collect(),
        blocks: range.blocks,
        certifiers: certifiers(world, vote),
    })
}

/// First blocks of three authorities, each with this vote.
pub(super) fn certifiers(world: &World, vote: CommitVote) -> Vec<Bytes> {
    let authors = world.genesis.committee().indexes().zip(&world.signers).skip(1);
    let signed = authors.map(|(author, signer)| {
        let others = world.genesis.committee().indexes().filter(|other| *other != author);
        let parents = [author].into_iter().chain(others);
        let block = Block {
            chain_id: world.genesis.chain_id(),
            epoch: world.genesis.committee().epoch(),
            round: Round::GENESIS.next(),
            author,
            timestamp: world.genesis.timestamp(),
            ancestors: parents
                .map(|other| VerifiedBlock::genesis(&world.genesis, other).reference())
                .collect(),
            transactions: Vec::new(),
            commit_votes: vec![vote],
            executed_roots: Vec::new(),
            epoch_vote: None,
        };
        block.sign(signer).signed_bytes().clone()
    });
    signed.collect()
}

/// Encodes a range as [`commit_range`] reads it, its certificate made for it.
pub(super) fn encode(commits: &[Commit], blocks: &[VerifiedBlock]) -> Vec<u8> {
    let world = World::of(0);
    let vote = commits.last().map(|last| CommitVote { index: last.index, digest: last.digest() });
    let certifiers = vote.map(|vote| certifiers(&world, vote)).unwrap_or_default();
    let count = |length: usize| u8::try_from(length).expect("a small range");
    let mut bytes = vec![count(commits.len()), count(blocks.len()), count(certifiers.len())];
    let commits = commits.iter().map(|commit| Bytes::from(commit.canonical_bytes()));
    let blocks = blocks.iter().map(|block| block.signed_bytes().clone());
    for piece in commits.chain(blocks).chain(certifiers) {
        bytes.extend(u16::try_from(piece.len()).expect("a small piece").to_le_bytes());
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::fuzzing::seeds::commit_ranges;

    #[test]
    fn the_seeds_are_certified_ranges() {
        let verifier = BlockVerifier::new(World::of(0).genesis);
        for seed in commit_ranges() {
            let mut choices = Choices::new(&seed);
            let counts: [u8; 3] = choices.array();
            let [commits, blocks, certifiers] = counts
                .map(|count| (0..count).map(|_| Bytes::copy_from_slice(choices.piece())).collect::<Vec<_>>());
            let range = RangeBytes { commits, blocks, certifiers };
            let judged = verify_range(&verifier, ChainPoint::default(), range);
            assert!(judged.is_ok(), "{judged:?}");
        }
    }
}
