//! Progress of a replay, told at steps of progress, never by a timer. Pure.

use std::time::Duration;

use consensus_core::CommitIndex;

/// Reports a replay has at most.
const STEPS: u64 = 10;
/// Shorter replays are not worth reports.
const LEAST_COMMITS: u64 = 100;

/// Follows the acknowledgements of a replay that has a fixed end: what was the newest commit when it began.
#[derive(Debug)]
pub(crate) struct ReplayProgress {
    after: u64,
    total: u64,
    reported_step: u64,
}

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgressReport {
    /// Commits executed since the replay began.
    pub(crate) done: u64,
    /// Commits of the replay.
    pub(crate) total: u64,
    /// Time that the rest takes at the average pace so far.
    pub(crate) remaining: Duration,
}

impl ReplayProgress {
    /// A replay of the commits after `after` up to `until`.
    pub(crate) const fn new(after: CommitIndex, until: CommitIndex) -> Self {
        Self { after: after.get(), total: until.get().saturating_sub(after.get()), reported_step: 0 }
    }

    /// Whether the replay is at its end when `executed` is acknowledged.
    pub(crate) const fn is_over(&self, executed: CommitIndex) -> bool {
        executed.get().saturating_sub(self.after) >= self.total
    }

    /// Notes that `executed` was acknowledged, `elapsed` after the start; a report where the next tenth is reached.
    pub(crate) fn acknowledged(
        &mut self,
        executed: CommitIndex,
        elapsed: Duration,
    ) -> Option<ProgressReport> {
        let done = executed.get().saturating_sub(self.after).min(self.total);
        let step = done.saturating_mul(STEPS).checked_div(self.total)?;
        if self.total < LEAST_COMMITS || step <= self.reported_step {
            return None;
        }
        self.reported_step = step;
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let remaining = millis.saturating_mul(self.total - done).checked_div(done)?;
        Some(ProgressReport { done, total: self.total, remaining: Duration::from_millis(remaining) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(n: u64) -> CommitIndex {
        CommitIndex::new(n)
    }

    #[test]
    fn a_report_comes_at_each_tenth_with_the_time_that_the_rest_takes() {
        let mut progress = ReplayProgress::new(index(1_000), index(2_000));
        assert_eq!(progress.acknowledged(index(1_099), Duration::from_secs(1)), None);
        let report = ProgressReport { done: 100, total: 1_000, remaining: Duration::from_secs(9) };
        assert_eq!(progress.acknowledged(index(1_100), Duration::from_secs(1)), Some(report));
        assert_eq!(progress.acknowledged(index(1_199), Duration::from_secs(1)), None);
        assert!(!progress.is_over(index(1_999)));
        let report = ProgressReport { done: 1_000, total: 1_000, remaining: Duration::ZERO };
        assert_eq!(progress.acknowledged(index(2_000), Duration::from_secs(9)), Some(report));
        assert!(progress.is_over(index(2_000)));
    }

    #[test]
    fn nothing_to_replay_is_over_at_once_and_never_reported() {
        let mut progress = ReplayProgress::new(index(5), index(5));
        assert!(progress.is_over(index(5)));
        assert_eq!(progress.acknowledged(index(6), Duration::from_secs(1)), None);
    }
}
