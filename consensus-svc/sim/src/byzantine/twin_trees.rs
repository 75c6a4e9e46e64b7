//! One block that brings many: it names twins of its author, which name further ones, and all are served to whoever asks.
//!
//! As a chain that is valid: each block names one own ancestor. As a tree, where each names two, it is what validity refuses:
//! a streamed block would bring thousands with it, and none of them would ever stand in a waiting room for long (T07).

use bytes::Bytes;
use consensus_core::{BlockRef, Transaction, VerifiedBlock};

use super::{Byzantine, Deeds, Dispatch, Wire};
use crate::fault::Fault;

/// Rounds of a tree: two own ancestors a block, one and two rounds below, make 2583 blocks of them.
const TREE_ROUNDS: usize = 16;
/// Own blocks between two chains: each slot is to have a few twins, as bounds of honest memory allow, and not more.
const PAUSE_BLOCKS: u64 = 25;
/// Own blocks between two trees.
const TREE_PAUSE_BLOCKS: u64 = 5;

impl Byzantine {
    /// Now and then, sends everybody a twin of `shown` ahead of it, on a chain or a tree of twins.
    pub(super) fn drag_twins(&mut self, shown: &VerifiedBlock, deeds: &mut Deeds) {
        self.sated = self.sated.saturating_sub(1);
        if self.sated > 0 || self.recent.len() < TREE_ROUNDS || !self.twin_rng.chance(40_000) {
            return;
        }
        let is_tree = self.twin_rng.chance(80_000);
        self.sated = if is_tree { TREE_PAUSE_BLOCKS } else { PAUSE_BLOCKS };
        deeds.faults.push(if is_tree { Fault::TwinTree } else { Fault::TwinChain });
        // Newest last; at its end the block that is twinned first.
        let mut spine: Vec<VerifiedBlock> =
            self.recent.iter().skip(self.recent.len() - TREE_ROUNDS).cloned().collect();
        spine.push(shown.clone());
        let top = self.grow(&spine, if is_tree { 2 } else { 1 }, deeds);
        let others = self.others.iter().copied();
        deeds.dispatches.extend(others.map(|to| Dispatch {
            to,
            delay_ms: 0,
            wire: Wire::Stray(top.clone()),
        }));
    }

    /// A twin of the last block of `spine`, on so many twins of those before it, each of which grows likewise.
    fn grow(&mut self, spine: &[VerifiedBlock], width: usize, deeds: &mut Deeds) -> VerifiedBlock {
        let (block, below) = spine.split_last().expect("a spine has a block");
        let own: Vec<BlockRef> = (0..width.min(below.len()))
            .map(|step| {
                let twin = self.grow(&below[..below.len() - step], width, deeds);
                deeds.kept.push(twin.clone());
                twin.reference()
            })
            .collect();
        self.made += 1;
        let mut content = block.block().clone();
        if let (Some(last), Some(first)) = (own.first(), content.ancestors.first_mut()) {
            *first = *last;
        }
        content.ancestors.extend(own.iter().skip(1));
        content.transactions = vec![Transaction::new(Bytes::from(format!("dragged twin {}", self.made)))];
        content.sign(&self.signer)
    }
}
