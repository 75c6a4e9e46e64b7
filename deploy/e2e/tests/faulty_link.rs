//! Every fault of a link between an authority and its executor, under load.

use e2e::{Hop, faulty_link};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn d11_whatever_a_link_does_each_commit_is_executed_once() {
    let story = faulty_link(Path::new(env!("CARGO_BIN_EXE_e2e-service")), Hop::ToProxy).await.unwrap();
    story.assert_executed_once();
}
