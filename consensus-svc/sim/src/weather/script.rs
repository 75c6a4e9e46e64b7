//! Draws what happens when.

use crate::{
    happening::{Happening, Scripted},
    rng::Rng,
};

/// Draws what happens when; each kind of fault has a file beside this one.
pub(super) struct ScriptWriter<'a> {
    pub(super) nodes: usize,
    pub(super) duration_ms: u64,
    pub(super) rng: &'a mut Rng,
    pub(super) script: Vec<Scripted>,
}

impl ScriptWriter<'_> {
    pub(super) fn at(&mut self, at_ms: u64, what: Happening) {
        if at_ms < self.duration_ms {
            self.script.push(Scripted { at_ms, what });
        }
    }

    /// Keeps what falls in storms of three seconds, with three seconds between them: without any rest hardly a round is
    /// made, and little is tried.
    pub(super) fn only_in_storms(&mut self) {
        const STORM_MS: u64 = 3_000;
        self.script.retain(|scripted| (scripted.at_ms / STORM_MS).is_multiple_of(2));
        for storm in (0..self.duration_ms / STORM_MS).step_by(2) {
            self.at((storm + 1) * STORM_MS, Happening::Mend);
        }
        self.at(self.duration_ms - 1, Happening::Mend);
    }
}
