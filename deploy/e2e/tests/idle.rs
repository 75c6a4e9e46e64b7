//! A network without load: next to no CPU, rounds all the same, and a lone transaction wakes it.
//!
//! CPU time is that of the process, so that the bound does not depend on what else the machine does. A network that a
//! transaction did not wake would commit it after several idle delays.
#![cfg(target_os = "linux")]

use e2e::{IDLE_DELAY, idle_network};
use std::path::Path;

/// Of one core. Generous: a release build needs a small part of it.
const MOST_CPU: f64 = 0.02;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_network_costs_little_lives_and_commits_a_lone_transaction_at_once() {
    let story = idle_network(Path::new(env!("CARGO_BIN_EXE_e2e-service"))).await.unwrap();
    assert!(story.cpu_shares.iter().all(|share| *share < MOST_CPU), "{story:?}");
    assert!(story.rounds.iter().all(|rounds| *rounds > 0), "{story:?}");
    assert!(story.median().unwrap() < IDLE_DELAY / 2, "{story:?}");
}
