//! A transaction: bytes that consensus orders and never reads.

use std::fmt;

use bytes::Bytes;

use crate::types::TransactionDigest;

/// Bytes counted for each transaction on top of its own, when blocks and commits are measured.
pub const TRANSACTION_OVERHEAD_BYTES: u64 = 16;

/// A transaction with its digest, computed once.
#[derive(Clone, PartialEq, Eq)]
pub struct Transaction {
    digest: TransactionDigest,
    bytes: Bytes,
}

impl Transaction {
    /// Takes the bytes and computes their digest.
    pub fn new(bytes: Bytes) -> Self {
        Self { digest: TransactionDigest::new(*blake3::hash(&bytes).as_bytes()), bytes }
    }

    /// Plain BLAKE3 of the bytes.
    pub const fn digest(&self) -> TransactionDigest {
        self.digest
    }

    /// The bytes, as submitted.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it counts toward the limits of blocks and commits, in bytes.
    pub fn counted_bytes(&self) -> u64 {
        (self.bytes.len() as u64).saturating_add(TRANSACTION_OVERHEAD_BYTES)
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({:?}, {} B)", self.digest, self.bytes.len())
    }
}
