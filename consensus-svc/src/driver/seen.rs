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
