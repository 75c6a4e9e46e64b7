//! The highest verified block of each author, whatever became of it.
//!
//! Who forgot what it signed asks the others for its own highest block (S06). The store alone may not show it: a block that waits
//! for an ancestor at every peer is in none of their stores, and neither is one that was accepted a moment ago. Its author would
//! take its store for whole and sign the slot again.

use crate::{
    block::VerifiedBlock,
    types::{AuthorityIndex, Round},
};

/// Bounded: one block an author, of twins the first. Kept for this life only.
#[derive(Debug)]
pub(crate) struct SeenBlocks(Vec<Option<VerifiedBlock>>);

impl SeenBlocks {
    /// Nothing seen of so many authorities.
    pub(crate) fn new(authorities: usize) -> Self {
        Self(vec![None; authorities])
    }

    /// Takes note of a verified block.
    pub(crate) fn note(&mut self, block: &VerifiedBlock) {
        if self.round(block.author()).is_none_or(|highest| highest < block.round())
            && let Some(highest) = self.0.get_mut(block.author().as_usize())
        {
            *highest = Some(block.clone());
        }
    }

    /// The highest block of an author, if one was seen.
    pub(crate) fn get(&self, author: AuthorityIndex) -> Option<&VerifiedBlock> {
        self.0.get(author.as_usize())?.as_ref()
    }

    fn round(&self, author: AuthorityIndex) -> Option<Round> {
        self.get(author).map(VerifiedBlock::round)
    }
}
