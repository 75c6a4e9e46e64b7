//! Executors that compute wrongly.

use super::script::ScriptWriter;
use crate::happening::Happening;

impl ScriptWriter<'_> {
    /// One executor after the other is wrong for a while; most are repaired, and some nodes crash meanwhile.
    pub(super) fn wrong_executors(&mut self) {
        let mut at_ms = self.rng.between(200, 3_000);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            self.at(at_ms, Happening::BreakExecutor { node });
            for _ in 0..self.rng.below(3) {
                at_ms += self.rng.between(100, 2_000);
                let down_ms = self.rng.between(20, 1_500);
                let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                let other = if self.rng.chance(50_000) { node } else { self.rng.place(self.nodes) };
                self.at(at_ms, Happening::CrashAfterEffects { node: other, effects, down_ms });
            }
            at_ms += self.rng.between(500, 6_000);
            if self.rng.chance(70_000) {
                let down_ms = self.rng.between(20, 1_000);
                self.at(at_ms, Happening::RepairExecutor { node, down_ms });
            }
            at_ms += self.rng.between(200, 3_000);
        }
    }
}
