//! Validity of a block: everything that can be judged from the block and the committee alone.
//!
//! Judged off the core's thread; whoever holds a [`VerifiedBlock`] need not look again.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use crate::{
    block::{DecodeLimits, UnverifiedBlock, VerifiedBlock},
    codec::DecodeError,
    committee::{Committee, Tally},
    genesis::{Genesis, ProtocolParameters},
    types::{AuthorityIndex, ChainId, Epoch, Round, Stake},
};

/// Why a block is refused. Every case is the author's or the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Not the canonical bytes of a block.
    #[error("malformed block")]
    Malformed(#[from] DecodeError),
    /// Longer than any valid block.
    #[error("signed block has {size_bytes} bytes, at most {limit_bytes} are allowed")]
    Oversized {
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// Of another chain.
    #[error("block of chain {found}, this is {expected}")]
    WrongChain {
        /// The block's chain.
        found: ChainId,
        /// This chain.
        expected: ChainId,
    },
    /// Of another epoch.
    #[error("block of epoch {found}, this is {expected}")]
    WrongEpoch {
        /// The block's epoch.
        found: Epoch,
        /// The current one.
        expected: Epoch,
    },
    /// The author is no member.
    #[error("author {author} is not in the committee of {size}")]
    UnknownAuthority {
        /// The author.
        author: AuthorityIndex,
        /// The committee's size.
        size: usize,
    },
    /// Round 0 is the genesis, which nobody sends.
    #[error("a block of round 0 was sent")]
    GenesisRound,
    /// The signature is not the author's.
    #[error("signature is not of authority {author}")]
    BadSignature {
        /// The author.
        author: AuthorityIndex,
    },
    /// The first ancestor must be the author's own.
    #[error("the first ancestor is not the author's own")]
    OwnAncestorNotFirst,
    /// An ancestor must be of a lower round.
    #[error("an ancestor of round {ancestor} in a block of round {round}")]
    AncestorNotLower {
        /// The block's round.
        round: Round,
        /// The ancestor's round.
        ancestor: Round,
    },
    /// An ancestor's author is no member.
    #[error("ancestor of authority {author}, who is not in the committee")]
    UnknownAncestorAuthority {
        /// The ancestor's author.
        author: AuthorityIndex,
    },
    /// At most one ancestor an author: with more, one block could bring a whole tree of its author's twins with it.
    #[error("two ancestors of authority {author}")]
    AncestorRepeated {
        /// The ancestors' author.
        author: AuthorityIndex,
    },
    /// The ancestors of the previous round must hold a quorum.
    #[error("ancestors of the previous round hold stake {stake}, a quorum is {quorum}")]
    NoQuorumOfParents {
        /// What they hold.
        stake: Stake,
        /// What is needed.
        quorum: Stake,
    },
    /// A transaction without bytes.
    #[error("transaction {position} is empty")]
    EmptyTransaction {
        /// Its position in the block.
        position: usize,
    },
    /// A transaction over the limit.
    #[error("transaction {position} has {size_bytes} bytes, at most {limit_bytes} are allowed")]
    TransactionOversized {
        /// Its position in the block.
        position: usize,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The transactions together are over the limit.
    #[error("block counts {counted_bytes} bytes, at most {limit_bytes} are allowed")]
    BlockOversized {
        /// Counted bytes.
        counted_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
}

impl BlockError {
    /// A short stable word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Oversized { .. } | Self::TransactionOversized { .. } | Self::BlockOversized { .. } => {
                "oversized"
            }
            Self::WrongChain { .. } => "wrong_chain",
            Self::WrongEpoch { .. } => "wrong_epoch",
            Self::UnknownAuthority { .. } | Self::UnknownAncestorAuthority { .. } => "unknown_authority",
            Self::BadSignature { .. } => "bad_signature",
            Self::GenesisRound
            | Self::OwnAncestorNotFirst
            | Self::AncestorNotLower { .. }
            | Self::AncestorRepeated { .. }
            | Self::NoQuorumOfParents { .. }
            | Self::EmptyTransaction { .. } => "invalid",
        }
    }
}

/// Judges blocks of one epoch. Cheap to clone, safe to share between threads.
#[derive(Clone, Debug)]
pub struct BlockVerifier {
    genesis: Arc<Genesis>,
}

