//! One path for replay and live.

use std::{future::Future, pin::pin, sync::Arc, task::Poll};

use consensus_core::{CommitDigest, CommitIndex, CommittedSubDag};
use consensus_svc::{
    commit_log::{CommitFeed, CommitLog, FeedError, FeedOptions, Head},
    commit_stream::CommitReader,
};
use metanode_proto::consensus::v1::{
    GetCommitRangeRequest, GetCommitRequest, StreamCommitsRequest, commit_service_server::CommitService,
};
use metanode_telemetry::{Telemetry, metrics::ConsensusMetrics};
use tokio_util::sync::CancellationToken;
use tonic::Request;

use crate::history::{HISTORY, open, write};

fn index(index: u64) -> CommitIndex {
    CommitIndex::new(index)
}

/// A feed over commits 1 to 10 in the log, to which 11 to 30 were written and published while it held the newest 5 in
/// memory.
async fn feed(folder: &tempfile::TempDir) -> Arc<CommitFeed> {
    let log = Arc::new(open(folder.path()));
    write(&log, 1, 10).await;
    let feed = feed_of(&log, 5);
    for number in 11..=30 {
        write(&log, number, number).await;
        feed.publish(HISTORY.commit(number).clone());
    }
    feed
}

fn feed_of(log: &Arc<CommitLog>, ring_commits: usize) -> Arc<CommitFeed> {
    let options = FeedOptions { ring_commits, ..FeedOptions::default() };
    Arc::new(CommitFeed::new(Arc::clone(log), options).unwrap())
}

async fn read(feed: &Arc<CommitFeed>, after: u64, commits: usize, bytes: u64) -> Vec<u64> {
    let page = feed.read_after(index(after), commits, bytes).await.unwrap();
    for sub_dag in &page {
        assert_eq!(**sub_dag, *HISTORY.commit(sub_dag.commit.index.get()), "as first delivered");
    }
    page.iter().map(|sub_dag| sub_dag.commit.index.get()).collect()
}

#[tokio::test]
async fn d03_a_reader_meets_no_seam_between_log_and_memory() {
    let folder = tempfile::tempdir().unwrap();
    let feed = feed(&folder).await;
    for page in [1, 2, 3, 7, 1000] {
        let (mut at, mut seen) = (0, Vec::new());
        while at < 30 {
            let found = read(&feed, at, page, u64::MAX).await;
            assert!(!found.is_empty() && found.len() <= page);
            at = *found.last().unwrap();
            seen.extend(found);
        }
        assert_eq!(seen, (1..=30).collect::<Vec<_>>(), "pages of {page}");
    }
}

#[tokio::test]
async fn both_sides_of_the_seam_serve_the_same_commits() {
    let folder = tempfile::tempdir().unwrap();
    let feed = feed(&folder).await;
    // The ring holds 26 to 30.
    assert_eq!(read(&feed, 24, 3, u64::MAX).await, [25, 26, 27], "from the log, across");
    assert_eq!(read(&feed, 25, 3, u64::MAX).await, [26, 27, 28], "the first of the ring");
    assert_eq!(read(&feed, 24, 100, u64::MAX).await, [25, 26, 27, 28, 29, 30]);
    assert_eq!(read(&feed, 29, 100, u64::MAX).await, [30]);
    assert_eq!(read(&feed, 30, 100, u64::MAX).await, [0u64; 0]);
}

#[tokio::test]
async fn d17_pages_are_bounded_in_commits_and_bytes_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let feed = feed(&folder).await;
    for after in [3, 26] {
        let bytes = HISTORY.commit(after + 1).counted_bytes() + HISTORY.commit(after + 2).counted_bytes();
        assert_eq!(read(&feed, after, 100, bytes).await, [after + 1, after + 2]);
        assert_eq!(read(&feed, after, 100, bytes - 1).await, [after + 1]);
        assert_eq!(read(&feed, after, 0, 0).await, [after + 1], "never empty while there is something");
    }
}

