//! The log as a [`CommitSource`].

use std::sync::Arc;

use consensus_core::{CommitDigest, CommitIndex, CommittedSubDag, RootRecords};

use super::{CommitSource, SourceError};
use crate::commit_log::{CommitFeed, CommitLog, FeedError};

/// The feed for reading, the log for what the executor acknowledged.
#[derive(Clone, Debug)]
pub struct LogSource {
    feed: Arc<CommitFeed>,
    log: Arc<CommitLog>,
}

impl LogSource {
    /// Reads through `feed`, which reads `log`.
    pub const fn new(feed: Arc<CommitFeed>, log: Arc<CommitLog>) -> Self {
        Self { feed, log }
    }
}

impl CommitSource for LogSource {
    fn last_index(&self) -> CommitIndex {
        self.feed.last_index()
    }

    fn earliest_index(&self) -> CommitIndex {
        self.feed.earliest_index()
    }

    fn acknowledged(&self) -> CommitIndex {
        self.log.acknowledged()
    }

    async fn digest(&self, index: CommitIndex) -> Result<Option<CommitDigest>, SourceError> {
        match self.feed.digest(index).await {
            Ok(digest) => Ok(Some(digest)),
            Err(FeedError::Ahead { .. } | FeedError::Pruned { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn roots(&self) -> Result<RootRecords, SourceError> {
        let log = Arc::clone(&self.log);
        tokio::task::spawn_blocking(move || log.roots()).await.map_err(failed)?.map_err(failed)
    }

    async fn wait_beyond(&self, index: CommitIndex) {
        self.feed.wait_beyond(index).await;
    }

    async fn read_after(
        &self,
        index: CommitIndex,
        max_count: usize,
        max_bytes: u64,
    ) -> Result<Vec<Arc<CommittedSubDag>>, SourceError> {
        self.feed.read_after(index, max_count, max_bytes).await.map_err(failed)
    }

    async fn record_acknowledged(&self, index: CommitIndex) -> Result<(), SourceError> {
        self.log.record_acknowledged(index).await.map_err(failed)
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError(Box::new(error))
}
