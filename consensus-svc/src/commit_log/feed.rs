//! The one path by which readers get commits, replay and live alike.
//!
//! A reader holds one number: the index of the last commit that it has. It waits until there is more
//! ([`CommitFeed::wait_beyond`]) and reads a page ([`CommitFeed::read_after`]). Where the page comes from, the ring of
//! recent commits or the log, it cannot tell: there is no seam, for both hold the same commits and only durable ones are
//! shown. A slow reader costs nothing: the ring goes on without it, and the log serves it later.

mod ring;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus_core::{CommitDigest, CommitIndex, CommittedSubDag};
use tokio::{
    sync::{AcquireError, Semaphore, watch},
    task,
};

use self::ring::Ring;
use super::{CommitLog, LogError};

/// Most commits in a page, whatever a reader asks for.
pub const MAX_PAGE_COMMITS: usize = 1_000;
/// Most counted bytes in a page of more than one commit, whatever a reader asks for.
pub const MAX_PAGE_BYTES: u64 = 16 << 20;

/// Bounds of the feed.
#[derive(Clone, Copy, Debug)]
pub struct FeedOptions {
    /// Most commits in the ring. Default 512. The more, the longer a reader may stall without reading the disk.
    pub ring_commits: usize,
    /// Most counted bytes in the ring, in bytes; the newest commit is kept whatever its size. Default 32 MiB.
    pub ring_bytes: u64,
    /// How many pages are read from the log at a time, at least 1. Default 4. More readers wait in turn, so that
    /// replays take neither all threads nor all memory.
    pub log_reads: usize,
}

impl Default for FeedOptions {
    fn default() -> Self {
        Self { ring_commits: 512, ring_bytes: 32 << 20, log_reads: 4 }
    }
}

/// Why a reader gets no commits.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The reader claims to have more than there is. It belongs to another chain, or this node lost commits.
    #[error("commit {after} was asked to be followed, the newest is {last}")]
    Ahead {
        /// What the reader has.
        after: CommitIndex,
        /// The newest durable commit.
        last: CommitIndex,
    },
    /// What the reader needs next is no longer held.
    #[error("commit {next} is no longer held, the earliest is {earliest}")]
    Pruned {
        /// What the reader needs.
        next: CommitIndex,
        /// What there is.
        earliest: CommitIndex,
    },
    /// The log cannot be read: this node must stop.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The runtime shuts down.
    #[error("the node shuts down")]
    ShutDown,
}

/// The newest durable commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its index; none before the first.
    pub index: CommitIndex,
    /// Its digest; zero before the first.
    pub digest: CommitDigest,
}

/// Hands durable commits to any number of readers. Shared as `Arc<CommitFeed>`.
#[derive(Debug)]
pub struct CommitFeed {
    log: Arc<CommitLog>,
    ring: Mutex<Ring>,
    head: watch::Sender<Head>,
    log_reads: Arc<Semaphore>,
}

