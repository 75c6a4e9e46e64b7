//! Open-loop load: signed transfers at a fixed rate, whatever the network does, and how long each took.
//!
//! Each transaction has an intended time, and its latency runs from there to its execution: a network that stalls cannot
//! make the load wait and look fast (coordinated omission). What could not be sent in time is backlog, counted and shown.
//!
//! Accounts come from a seed ([`Accounts`]); a network's genesis funds them. Each is pinned to one authority and has at
//! most one transaction in flight, so that nonces arrive in order. After a broken connection or a restart of the authority the
//! same bytes are submitted again until their fate is known: executed, or rejected. Where an authority can tell only that a
//! transaction is in the order, its commits are read and executed here to learn the account's nonce. What is still open at
//! the drain deadline counts as lost.
//!
//! ```no_run
//! use loadgen::{Accounts, Load, LoadOptions};
//! use reference_ledger::ChainId;
//! use std::time::Duration;
//!
//! # async fn run(chain_id: ChainId) -> Result<(), loadgen::LoadError> {
//! let mut options = LoadOptions::new(chain_id, vec!["http://127.0.0.1:9000".to_owned()]);
//! options.rate_per_s = 200;
//! options.duration = Some(Duration::from_secs(10));
//! let load = Load::start(options, Accounts::new(42, 800))?;
//! let report = load.finish().await;
//! println!("{} of {} executed, p99 {:?}", report.executed, report.submitted, report.latency.p99());
//! # Ok(())
//! # }
//! ```

mod accounts;
mod chain;
mod lane;
mod latency;
mod load;
mod report;
mod schedule;
mod settle;

pub use accounts::Accounts;
pub use chain::{ChainError, read_nonces};
pub use latency::Latency;
pub use load::{Load, LoadError, LoadOptions};
pub use report::{Fate, LaneSnapshot, LoadReport, Settled, Snapshot};
