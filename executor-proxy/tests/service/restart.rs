//! What was acknowledged is there after an end at any moment.

use crate::harness::{Proxy, commit, digest};

#[tokio::test]
async fn d06_what_was_acknowledged_is_there_after_an_end_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut roots = Vec::new();
    let mut last = 0;
    for round in 1..=3_u64 {
        let proxy = Proxy::start(folder.path()).await;
        let client = proxy.client();
        let (mut stream, incarnation) = client.open(0).await;
        assert_eq!(incarnation, round);
        let position = client.position().await;
        // Commits that were sent and not acknowledged may be there or not; those acknowledged are.
        assert!(position.block_number >= last);
        assert_eq!(position.commit_digest, digest(position.block_number));
        let next = position.block_number + 1;
        for index in next..next + 3 {
            roots.push(stream.execute(commit(index)).await.state_root);
        }
        last = next + 2;
        stream.commit(commit(last + 1)).await;
        stream.commit(commit(last + 2)).await;
        proxy.abort().await;
    }
    let proxy = Proxy::start(folder.path()).await;
    assert!(proxy.client().position().await.block_number >= last);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d09_a_duplicate_from_before_the_restart_is_answered_as_the_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (mut stream, _) = proxy.client().open(0).await;
    let first = stream.execute(commit(1)).await;
    let second = stream.execute(commit(2)).await;
    drop(stream);
    proxy.stop().await.unwrap();

    let proxy = Proxy::start(folder.path()).await;
    let position = proxy.client().position().await;
    assert_eq!((position.block_number, &position.state_root), (2, &second.state_root));
    let (mut stream, _) = proxy.client().open(0).await;
    let again = stream.execute(commit(1)).await;
    assert_eq!((again.duplicate, again.state_root), (true, first.state_root));
    let mut other = commit(1);
    other.digest = vec![0xee; 32].into();
    stream.commit(other).await;
    let error = stream.error().await;
    let reason = metanode_shell::status::reason_of(&error);
    assert_eq!(reason.as_deref(), Some(metanode_proto::reason::COMMIT_FORK));
    proxy.stop().await.unwrap();
}
