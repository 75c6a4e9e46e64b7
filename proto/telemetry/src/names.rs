//! Names by which events are found.
//!
//! A text that operators search for stays constant, so values are in fields and never in the message. The message of an
//! event has to be a literal; its first word is one of four tags:
//!
//! | tag | events |
//! |---|---|
//! | `[STARTUP]` | start: position of the executor, replay position, what is skipped |
//! | `[EPOCH TRANSITION]` | change of the epoch |
//! | `[EXECUTOR-REQ]` | requests to the executor and its answers |
//! | `[SEQUENTIAL-BUFFER]` | order of commits in front of the executor: held, duplicate, gap |
//!
//! ```
//! use metanode_telemetry::{as_i64, names::TARGET_STARTUP};
//! # let (executed, next) = (7_u64, 8_u64);
//! let (block_number, replay_from) = (as_i64(executed), as_i64(next));
//! tracing::info!(target: TARGET_STARTUP, block_number, replay_from, "[STARTUP] executor position read");
//! ```

/// Target of the events about start-up, epoch change, requests to the executor and sequencing, so that a filter such as
/// `warn,startup=info` keeps them.
pub const TARGET_STARTUP: &str = "startup";

/// A number as a field of an event: collectors of JSON do not keep integers above those of `i64`.
#[must_use]
pub fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
