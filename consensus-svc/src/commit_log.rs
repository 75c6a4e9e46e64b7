//! The durable log: signed blocks, commits and progress in one sled database, and the feed by which readers get commits.
//!
//! It is the one truth of this node: a restart knows what stands here and in the signing guard, and nothing else.
//!
//! Invariants:
//! - Blocks, commits, evidence and progress of one [`consensus_core::WriteBatch`] are one atomic batch: whole or absent.
//! - A batch is durable when its completion has resolved, and so are all before it. What is read before that may be
//!   lost by a power cut: readers of commits go by [`CommitFeed`], which shows durable ones only, and whoever reads own
//!   blocks says up to which round they were released.
//! - Nothing is stored twice. A commit's digest is computed when it is read; the refs committed above the GC round
//!   follow from the commits above it.
//!
//! What lies where: `keys.rs`. Measurements behind the design: `docs/storage.md`.

mod error;
mod evidence;
mod feed;
mod keys;
mod log;
mod progress;
mod recover;
mod roots;
mod write;

pub use error::{Entry, LogError, OpenError};
pub use evidence::StoredEquivocation;
pub use feed::{CommitFeed, FeedError, FeedOptions, Head, MAX_PAGE_BYTES, MAX_PAGE_COMMITS};
pub use log::{CommitLog, LogOptions};
