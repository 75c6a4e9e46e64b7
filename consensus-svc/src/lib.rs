//! DAG-based BFT consensus over gRPC: the shell around the pure machine of `consensus-core`.
//!
//! The machine decides, this crate acts: it reads settings and keys, keeps blocks and commits in sled, talks to the
//! other authorities, takes transactions in, and streams commits to readers and to the executor.
//!
//! The way of the data: `submit` -> driver -> `commit_log` (durable) -> `peer` -> driver -> `commit_log` (durable) ->
//! [`commit_log::CommitFeed`] -> `commit_stream`. It goes one way; only acknowledgements come back.

pub mod cli;
pub mod commit_log;
pub mod commit_stream;
pub mod config;
pub mod driver;
pub mod error;
#[cfg(feature = "testkit")]
pub mod fuzzing;
pub mod genesis_file;
pub mod guard;
pub mod identity;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod status;
pub mod submit;
pub mod wire;
