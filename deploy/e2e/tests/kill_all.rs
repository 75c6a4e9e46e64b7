//! kill -9 of all eight processes at once, under load.

use e2e::{Victims, kill_under_load};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn l03_a_network_killed_as_a_whole_goes_on_by_itself() {
    let story = kill_under_load(Path::new(env!("CARGO_BIN_EXE_e2e-service")), Victims::All).await.unwrap();
    story.assert_exactly_once();
}