impl CommitFeed {
    /// Starts at the newest commit of the log, before anything is written to it: what was found at opening is durable.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn new(log: Arc<CommitLog>, options: FeedOptions) -> Result<Self, LogError> {
        let index = log.last_index()?;
        let digest = log.digest(index)?.ok_or(LogError::MissingCommit { index, last: index })?;
        Ok(Self {
            log,
            ring: Mutex::new(Ring::new(index, options.ring_commits, options.ring_bytes)),
            head: watch::Sender::new(Head { index, digest }),
            log_reads: Arc::new(Semaphore::new(options.log_reads.max(1))),
        })
    }

    /// Shows a commit to readers. To be called once for each commit, in order, when it is durable.
    ///
    /// # Panics
    /// If the commit is not the next one: commits have no holes, and each is delivered once.
    pub fn publish(&self, sub_dag: CommittedSubDag) {
        let head = Head { index: sub_dag.commit.index, digest: sub_dag.digest };
        let expected = self.last_index().next();
        assert_eq!(head.index, expected, "commits are published rising by one");
        self.ring().push(Arc::new(sub_dag));
        self.head.send_replace(head);
    }

    /// The newest durable commit.
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Index of the newest durable commit; none before the first.
    pub fn last_index(&self) -> CommitIndex {
        self.head().index
    }

    /// Earliest commit that can be read.
    pub fn earliest_index(&self) -> CommitIndex {
        self.log.earliest_index()
    }

    /// Follows the newest durable commit; changes may be seen merged.
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Waits until there is a commit after `index`; returns the newest index. Safe to drop at any time.
    pub async fn wait_beyond(&self, index: CommitIndex) -> CommitIndex {
        let mut head = self.head.subscribe();
        let found = head.wait_for(|head| head.index > index).await;
        found.expect("the feed holds the sender while it is borrowed").index
    }

    /// The commits after `index`, rising by one: at least one if there is any, then as long as neither `max_commits`
    /// (cut at [`MAX_PAGE_COMMITS`]) nor `max_bytes` of counted bytes (cut at [`MAX_PAGE_BYTES`]) is exceeded. Empty
    /// if `index` is the newest.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn read_after(
        &self,
        index: CommitIndex,
        max_commits: usize,
        max_bytes: u64,
    ) -> Result<Vec<Arc<CommittedSubDag>>, FeedError> {
        let last = self.last_index();
        if index > last {
            return Err(FeedError::Ahead { after: index, last });
        }
        let (next, earliest) = (index.next(), self.earliest_index());
        if next < earliest {
            return Err(FeedError::Pruned { next, earliest });
        }
        let page = Page {
            commits: max_commits.clamp(1, MAX_PAGE_COMMITS),
            bytes: max_bytes.min(MAX_PAGE_BYTES),
            last,
        };
        if index == last {
            return Ok(Vec::new());
        }
        if let Some(found) = self.ring().read_from(next, page) {
            return Ok(found);
        }
        let reads = Arc::clone(&self.log_reads);
        let turn = reads.acquire_owned().await.map_err(|_: AcquireError| FeedError::ShutDown)?;
        let log = Arc::clone(&self.log);
        let read = task::spawn_blocking(move || {
            // The turn ends with the read, also where the reader has gone meanwhile.
            let _turn = turn;
            read_from_log(&log, next, page)
        })
        .await;
        Ok(read.map_err(|_| FeedError::ShutDown)??)
    }

    /// One durable commit with its blocks; `None` for index 0.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn get(&self, index: CommitIndex) -> Result<Option<Arc<CommittedSubDag>>, FeedError> {
        let Some(before) = index.get().checked_sub(1).map(CommitIndex::new) else { return Ok(None) };
        if index > self.last_index() {
            return Err(FeedError::Ahead { after: index, last: self.last_index() });
        }
        Ok(self.read_after(before, 1, 0).await?.pop())
    }

    /// Digest of one durable commit; zero for index 0.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn digest(&self, index: CommitIndex) -> Result<CommitDigest, FeedError> {
        let head = self.head();
        if index == head.index {
            return Ok(head.digest);
        }
        if index > head.index {
            return Err(FeedError::Ahead { after: index, last: head.index });
        }
        let log = Arc::clone(&self.log);
        let read = task::spawn_blocking(move || log.digest(index)).await;
        let earliest = self.earliest_index();
        read.map_err(|_| FeedError::ShutDown)??.ok_or(FeedError::Pruned { next: index, earliest })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing in it can panic half way through a change.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bounds of one page.
#[derive(Clone, Copy, Debug)]
struct Page {
    commits: usize,
    bytes: u64,
    /// Nothing above it is shown.
    last: CommitIndex,
}

impl Page {
    /// Takes commits in order until the page is full; the first one always.
    fn fill<E>(
        self,
        commits: impl Iterator<Item = Result<Arc<CommittedSubDag>, E>>,
    ) -> Result<Vec<Arc<CommittedSubDag>>, E> {
        let mut filled = Vec::new();
        let mut bytes = 0u64;
        for commit in commits.take(self.commits) {
            let commit = commit?;
            bytes = bytes.saturating_add(commit.counted_bytes());
            if commit.commit.index > self.last || (!filled.is_empty() && bytes > self.bytes) {
                break;
            }
            filled.push(commit);
        }
        Ok(filled)
    }
}

fn read_from_log(
    log: &CommitLog,
    next: CommitIndex,
    page: Page,
) -> Result<Vec<Arc<CommittedSubDag>>, LogError> {
    page.fill((next.get()..=page.last.get()).map(CommitIndex::new).map(|index| {
        let found = log.sub_dag(index)?;
        found.map(Arc::new).ok_or(LogError::MissingCommit { index, last: page.last })
    }))
}
