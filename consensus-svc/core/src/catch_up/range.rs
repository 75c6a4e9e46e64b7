//! A range of certified commits: from bytes that a peer sent to something that may be applied.
//!
//! The certificate stands for the last commit, the chain of digests for all before it, and each commit names its blocks by
//! digest. So nothing in a verified range is the peer's word. Whether the commits are what the rule of section 5 makes of
//! their leaders is not judged here: whoever applies them computes them again and compares.
//!
//! Blocks are judged in full, signatures included: a block's digest does not cover its signature, and what is stored here is
//! served to others as verified.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    block::VerifiedBlock,
    block_verifier::{BlockError, BlockVerifier},
    certifier::{Certificate, Fork},
    codec::DecodeError,
    commit::{Commit, CommittedSubDag},
    committee::Tally,
    types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, Stake},
};

/// A range as a peer sent it. Nothing is known of these bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeBytes {
    /// Canonical bytes of consecutive commits.
    pub commits: Vec<Bytes>,
    /// Signed bytes of all their blocks, in any order.
    pub blocks: Vec<Bytes>,
    /// Signed bytes of blocks whose votes certify the last commit.
    pub certifiers: Vec<Bytes>,
}

/// What an entry costs in a message beside its bytes, at most: its tag and its length.
pub(super) const ENTRY_BYTES: u64 = 6;

/// Bytes of an entry in a message.
pub(super) fn entry_bytes(entry: &Bytes) -> u64 {
    (entry.len() as u64).saturating_add(ENTRY_BYTES)
}

impl RangeBytes {
    /// Bytes of all its lists in a message, at most.
    pub fn size_bytes(&self) -> u64 {
        let entries = self.commits.iter().chain(&self.blocks).chain(&self.certifiers);
        entries.map(entry_bytes).fold(0, u64::saturating_add)
    }
}

/// The end of a chain of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainPoint {
    /// Index of the last commit; none before the first.
    pub index: CommitIndex,
    /// Its digest; zero before the first.
    pub digest: CommitDigest,
}

/// Whole groups of commits with all their blocks, certified by a quorum. Only [`verify_range`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct CertifiedRange {
    commits: Vec<CommittedSubDag>,
    certificate: Certificate,
}

impl CertifiedRange {
    /// The commits, consecutive; at least one, the last one closing.
    pub fn commits(&self) -> &[CommittedSubDag] {
        &self.commits
    }

    /// What certifies the last of them.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(crate) fn into_parts(self) -> (Vec<CommittedSubDag>, Certificate) {
        (self.commits, self.certificate)
    }
}

