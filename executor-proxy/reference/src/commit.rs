//! What the ledger executes as one block.

use crate::bytes32::Digest;

/// One commit, reduced to what execution depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit<'a> {
    /// Commit index and block number, from 1.
    pub index: u64,
    /// Epoch whose committee decided the commit, from 0; part of the state root.
    pub epoch: u64,
    /// Digest of commit `index - 1`; all zero before index 1.
    pub previous_digest: Digest,
    /// Digest of this commit; part of the state root.
    pub digest: Digest,
    /// Milliseconds since the Unix epoch. Transfers do not depend on it.
    pub timestamp_ms: u64,
    /// All transactions in execution order; a position is the place here, from 0.
    pub transactions: Vec<Transaction<'a>>,
}

/// One transaction at its place in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// The bytes as they were submitted.
    pub bytes: &'a [u8],
    /// True where consensus marked it as committed before: it is skipped.
    pub duplicate: bool,
}
