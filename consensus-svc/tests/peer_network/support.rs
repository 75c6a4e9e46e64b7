//! Committees, blocks, stores, nodes and scripted peers for these tests.

#[path = "support/committee.rs"]
mod committee;
#[path = "support/node.rs"]
mod node;
#[path = "support/scripted.rs"]
mod scripted;

pub(crate) use committee::{TestCommittee, question, rounds};
pub(crate) use node::{MemoryStore, Node, NodeOptions, client, client_of, listener, quick_limits};
pub(crate) use scripted::ScriptedPeer;

use std::time::Duration;

/// Fails a test that hangs; no test waits for this in the good case.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("the test has hung")
}
