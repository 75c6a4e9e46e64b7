//! The way of commits out of this service: to its executor, and to any reader.
//!
//! [`Bridge`] feeds the executor. It asks for the executor's position ([`handshake`]), opens one stream after it, and
//! sends every later commit in order, from the log and then as commits are made: replay and live are one stream with one
//! cursor, read through one [`CommitSource`]. A [`Window`] bounds what is in flight in commits and in bytes. The cursor
//! moves on executed acknowledgements and on nothing else.
//!
//! [`CommitReader`] serves the same sequence to any other service.
//!
//! Invariants:
//! - the first commit of a stream is the executor's last plus one, and indexes rise by one;
//! - what was not acknowledged is sent again after the next handshake, what was acknowledged is not;
//! - an answer that contradicts the log ends delivery for this process life: nothing is ever mended by guessing;
//! - memory held for a stream is bounded by the window and one page of the log.

mod bridge;
mod executor;
#[cfg(feature = "testkit")]
pub(crate) mod fuzzing;
pub mod handshake;
mod log_source;
mod machine_line;
mod outlets;
mod progress;
mod service;
mod session;
mod source;
mod stop;
mod stream_error;
#[cfg(test)]
pub(crate) mod testkit;
pub mod view;
mod window;

pub use bridge::{Bridge, BridgeError, BridgeSettings, OnUnavailable};
pub use log_source::LogSource;
pub use machine_line::{Executed, ExecutorLine, MachineLine};
pub use service::CommitReader;
pub use source::{CommitSource, SourceError};
pub use stop::StopReason;
pub use view::{Delivery, ExecutorView};
pub use window::{AcknowledgeError, Window};
