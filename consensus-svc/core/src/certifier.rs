//! Which commits a quorum has voted for.
//!
//! Votes are read from accepted blocks and counted for exactly (index, digest). A quorum certifies that commit, and through
//! the chain of digests every commit before it. Two quorums share an honest authority, and an honest authority votes for one
//! digest an index: a certified commit is never contradicted while faulty stake is below a third.
//!
//! Bounded whatever authors invent: of each author one vote an index (the first wins), and only indexes within
//! a window around the last own commit and above the last certified one.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    block::VerifiedBlock,
    codec::{DecodeError, Decoder, Encoder},
    committee::{MAX_AUTHORITIES, Tally},
    genesis::Genesis,
    types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Stake},
};

/// How far below and above the last own commit votes are kept. Those that fall outside cost only time: a later commit
/// that is certified certifies the earlier ones.
const WINDOW: u64 = 500;

/// Format of a certificate's bytes.
const CERTIFICATE_VERSION: u16 = 1;

/// A quorum's word for a closing commit: the blocks whose votes make the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The commit.
    pub index: CommitIndex,
    /// Its digest.
    pub digest: CommitDigest,
    /// Blocks of distinct authorities with a vote for exactly these two, by authority.
    pub blocks: Vec<BlockRef>,
}

impl Certificate {
    /// The bytes that are stored: version u16 | index u64 | digest 32 | blocks, all little-endian.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder
            .u16(CERTIFICATE_VERSION)
            .u64(self.index.get())
            .raw(self.digest.as_bytes())
            .block_refs(&self.blocks);
        encoder.finish()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// If the bytes are not canonical for this format.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        decoder.version("certificate version", CERTIFICATE_VERSION)?;
        let certificate = Self {
            index: CommitIndex::new(decoder.u64("index")?),
            digest: CommitDigest::new(decoder.array("digest")?),
            blocks: decoder.block_refs("blocks", MAX_AUTHORITIES as u64)?,
        };
        decoder.finish()?;
        Ok(certificate)
    }
}

/// A quorum holds another commit than this node: one of the two has forked. Nothing mends that but an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The index.
    pub index: CommitIndex,
    /// This node's digest there; `None` where it can form no commit of the certified blocks and leaders at all.
    pub own: Option<CommitDigest>,
    /// The quorum's.
    pub certified: CommitDigest,
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, own, certified } = self;
        match own {
            Some(own) => {
                write!(f, "fork at commit {index}: this node has {own}, a quorum voted for {certified}")
            }
            None => {
                write!(f, "fork at commit {index}: this node can form none, a quorum voted for {certified}")
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    author: AuthorityIndex,
    digest: CommitDigest,
    block: BlockRef,
}

/// What was found out since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// New certificates, rising by index.
    pub(crate) certificates: Vec<Certificate>,
    /// The first contradiction.
    pub(crate) fork: Option<Fork>,
}

/// Counts the votes.
#[derive(Debug)]
pub(crate) struct Certifier {
    genesis: Arc<Genesis>,
    certified: CommitIndex,
    last: CommitIndex,
    /// Own commits that are not certified, at most [`WINDOW`].
    own: BTreeMap<CommitIndex, CommitDigest>,
    /// By index, one vote an author, by author.
    votes: BTreeMap<CommitIndex, Vec<Vote>>,
    findings: Findings,
}

impl Certifier {
    /// A certifier after `last`, of which all up to `certified` needs no votes.
    pub(crate) fn new(genesis: Arc<Genesis>, last: CommitIndex, certified: CommitIndex) -> Self {
        Self {
            genesis,
            certified,
            last,
            own: BTreeMap::new(),
            votes: BTreeMap::new(),
            findings: Findings::default(),
        }
    }

    /// Highest certified index; none before the first.
    pub(crate) const fn certified(&self) -> CommitIndex {
        self.certified
    }

    /// The digest of an own commit that is not certified yet.
    pub(crate) fn own(&self, index: CommitIndex) -> Option<CommitDigest> {
        self.own.get(&index).copied()
    }

    /// How many votes are held.
    pub(crate) fn votes_len(&self) -> usize {
        self.votes.values().map(Vec::len).sum()
    }

    /// Takes a commit that this node formed or applied.
    pub(crate) fn formed(&mut self, index: CommitIndex, digest: CommitDigest) {
        self.last = self.last.max(index);
        if index > self.floor() {
            self.own.insert(index, digest);
            for candidate in self.candidates(index) {
                self.judge(index, candidate);
            }
        }
        self.forget();
    }

    /// Takes the votes of an accepted block.
    pub(crate) fn observe(&mut self, block: &VerifiedBlock) {
        let author = block.author();
        for vote in &block.block().commit_votes {
            if vote.index <= self.floor() || vote.index > self.last.plus(WINDOW) {
                continue;
            }
            let votes = self.votes.entry(vote.index).or_default();
            let Err(place) = votes.binary_search_by_key(&author, |vote| vote.author) else { continue };
            votes.insert(place, Vote { author, digest: vote.digest, block: block.reference() });
            self.judge(vote.index, vote.digest);
        }
    }

    /// Everything up to `index` came certified. It is not found again.
    pub(crate) fn received(&mut self, index: CommitIndex) {
        self.certified = self.certified.max(index);
        self.forget();
    }

    /// What was found since the last call.
    pub(crate) fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    /// Votes at or below this index are of no use.
    fn floor(&self) -> CommitIndex {
        self.certified.max(self.last.minus(WINDOW))
    }

    /// Certifies, or finds the fork, if a quorum has voted for `digest` and the own commit is known.
    fn judge(&mut self, index: CommitIndex, digest: CommitDigest) {
        let Some(own) = self.own.get(&index).copied() else { return };
        let committee = self.genesis.committee();
        let votes = self.votes.get(&index).into_iter().flatten().filter(|vote| vote.digest == digest);
        let mut voters = Tally::new(committee);
        let mut blocks = Vec::new();
        for vote in votes {
            voters.add(committee, vote.author);
            blocks.push(vote.block);
        }
        if !voters.is_quorum(committee) {
            return;
        }
        if own == digest {
            self.certified = index;
            self.findings.certificates.push(Certificate { index, digest, blocks });
            self.forget();
        } else {
            self.findings.fork.get_or_insert(Fork { index, own: Some(own), certified: digest });
        }
    }

    /// The digests that a quorum names at an index.
    fn candidates(&self, index: CommitIndex) -> Vec<CommitDigest> {
        let mut stakes: BTreeMap<CommitDigest, Stake> = BTreeMap::new();
        let committee = self.genesis.committee();
        for vote in self.votes.get(&index).into_iter().flatten() {
            let stake = stakes.entry(vote.digest).or_default();
            *stake = stake.plus(committee.stake(vote.author));
        }
        stakes
            .into_iter()
            .filter(|(_, stake)| committee.is_quorum(*stake))
            .map(|(digest, _)| digest)
            .collect()
    }

    fn forget(&mut self) {
        let first_kept = self.floor().next();
        self.own = self.own.split_off(&first_kept);
        self.votes = self.votes.split_off(&first_kept);
    }
}

#[cfg(test)]
mod tests;
