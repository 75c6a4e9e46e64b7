//! The newest commits, kept in memory: a live reader does not touch the disk.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use consensus_core::{CommitIndex, CommittedSubDag};

use super::Page;

/// Consecutive commits that end at the newest one. Old ones leave when a bound is exceeded; the newest always stays.
#[derive(Debug)]
pub(super) struct Ring {
    commits: VecDeque<Arc<CommittedSubDag>>,
    /// Index of the first in it, or of the next to come while it is empty.
    first: CommitIndex,
    bytes: u64,
    max_commits: usize,
    max_bytes: u64,
}

impl Ring {
    /// Empty, after the commit `last`.
    pub(super) fn new(last: CommitIndex, max_commits: usize, max_bytes: u64) -> Self {
        Self { commits: VecDeque::new(), first: last.next(), bytes: 0, max_commits, max_bytes }
    }

    /// Adds the next commit.
    pub(super) fn push(&mut self, commit: Arc<CommittedSubDag>) {
        self.bytes = self.bytes.saturating_add(commit.counted_bytes());
        self.commits.push_back(commit);
        while self.commits.len() > 1 && (self.commits.len() > self.max_commits || self.bytes > self.max_bytes)
        {
            if let Some(oldest) = self.commits.pop_front() {
                self.bytes = self.bytes.saturating_sub(oldest.counted_bytes());
                self.first = self.first.next();
            }
        }
    }

    /// A page from `next` on; `None` if the ring does not reach back so far.
    pub(super) fn read_from(&self, next: CommitIndex, page: Page) -> Option<Vec<Arc<CommittedSubDag>>> {
        let skipped = usize::try_from(next.get().checked_sub(self.first.get())?).ok()?;
        let commits = self.commits.iter().skip(skipped).cloned().map(Ok::<_, Infallible>);
        let Ok(filled) = page.fill(commits);
        Some(filled)
    }
}
