//! False certified commits: nobody but a quorum can make true ones, and whoever asks finds that out by itself.

use bytes::Bytes;
use consensus_core::{ChainPoint, CommitDigest, RangeBytes, VerifiedBlock};

use super::{Byzantine, Deeds, forks::continued};
use crate::fault::Fault;

/// How a question for commits is answered.
#[derive(Clone, Debug)]
pub(crate) enum RangeService {
    /// As an honest node would.
    Honest,
    /// Not at all.
    Silent,
    /// By something else.
    False {
        /// What is sent.
        range: RangeBytes,
        /// What kind of lie it is, if it is counted by itself.
        lie: Option<Fault>,
    },
}

/// What a liar can make its answer of.
#[derive(Clone, Debug)]
pub(crate) struct RangeMaterial {
    /// The end of the asker's chain.
    pub(crate) after: ChainPoint,
    /// What follows, as an honest node would send it.
    pub(crate) honest: RangeBytes,
    /// The same under a later certificate, if there is one: more than an honest node sends at a time.
    pub(crate) long: RangeBytes,
    /// What follows, certified or not, without a certificate.
    pub(crate) bare: RangeBytes,
    /// What follows genesis.
    pub(crate) old: RangeBytes,
}

impl Byzantine {
    /// How it answers a question for commits.
    pub(crate) fn serve_range(&mut self, material: RangeMaterial) -> RangeService {
        let RangeMaterial { after, honest, long, bare, old } = material;
        if !self.habits.forges_commits || old.commits.is_empty() || self.rng.chance(15_000) {
            return RangeService::Honest;
        }
        if honest.commits.is_empty() {
            let base = if bare.commits.is_empty() { continued(after, &old) } else { bare };
            let (range, lie) = self.show_fork(base);
            return RangeService::False { range, lie: Some(lie) };
        }
        let mut range = honest;
        let lie = match self.rng.below(16) {
            0..4 => {
                range = long;
                self.thin_out(&mut range);
                Some(Fault::ThinCertificate)
            }
            4..6 => {
                let (fork, lie) = self.show_fork(range);
                range = fork;
                Some(lie)
            }
            6..11 => {
                range = long;
                self.change_one(&mut range);
                Some(Fault::FalseContent)
            }
            11..13 => {
                self.change_content(&mut range);
                Some(Fault::FalseContent)
            }
            13 => return RangeService::Silent,
            14 => {
                self.spoil(&mut range);
                None
            }
            _ => {
                match self.rng.below(4) {
                    0 => range = old,
                    1 => range.certifiers = old.certifiers,
                    2 => {
                        range.blocks.pop();
                        range.blocks.extend(range.certifiers.first().cloned());
                    }
                    // It has nothing, it says.
                    _ => range = RangeBytes::default(),
                }
                None
            }
        };
        RangeService::False { range, lie }
    }

    /// Commits that never were, or that nobody has certified, under votes that liars have made.
    fn show_fork(&mut self, mut range: RangeBytes) -> (RangeBytes, Fault) {
        if self.rng.chance(70_000) {
            self.fork(&mut range);
        }
        if self.rng.chance(50_000) {
            self.certify_by_allies(&mut range);
        } else {
            self.certify_in_all_names(&mut range);
        }
        (range, Fault::ForkShown)
    }

    /// Something in it is not what its digest names.
    fn change_content(&mut self, range: &mut RangeBytes) {
        if self.rng.chance(50_000) { self.fork(range) } else { self.falsify_one(range) }
    }

    /// Another content, or another signature, for one of the blocks, rather for one of a liar, which it can sign.
    fn falsify_one(&mut self, range: &mut RangeBytes) {
        let read = |bytes: &Bytes| VerifiedBlock::from_store(bytes.clone()).ok();
        let of_liars =
            |bytes: &Bytes| read(bytes).is_some_and(|block| self.allies.contains_key(&block.author()));
        let own: Vec<usize> =
            (0..range.blocks.len()).filter(|place| of_liars(&range.blocks[*place])).collect();
        let place = match own.as_slice() {
            [] => self.rng.place(range.blocks.len().max(1)),
            own => own[self.rng.place(own.len())],
        };
        if let Some(block) = range.blocks.get(place).and_then(read) {
            let unsigns = self.rng.chance(40_000);
            range.blocks[place] = if unsigns { self.unsign(&block) } else { self.falsify(&block) };
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
