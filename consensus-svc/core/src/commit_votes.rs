//! Which commits the next own block votes for.
//!
//! Every closing commit that this authority formed itself is voted for once, oldest first. A commit that is certified already
//! needs no more votes: one that came with its certificate is never voted for, and a waiting vote at or below the
//! highest certified index leaves.

use std::collections::VecDeque;

use crate::{
    block::{CommitVote, MAX_COMMIT_VOTES, VerifiedBlock},
    commit::Commit,
    types::{CommitDigest, CommitIndex},
};

/// Most votes that wait for an own block; when full, the oldest leaves: a later commit that is certified certifies it too.
const MAX_PENDING_VOTES: usize = 500;

/// Votes that no own block carries yet, rising by index.
#[derive(Debug, Default)]
pub(crate) struct CommitVotes {
    pending: VecDeque<CommitVote>,
}

impl CommitVotes {
    /// What is still to be voted for after a restart: closing ones of the newest commits of the store, above what own blocks
    /// have voted for.
    pub(crate) fn recover<'a>(
        commits: &[(Commit, CommitDigest)],
        own_blocks: impl Iterator<Item = &'a VerifiedBlock>,
    ) -> Self {
        let voted = own_blocks.flat_map(|block| &block.block().commit_votes).map(|vote| vote.index).max();
        let voted = voted.unwrap_or(CommitIndex::NONE);
        let mut votes = Self::default();
        for (commit, digest) in commits.iter().filter(|(commit, _)| commit.index > voted) {
            votes.formed(commit, *digest);
        }
        votes
    }

    /// Takes a commit that this authority formed; only closing ones are voted for.
    pub(crate) fn formed(&mut self, commit: &Commit, digest: CommitDigest) {
        if !commit.closing {
            return;
        }
        if self.pending.len() >= MAX_PENDING_VOTES {
            self.pending.pop_front();
        }
        self.pending.push_back(CommitVote { index: commit.index, digest });
    }

    /// Everything up to `index` is certified.
    pub(crate) fn certified(&mut self, index: CommitIndex) {
        while self.pending.front().is_some_and(|vote| vote.index <= index) {
            self.pending.pop_front();
        }
    }

    /// The votes of the next own block, at most [`MAX_COMMIT_VOTES`]; the rest waits for the one after.
    pub(crate) fn take(&mut self) -> Vec<CommitVote> {
        let limit = usize::try_from(MAX_COMMIT_VOTES).unwrap_or(usize::MAX);
        self.pending.drain(..self.pending.len().min(limit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Timestamp};
    use bytes::Bytes;

    fn commit(index: u64, closing: bool) -> (Commit, CommitDigest) {
        let commit = Commit {
            index: CommitIndex::new(index),
            epoch: Epoch::GENESIS,
            previous_digest: CommitDigest::ZERO,
            timestamp: Timestamp::default(),
            closing,
            leaders: Vec::new(),
            blocks: Vec::new(),
            duplicate_marks: Bytes::new(),
        };
        let digest = commit.digest();
        (commit, digest)
    }

    fn votes(range: std::ops::RangeInclusive<u64>) -> CommitVotes {
        let mut votes = CommitVotes::default();
        for index in range {
            let (commit, digest) = commit(index, true);
            votes.formed(&commit, digest);
        }
        votes
    }

    fn indexes(votes: &[CommitVote]) -> Vec<u64> {
        votes.iter().map(|vote| vote.index.get()).collect()
    }

    #[test]
    fn closing_commits_are_voted_for_once_and_oldest_first() {
        let mut votes = CommitVotes::default();
        for (index, closing) in [(1, true), (2, false), (3, true)] {
            let (commit, digest) = commit(index, closing);
            votes.formed(&commit, digest);
        }
        let taken = votes.take();
        assert_eq!(indexes(&taken), [1, 3]);
        assert_eq!(taken[1].digest, commit(3, true).1);
        assert_eq!(votes.take(), []);
    }

    #[test]
    fn a_block_carries_a_hundred_votes_and_the_rest_is_carried_over() {
        let mut votes = votes(1..=250);
        assert_eq!(indexes(&votes.take()), (1..=100).collect::<Vec<_>>());
        assert_eq!(indexes(&votes.take()), (101..=200).collect::<Vec<_>>());
        assert_eq!(indexes(&votes.take()), (201..=250).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_certified_meanwhile_is_not_voted_for() {
        let mut votes = votes(1..=5);
        votes.certified(CommitIndex::new(3));
        assert_eq!(indexes(&votes.take()), [4, 5]);
    }

    #[test]
    fn t06_votes_that_wait_are_bounded_and_the_oldest_leave() {
        let mut votes = votes(1..=2_000);
        assert_eq!(votes.pending.len(), MAX_PENDING_VOTES);
        assert_eq!(votes.take()[0].index, CommitIndex::new(1_501));
    }
}