/// Why a range is refused. All but [`RangeError::Forked`] are the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// There is no commit in it.
    #[error("the range holds no commit")]
    Empty,
    /// Bytes that are no commit.
    #[error("commit {position} of the range is malformed")]
    MalformedCommit {
        /// Its place in the range, from 0.
        position: usize,
        /// What is wrong.
        source: DecodeError,
    },
    /// A hole, or another range than was asked for.
    #[error("commit {found} stands where {expected} must")]
    Index {
        /// What must stand there.
        expected: CommitIndex,
        /// What does.
        found: CommitIndex,
    },
    /// A commit of another epoch.
    #[error("commit {index} is of epoch {found}, this is {expected}")]
    WrongEpoch {
        /// The commit.
        index: CommitIndex,
        /// Its epoch.
        found: Epoch,
        /// The current one.
        expected: Epoch,
    },
    /// A commit does not name the one before it.
    #[error("commit {index} does not follow the commit before it")]
    Chain {
        /// The commit.
        index: CommitIndex,
    },
    /// A commit without leaders or blocks.
    #[error("commit {index} has no leader or no block")]
    Hollow {
        /// The commit.
        index: CommitIndex,
    },
    /// The range ends inside a group.
    #[error("the last commit {index} does not close its group")]
    NotClosing {
        /// The commit.
        index: CommitIndex,
    },
    /// More certifiers than authorities.
    #[error("{count} certifiers of {size} authorities")]
    TooManyCertifiers {
        /// How many were sent.
        count: usize,
        /// Authorities in the committee.
        size: usize,
    },
    /// A certifier is no valid block.
    #[error("certifier {position} is invalid")]
    Certifier {
        /// Its place, from 0.
        position: usize,
        /// The rule that it breaks.
        source: BlockError,
    },
    /// A certifier has no vote for exactly the last commit.
    #[error("certifier {block} does not vote for commit {index}")]
    NoVote {
        /// The block.
        block: BlockRef,
        /// The last commit.
        index: CommitIndex,
    },
    /// Two certifiers of one authority.
    #[error("two certifiers of authority {author}")]
    CertifierRepeated {
        /// The authority.
        author: AuthorityIndex,
    },
    /// The certifiers hold less than a quorum.
    #[error("certifiers of commit {index} hold stake {stake}, a quorum is {quorum}")]
    NotCertified {
        /// The last commit.
        index: CommitIndex,
        /// What they hold.
        stake: Stake,
        /// What is needed.
        quorum: Stake,
    },
    /// The range is certified and follows another commit than this node's last one: one of the two has forked.
    #[error("{0}")]
    Forked(Fork),
    /// A block is invalid.
    #[error("block {position} of the range is invalid")]
    Block {
        /// Its place, from 0.
        position: usize,
        /// The rule that it breaks.
        source: BlockError,
    },
    /// A block that no commit of the range names, or that was sent twice.
    #[error("block {block} is not asked for, or sent twice")]
    UnnamedBlock {
        /// The block.
        block: BlockRef,
    },
    /// A block that is named and missing, or named twice.
    #[error("commit {index} names block {block}, which is missing or named before")]
    MissingBlock {
        /// The commit.
        index: CommitIndex,
        /// The block.
        block: BlockRef,
    },
}

impl RangeError {
    /// A short stable word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Empty | Self::MalformedCommit { .. } | Self::Hollow { .. } | Self::NotClosing { .. } => {
                "range_malformed"
            }
            Self::Index { .. } | Self::WrongEpoch { .. } | Self::Chain { .. } => "range_chain",
            Self::TooManyCertifiers { .. }
            | Self::Certifier { .. }
            | Self::NoVote { .. }
            | Self::CertifierRepeated { .. }
            | Self::NotCertified { .. } => "range_not_certified",
            Self::Forked(_) => "range_forked",
            Self::Block { .. } | Self::UnnamedBlock { .. } | Self::MissingBlock { .. } => "range_blocks",
        }
    }
}

/// Judges a range that was asked for from the commit after `after` on. Cheap rules first, then the certificate, then the
/// blocks; memory stays within a small multiple of the bytes given. Meant for a thread that judges blocks.
///
/// # Errors
/// The first rule that the range breaks.
pub fn verify_range(
    verifier: &BlockVerifier,
    after: ChainPoint,
    range: RangeBytes,
) -> Result<CertifiedRange, RangeError> {
    let commits = read_chain(verifier, after.index, range.commits)?;
    let ((first, _), (last, digest)) = commits.first().zip(commits.last()).ok_or(RangeError::Empty)?;
    let certificate = certify(verifier, last.index, *digest, range.certifiers)?;
    if first.previous_digest != after.digest {
        let fork = Fork { index: after.index, own: Some(after.digest), certified: first.previous_digest };
        return Err(RangeError::Forked(fork));
    }
    let commits = fill(verifier, commits, range.blocks)?;
    Ok(CertifiedRange { commits, certificate })
}

