//! The service as others meet it: over gRPC, with an executor whose every answer the test writes.

#![allow(clippy::unwrap_used, reason = "a test ends where it finds what it does not expect")]

mod api;
mod bridge;
mod crash;
mod executor;
mod lone_node;
mod memory_source;
mod observed;
mod roots;
mod submit;
#[path = "../../src/commit_stream/testkit.rs"]
#[allow(dead_code, reason = "shared with the unit tests, which use other parts of it")]
mod testkit;
mod watch;

use std::time::Duration;

/// No test waits longer for an event; nothing sleeps.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for an event, and names it when it does not come.
async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(happened) => happened,
        Err(_) => panic!("{what} did not happen within {DEADLINE:?}"),
    }
}
