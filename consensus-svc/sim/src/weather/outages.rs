//! Nodes that die and come back with all that they had.

use super::script::ScriptWriter;
use crate::happening::{Happening, Loss};

impl ScriptWriter<'_> {
    pub(super) fn crashes(&mut self) {
        let mut at_ms = self.rng.between(100, 1_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let long = self.rng.chance(10_000);
            let down_ms = self.rng.between(20, if long { 15_000 } else { 4_000 });
            if self.rng.chance(60_000) {
                let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms });
            } else {
                self.at(at_ms, Happening::Crash { node, down_ms });
            }
            at_ms += self.rng.between(100, 2_500);
        }
    }

    /// Down for good: until the end, or for half of the time.
    pub(super) fn one_down(&mut self) {
        let node = self.rng.place(self.nodes);
        let at_ms = self.rng.between(self.duration_ms / 8, self.duration_ms / 4);
        let most = if self.rng.chance(50_000) { self.duration_ms } else { self.duration_ms / 2 };
        self.at(at_ms, Happening::Crash { node, down_ms: most.min(self.duration_ms - at_ms) });
    }

    /// One node after the other is down, or cut off, for a tenth of the time or more; some die again as they come back.
    pub(super) fn absences(&mut self) {
        let mut at_ms = self.rng.between(200, 1_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let away_ms = self.rng.between(self.duration_ms / 10, self.duration_ms / 2);
            if self.rng.chance(40_000) {
                let one_way = self.rng.chance(30_000);
                self.at(at_ms, Happening::Partition { group: vec![node], one_way });
                self.at(at_ms + away_ms, Happening::Mend);
            } else {
                self.at(at_ms, Happening::Crash { node, down_ms: away_ms });
            }
            at_ms += away_ms;
            for _ in 0..self.rng.below(4) {
                at_ms += self.rng.between(20, 600);
                let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms: 50 });
            }
            at_ms += self.rng.between(1_000, 4_000);
        }
        self.at(self.duration_ms - 1, Happening::Mend);
    }

    pub(super) fn restarts(&mut self) {
        let node = self.rng.place(self.nodes);
        let early_ms = self.rng.between(1, 300);
        let down_ms = self.rng.clone().between(10, 800);
        self.at(early_ms, Happening::Lose { node, loss: Loss::Store, after_sending: false, down_ms });
        let mut at_ms = self.rng.between(1_500, 4_000);
        while at_ms < self.duration_ms {
            let down_ms = self.rng.between(10, 1_500);
            match self.rng.below(3) {
                0 => {
                    let node = self.rng.place(self.nodes);
                    self.at(at_ms, Happening::Crash { node, down_ms });
                }
                _ => self.at(at_ms, Happening::Blackout { down_ms }),
            }
            at_ms += self.rng.between(2_000, 6_000);
        }
    }
}
