//! Order and exactly-once in front of an executor.
//!
//! Commits come in over a stream, are executed by a backend, and are acknowledged when that is durable. Between the two stands
//! the [`Sequencer`]: it decides of each opening and each commit what to do with it, and keeps the only cursor.
//!
//! Invariants:
//! - commits are let through by index without holes, each once, and only where its previous digest is the digest of the
//!   one before: one chain, from genesis on;
//! - a digest is compared before a commit is called a duplicate: two commits at one index are a fork, never a resend;
//! - only the newest stream is listened to. Streams are ordered by incarnation, and by opening within one;
//! - what is let through and not yet executed is bounded in commits and bytes;
//! - pure: no clock, no IO, no threads. A client's input is answered, and never panics.
//!
//! The shell hands in the digest that its store holds at an index, where a call asks for it ([`Sequencer::needs_stored`]), and
//! makes a [`LeaseRecord`] durable before it answers an opening.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used))]

mod epoch;
mod names;
mod opening;
mod params;
mod recent;
mod refusal;
mod sequencer;
mod window;

pub use epoch::{Boundary, EpochStep};
pub use names::{Authority, ChainId, Digest, Incarnation, StreamId};
pub use opening::{LeaseRecord, MAX_INCARNATION_LEAD, Opened, Opening};
pub use params::{Params, ParamsError};
pub use refusal::Refusal;
pub use sequencer::{Decision, ExecutedOutOfOrder, Header, Position, Recovered, Sequencer};
