//! kill -9 of an executor-proxy between consensus and a master in Go, under load. Needs Go; without it the tests say that they
//! are skipped, unless REQUIRE_GO=1.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a skipped test says so; helpers of tests are tests"
)]

use e2e::proxy_away;
use localnet::executor::ExecutorKind;
use std::{env, path::Path};
use tokio::sync::Mutex;

/// One network at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn comes_back(executor: ExecutorKind) {
    if let Err(error) = localnet::go_master::check().await {
        assert_ne!(env::var("REQUIRE_GO").as_deref(), Ok("1"), "REQUIRE_GO=1, and {error}");
        eprintln!("skipped: {error} (REQUIRE_GO=1 makes this a failure)");
        return;
    }
    let _alone = ALONE.lock().await;
    let story = proxy_away(Path::new(env!("CARGO_BIN_EXE_e2e-service")), executor).await.unwrap();
    story.assert_executed_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_a_proxy_killed_before_a_master_over_grpc_loses_nothing_and_repeats_nothing() {
    comes_back(ExecutorKind::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_a_proxy_killed_before_an_existing_master_loses_nothing_and_repeats_nothing() {
    comes_back(ExecutorKind::GoUds).await;
}
