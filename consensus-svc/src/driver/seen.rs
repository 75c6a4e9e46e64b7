//! The highest block of each authority that the machine has verified, for answers to its question of the start (S06).

use std::sync::{Arc, Mutex, PoisonError};

use consensus_core::{AuthorityIndex, Committee, Consensus, VerifiedBlock};

/// Written by the driver, read when an authority asks. One block an authority; cheap to clone.
#[derive(Clone, Debug)]
pub struct SeenBlocks(Arc<[Mutex<Option<VerifiedBlock>>]>);

impl SeenBlocks {
    /// Nothing seen of anybody.
    pub fn new(committee: &Committee) -> Self {
        Self(committee.indexes().map(|_| Mutex::default()).collect())
    }

    /// After an input.
    pub(super) fn observe(&self, core: &Consensus) {
        for (author, held) in (0u16..).map(AuthorityIndex::new).zip(self.0.iter()) {
            let Some(seen) = core.latest_seen(author) else { continue };
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.as_ref().is_none_or(|held| held.round() < seen.round()) {
                *held = Some(seen.clone());
            }
        }
    }

    /// The highest block of an authority, if one was seen in this life.
    pub fn get(&self, author: AuthorityIndex) -> Option<VerifiedBlock> {
        self.0.get(author.as_usize())?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use consensus_core::{BlockSource, Input, Params, RecoveredLog, testkit};

    use super::*;

    #[test]
    fn s06_what_waits_in_the_machine_is_shown_to_its_author() {
        let (genesis, signers) = testkit::genesis(4);
        let (genesis, own) = (Arc::new(genesis), signers[0].clone());
        let drawing = testkit::drawing::draw(&genesis, &signers, "ABCD1:[*]; D2:[*]");
        let now = genesis.timestamp();
        let recovered =
            Consensus::recover(genesis.clone(), Params::default(), own, RecoveredLog::default(), now);
        let (mut core, _) = recovered.unwrap();
        let (seen, author, block) =
            (SeenBlocks::new(genesis.committee()), AuthorityIndex::new(3), drawing.block("D2").clone());
        seen.observe(&core);
        assert_eq!(seen.get(author), None);
        let source = BlockSource::Streamed;
        core.handle(now, Input::Blocks { from: author, source, blocks: vec![block.clone()] });
        seen.observe(&core);
        assert_eq!((core.status().waiting_blocks, seen.get(author)), (1, Some(block)));
    }
}
