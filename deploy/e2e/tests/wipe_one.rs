//! The store of one of four is taken away under load, with its guard and without.

use e2e::wipe_under_load;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_wiped_authority_comes_back_by_itself_and_signs_nothing_twice() {
    let story = wipe_under_load(Path::new(env!("CARGO_BIN_EXE_e2e-service"))).await.unwrap();
    story.assert_came_back_and_signed_nothing_twice();
}
