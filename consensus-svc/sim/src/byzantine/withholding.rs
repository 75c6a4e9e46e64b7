//! Blocks kept back or shown to some, questions refused or answered falsely.

use consensus_core::VerifiedBlock;

use super::{Byzantine, Deeds, Service};
use crate::fault::Fault;

impl Byzantine {
    /// Shows the block to some only (the rest must fetch it from them), or to nobody for a while.
    pub(super) fn withhold(&mut self, shown: &VerifiedBlock, deeds: &mut Deeds) {
        if self.rng.chance(40_000) {
            deeds.faults.push(Fault::Withheld);
            let delay_ms = self.rng.between(500, 3_000);
            deeds.send(self.others.clone(), delay_ms, shown);
        } else {
            deeds.faults.push(Fault::Selective);
            let (some, _) = self.some_others();
            deeds.send(some, 0, shown);
        }
    }

    /// How it answers a question for blocks, of which it holds `wanted`.
    pub(crate) fn serve(&mut self, wanted: Option<&VerifiedBlock>) -> Service {
        if !self.habits.withholds || self.rng.chance(30_000) {
            return Service::Honest;
        }
        match (self.rng.below(4), wanted) {
            (0, _) => Service::Refused,
            (1, _) => Service::Silent,
            (2, Some(wanted)) => {
                let unsigns = self.rng.chance(40_000);
                Service::Falsified(if unsigns { self.unsign(wanted) } else { self.falsify(wanted) })
            }
            _ => Service::False(self.recent.iter().rev().take(3).cloned().collect()),
        }
    }
}
