//! Blocks: what an authority says once a round, in frozen canonical bytes.
//!
//! Canonical bytes of format 1, all integers little-endian, each list behind a `u32` count:
//!
//! ```text
//! version u16 | chain id 32 | epoch u64 | round u64 | author u16 | timestamp u64 (ms)
//! ancestors: (round u64, author u16, digest 32)*
//! transactions: (length u32, bytes)*
//! commit votes: (index u64, digest 32)*
//! executed roots: (index u64, root 32)*
//! epoch vote: 0u8, or 1u8 (epoch u64, boundary index u64, committee digest 32)
//! ```
//!
//! The digest is BLAKE3 (derive_key) of these bytes; a signed block is these bytes and an Ed25519 signature of 64 bytes
//! over a domain and the digest.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    codec::{BLOCK_REF_BYTES, DecodeError, Decoder, Encoder},
    crypto::{self, SIGNATURE_BYTES, Signer},
    genesis::{BLOCK_OVERHEAD_BYTES, Genesis},
    transaction::Transaction,
    types::{
        AuthorityIndex, BlockDigest, BlockRef, ChainId, CommitDigest, CommitIndex, CommitteeDigest, Epoch,
        Round, Slot, StateRoot, Timestamp,
    },
};

/// Format of the canonical bytes.
pub const BLOCK_VERSION: u16 = 1;
/// Most commit votes in a block.
pub const MAX_COMMIT_VOTES: u64 = 100;
/// Most executed roots in a block.
pub const MAX_EXECUTED_ROOTS: u64 = 100;

/// Where the first transaction begins in the canonical bytes of a block without ancestors: header and two counts.
const TRANSACTIONS_OFFSET: usize = 2 + 32 + 8 + 8 + 2 + 8 + 2 * LENGTH_BYTES;
/// Bytes of a count or length.
const LENGTH_BYTES: usize = 4;

const CONTEXT: &str = "metanode 2026 block v1";

/// A vote for a closing commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitVote {
    /// Index of the closing commit.
    pub index: CommitIndex,
    /// Its digest.
    pub digest: CommitDigest,
}

/// The state root that the author's executor reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutedRoot {
    /// Commit after which the root holds.
    pub index: CommitIndex,
    /// The root.
    pub root: StateRoot,
}

/// A vote to end an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochVote {
    /// The epoch that ends.
    pub epoch: Epoch,
    /// The commit whose execution ended it.
    pub boundary: CommitIndex,
    /// The committee of the next epoch.
    pub committee: CommitteeDigest,
}

/// The content of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The round; 0 only for genesis blocks, which nobody signs.
    pub round: Round,
    /// Who speaks.
    pub author: AuthorityIndex,
    /// The author's clock; decides nothing but the median.
    pub timestamp: Timestamp,
    /// Blocks that this one builds on; the author's own previous block first.
    pub ancestors: Vec<BlockRef>,
    /// What the author wants ordered.
    pub transactions: Vec<Transaction>,
    /// Votes for closing commits since the author's previous block.
    pub commit_votes: Vec<CommitVote>,
    /// State roots at root intervals.
    pub executed_roots: Vec<ExecutedRoot>,
    /// Vote to end the epoch.
    pub epoch_vote: Option<EpochVote>,
}

impl Block {
    /// The slot that the block stands in.
    pub const fn slot(&self) -> Slot {
        Slot { round: self.round, authority: self.author }
    }

    /// What the block counts toward the limits, in bytes: transactions, 16 for each, and 128.
    pub fn counted_bytes(&self) -> u64 {
        self.transactions.iter().fold(BLOCK_OVERHEAD_BYTES, |sum, tx| sum.saturating_add(tx.counted_bytes()))
    }

