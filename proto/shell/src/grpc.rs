//! Transport defaults of every gRPC server and client: limits, keepalive, listeners, channels, reflection, health.
//!
//! Keepalive finds a peer that vanished in silence within [`KEEPALIVE_INTERVAL`] + [`KEEPALIVE_TIMEOUT`], on both ends.

mod admission;
mod callers;
mod client;
mod incoming;
mod server;
mod shares;

pub use admission::{Admission, Admitted, UntilSent};
pub use callers::Caller;
pub use client::{EndpointError, channel, endpoint};
pub use incoming::{Connection, Incoming, incoming};
pub use server::{BindError, bind, health, reflection, server};
pub use shares::Shares;

use std::time::Duration;

/// Idle time after which an end asks whether the other one is still there (HTTP/2 ping). Servers of this project allow
/// clients this interval.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Time for the answer; then the connection is closed.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for establishing a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that one connection may have open at a time. More wait.
pub const MAX_CONCURRENT_STREAMS: u32 = 256;
/// Connections that a listener has open at a time, unless told otherwise. One more closes the one that is worth least: an idle one, one
/// that only waits for news, and last one whose call the service has worked on for a second. Each costs one file descriptor, and at most the receive window of HTTP/2 in memory (1 MiB).
pub const MAX_CONNECTIONS: usize = 512;
/// Time that a new connection has for its first bytes, and a call for its message.
pub const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Room that a message needs beside the commit in it, in bytes.
const MESSAGE_OVERHEAD_BYTES: u64 = 1 << 20;

/// Largest message to decode, in bytes, on every end of a network whose commits have at most `max_commit_bytes`:
/// 1 MiB more. (The default of tonic is 4 MiB.)
pub fn decode_limit(max_commit_bytes: u64) -> usize {
    usize::try_from(max_commit_bytes.saturating_add(MESSAGE_OVERHEAD_BYTES)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decode_limit_is_a_mebibyte_over_the_commit() {
        assert_eq!(decode_limit(4 << 20), 5 << 20);
        assert_eq!(decode_limit(u64::MAX), usize::MAX);
    }
}
