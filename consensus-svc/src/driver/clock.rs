//! The time that the machine is told.

use std::time::{SystemTime, UNIX_EPOCH};

use consensus_core::Timestamp;
use tokio::time::Instant;

/// The wall clock as it was when this process started, plus the monotonic time since. So it never goes back, and a jump of
/// the wall clock later changes nothing; a wall clock that was wrong at the start stays wrong until the next one. (Block
/// timestamps decide nothing but a median.)
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_at_start: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts from the wall clock.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(Timestamp::default().plus(since_epoch))
    }

    /// Starts from a given time.
    pub fn at(wall_at_start: Timestamp) -> Self {
        Self { wall_at_start, started: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.wall_at_start.plus(self.started.elapsed())
    }

    /// When [`Clock::now`] will have reached `at`; the start where that was before it.
    pub fn instant(&self, at: Timestamp) -> Instant {
        // Far beyond any deadline of the machine, and never an overflow.
        let wait = at.since(self.wall_at_start);
        self.started
            .checked_add(wait)
            .unwrap_or_else(|| Instant::now() + std::time::Duration::from_secs(3_600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn time_runs_on_from_the_start_and_deadlines_are_met_not_missed() {
        let clock = Clock::at(Timestamp::from_millis(1_000));
        assert_eq!(clock.now(), Timestamp::from_millis(1_000));
        let deadline = Timestamp::from_millis(1_040);
        tokio::time::sleep_until(clock.instant(deadline)).await;
        assert!(clock.now() >= deadline && clock.now() <= deadline.plus(Duration::from_millis(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_before_the_start_is_due_at_once() {
        let clock = Clock::at(Timestamp::from_millis(1_000));
        assert!(clock.instant(Timestamp::from_millis(999)) <= Instant::now());
        assert!(clock.instant(Timestamp::from_millis(u64::MAX)) > Instant::now());
    }
}
