//! The durable log and the feed, over blocks and commits that real machines made.

// Helpers of tests may panic as tests may; the lint sees only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod evidence;
mod feed;
mod history;
mod log;
mod process;
mod recover;
mod roots;
