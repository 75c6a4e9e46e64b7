//! When to try again, and when to stop trying.

use crate::CallError;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;
use tokio::time::Instant;

/// How long and how often to try. Delays double from `min_delay` to `max_delay`, each with a random part of up to its own
/// length on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// First delay. Default 50 ms; shorter ones only burden a service in trouble.
    pub min_delay: Duration,
    /// Longest delay, unless the service asks for a longer one. Default 2 s.
    pub max_delay: Duration,
    /// Time for all tries together. Default 60 s.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(2),
            deadline: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    pub(crate) fn start(&self) -> Retry {
        Retry { policy: *self, backoff: self.backoff(), deadline: Instant::now().checked_add(self.deadline) }
    }

    fn backoff(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.min_delay)
            .with_max_delay(self.max_delay)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    backoff: ExponentialBackoff,
    /// `None` for a deadline beyond all clocks.
    deadline: Option<Instant>,
}

impl Retry {
    /// Time that is left for the next try.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for the next try: the backoff, or as long as the service asks for if that is longer.
    ///
    /// # Errors
    /// The error handed in, where the next try would come after the deadline.
    pub(crate) async fn wait(&mut self, error: CallError) -> Result<(), CallError> {
        let backoff = self.backoff.next().unwrap_or(self.policy.max_delay);
        let delay = error.retry_after().map_or(backoff, |asked| asked.max(backoff));
        if delay >= self.remaining() {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