    /// The canonical bytes.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let payload: usize = self.transactions.iter().map(|tx| tx.bytes().len().saturating_add(4)).sum();
        let references = self.ancestors.len().saturating_mul(BLOCK_REF_BYTES);
        let mut encoder =
            Encoder::with_capacity(payload.saturating_add(references).saturating_add(256 + SIGNATURE_BYTES));
        encoder
            .u16(BLOCK_VERSION)
            .raw(self.chain_id.as_bytes())
            .u64(self.epoch.get())
            .u64(self.round.get())
            .u16(self.author.get())
            .u64(self.timestamp.as_millis())
            .block_refs(&self.ancestors)
            .count(self.transactions.len());
        for transaction in &self.transactions {
            encoder.bytes(transaction.bytes());
        }
        encoder.count(self.commit_votes.len());
        for vote in &self.commit_votes {
            encoder.u64(vote.index.get()).raw(vote.digest.as_bytes());
        }
        encoder.count(self.executed_roots.len());
        for executed in &self.executed_roots {
            encoder.u64(executed.index.get()).raw(executed.root.as_bytes());
        }
        match &self.epoch_vote {
            None => encoder.u8(0),
            Some(vote) => {
                encoder.u8(1).u64(vote.epoch.get()).u64(vote.boundary.get()).raw(vote.committee.as_bytes())
            }
        };
        encoder.finish()
    }

    /// Signs the block. The result counts as verified: it is the signer's own word.
    pub fn sign(mut self, signer: &Signer) -> VerifiedBlock {
        let mut bytes = self.canonical_bytes();
        let digest = digest_of(&bytes);
        bytes.extend_from_slice(&signer.sign(&digest));
        let bytes = Bytes::from(bytes);
        self.share_payload(&bytes);
        VerifiedBlock::assemble(self, digest, bytes)
    }

    /// Lets the transactions be parts of the block's own bytes, as those of a decoded block are: a payload is held once.
    fn share_payload(&mut self, bytes: &Bytes) {
        let ancestors = self.ancestors.len().saturating_mul(BLOCK_REF_BYTES);
        let mut start = TRANSACTIONS_OFFSET.saturating_add(ancestors);
        for transaction in &mut self.transactions {
            start = start.saturating_add(LENGTH_BYTES);
            let stands_there = transaction.move_into(bytes, start);
            debug_assert!(stands_there, "the layout above");
            start = start.saturating_add(transaction.bytes().len());
        }
    }
}

/// Signed bytes that were decoded, and not judged in any other way.
#[derive(Clone, Debug)]
pub(crate) struct UnverifiedBlock {
    pub(crate) block: Block,
    pub(crate) digest: BlockDigest,
    pub(crate) signature: [u8; SIGNATURE_BYTES],
    pub(crate) bytes: Bytes,
}

/// Limits under which bytes from outside are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecodeLimits {
    pub(crate) ancestors: u64,
    pub(crate) transactions: u64,
}

impl UnverifiedBlock {
    /// Decodes signed bytes. Payloads stay slices of `bytes`.
    pub(crate) fn decode(bytes: Bytes, limits: DecodeLimits) -> Result<Self, DecodeError> {
        let Some(canonical_length) = bytes.len().checked_sub(SIGNATURE_BYTES) else {
            return Err(DecodeError::Truncated { field: "signature" });
        };
        let canonical = bytes.slice(..canonical_length);
        let digest = digest_of(&canonical);
        let block = decode_canonical(canonical, limits)?;
        let signature = Decoder::new(bytes.slice(canonical_length..)).array("signature")?;
        Ok(Self { block, digest, signature, bytes })
    }

    pub(crate) fn into_verified(self) -> VerifiedBlock {
        VerifiedBlock::assemble(self.block, self.digest, self.bytes)
    }
}

