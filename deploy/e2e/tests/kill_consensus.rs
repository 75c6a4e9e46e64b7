//! kill -9 of one consensus-svc under load: its executor lives on, and may execute what was on its way.

use e2e::{Victims, kill_under_load};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn d01_a_killed_consensus_sends_what_its_executor_has_not_executed() {
    let story =
        kill_under_load(Path::new(env!("CARGO_BIN_EXE_e2e-service")), Victims::Consensus).await.unwrap();
    story.assert_exactly_once();
}
