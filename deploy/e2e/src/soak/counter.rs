//! A counter of a process that is killed again and again: what it counted over all its lives.

use crate::scrape::{scrape, value};
use localnet::network::Network;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// For one answer: a frozen process gives none.
const SCRAPE_DEADLINE: Duration = Duration::from_millis(500);
/// Commits that a proxy has dropped as executed before, or as in flight already.
const DROPPED: &str = "metanode_executor_commits_duplicates_total";

/// Adds up growth; a fall is a new life.
#[derive(Clone, Copy, Debug, Default)]
struct Lives {
    last: u64,
    total: u64,
}

impl Lives {
    fn see(&mut self, value: u64) {
        self.total += value.checked_sub(self.last).unwrap_or(value);
        self.last = value;
    }
}

/// What the proxies have dropped.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    /// Address of the metrics of each, and what it told.
    proxies: Vec<(String, Lives)>,
}

impl Dropped {
    pub(crate) fn new(network: &Network) -> Self {
        let entries = &network.prepared().network.authorities;
        let address = |entry: &localnet::network_file::AuthorityEntry| entry.executor.metrics_address.clone();
        Self { proxies: entries.iter().map(|entry| (address(entry), Lives::default())).collect() }
    }

    /// Reads all that answer.
    pub(crate) async fn sample(&mut self) {
        for (address, lives) in &mut self.proxies {
            if let Ok(Ok(text)) = timeout(SCRAPE_DEADLINE, scrape(address)).await
                && let Ok(value) = value(&text, DROPPED)
            {
                lives.see(value);
            }
        }
    }

    /// Reads again and again; never ends.
    pub(crate) async fn follow(&mut self) -> std::convert::Infallible {
        let mut tick = interval(SAMPLE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.sample().await;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.proxies.iter().map(|(_, lives)| lives.total).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_falls_has_begun_anew() {
        let mut lives = Lives::default();
        [2, 5, 5, 1, 4].into_iter().for_each(|value| lives.see(value));
        assert_eq!(lives.total, 9);
    }
}
