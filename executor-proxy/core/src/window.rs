//! Commits that were let through and are not executed yet.

use std::collections::VecDeque;

use crate::{names::Digest, params::Params, sequencer::Position};

/// One commit in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InFlight {
    digest: Digest,
    size_bytes: u64,
}

/// Consecutive commits after the executed position, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    max_commits: usize,
    max_bytes: u64,
    commits: VecDeque<InFlight>,
    size_bytes: u64,
}

impl Window {
    pub(crate) fn new(params: &Params) -> Self {
        let max_commits = usize::try_from(params.window_commits).unwrap_or(usize::MAX);
        Self { max_commits, max_bytes: params.window_bytes, commits: VecDeque::new(), size_bytes: 0 }
    }

    /// True where a commit of this size may be let through now: within both bounds, or alone.
    pub(crate) fn has_room_for(&self, size_bytes: u64) -> bool {
        let fits = self.size_bytes.checked_add(size_bytes).is_some_and(|sum| sum <= self.max_bytes);
        self.commits.is_empty() || (fits && self.commits.len() < self.max_commits)
    }

    pub(crate) fn push(&mut self, digest: Digest, size_bytes: u64) {
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        self.commits.push_back(InFlight { digest, size_bytes });
    }

    /// The oldest one's digest.
    pub(crate) fn front(&self) -> Option<Digest> {
        self.commits.front().map(|commit| commit.digest)
    }

    pub(crate) fn pop(&mut self) {
        if let Some(commit) = self.commits.pop_front() {
            self.size_bytes = self.size_bytes.saturating_sub(commit.size_bytes);
        }
    }

    /// The position of the newest one, or `executed` if there is none.
    pub(crate) fn tip(&self, executed: Position) -> Position {
        self.commits.back().map_or(executed, |commit| Position {
            index: executed.index.saturating_add(self.count()),
            digest: commit.digest,
        })
    }

    /// Digest at an index above `executed`, where it is in flight.
    pub(crate) fn get(&self, executed: Position, index: u64) -> Option<Digest> {
        let place = index.checked_sub(executed.index)?.checked_sub(1)?;
        self.commits.get(usize::try_from(place).ok()?).map(|commit| commit.digest)
    }

    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.commits.len()).unwrap_or(u64::MAX)
    }

    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
