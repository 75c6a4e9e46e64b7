//! What the links do: delays, breaks, partitions.

use super::script::ScriptWriter;
use crate::{
    happening::Happening,
    network::{Delay, Profile},
};

impl ScriptWriter<'_> {
    pub(super) fn wide_delay(&mut self) -> Delay {
        match self.rng.below(3) {
            0 => Delay::Uniform { low: 5, high: 300 },
            1 => Delay::Bell { low: 5, high: 400 },
            _ => Delay::HeavyTail { low: 30, scale: 10, cap: 3_000 },
        }
    }

    /// Calm, jittery or lossy links: liars gain most where honest nodes see things in different orders.
    pub(super) fn any_links(&mut self) -> Profile {
        match self.rng.below(3) {
            0 => Profile::calm(Delay::Uniform { low: 50, high: 100 }),
            1 => Profile::calm(self.wide_delay()),
            _ => self.lossy(),
        }
    }

    pub(super) fn lossy(&mut self) -> Profile {
        Profile {
            delay: self.wide_delay(),
            break_chance: 300 + self.rng.below(700),
            stall_chance: 1_000 + self.rng.below(4_000),
            fetch_lost_chance: 20_000,
            fetch_late_chance: 10_000,
            fetch_duplicated_chance: 10_000,
        }
    }

    /// A group that holds some nodes and not all.
    fn group(&mut self) -> Vec<usize> {
        let size = 1 + self.rng.place(self.nodes.saturating_sub(1).max(1));
        let mut group = self.rng.shuffled(self.nodes);
        group.truncate(size);
        group.sort_unstable();
        group
    }

    pub(super) fn partitions(&mut self) {
        let mut at_ms = self.rng.between(200, 1_500);
        if self.nodes > 3 && self.rng.chance(40_000) {
            // One node alone for longer than the others keep what it said: its blocks are collected uncommitted (T01).
            let group = vec![self.rng.place(self.nodes)];
            let one_way = self.rng.chance(50_000);
            self.at(at_ms, Happening::Partition { group, one_way });
            at_ms += self.rng.between(self.duration_ms / 4, self.duration_ms / 2);
            self.at(at_ms, Happening::Mend);
            at_ms += self.rng.between(500, 2_500);
        }
        let mut one_way = self.rng.chance(50_000);
        while at_ms < self.duration_ms && self.nodes > 1 {
            let group = self.group();
            self.at(at_ms, Happening::Partition { group, one_way });
            one_way = !one_way;
            if self.rng.chance(70_000) {
                let pair = self.rng.shuffled(self.nodes);
                let extra_ms = self.rng.between(100, 1_000);
                self.at(at_ms + 1, Happening::SlowLink { from: pair[0], to: pair[1], extra_ms });
            }
            at_ms += self.rng.between(300, 4_000);
            if self.rng.chance(80_000) {
                self.at(at_ms, Happening::Mend);
                at_ms += self.rng.between(300, 2_500);
            }
        }
        self.at(self.duration_ms - 1, Happening::Mend);
    }
}
