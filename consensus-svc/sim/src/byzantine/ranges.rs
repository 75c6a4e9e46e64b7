//! False certified commits: nobody but a quorum can make true ones, and whoever asks finds that out by itself.

use bytes::Bytes;
use consensus_core::{Commit, CommitDigest, RangeBytes, Timestamp, VerifiedBlock};

use super::{Byzantine, Deeds};
use crate::fault::Fault;

/// How a question for commits is answered.
#[derive(Clone, Debug)]
pub(crate) enum RangeService {
    /// As an honest node would.
    Honest,
    /// Not at all.
    Silent,
    /// By something else.
    False(RangeBytes),
}

impl Byzantine {
    /// How it answers a question for commits, to which `honest` is the answer; `old` begins at the first commit.
    pub(crate) fn serve_range(&mut self, honest: &RangeBytes, old: RangeBytes) -> RangeService {
        if !self.habits.forges_commits || honest.commits.is_empty() || self.rng.chance(30_000) {
            return RangeService::Honest;
        }
        let mut range = honest.clone();
        match self.rng.below(8) {
            0 => return RangeService::Silent,
            1 => range.certifiers.truncate(1),
            2 => self.forge(&mut range),
            3 => {
                range.blocks.pop();
                range.blocks.extend(range.certifiers.first().cloned());
            }
            4 => range = old,
            5 => range.certifiers = old.certifiers,
            6 => self.spoil(&mut range),
            // It has nothing, it says.
            _ => range = RangeBytes::default(),
        }
        RangeService::False(range)
    }

    /// Commits of its own making under an honest certificate.
    fn forge(&mut self, range: &mut RangeBytes) {
        let place = self.rng.place(range.commits.len());
        let mut previous: Option<CommitDigest> = None;
        for (position, bytes) in range.commits.iter_mut().enumerate().skip(place) {
            let Ok(mut commit) = Commit::decode(bytes.clone()) else { return };
            if let Some(digest) = previous {
                commit.previous_digest = digest;
            }
            if position == place {
                commit.timestamp = Timestamp::from_millis(commit.timestamp.as_millis() + 1);
            }
            previous = Some(commit.digest());
            *bytes = commit.canonical_bytes().into();
        }
    }

    /// One flipped bit.
    fn spoil(&mut self, range: &mut RangeBytes) {
        let list = match self.rng.below(3) {
            0 => &mut range.commits,
            1 => &mut range.blocks,
            _ => &mut range.certifiers,
        };
        let entry = self.rng.place(list.len().max(1));
        let Some(entry) = list.get_mut(entry) else { return };
        let mut bytes = entry.to_vec();
        let place = self.rng.place(bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << self.rng.below(8);
        }
        *entry = Bytes::from(bytes);
    }

    /// Votes for what no honest node has.
    pub(super) fn vote_falsely(&mut self, shown: &VerifiedBlock, deeds: &mut Deeds) -> VerifiedBlock {
        if shown.block().commit_votes.is_empty() || !self.rng.chance(50_000) {
            return shown.clone();
        }
        deeds.faults.push(Fault::FalseVote);
        let far = self.rng.below(3) * self.rng.below(2_000);
        let byte = self.rng.draw().to_le_bytes()[0];
        self.compose(shown, 0, |content| {
            for vote in &mut content.commit_votes {
                vote.index = vote.index.plus(far);
                vote.digest = CommitDigest::new([byte; 32]);
            }
        })
    }
}