#[tokio::test]
async fn a_commit_is_not_shown_before_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    write(&log, 1, 3).await;
    let feed = feed_of(&log, 5);
    write(&log, 4, 6).await;
    assert_eq!(log.last_index().unwrap(), index(6));
    assert_eq!(feed.head(), Head { index: index(3), digest: HISTORY.commit(3).digest });
    assert_eq!(read(&feed, 0, 100, u64::MAX).await, [1, 2, 3]);
    feed.publish(HISTORY.commit(4).clone());
    assert_eq!(read(&feed, 0, 100, u64::MAX).await, [1, 2, 3, 4]);
    assert_eq!(read(&feed, 3, 100, u64::MAX).await, [4]);
}

#[tokio::test]
async fn waiting_ends_when_there_is_more() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    let feed = feed_of(&log, 5);
    assert_eq!(feed.head(), Head::default());
    let mut waiting = pin!(feed.wait_beyond(CommitIndex::NONE));
    let polled = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    write(&log, 1, 1).await;
    feed.publish(HISTORY.commit(1).clone());
    assert_eq!(waiting.await, index(1));
    assert_eq!(feed.wait_beyond(CommitIndex::NONE).await, index(1), "at once where there is");
}

#[tokio::test]
async fn a_reader_that_is_ahead_is_told_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let feed = feed(&folder).await;
    let error = feed.read_after(index(31), 1, 1).await.unwrap_err();
    assert!(matches!(error, FeedError::Ahead { after, last } if after.get() == 31 && last.get() == 30));
    let error = feed.get(index(31)).await.unwrap_err();
    assert!(matches!(error, FeedError::Ahead { .. }));
    assert!(matches!(feed.digest(index(31)).await, Err(FeedError::Ahead { .. })));
}

#[tokio::test]
async fn single_commits_and_digests_are_served_from_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let feed = feed(&folder).await;
    for number in [1, 10, 11, 25, 26, 30] {
        let found: Option<Arc<CommittedSubDag>> = feed.get(index(number)).await.unwrap();
        assert_eq!(found.as_deref(), Some(HISTORY.commit(number)));
        assert_eq!(feed.digest(index(number)).await.unwrap(), HISTORY.commit(number).digest);
    }
    assert_eq!(feed.get(CommitIndex::NONE).await.unwrap(), None);
    assert_eq!(feed.digest(CommitIndex::NONE).await.unwrap(), CommitDigest::ZERO);
}

#[tokio::test]
#[should_panic(expected = "commits are published rising by one")]
async fn a_hole_is_never_published() {
    let folder = tempfile::tempdir().unwrap();
    feed(&folder).await.publish(HISTORY.commit(32).clone());
}

/// What is open counts until it is dropped, as when its reader has gone, or is sent.
#[tokio::test]
async fn t06_readers_and_unread_answers_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (telemetry, drain) = (Telemetry::for_test().unwrap(), CancellationToken::new());
    let reader = CommitReader::new(feed(&folder).await, drain);
    reader.observe(&ConsensusMetrics::new(&telemetry.meter()));
    let measured = || {
        let text = telemetry.render().unwrap();
        ["streams", "answers"].map(|what| {
            let name = format!("metanode_consensus_api_commit_{what} ");
            text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
        })
    };
    assert_eq!(measured(), ["0", "0"]);
    let stream = || reader.stream_commits(Request::new(StreamCommitsRequest { after_index: 0 }));
    let streams = [stream().await.unwrap(), stream().await.unwrap()];
    let answer = reader.get_commit(Request::new(GetCommitRequest { index: 7 })).await.unwrap();
    let range = GetCommitRangeRequest { first_index: 1, last_index: 9 };
    let range = reader.get_commit_range(Request::new(range)).await.unwrap();
    assert_eq!(measured(), ["2", "2"]);
    drop((streams, answer));
    assert_eq!(measured(), ["0", "1"]);
    drop(range);
    assert_eq!(measured(), ["0", "0"]);
}
