//! Disks: syncs that are slow, stores and guards that are lost or replaced by older ones.

use super::script::ScriptWriter;
use crate::happening::{Happening, Loss};

impl ScriptWriter<'_> {
    /// Losses of all kinds, mostly of a node that has just sent a block which then nobody gets, and now and then of one that
    /// is cut off, or twice in a row; some others crash meanwhile.
    pub(super) fn losses(&mut self) {
        let mut at_ms = self.rng.between(500, 2_500);
        while at_ms < self.duration_ms {
            if self.nodes > 3 && self.rng.chance(30_000) {
                at_ms = self.unheard(at_ms) + self.rng.between(1_000, 5_000);
                continue;
            }
            let node = self.rng.place(self.nodes);
            let loss = match self.rng.below(4) {
                0 => Loss::Store,
                1 => Loss::All,
                2 => Loss::SinceCopy,
                _ => Loss::AllSinceCopy,
            };
            if loss.is_copy() {
                self.at(at_ms, Happening::Copy { node });
                at_ms += self.rng.between(300, 2_000);
            }
            let is_cut = self.rng.chance(20_000);
            if is_cut {
                self.at(at_ms, Happening::Partition { group: vec![node], one_way: true });
                at_ms += self.rng.between(1, 300);
            }
            let after_sending = self.rng.chance(70_000);
            let brief = self.rng.chance(60_000);
            let down_ms = self.rng.between(1, if brief { 30 } else { 1_500 });
            self.at(at_ms, Happening::Lose { node, loss, after_sending, down_ms });
            if is_cut {
                at_ms += self.rng.between(1, 400);
                self.at(at_ms, Happening::Mend);
            }
            match self.rng.below(5) {
                0 => {
                    at_ms += self.rng.between(10, 600);
                    let loss = if self.rng.chance(50_000) { Loss::Store } else { Loss::All };
                    self.at(at_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
                }
                1 => {
                    at_ms += self.rng.between(10, 1_000);
                    let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                    self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms });
                }
                2 => {
                    let node = self.rng.place(self.nodes);
                    self.at(at_ms + self.rng.clone().below(300), Happening::Crash { node, down_ms });
                }
                _ => {}
            }
            at_ms += self.rng.between(1_000, 5_000);
        }
    }

    /// The worst case of the rule for amnesiacs: a third is away, so that the others wait for each block of one node, and what
    /// that node says is heard by nobody when its store and guard are replaced by older ones. It comes back together with those
    /// who were away and know least of it; the others know better, and often answer late. When it is over.
    fn unheard(&mut self, at_ms: u64) -> u64 {
        let order = self.rng.shuffled(self.nodes);
        let (away, present) = order.split_at((self.nodes - 1) / 3);
        let Some((node, knowing)) = present.split_first() else { return at_ms };
        let node = *node;
        let copied_ms = at_ms + self.rng.between(1, 300);
        let cut_ms = copied_ms + self.rng.between(200, 2_000);
        let lost_ms = cut_ms + self.rng.between(200, 2_000);
        let back_ms = lost_ms + self.rng.between(5, 100);
        let over_ms = back_ms + self.rng.between(1_000, 3_000);
        for away in away {
            let return_ms = back_ms.saturating_sub(self.rng.below(200)).max(cut_ms);
            self.at(at_ms, Happening::Crash { node: *away, down_ms: return_ms - at_ms });
        }
        self.at(copied_ms, Happening::Copy { node });
        self.at(cut_ms, Happening::Partition { group: vec![node], one_way: true });
        let (loss, down_ms) = (Loss::AllSinceCopy, back_ms - lost_ms);
        self.at(lost_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
        self.at(lost_ms + 1, Happening::Mend);
        if self.rng.chance(60_000) {
            for from in knowing {
                let extra_ms = self.rng.between(50, 1_000);
                self.at(lost_ms + 2, Happening::SlowLink { from: *from, to: node, extra_ms });
            }
        }
        self.at(over_ms, Happening::Mend);
        over_ms
    }

    pub(super) fn disks(&mut self) {
        let mut at_ms = self.rng.between(500, 1_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let down_ms = self.rng.between(20, 1_500);
            match self.rng.below(4) {
                0 | 1 => {
                    self.at(at_ms, Happening::Copy { node });
                    at_ms += self.rng.between(500, 2_500);
                    let loss = Loss::SinceCopy;
                    self.at(at_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
                }
                2 => {
                    let loss = Loss::Store;
                    self.at(at_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
                }
                _ => {
                    let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                    self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms });
                }
            }
            at_ms += self.rng.between(200, 1_500);
        }
    }
}