fn decode_canonical(bytes: Bytes, limits: DecodeLimits) -> Result<Block, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    decoder.version("block version", BLOCK_VERSION)?;
    let chain_id = ChainId::new(decoder.array("chain id")?);
    let epoch = Epoch::new(decoder.u64("epoch")?);
    let round = Round::new(decoder.u64("round")?);
    let author = AuthorityIndex::new(decoder.u16("author")?);
    let timestamp = Timestamp::from_millis(decoder.u64("timestamp")?);
    let ancestors = decoder.block_refs("ancestors", limits.ancestors)?;
    let count = decoder.count("transactions", 4, limits.transactions)?;
    let transactions = (0..count)
        .map(|_| decoder.bytes("transaction").map(Transaction::unnamed))
        .collect::<Result<_, _>>()?;
    let count = decoder.count("commit votes", 40, MAX_COMMIT_VOTES)?;
    let commit_votes = (0..count)
        .map(|_| {
            let index = CommitIndex::new(decoder.u64("commit vote")?);
            Ok(CommitVote { index, digest: CommitDigest::new(decoder.array("commit vote")?) })
        })
        .collect::<Result<_, DecodeError>>()?;
    let count = decoder.count("executed roots", 40, MAX_EXECUTED_ROOTS)?;
    let executed_roots = (0..count)
        .map(|_| {
            let index = CommitIndex::new(decoder.u64("executed root")?);
            Ok(ExecutedRoot { index, root: StateRoot::new(decoder.array("executed root")?) })
        })
        .collect::<Result<_, DecodeError>>()?;
    let epoch_vote = match decoder.u8("epoch vote")? {
        0 => None,
        1 => Some(EpochVote {
            epoch: Epoch::new(decoder.u64("epoch vote")?),
            boundary: CommitIndex::new(decoder.u64("epoch vote")?),
            committee: CommitteeDigest::new(decoder.array("epoch vote")?),
        }),
        found => {
            return Err(DecodeError::Unexpected {
                field: "epoch vote",
                found: u64::from(found),
                expected: 1,
            });
        }
    };
    decoder.finish()?;
    Ok(Block {
        chain_id,
        epoch,
        round,
        author,
        timestamp,
        ancestors,
        transactions,
        commit_votes,
        executed_roots,
        epoch_vote,
    })
}

fn digest_of(canonical: &[u8]) -> BlockDigest {
    BlockDigest::new(crypto::hash(CONTEXT, canonical))
}

struct Inner {
    block: Block,
    reference: BlockRef,
    bytes: Bytes,
}

/// A block whose signature and validity were judged, or that this authority signed or stored itself. Cheap to clone.
#[derive(Clone)]
pub struct VerifiedBlock(Arc<Inner>);

impl VerifiedBlock {
    fn assemble(block: Block, digest: BlockDigest, bytes: Bytes) -> Self {
        let reference = BlockRef { round: block.round, author: block.author, digest };
        Self(Arc::new(Inner { block, reference, bytes }))
    }

    /// The genesis block of an authority: round 0, unsigned, the same on every node.
    pub fn genesis(genesis: &Genesis, author: AuthorityIndex) -> Self {
        let block = Block {
            chain_id: genesis.chain_id(),
            epoch: genesis.committee().epoch(),
            round: Round::GENESIS,
            author,
            timestamp: genesis.timestamp(),
            ancestors: Vec::new(),
            transactions: Vec::new(),
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        };
        let bytes = block.canonical_bytes();
        let digest = digest_of(&bytes);
        Self::assemble(block, digest, Bytes::from(bytes))
    }

    /// Reads a block back from this node's own store, where only verified blocks are written: decoded and named by its
    /// digest, its signature is not judged again, and its transactions are named when somebody asks.
    ///
    /// # Errors
    /// If the bytes are not a signed block of this format.
    pub fn from_store(bytes: Bytes) -> Result<Self, DecodeError> {
        let unlimited = DecodeLimits { ancestors: u64::from(u32::MAX), transactions: u64::from(u32::MAX) };
        UnverifiedBlock::decode(bytes, unlimited).map(UnverifiedBlock::into_verified)
    }

    /// The content.
    pub fn block(&self) -> &Block {
        &self.0.block
    }

    /// The block's name.
    pub fn reference(&self) -> BlockRef {
        self.0.reference
    }

    /// Its round.
    pub fn round(&self) -> Round {
        self.0.reference.round
    }

    /// Its author.
    pub fn author(&self) -> AuthorityIndex {
        self.0.reference.author
    }

    /// Its slot.
    pub fn slot(&self) -> Slot {
        self.0.reference.slot()
    }

    /// Its ancestors, own previous block first.
    pub fn ancestors(&self) -> &[BlockRef] {
        &self.0.block.ancestors
    }

    /// Canonical bytes and signature: what is sent and stored.
    pub fn signed_bytes(&self) -> &Bytes {
        &self.0.bytes
    }
}

impl PartialEq for VerifiedBlock {
    fn eq(&self, other: &Self) -> bool {
        self.0.reference == other.0.reference
    }
}

impl Eq for VerifiedBlock {}

impl fmt::Debug for VerifiedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[{} tx]", self.0.reference, self.0.block.transactions.len())
    }
}
