//! Waiting for a condition that no event tells of.

use anyhow::Context;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// For every wait: many times what it takes on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until `condition` gives a value.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    let mut poll = interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let polling = async {
        loop {
            poll.tick().await;
            if let Some(value) = condition().await {
                return value;
            }
        }
    };
    timeout(DEADLINE, polling)
        .await
        .with_context(|| format!("after {} s still not: {what}", DEADLINE.as_secs()))
}
