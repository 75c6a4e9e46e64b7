//! A conformance suite for execution masters: it starts one, kills it, takes it through the contract, and says what does not hold.
//!
//! The master is a command. It is started in a process group of its own, fed with real commits of the reference ledger, spoken to
//! as the contract forbids, killed with -9 at random points, and started again over the same data. Each [`row::Row`] is one
//! promise of the contract; it passes, or it tells what was expected and what came.
//!
//! Nothing is judged by time: an answer may take as long as the settings' patience lasts, and what waits, waits for an answer.

pub mod args;
pub mod bench;
pub mod chain;
pub mod client;
pub mod dice;
pub mod legacy;
pub mod network;
pub mod process;
mod raw;
pub mod report;
pub mod row;
pub mod rows;
pub mod settings;
pub mod suite;

pub use bench::Bench;
pub use report::{Report, Verdict};
pub use settings::{Effort, LedgerKind, Protocol, Settings};
