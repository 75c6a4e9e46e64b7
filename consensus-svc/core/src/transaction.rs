//! A transaction: bytes that consensus orders and never reads.

use std::{fmt, sync::OnceLock};

use bytes::Bytes;

use crate::types::TransactionDigest;

/// Bytes counted for each transaction on top of its own, when blocks and commits are measured.
pub const TRANSACTION_OVERHEAD_BYTES: u64 = 16;

/// A transaction with its digest, computed once at most, by all who share it.
#[derive(Clone)]
pub struct Transaction {
    bytes: Bytes,
    digest: OnceLock<TransactionDigest>,
}

impl Transaction {
    /// Takes the bytes and computes their digest.
    pub fn new(bytes: Bytes) -> Self {
        let digest = OnceLock::from(digest_of(&bytes));
        Self { bytes, digest }
    }

    /// Takes the bytes; whoever first asks for the digest computes it.
    pub(crate) const fn unnamed(bytes: Bytes) -> Self {
        Self { bytes, digest: OnceLock::new() }
    }

    /// Plain BLAKE3 of the bytes.
    pub fn digest(&self) -> TransactionDigest {
        *self.named()
    }

    /// The digest, where it stands.
    pub(crate) fn named(&self) -> &TransactionDigest {
        self.digest.get_or_init(|| digest_of(&self.bytes))
    }

    /// The bytes, as submitted.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it counts toward the limits of blocks and commits, in bytes.
    pub fn counted_bytes(&self) -> u64 {
        (self.bytes.len() as u64).saturating_add(TRANSACTION_OVERHEAD_BYTES)
    }

    /// Holds its bytes as a part of `buffer` from now on, if they stand there: the copy that it came with can go. False if
    /// they do not.
    pub(crate) fn move_into(&mut self, buffer: &Bytes, start: usize) -> bool {
        let end = start.saturating_add(self.bytes.len());
        let stands_there = buffer.get(start..end).is_some_and(|part| part == self.bytes);
        if stands_there {
            self.bytes = buffer.slice(start..end);
        }
        stands_there
    }
}

fn digest_of(bytes: &[u8]) -> TransactionDigest {
    TransactionDigest::new(*blake3::hash(bytes).as_bytes())
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        // What stands in the same place is the same: a block and what was decoded from its own bytes share them.
        let place = |bytes: &Bytes| (bytes.as_ptr(), bytes.len());
        place(&self.bytes) == place(&other.bytes) || self.bytes == other.bytes
    }
}

impl Eq for Transaction {}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({:?}, {} B)", self.digest(), self.bytes.len())
    }
}
