//! False timestamps. They are neither invalid nor decisive: the median over a quorum of parents is an honest time, or
//! between two (protocol, Timestamp).

use std::time::Duration;

use consensus_core::{Timestamp, VerifiedBlock};

use super::{Byzantine, Deeds};
use crate::fault::Fault;

impl Byzantine {
    pub(super) fn lie_about_time(&mut self, shown: &VerifiedBlock, deeds: &mut Deeds) -> VerifiedBlock {
        let truth = shown.block().timestamp;
        let far = Duration::from_millis(self.rng.between(1_000, 3_600_000));
        let lie = match self.rng.below(5) {
            0 => return shown.clone(),
            1 => Timestamp::default(),
            2 => Timestamp::from_millis(u64::MAX),
            3 => truth.plus(far),
            _ => Timestamp::from_millis(
                truth.as_millis().saturating_sub(u64::try_from(far.as_millis()).unwrap_or(0)),
            ),
        };
        deeds.faults.push(Fault::LyingTimestamp);
        self.compose(shown, 0, |content| content.timestamp = lie)
    }
}
