//! Pauses between attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// First pause; with jitter up to twice as long.
const MIN_DELAY: Duration = Duration::from_millis(100);
/// Longest pause before jitter.
pub const MAX_DELAY: Duration = Duration::from_secs(5);

/// Doubling, capped, jittered pauses without an end.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Backoff {
    /// Starts with the shortest pause.
    #[must_use]
    pub fn new() -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .without_max_times();
        Self(builder.build())
    }

    /// The next pause.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next().unwrap_or(MAX_DELAY)
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_delay() <= MIN_DELAY * 2);
        let last = (0..100).map(|_| backoff.next_delay()).last().unwrap();
        assert!(last >= MAX_DELAY && last <= MAX_DELAY * 2);
        backoff.reset();
        assert!(backoff.next_delay() <= MIN_DELAY * 2);
    }
}
