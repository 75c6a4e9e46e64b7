//! kill -9 of one executor-proxy under load: what was on its way is lost with it, and sent again.

use e2e::{Victims, kill_under_load};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn d05_x11_a_killed_executor_is_sent_what_it_had_not_executed() {
    let story =
        kill_under_load(Path::new(env!("CARGO_BIN_EXE_e2e-service")), Victims::Executor).await.unwrap();
    story.assert_exactly_once();
}
