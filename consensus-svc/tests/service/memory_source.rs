//! A source of commits in memory.

use std::sync::{Arc, Mutex, PoisonError};

use consensus_core::{CommitDigest, CommitIndex, CommittedSubDag, RootRecords};
use consensus_svc::commit_stream::{CommitSource, SourceError};
use tokio::sync::watch;

use crate::testkit::chained;

/// A chain of commits in memory that grows when the test says so.
#[derive(Debug)]
pub(crate) struct MemorySource {
    commits: Mutex<Vec<Arc<CommittedSubDag>>>,
    last: watch::Sender<u64>,
    earliest: u64,
    acknowledged: Mutex<u64>,
    /// What is known of state roots.
    pub(crate) roots: Mutex<RootRecords>,
}

impl MemorySource {
    /// Holds commits 1 to `last`.
    pub(crate) fn with(last: u64) -> Arc<Self> {
        Self::pruned(last, 1, 0)
    }

    /// Holds commits `earliest` to `last`, of which those up to `acknowledged` were acknowledged once.
    pub(crate) fn pruned(last: u64, earliest: u64, acknowledged: u64) -> Arc<Self> {
        let source = Self {
            commits: Mutex::default(),
            last: watch::Sender::new(0),
            earliest,
            acknowledged: Mutex::new(acknowledged),
            roots: Mutex::default(),
        };
        source.grow(last);
        Arc::new(source)
    }

    /// Makes `count` more commits.
    pub(crate) fn grow(&self, count: u64) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..count {
            let previous = commits.last().map_or(CommitDigest::ZERO, |commit| commit.digest);
            let index = commits.len() as u64 + 1;
            commits.push(Arc::new(chained(index, previous, &["transaction"])));
        }
        self.last.send_replace(commits.len() as u64);
    }

    /// Digest of a commit that it holds or held.
    pub(crate) fn digest_of(&self, index: u64) -> CommitDigest {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        match usize::try_from(index).unwrap_or(usize::MAX).checked_sub(1) {
            None => CommitDigest::ZERO,
            Some(place) => commits.get(place).map_or(CommitDigest::ZERO, |commit| commit.digest),
        }
    }
}

impl CommitSource for MemorySource {
    fn last_index(&self) -> CommitIndex {
        CommitIndex::new(*self.last.borrow())
    }

    fn earliest_index(&self) -> CommitIndex {
        CommitIndex::new(self.earliest)
    }

    fn acknowledged(&self) -> CommitIndex {
        CommitIndex::new(*self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn digest(&self, index: CommitIndex) -> Result<Option<CommitDigest>, SourceError> {
        let held = index == CommitIndex::NONE || (self.earliest..=*self.last.borrow()).contains(&index.get());
        Ok(held.then(|| self.digest_of(index.get())))
    }

    async fn roots(&self) -> Result<RootRecords, SourceError> {
        Ok(self.roots.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn wait_beyond(&self, index: CommitIndex) {
        let mut last = self.last.subscribe();
        // The sender is in `self`, which outlives this wait.
        let _ = last.wait_for(|last| *last > index.get()).await;
    }

    async fn read_after(
        &self,
        index: CommitIndex,
        max_count: usize,
        _max_bytes: u64,
    ) -> Result<Vec<Arc<CommittedSubDag>>, SourceError> {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let after = commits.iter().filter(|commit| commit.commit.index > index);
        Ok(after.take(max_count).cloned().collect())
    }

    async fn record_acknowledged(&self, index: CommitIndex) -> Result<(), SourceError> {
        let mut acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        *acknowledged = index.get().max(*acknowledged);
        Ok(())
    }
}
