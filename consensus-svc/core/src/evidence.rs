//! Evidence of equivocation: two signed blocks of one slot, which prove to anybody that their author lied (F07).
//!
//! A second block of a slot may be dropped when nobody names it, so the pair is kept apart from the DAG: it goes into the
//! store with the next batch, and makes one due. An authority that equivocates in every round must not fill the disk:
//! of each authority the first [`MAX_PROOFS_PER_AUTHORITY`] slots of an epoch are kept, with one pair a slot. One pair
//! already proves all there is to prove.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{
    block::VerifiedBlock,
    block_verifier::{BlockError, BlockVerifier},
    types::{AuthorityIndex, BlockRef, Epoch, Round, Slot},
};

/// Most proofs that are kept of one authority in one epoch, over all restarts.
pub const MAX_PROOFS_PER_AUTHORITY: usize = 4;

/// Two blocks of one slot, both judged. Lower digest first, so that the same pair is the same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    first: VerifiedBlock,
    second: VerifiedBlock,
}

impl Equivocation {
    /// Puts two blocks together.
    ///
    /// # Errors
    /// [`EquivocationError::SlotsDiffer`], [`EquivocationError::SameBlock`].
    pub fn new(one: VerifiedBlock, other: VerifiedBlock) -> Result<Self, EquivocationError> {
        let (found, expected) = (other.slot(), one.slot());
        if found != expected || other.block().epoch != one.block().epoch {
            return Err(EquivocationError::SlotsDiffer { first: one.reference(), second: other.reference() });
        }
        if one.reference() == other.reference() {
            return Err(EquivocationError::SameBlock { block: one.reference() });
        }
        let is_ordered = one.reference() < other.reference();
        let (first, second) = if is_ordered { (one, other) } else { (other, one) };
        Ok(Self { first, second })
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.first.block().epoch
    }

    /// Whose fault, and in which round.
    pub fn slot(&self) -> Slot {
        self.first.slot()
    }

    /// The block of the lower digest.
    pub const fn first(&self) -> &VerifiedBlock {
        &self.first
    }

    /// The other one.
    pub const fn second(&self) -> &VerifiedBlock {
        &self.second
    }

    /// What convinces others.
    pub fn proof(&self) -> EquivocationProof {
        EquivocationProof {
            first: self.first.signed_bytes().clone(),
            second: self.second.signed_bytes().clone(),
        }
    }
}

/// The signed bytes of two blocks: a claim, until [`EquivocationProof::verify`] has judged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EquivocationProof {
    /// Signed bytes of one block.
    pub first: Bytes,
    /// Signed bytes of the other.
    pub second: Bytes,
}

/// Why two byte strings prove no equivocation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The first is no valid block of this chain and epoch.
    #[error("the first block of the proof is refused")]
    First(#[source] BlockError),
    /// The second is none.
    #[error("the second block of the proof is refused")]
    Second(#[source] BlockError),
    /// The blocks stand in different slots, which is no contradiction.
    #[error("blocks {first} and {second} stand in different slots")]
    SlotsDiffer {
        /// The first block.
        first: BlockRef,
        /// The second block.
        second: BlockRef,
    },
    /// Both are the same block: its signature may have several forms, its content is one.
    #[error("both blocks of the proof are {block}")]
    SameBlock {
        /// The block.
        block: BlockRef,
    },
}

impl EquivocationProof {
    /// Judges the proof by nothing but the committee: needs no DAG, no store and no trust in who shows it.
    ///
    /// # Errors
    /// [`EquivocationError`].
    pub fn verify(&self, verifier: &BlockVerifier) -> Result<Equivocation, EquivocationError> {
        let first = verifier.verify(self.first.clone()).map_err(EquivocationError::First)?;
        let second = verifier.verify(self.second.clone()).map_err(EquivocationError::Second)?;
        Equivocation::new(first, second)
    }
}

/// Which proofs are kept, and those that no batch has taken yet.
#[derive(Debug, Default)]
pub(crate) struct EvidenceBook {
    kept: BTreeMap<AuthorityIndex, BTreeSet<Round>>,
    pending: Vec<Equivocation>,
}

impl EvidenceBook {
    /// Goes on with what the store holds of this epoch.
    pub(crate) fn recover(stored: &[Slot]) -> Self {
        let mut book = Self::default();
        for slot in stored {
            book.kept.entry(slot.authority).or_default().insert(slot.round);
        }
        book
    }

    /// Takes note of a pair: its proof goes into the next batch if the slot is new and the authority's share is not full.
    pub(crate) fn note(&mut self, one: &VerifiedBlock, other: &VerifiedBlock) {
        let Ok(equivocation) = Equivocation::new(one.clone(), other.clone()) else { return };
        let kept = self.kept.entry(equivocation.slot().authority).or_default();
        if kept.len() < MAX_PROOFS_PER_AUTHORITY && kept.insert(equivocation.slot().round) {
            self.pending.push(equivocation);
        }
    }

    /// How many proofs are kept, those that no batch has taken among them.
    pub(crate) fn len(&self) -> usize {
        self.kept.values().map(BTreeSet::len).sum()
    }

    /// Whether a batch must take proofs.
    pub(crate) const fn is_due(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn take(&mut self) -> Vec<Equivocation> {
        std::mem::take(&mut self.pending)
    }
}
