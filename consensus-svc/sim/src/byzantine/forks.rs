//! Commits that never were, under all votes that liars can bring together.

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, BlockDigest, BlockRef, ChainPoint, Commit, CommitDigest, CommitVote, RangeBytes, Signer,
    Stake, Timestamp, VerifiedBlock,
};

use super::Byzantine;

/// The last commit of a range again, as the next one of a chain behind which there is none: each of its parts is true.
pub(super) fn continued(after: ChainPoint, range: &RangeBytes) -> RangeBytes {
    let last = range.commits.last().map(|bytes| Commit::decode(bytes.clone()));
    let Some(Ok(last)) = last else { return RangeBytes::default() };
    let commit = Commit { index: after.index.next(), previous_digest: after.digest, ..last };
    let is_named = |bytes: &&Bytes| {
        let block = VerifiedBlock::from_store((*bytes).clone());
        block.is_ok_and(|block| commit.blocks.contains(&block.reference()))
    };
    RangeBytes {
        blocks: range.blocks.iter().filter(is_named).cloned().collect(),
        commits: vec![commit.canonical_bytes().into()],
        certifiers: Vec::new(),
    }
}

impl Byzantine {
    /// Leaves of the certificate just enough to hold more than a third of the stake, liars last: what an honest node that
    /// takes it would have certified by less than a quorum.
    pub(super) fn thin_out(&self, range: &mut RangeBytes) {
        let committee = self.genesis.committee();
        let read = |bytes: &Bytes| VerifiedBlock::from_store(bytes.clone()).ok();
        let mut certifiers: Vec<_> = range.certifiers.iter().filter_map(read).collect();
        certifiers.sort_by_key(|block| self.allies.contains_key(&block.author()));
        let mut stake = Stake::ZERO;
        let is_needed = |block: &VerifiedBlock| {
            let is_needed = stake < committee.validity_threshold();
            stake = stake.plus(committee.stake(block.author()));
            is_needed
        };
        certifiers.retain(is_needed);
        range.certifiers = certifiers.iter().map(|block| block.signed_bytes().clone()).collect();
    }

    /// Another chain from one of the commits on, each commit on the one before it.
    pub(super) fn fork(&mut self, range: &mut RangeBytes) {
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

    /// Changes one commit and leaves those after it as they are: the last one is the certified one still.
    pub(super) fn change_one(&mut self, range: &mut RangeBytes) {
        let place = self.rng.place(range.commits.len().saturating_sub(1).max(1));
        let Some(bytes) = range.commits.get_mut(place) else { return };
        let Ok(mut commit) = Commit::decode(bytes.clone()) else { return };
        commit.timestamp = Timestamp::from_millis(commit.timestamp.as_millis() + 1);
        *bytes = commit.canonical_bytes().into();
    }

    /// Certifies the last commit by the votes of all liars.
    pub(super) fn certify_by_allies(&mut self, range: &mut RangeBytes) {
        let voters: Vec<_> = self.allies.iter().map(|(author, signer)| (*author, signer.clone())).collect();
        self.certify(range, voters);
    }

    /// Certifies the last commit in the name of everybody, under signatures of its own.
    pub(super) fn certify_in_all_names(&mut self, range: &mut RangeBytes) {
        let voters = self.genesis.committee().indexes().map(|author| (author, self.signer.clone())).collect();
        self.certify(range, voters);
    }

    fn certify(&mut self, range: &mut RangeBytes, voters: Vec<(AuthorityIndex, Signer)>) {
        let last = range.commits.last().map(|bytes| Commit::decode(bytes.clone()));
        let (Some(Ok(last)), Some(template)) = (last, self.recent.last().cloned()) else { return };
        let vote = CommitVote { index: last.index, digest: last.digest() };
        let certifier = |(author, signer): (AuthorityIndex, Signer)| {
            let mut content = template.block().clone();
            content.author = author;
            // Validity is judged by the names alone.
            let digest = BlockDigest::new([0xfc; 32]);
            let parent = |author| BlockRef { round: content.round.previous(), author, digest };
            let others = self.genesis.committee().indexes().filter(|other| *other != author);
            content.ancestors = std::iter::once(author).chain(others).map(parent).collect();
            content.transactions = Vec::new();
            content.commit_votes = vec![vote];
            content.sign(&signer).signed_bytes().clone()
        };
        range.certifiers = voters.into_iter().map(certifier).collect();
    }
}
