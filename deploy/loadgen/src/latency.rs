//! Latencies, from intended submission to execution.

use hdrhistogram::Histogram;
use std::time::Duration;

/// A histogram of latencies: 1 us to 10 min, three digits; longer ones count as 10 min.
#[derive(Clone, Debug)]
pub struct Latency {
    micros: Histogram<u64>,
}

const LONGEST_MICROS: u64 = 600_000_000;

impl Default for Latency {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("constant bounds are valid");
        Self { micros }
    }
}

impl Latency {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.micros.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_MICROS));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.micros.add(&other.micros).expect("all histograms have the same bounds");
    }

    pub(crate) fn clear(&mut self) {
        self.micros.reset();
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.micros.len()
    }

    /// The latency that `quantile` (0 to 1) of all stay within; `None` where nothing was recorded.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (!self.micros.is_empty()).then(|| Duration::from_micros(self.micros.value_at_quantile(quantile)))
    }

    /// Half stay within it.
    pub fn p50(&self) -> Option<Duration> {
        self.quantile(0.50)
    }

    /// 99 of 100 stay within it.
    pub fn p99(&self) -> Option<Duration> {
        self.quantile(0.99)
    }

    /// The longest one.
    pub fn max(&self) -> Option<Duration> {
        (!self.micros.is_empty()).then(|| Duration::from_micros(self.micros.max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_digits() {
        let mut latency = Latency::default();
        assert_eq!(latency.p50(), None);
        (1..=1000).for_each(|millis| latency.record(Duration::from_millis(millis)));
        let p99 = latency.p99().unwrap();
        assert!((Duration::from_millis(989)..Duration::from_millis(992)).contains(&p99), "{p99:?}");
        latency.record(Duration::from_secs(10_000));
        assert!(latency.max().unwrap() >= Duration::from_secs(599));
    }
}