impl BlockVerifier {
    /// A verifier for the genesis epoch.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        Self { genesis }
    }

    /// Most bytes that a signed block can have: the counted bytes cover transactions and their lengths, the rest bounds
    /// header, ancestors and votes.
    pub fn max_signed_bytes(&self) -> u64 {
        let ancestors = ancestor_limit(self.committee()).saturating_mul(42);
        self.parameters().max_block_bytes.saturating_add(ancestors).saturating_add(16 << 10)
    }

    /// Decodes and judges signed bytes from outside, and names the transactions of a valid block: whoever orders them need
    /// not hash.
    ///
    /// # Errors
    /// The first rule that the block breaks, cheap ones first, the signature last.
    pub fn verify(&self, bytes: Bytes) -> Result<VerifiedBlock, BlockError> {
        let verified = self.judge(bytes)?;
        verified.block().transactions.iter().for_each(|transaction| {
            transaction.digest();
        });
        Ok(verified)
    }

    /// As [`BlockVerifier::verify`], but leaves the names of transactions to whoever asks for them first.
    ///
    /// # Errors
    /// The same.
    pub fn judge(&self, bytes: Bytes) -> Result<VerifiedBlock, BlockError> {
        let (size_bytes, limit_bytes) = (bytes.len() as u64, self.max_signed_bytes());
        if size_bytes > limit_bytes {
            return Err(BlockError::Oversized { size_bytes, limit_bytes });
        }
        let limits = DecodeLimits {
            ancestors: ancestor_limit(self.committee()),
            transactions: u64::from(self.parameters().max_block_transactions),
        };
        let unverified = UnverifiedBlock::decode(bytes, limits)?;
        self.check_identity(&unverified)?;
        self.check_ancestors(&unverified)?;
        self.check_transactions(&unverified)?;
        let author = unverified.block.author;
        let key = self.committee().authority(author).map(|authority| authority.protocol_key);
        if key.is_some_and(|key| key.verifies(&unverified.digest, &unverified.signature)) {
            Ok(unverified.into_verified())
        } else {
            Err(BlockError::BadSignature { author })
        }
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn committee(&self) -> &Committee {
        self.genesis.committee()
    }

    fn parameters(&self) -> &ProtocolParameters {
        self.genesis.parameters()
    }

    fn check_identity(&self, unverified: &UnverifiedBlock) -> Result<(), BlockError> {
        let block = &unverified.block;
        if block.chain_id != self.genesis.chain_id() {
            return Err(BlockError::WrongChain { found: block.chain_id, expected: self.genesis.chain_id() });
        }
        if block.epoch != self.committee().epoch() {
            return Err(BlockError::WrongEpoch { found: block.epoch, expected: self.committee().epoch() });
        }
        if self.committee().authority(block.author).is_none() {
            return Err(BlockError::UnknownAuthority { author: block.author, size: self.committee().size() });
        }
        if block.round == Round::GENESIS {
            return Err(BlockError::GenesisRound);
        }
        Ok(())
    }

    fn check_ancestors(&self, unverified: &UnverifiedBlock) -> Result<(), BlockError> {
        let block = &unverified.block;
        if block.ancestors.first().is_none_or(|first| first.author != block.author) {
            return Err(BlockError::OwnAncestorNotFirst);
        }
        let mut authors = BTreeSet::new();
        let mut parents = Tally::new(self.committee());
        for ancestor in &block.ancestors {
            if self.committee().authority(ancestor.author).is_none() {
                return Err(BlockError::UnknownAncestorAuthority { author: ancestor.author });
            }
            if ancestor.round >= block.round {
                return Err(BlockError::AncestorNotLower { round: block.round, ancestor: ancestor.round });
            }
            if !authors.insert(ancestor.author) {
                return Err(BlockError::AncestorRepeated { author: ancestor.author });
            }
            if ancestor.round.next() == block.round {
                parents.add(self.committee(), ancestor.author);
            }
        }
        if parents.is_quorum(self.committee()) {
            Ok(())
        } else {
            let quorum = self.committee().quorum_threshold();
            Err(BlockError::NoQuorumOfParents { stake: parents.stake(), quorum })
        }
    }

    fn check_transactions(&self, unverified: &UnverifiedBlock) -> Result<(), BlockError> {
        let limit_bytes = u64::from(self.parameters().max_transaction_bytes);
        for (position, transaction) in unverified.block.transactions.iter().enumerate() {
            let size_bytes = transaction.bytes().len() as u64;
            if size_bytes == 0 {
                return Err(BlockError::EmptyTransaction { position });
            }
            if size_bytes > limit_bytes {
                return Err(BlockError::TransactionOversized { position, size_bytes, limit_bytes });
            }
        }
        let counted_bytes = unverified.block.counted_bytes();
        let limit_bytes = self.parameters().max_block_bytes;
        if counted_bytes > limit_bytes {
            return Err(BlockError::BlockOversized { counted_bytes, limit_bytes });
        }
        Ok(())
    }
}

/// Most ancestors of a block: one of each author.
const fn ancestor_limit(committee: &Committee) -> u64 {
    committee.size() as u64
}
