//! When each transaction of a lane is meant to be sent.

use std::time::Duration;

/// Intended times at a steady rate: lanes take turns, so that together they hold the whole rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// All lanes together, transactions a second; at 0 none is ever due.
    rate_per_s: u32,
    lane: u32,
    lanes: u32,
}

const NANOS: u128 = 1_000_000_000;

impl Schedule {
    /// The schedule of one of `lanes`.
    pub(crate) const fn new(rate_per_s: u32, lane: u32, lanes: u32) -> Self {
        Self { rate_per_s, lane, lanes }
    }

    /// Intended time of a transaction of this lane, from the start; `number` from 0.
    pub(crate) fn intended(&self, number: u64) -> Duration {
        let place = u128::from(number) * u128::from(self.lanes) + u128::from(self.lane);
        let nanos = (place * NANOS).checked_div(u128::from(self.rate_per_s));
        Duration::from_nanos(nanos.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(u64::MAX))
    }

    /// How many transactions of this lane are meant to be sent before `elapsed`.
    pub(crate) fn due(&self, elapsed: Duration) -> u64 {
        // The least number whose intended time is not before `elapsed`.
        let places = (elapsed.as_nanos() * u128::from(self.rate_per_s)).div_ceil(NANOS);
        let numbers = places.saturating_sub(u128::from(self.lane)).div_ceil(u128::from(self.lanes));
        u64::try_from(numbers).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_together_hold_the_rate() {
        let lanes = (0..3).map(|lane| Schedule::new(1000, lane, 3));
        let due: u64 = lanes.map(|schedule| schedule.due(Duration::from_secs(10))).sum();
        assert_eq!(due, 10_000);
    }

    #[test]
    fn a_transaction_is_due_just_after_its_intended_time() {
        for (rate, lane) in [(1, 0), (7, 2), (1000, 3), (999_983, 1)] {
            let schedule = Schedule::new(rate, lane, 4);
            for number in [0, 1, 2, 1_000, 123_456_789] {
                let intended = schedule.intended(number);
                assert!(schedule.due(intended) <= number, "{rate} {lane} {number}");
                assert_eq!(schedule.due(intended + Duration::from_nanos(1)), number + 1);
            }
        }
    }

    #[test]
    fn at_a_rate_of_0_nothing_is_ever_due() {
        assert_eq!(Schedule::new(0, 0, 1).due(Duration::from_secs(1_000_000)), 0);
    }
}
