//! Every fault of a link between an executor-proxy and its master in Go, under load. Needs Go; without it the tests say that they
//! are skipped, unless REQUIRE_GO=1.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a skipped test says so; helpers of tests are tests"
)]

use e2e::{Hop, faulty_link};
use std::{env, path::Path};
use tokio::sync::Mutex;

/// One network at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn breaks_and_goes_on(hop: Hop) {
    if let Err(error) = localnet::go_master::check().await {
        assert_ne!(env::var("REQUIRE_GO").as_deref(), Ok("1"), "REQUIRE_GO=1, and {error}");
        eprintln!("skipped: {error} (REQUIRE_GO=1 makes this a failure)");
        return;
    }
    let _alone = ALONE.lock().await;
    let story = faulty_link(Path::new(env!("CARGO_BIN_EXE_e2e-service")), hop).await.unwrap();
    story.assert_executed_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_whatever_the_link_to_a_master_does_each_commit_is_executed_once() {
    breaks_and_goes_on(Hop::ToMaster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_whatever_the_link_to_an_existing_master_does_each_commit_is_executed_once() {
    breaks_and_goes_on(Hop::ToLegacyMaster).await;
}
