//! Pauses before a master is asked again: they grow while it does not answer, and while it is lost soon after it answered.

use metanode_shell::backoff::{Backoff, MAX_DELAY};
use tokio::time::{Instant, sleep};

/// When a master may be asked.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    backoff: Backoff,
    /// When it was loaded last.
    loaded: Option<Instant>,
}

impl Pauses {
    /// Before the first attempt of a load: none for the very first, the shortest for a master that was there for long.
    pub(super) async fn before_load(&mut self) {
        let Some(loaded) = self.loaded.take() else { return };
        if loaded.elapsed() >= MAX_DELAY {
            self.backoff.reset();
        }
        self.after_attempt().await;
    }

    /// After an attempt that failed.
    pub(super) async fn after_attempt(&mut self) {
        sleep(self.backoff.next_delay()).await;
    }

    /// It is loaded.
    pub(super) fn loaded(&mut self) {
        self.loaded = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn x11_a_master_that_is_lost_at_once_is_asked_ever_later_and_one_that_stayed_soon() {
        let mut pauses = Pauses::default();
        let started = Instant::now();
        pauses.before_load().await;
        assert_eq!(started.elapsed(), std::time::Duration::ZERO, "the first time");
        for _ in 0..20 {
            pauses.loaded();
            pauses.before_load().await;
        }
        pauses.loaded();
        let lost = Instant::now();
        pauses.before_load().await;
        assert!(lost.elapsed() >= MAX_DELAY);
        pauses.loaded();
        sleep(MAX_DELAY).await;
        let lost = Instant::now();
        pauses.before_load().await;
        assert!(lost.elapsed() < MAX_DELAY / 4);
    }
}
