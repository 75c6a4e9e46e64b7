//! Commits: what the executor executes as one block, chained by digest.
//!
//! Canonical bytes of format 1, little-endian:
//!
//! ```text
//! version u16 | index u64 | epoch u64 | previous digest 32 | timestamp u64 (ms) | closing u8
//! leaders: u32 count, (round u64, author u16, digest 32)*
//! blocks: u32 count, (round u64, author u16, digest 32)*
//! duplicate marks: u32 length, bytes
//! ```
//!
//! The digest is BLAKE3 (derive_key) of these bytes.

use std::fmt;

use bytes::Bytes;

use crate::{
    block::VerifiedBlock,
    codec::{DecodeError, Decoder, Encoder},
    crypto,
    duplicates::is_marked,
    transaction::Transaction,
    types::{BlockRef, CommitDigest, CommitIndex, Epoch, Round, Timestamp},
};

/// Format of the canonical bytes.
pub const COMMIT_VERSION: u16 = 1;

const CONTEXT: &str = "metanode 2026 commit v1";

/// One commit, without the blocks that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Global index, from 1.
    pub index: CommitIndex,
    /// Epoch whose committee decided it.
    pub epoch: Epoch,
    /// Digest of the commit before; zero before index 1.
    pub previous_digest: CommitDigest,
    /// Stake-weighted median over the last leader's parents, never falling.
    pub timestamp: Timestamp,
    /// Whether it is the last piece of its group.
    pub closing: bool,
    /// The committed leaders of its group, in slot order.
    pub leaders: Vec<BlockRef>,
    /// Its blocks, in execution order.
    pub blocks: Vec<BlockRef>,
    /// Bitmap over transaction positions, least significant bit first, without trailing zero bytes; a set bit marks a
    /// duplicate.
    pub duplicate_marks: Bytes,
}

impl Commit {
    /// The canonical bytes.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder
            .u16(COMMIT_VERSION)
            .u64(self.index.get())
            .u64(self.epoch.get())
            .raw(self.previous_digest.as_bytes())
            .u64(self.timestamp.as_millis())
            .u8(u8::from(self.closing))
            .block_refs(&self.leaders)
            .block_refs(&self.blocks)
            .bytes(&self.duplicate_marks);
        encoder.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// If the bytes are not canonical for this format.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        decoder.version("commit version", COMMIT_VERSION)?;
        let commit = Self {
            index: CommitIndex::new(decoder.u64("index")?),
            epoch: Epoch::new(decoder.u64("epoch")?),
            previous_digest: CommitDigest::new(decoder.array("previous digest")?),
            timestamp: Timestamp::from_millis(decoder.u64("timestamp")?),
            closing: match decoder.u8("closing")? {
                0 => false,
                1 => true,
                found => {
                    return Err(DecodeError::Unexpected {
                        field: "closing",
                        found: u64::from(found),
                        expected: 1,
                    });
                }
            },
            leaders: decoder.block_refs("leaders", u64::from(u32::MAX))?,
            blocks: decoder.block_refs("blocks", u64::from(u32::MAX))?,
            duplicate_marks: decoder.bytes("duplicate marks")?,
        };
        decoder.finish()?;
        if commit.duplicate_marks.last() == Some(&0) {
            return Err(DecodeError::Unexpected {
                field: "last byte of duplicate marks",
                found: 0,
                expected: 1,
            });
        }
        Ok(commit)
    }

    /// Names the commit and the chain up to it.
    pub fn digest(&self) -> CommitDigest {
        CommitDigest::new(crypto::hash(CONTEXT, &self.canonical_bytes()))
    }

    /// Round of the last leader; genesis where there is none.
    pub fn last_leader_round(&self) -> Round {
        self.leaders.last().map_or(Round::GENESIS, |leader| leader.round)
    }
}

/// A commit with its digest and its blocks: what is streamed to readers and executors.
#[derive(Clone, PartialEq, Eq)]
pub struct CommittedSubDag {
    /// The commit.
    pub commit: Commit,
    /// Its digest.
    pub digest: CommitDigest,
    /// Its blocks, in the order of `commit.blocks`.
    pub blocks: Vec<VerifiedBlock>,
}

impl CommittedSubDag {
    /// All transactions in execution order.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> + Clone {
        self.blocks.iter().flat_map(|block| &block.block().transactions)
    }

    /// The transactions that are to be executed: those that are no duplicates, in execution order.
    pub fn unmarked_transactions(&self) -> impl Iterator<Item = &Transaction> {
        let marks = &self.commit.duplicate_marks;
        self.transactions().enumerate().filter(|(position, _)| !is_marked(marks, *position)).map(|(_, tx)| tx)
    }

    /// Counted bytes of all blocks.
    pub fn counted_bytes(&self) -> u64 {
        self.blocks.iter().fold(0, |sum, block| sum.saturating_add(block.block().counted_bytes()))
    }
}

impl fmt::Debug for CommittedSubDag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}({:?}, {} blocks)", self.commit.index, self.digest, self.blocks.len())
    }
}
