//! kill -9 of both processes of one authority under load.

use e2e::{Victims, kill_under_load};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn s01_an_authority_killed_with_its_executor_goes_on_where_the_executor_was() {
    let story = kill_under_load(Path::new(env!("CARGO_BIN_EXE_e2e-service")), Victims::Both).await.unwrap();
    story.assert_exactly_once();
}
