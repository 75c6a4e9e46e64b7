//! One of four is away under load until the others have collected all that it had, and comes back.

use e2e::away_under_load;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn l04_an_authority_that_was_away_for_long_catches_up_and_its_executor_executes_everything_once() {
    let story = away_under_load(Path::new(env!("CARGO_BIN_EXE_e2e-service"))).await.unwrap();
    story.assert_caught_up_and_executed_once();
}
