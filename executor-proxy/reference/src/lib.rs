//! The reference ledger: accounts with balances and nonces, ed25519-signed transfers, and a state root over all of it.
//!
//! It stands behind `executor-proxy` as the embedded executor, and is the model that ledgers in other languages are
//! compared with: `docs/ledger.md` writes out every rule, `vectors/*.json` pin them.
//!
//! Invariants:
//! - pure: no clock, no IO, no threads. The same commits give the same results and roots on every machine;
//! - nothing is dropped: each transaction of a commit has exactly one [`Outcome`];
//! - the incremental state root equals the one computed from all accounts from scratch;
//! - no input of a client panics: arithmetic is checked, bytes are decoded with bounds.
//!
//! ```
//! use reference_ledger::{ChainId, Commit, Digest, Ledger, Outcome, SigningKey, Transaction, TransferBody, account_key};
//!
//! let (alice, bob) = (SigningKey::from([1; 32]), SigningKey::from([2; 32]));
//! let chain_id = ChainId([7; 32]);
//! let mut ledger = Ledger::genesis(chain_id, [(account_key(&alice), 100)])?;
//!
//! let recipient = account_key(&bob);
//! let bytes = TransferBody { chain_id, recipient, amount: 30, nonce: 0, memo: b"rent" }.sign(&alice)?;
//! let execution = ledger.execute(&Commit {
//!     index: 1,
//!     epoch: 0,
//!     previous_digest: Digest::ZERO,
//!     digest: Digest([9; 32]),
//!     timestamp_ms: 1,
//!     transactions: vec![Transaction { bytes: &bytes, duplicate: false }],
//! })?;
//! assert_eq!(execution.results[0].outcome, Outcome::Executed);
//! assert_eq!(ledger.account(&recipient).balance, 30);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used))]

mod accounts;
mod bytes32;
mod commit;
mod genesis;
mod ledger;
mod rejection;
mod root;
mod signatures;
mod transfer;

pub use accounts::Account;
pub use bytes32::{AccountKey, ChainId, Digest, transaction_digest};
pub use commit::{Commit, Transaction};
pub use ed25519_zebra::SigningKey;
pub use genesis::GenesisError;
pub use ledger::{ExecuteError, Execution, Ledger, Outcome, Position, TransactionResult};
pub use rejection::{MAX_REASON_BYTES, Rejection, RejectionCode};
pub use signatures::verify_batch;
pub use transfer::{
    BadSignature, DecodeError, MAX_MEMO_BYTES, MIN_TRANSFER_BYTES, MemoTooLong, TRANSFER_VERSION, Transfer,
    TransferBody, UnverifiedTransfer, account_key,
};