/// The commits, consecutive after `after` and chained among themselves; the last one closes.
fn read_chain(
    verifier: &BlockVerifier,
    after: CommitIndex,
    encoded: Vec<Bytes>,
) -> Result<Vec<(Commit, CommitDigest)>, RangeError> {
    let epoch = verifier.genesis().committee().epoch();
    let mut commits: Vec<(Commit, CommitDigest)> = Vec::with_capacity(encoded.len());
    for (position, bytes) in encoded.into_iter().enumerate() {
        let commit =
            Commit::decode(bytes).map_err(|source| RangeError::MalformedCommit { position, source })?;
        let (index, previous) = (commit.index, commits.last());
        let expected = previous.map_or(after, |(previous, _)| previous.index).next();
        if index != expected {
            return Err(RangeError::Index { expected, found: index });
        }
        if commit.epoch != epoch {
            return Err(RangeError::WrongEpoch { index, found: commit.epoch, expected: epoch });
        }
        if previous.is_some_and(|(_, digest)| commit.previous_digest != *digest) {
            return Err(RangeError::Chain { index });
        }
        if commit.leaders.is_empty() || commit.blocks.is_empty() {
            return Err(RangeError::Hollow { index });
        }
        let digest = commit.digest();
        commits.push((commit, digest));
    }
    match commits.last() {
        Some((last, _)) if !last.closing => Err(RangeError::NotClosing { index: last.index }),
        _ => Ok(commits),
    }
}

/// The certificate of the last commit: valid blocks of distinct authorities, each with a vote for exactly it, by a quorum.
fn certify(
    verifier: &BlockVerifier,
    index: CommitIndex,
    digest: CommitDigest,
    certifiers: Vec<Bytes>,
) -> Result<Certificate, RangeError> {
    let committee = verifier.genesis().committee();
    let (count, size) = (certifiers.len(), committee.size());
    if count > size {
        return Err(RangeError::TooManyCertifiers { count, size });
    }
    let mut voters = Tally::new(committee);
    let mut blocks: BTreeMap<AuthorityIndex, BlockRef> = BTreeMap::new();
    for (position, bytes) in certifiers.into_iter().enumerate() {
        let block = verifier.verify(bytes).map_err(|source| RangeError::Certifier { position, source })?;
        let votes = &block.block().commit_votes;
        if !votes.iter().any(|vote| vote.index == index && vote.digest == digest) {
            return Err(RangeError::NoVote { block: block.reference(), index });
        }
        if blocks.insert(block.author(), block.reference()).is_some() {
            return Err(RangeError::CertifierRepeated { author: block.author() });
        }
        voters.add(committee, block.author());
    }
    if !voters.is_quorum(committee) {
        let quorum = committee.quorum_threshold();
        return Err(RangeError::NotCertified { index, stake: voters.stake(), quorum });
    }
    Ok(Certificate { index, digest, blocks: blocks.into_values().collect() })
}

/// Gives the commits their blocks: exactly those that they name.
fn fill(
    verifier: &BlockVerifier,
    commits: Vec<(Commit, CommitDigest)>,
    encoded: Vec<Bytes>,
) -> Result<Vec<CommittedSubDag>, RangeError> {
    let mut blocks: BTreeMap<BlockRef, VerifiedBlock> = BTreeMap::new();
    for (position, bytes) in encoded.into_iter().enumerate() {
        // In an allocation of its own: a small block that is kept would keep the whole message alive.
        let own = if bytes.len() as u64 > verifier.max_signed_bytes() {
            bytes
        } else {
            Bytes::copy_from_slice(&bytes)
        };
        let block = verifier.verify(own).map_err(|source| RangeError::Block { position, source })?;
        let reference = block.reference();
        if blocks.insert(reference, block).is_some() {
            return Err(RangeError::UnnamedBlock { block: reference });
        }
    }
    let mut filled = Vec::with_capacity(commits.len());
    for (commit, digest) in commits {
        let index = commit.index;
        let take = |reference: &BlockRef| {
            blocks.remove(reference).ok_or(RangeError::MissingBlock { index, block: *reference })
        };
        let own_blocks = commit.blocks.iter().map(take).collect::<Result<Vec<_>, _>>()?;
        filled.push(CommittedSubDag { commit, digest, blocks: own_blocks });
    }
    match blocks.first_key_value() {
        Some((block, _)) => Err(RangeError::UnnamedBlock { block: *block }),
        None => Ok(filled),
    }
}
