//! Exactly-once delivery of commits to an execution master.
//!
//! The proxy serves `executor.v1.ExecutorService`: consensus streams commits in, the executor behind the proxy executes
//! them, and each is acknowledged when its effects are durable. `sequencer-core` decides of every commit; this crate acts:
//!
//! [`server`] decodes a stream -> [`wire`] checks the form of each commit -> [`driver`] asks the sequencer and hands
//! commits to the [`backend`] -> acknowledgements go back on the stream.
//!
//! Invariants:
//! - one task, the driver, owns the sequencer and the executor; all others reach it by bounded channels;
//! - what is acknowledged, and what `GetLastBlockNumber` tells, is durable;
//! - nothing is told of the position before the executor has loaded its state;
//! - the first error of the executor ends the service.

pub mod backend;
pub mod cli;
pub mod config;
pub mod driver;
pub mod error;
#[cfg(feature = "testkit")]
pub mod fuzzing;
pub mod network;
pub mod node;
pub mod server;
pub mod wire;
