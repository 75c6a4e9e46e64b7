//! What the peer network reads from the block store.

use std::error::Error;

use consensus_core::{AuthorityIndex, BlockRef, CommitIndex, RangeBytes, Round, VerifiedBlock};

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the block store cannot be read")]
pub struct StoreReadError {
    /// What the store said.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreReadError {
    /// Takes the store's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}

/// Blocks, by name and by author. Calls may block: they are made on threads for blocking work, never on a worker
/// of the runtime.
pub trait BlockStore: Send + Sync {
    /// A block of any author; `None` if it is not held.
    ///
    /// # Errors
    /// [`StoreReadError`].
    fn block(&self, block: &BlockRef) -> Result<Option<VerifiedBlock>, StoreReadError>;

    /// Own blocks of rounds above `after`, up to `through`, rising: the lowest ones that are held, at most `max_count`, and
    /// as many as stay within `max_bytes` of signed bytes together, but at least one if there is any.
    ///
    /// `through` is a round that was released for sending. A store may already show a block above it that is not durable
    /// yet, and whoever saw that would hold us to it.
    ///
    /// # Errors
    /// [`StoreReadError`].
    fn own_blocks(
        &self,
        after: Round,
        through: Round,
        max_count: usize,
        max_bytes: u64,
    ) -> Result<Vec<VerifiedBlock>, StoreReadError>;

    /// Earliest commit that is held; 1 while nothing is pruned. Questions for commits below it are refused: an answer without
    /// commits would say that there are none.
    fn earliest_commit(&self) -> CommitIndex;

    /// The longest range of commits from `first` to at most `last` that ends at a certified one and has at most
    /// `limit_bytes`, or the shortest one that is served if that has more; and the highest certified commit. No own block above
    /// `released` is in it. See [`collect_range`](consensus_core::collect_range).
    ///
    /// Without a range there is nothing later only where the highest certified commit is below `first`.
    ///
    /// # Errors
    /// [`StoreReadError`].
    fn certified_range(
        &self,
        first: CommitIndex,
        last: CommitIndex,
        released: Round,
        limit_bytes: u64,
    ) -> Result<(Option<RangeBytes>, CommitIndex), StoreReadError>;

    /// The block of the highest round up to `through` that is held of any author.
    ///
    /// # Errors
    /// [`StoreReadError`].
    fn latest_block_by(
        &self,
        author: AuthorityIndex,
        through: Round,
    ) -> Result<Option<VerifiedBlock>, StoreReadError>;

    /// The block of the highest round that is held of another author, or was verified since the start, accepted or not: the answer to
    /// its question of the start.
    ///
    /// # Errors
    /// [`StoreReadError`].
    fn latest_seen(&self, author: AuthorityIndex) -> Result<Option<VerifiedBlock>, StoreReadError>;
}
