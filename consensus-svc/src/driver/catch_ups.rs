//! What people are told of catch-ups: when one begins, and what it came to.

use std::time::Duration;

use consensus_core::{CommitIndex, CoreStatus, Timestamp};
use metanode_telemetry::names::as_i64;

/// A catch-up under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    since: Timestamp,
    from: CommitIndex,
    ranges_before: u64,
}

/// A catch-up that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    from: CommitIndex,
    to: CommitIndex,
    ranges: u64,
    took: Duration,
}

/// Tells the beginning and the end of each.
#[derive(Debug, Default)]
pub(super) struct CatchUpLog {
    running: Option<Running>,
    /// Ranges applied by the input before: one input may both begin a catch-up and end another.
    ranges: u64,
}

impl CatchUpLog {
    /// After an input.
    pub(super) fn observe(&mut self, now: Timestamp, status: &CoreStatus) {
        if let Some(ended) = self.step(now, status) {
            tracing::info!(
                from_index = as_i64(ended.from.get()),
                to_index = as_i64(ended.to.get()),
                ranges = as_i64(ended.ranges),
                duration_ms = i64::try_from(ended.took.as_millis()).unwrap_or(i64::MAX),
                "caught up by certified commits, the rest comes as blocks"
            );
        }
    }

    fn step(&mut self, now: Timestamp, status: &CoreStatus) -> Option<Ended> {
        let ranges_before = std::mem::replace(&mut self.ranges, status.ranges_total);
        if status.catching_up {
            if self.running.is_none() {
                let from = status.last_commit;
                self.running = Some(Running { since: now, from, ranges_before });
                tracing::info!(
                    from_index = as_i64(from.get()),
                    round = as_i64(status.round.get()),
                    credible_round = as_i64(status.credible_round.get()),
                    "catching up by certified commits, nothing is proposed meanwhile"
                );
            }
            return None;
        }
        let Running { since, from, ranges_before } = self.running.take()?;
        let ranges = status.ranges_total.saturating_sub(ranges_before);
        Some(Ended { from, to: status.last_commit, ranges, took: now.since(since) })
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::Round;

    use super::*;

    #[test]
    fn each_catch_up_is_told_at_its_beginning_and_at_its_end() {
        let status = |catching_up, last: u64, ranges_total| CoreStatus {
            catching_up,
            last_commit: CommitIndex::new(last),
            ranges_total,
            round: Round::new(9),
            ..CoreStatus::default()
        };
        let at = Timestamp::from_millis;
        let mut log = CatchUpLog::default();
        assert_eq!(log.step(at(1), &status(false, 3, 2)), None);
        for (now, last, ranges) in [(10, 3, 2), (15, 20, 3), (20, 40, 4)] {
            assert_eq!(log.step(at(now), &status(true, last, ranges)), None);
        }
        let ended = log.step(at(25), &status(false, 44, 5));
        let (from, to) = (CommitIndex::new(3), CommitIndex::new(44));
        assert_eq!(ended, Some(Ended { from, to, ranges: 3, took: Duration::from_millis(15) }));
        assert_eq!(log.step(at(30), &status(false, 50, 5)), None, "once");
    }
}
