//! Names of spans, fields, targets and tags: the words by which events are found.
//!
//! A text that operators search for stays constant, so values are in fields and never in the message. The message of an
//! event has to be a literal; the tags below are its first word, and the tests of the service hold them to it:
//!
//! ```
//! use metanode_telemetry::names::{TARGET_STARTUP, field};
//! # let (block_number, replay_from) = (7_i64, 8_i64);
//! # assert_eq!(field::BLOCK_NUMBER, "block_number");
//! tracing::info!(target: TARGET_STARTUP, block_number, replay_from, "[STARTUP] executor position read");
//! tracing::info!(target: "executor_requests", commit_index = 8_i64, "[EXECUTOR-REQ] commit sent");
//! ```
//!
//! Integers are recorded as `i64`: JSON collectors do not keep larger ones.

/// Target of the events about start-up, epoch change, requests to the executor and sequencing, so that a filter such as
/// `warn,startup=info` keeps them.
pub const TARGET_STARTUP: &str = "startup";

/// First word of events of the start: position of the executor, replay position, what is skipped.
pub const TAG_STARTUP: &str = "[STARTUP]";
/// First word of events of an epoch change.
pub const TAG_EPOCH_TRANSITION: &str = "[EPOCH TRANSITION]";
/// First word of events about requests to the executor and its answers.
pub const TAG_EXECUTOR_REQUEST: &str = "[EXECUTOR-REQ]";
/// First word of events about the order of commits in front of the executor: held, duplicate, gap.
pub const TAG_SEQUENTIAL_BUFFER: &str = "[SEQUENTIAL-BUFFER]";

/// Spans, dotted from the outside in.
pub mod span {
    /// The core handles one input.
    pub const CORE_HANDLE: &str = "consensus.core.handle";
    /// The driver releases one effect.
    pub const DRIVER_EFFECT: &str = "consensus.driver.effect";
    /// One call of `TransactionService.Submit`.
    pub const SUBMIT: &str = "consensus.submit";
    /// One subscription to the blocks of an authority, from connect to loss.
    pub const PEER_SUBSCRIBE: &str = "consensus.peer.subscribe";
    /// One fetch of missing blocks.
    pub const PEER_FETCH: &str = "consensus.peer.fetch";
    /// One handshake with the executor.
    pub const EXECUTOR_HANDSHAKE: &str = "consensus.executor.handshake";
    /// One stream of commits to the executor, from open to loss.
    pub const EXECUTOR_STREAM: &str = "consensus.executor.stream";
    /// The executor side of one stream of commits.
    pub const EXECUTE_STREAM: &str = "executor.stream";
    /// One commit is executed.
    pub const EXECUTE_COMMIT: &str = "executor.execute";
}

/// Fields of events and spans. Used as the literal identifiers of the macros; here so that there is one list.
pub mod field {
    /// Index of an authority in the committee.
    pub const AUTHORITY: &str = "authority";
    /// Round of the DAG.
    pub const ROUND: &str = "round";
    /// Digest of a block, in hex.
    pub const BLOCK_DIGEST: &str = "block_digest";
    /// Global index of a commit; the executor's block number.
    pub const COMMIT_INDEX: &str = "commit_index";
    /// Digest of a commit, in hex.
    pub const COMMIT_DIGEST: &str = "commit_digest";
    /// Block number that the executor reports.
    pub const BLOCK_NUMBER: &str = "block_number";
    /// First commit that is sent after a handshake.
    pub const REPLAY_FROM: &str = "replay_from";
    /// Last commit that the executor acknowledged as executed.
    pub const EXECUTED_INDEX: &str = "executed_index";
    /// Commit that is expected next.
    pub const EXPECTED_INDEX: &str = "expected_index";
    /// State root after a commit, in hex.
    pub const STATE_ROOT: &str = "state_root";
    /// Epoch number.
    pub const EPOCH: &str = "epoch";
    /// Incarnation of the lease on the executor.
    pub const INCARNATION: &str = "incarnation";
    /// Number of transactions.
    pub const TRANSACTIONS: &str = "transactions";
    /// Address of the other side.
    pub const ENDPOINT: &str = "endpoint";
    /// Stable reason of an error, as in `metanode_proto::reason`.
    pub const REASON: &str = "reason";
    /// Time something took, in milliseconds.
    pub const DURATION_MS: &str = "duration_ms";
    /// An error with its sources.
    pub const ERROR: &str = "error";
}
