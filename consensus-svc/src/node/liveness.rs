//! Liveness judged by progress: a node that runs, answers, and commits nothing although there is something to do is not
//! well (L06). Pure.

use std::time::Duration;

use consensus_core::{CommitIndex, CoreStatus};
use tokio::time::Instant;

/// What there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Transactions in the pool.
    pub pooled_transactions: u64,
    /// Blocks with transactions that are held and not committed.
    pub uncommitted_blocks: u64,
    /// Rounds by which an honest authority is ahead.
    pub rounds_behind: u64,
}

impl Work {
    /// Of a machine.
    pub fn of(core: &CoreStatus) -> Self {
        Self {
            pooled_transactions: core.pooled_transactions as u64,
            uncommitted_blocks: core.uncommitted_blocks as u64,
            rounds_behind: core.credible_round.get().saturating_sub(core.round.get()),
        }
    }

    /// Whether there is nothing to do: then no commit need come, be it that heartbeats do.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressView {
    /// When the newest commit of this process became durable; `None` before the first.
    pub last_commit: Option<Instant>,
    /// Since when a commit is waited for, where that is too long; `None` while all is well.
    pub stalled_since: Option<Instant>,
}

/// Watches for progress.
#[derive(Debug)]
pub(super) struct Liveness {
    stalled_after: Duration,
    commit: CommitIndex,
    last_commit: Option<Instant>,
    /// Since when there is something to do without a new commit.
    waiting_since: Option<Instant>,
}

impl Liveness {
    /// A node with `commit` in its store starts.
    pub(super) const fn new(stalled_after: Duration, commit: CommitIndex) -> Self {
        Self { stalled_after, commit, last_commit: None, waiting_since: None }
    }

    /// Takes note of the newest durable commit and of what there is to do.
    pub(super) fn observe(&mut self, now: Instant, commit: CommitIndex, work: Work) {
        if commit > self.commit {
            self.commit = commit;
            self.last_commit = Some(now);
            self.waiting_since = None;
        }
        self.waiting_since = (!work.is_none()).then(|| self.waiting_since.unwrap_or(now));
    }

    /// When the wait becomes too long, if no commit comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting_since.and_then(|since| since.checked_add(self.stalled_after))
    }

    /// How it stands.
    pub(super) fn view(&self, now: Instant) -> ProgressView {
        let is_late = self.deadline().is_some_and(|deadline| deadline <= now);
        let stalled_since = self.waiting_since.filter(|_| is_late);
        ProgressView { last_commit: self.last_commit, stalled_since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    const SOMETHING: Work = Work { pooled_transactions: 1, uncommitted_blocks: 0, rounds_behind: 0 };
    const NOTHING: Work = Work { pooled_transactions: 0, uncommitted_blocks: 0, rounds_behind: 0 };

    fn index(n: u64) -> CommitIndex {
        CommitIndex::new(n)
    }

    struct Watched {
        liveness: Liveness,
        start: Instant,
    }

    fn watched() -> Watched {
        Watched { liveness: Liveness::new(LIMIT, index(7)), start: Instant::now() }
    }

    impl Watched {
        /// Observes, and answers with the seconds since the start since when it is stalled.
        fn at(&mut self, second: u64, commit: u64, work: Work) -> Option<u64> {
            let now = self.start + Duration::from_secs(second);
            self.liveness.observe(now, index(commit), work);
            self.liveness.view(now).stalled_since.map(|since| (since - self.start).as_secs())
        }
    }

    #[test]
    fn l06_something_to_do_without_a_commit_is_a_stall_once_the_limit_is_reached() {
        let mut watched = watched();
        assert_eq!(watched.at(5, 7, SOMETHING), None);
        assert_eq!(watched.liveness.deadline(), Some(watched.start + Duration::from_secs(35)));
        assert_eq!(watched.at(34, 7, SOMETHING), None);
        assert_eq!(watched.at(35, 7, SOMETHING), Some(5));
        assert_eq!(watched.at(99, 7, SOMETHING), Some(5));
    }

    #[test]
    fn l06_each_kind_of_work_counts() {
        let pooled = CoreStatus { pooled_transactions: 1, ..CoreStatus::default() };
        let uncommitted = CoreStatus { uncommitted_blocks: 1, ..CoreStatus::default() };
        let (round, credible_round) = (consensus_core::Round::new(4), consensus_core::Round::new(5));
        let behind = CoreStatus { round, credible_round, ..CoreStatus::default() };
        for core in [pooled, uncommitted, behind] {
            assert!(!Work::of(&core).is_none(), "{core:?}");
            assert_eq!(watched().at(0, 7, Work::of(&core)), None);
        }
        let level = CoreStatus { round: credible_round, credible_round: round, ..CoreStatus::default() };
        assert!(Work::of(&level).is_none(), "who is ahead has nothing to catch up with");
    }

    #[test]
    fn l06_a_commit_ends_a_stall_and_the_next_wait_starts_anew() {
        let mut watched = watched();
        watched.at(0, 7, SOMETHING);
        assert_eq!(watched.at(40, 7, SOMETHING), Some(0));
        assert_eq!(watched.at(41, 8, SOMETHING), None);
        assert_eq!(watched.at(70, 8, SOMETHING), None);
        assert_eq!(watched.at(71, 8, SOMETHING), Some(41));
        assert_eq!(
            watched.liveness.view(watched.start).last_commit,
            Some(watched.start + Duration::from_secs(41))
        );
    }

    #[test]
    fn l06_nothing_to_do_is_never_a_stall_and_work_that_comes_later_counts_from_then() {
        let mut watched = watched();
        assert_eq!(watched.at(0, 7, NOTHING), None);
        assert_eq!(watched.at(1_000, 7, NOTHING), None);
        assert_eq!(watched.liveness.deadline(), None);
        assert_eq!(watched.at(1_001, 7, SOMETHING), None);
        assert_eq!(watched.at(1_030, 7, SOMETHING), None);
        assert_eq!(watched.at(1_031, 7, SOMETHING), Some(1_001));
        assert_eq!(watched.at(1_032, 7, NOTHING), None);
    }
}
