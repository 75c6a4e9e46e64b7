//! How bytes are counted where the contract bounds them: `max_commit_bytes` and `max_block_bytes` of genesis count the bytes
//! of the transactions and, for each transaction and each block, a fixed number more, whatever the encoding takes.
//!
//! `consensus_core`, which knows no contract, has the same numbers under the same names.

/// Bytes counted for each transaction on top of its own.
pub const TRANSACTION_OVERHEAD_BYTES: u64 = 16;

/// Bytes counted for each block on top of its transactions, when commits are measured.
pub const BLOCK_OVERHEAD_BYTES: u64 = 128;
