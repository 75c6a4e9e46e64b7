//! Votes for state roots that no executor has reached.

use consensus_core::{CommitIndex, ExecutedRoot, StateRoot, VerifiedBlock};

use super::{Byzantine, Deeds};
use crate::fault::Fault;

impl Byzantine {
    /// Votes for a false root at the newest commits at which roots are voted for, of one mind with the other liars; now and then for two
    /// roots at once, or for roots at commits that nobody has.
    pub(super) fn vote_for_false_roots(&mut self, shown: &VerifiedBlock, deeds: &mut Deeds) -> VerifiedBlock {
        let newest = shown.block().commit_votes.iter().map(|vote| vote.index.get()).max();
        self.formed = self.formed.max(newest.unwrap_or_default());
        if !self.root_rng.chance(40_000) {
            return shown.clone();
        }
        deeds.faults.push(Fault::FalseRoot);
        let interval = self.genesis.parameters().root_interval;
        let last = self.formed - self.formed % interval;
        let mut votes = Vec::new();
        for back in 0..1 + self.root_rng.below(4) {
            votes.push(false_root(last.saturating_sub(back * interval), 0));
            if self.root_rng.chance(20_000) {
                votes.push(false_root(last, 1 + back));
            }
        }
        if self.root_rng.chance(10_000) {
            let far = self.root_rng.below(1_000) * self.root_rng.below(1_000_000);
            votes.extend((0..100 - votes.len() as u64).map(|step| false_root(last + far + step, 0)));
        }
        self.compose(shown, 0, |content| content.executed_roots = votes)
    }
}

fn false_root(index: u64, kind: u64) -> ExecutedRoot {
    let bytes = [index.to_le_bytes(), kind.to_le_bytes()].concat();
    ExecutedRoot { index: CommitIndex::new(index), root: StateRoot::new(*blake3::hash(&bytes).as_bytes()) }
}
