//! One judgement for each distinct block, shared by the world.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use consensus_core::{
    BlockError, BlockRef, BlockVerifier, CertifiedRange, ChainPoint, Genesis, RangeBytes, RangeError,
    VerifiedBlock, verify_range,
};

use crate::plan::Signatures;

/// Judges signed bytes. The name of a block covers all but the signature, so only what came out valid is remembered.
#[derive(Debug)]
pub(crate) struct Verifier {
    verifier: BlockVerifier,
    signatures: Signatures,
    admitted: BTreeMap<BlockRef, VerifiedBlock>,
}

impl Verifier {
    pub(crate) fn new(genesis: Arc<Genesis>, signatures: Signatures) -> Self {
        Self { verifier: BlockVerifier::new(genesis), signatures, admitted: BTreeMap::new() }
    }

    /// Judges a block by its bytes, the first time that it is sent. A liar's is always judged in full: what it makes anew
    /// may be invalid.
    pub(crate) fn admit(&mut self, block: &VerifiedBlock, honest: bool) -> Result<VerifiedBlock, BlockError> {
        if let Some(admitted) = self.admitted.get(&block.reference()) {
            return Ok(admitted.clone());
        }
        let bytes = block.signed_bytes().clone();
        let judged = match self.signatures {
            Signatures::Skipped if honest => VerifiedBlock::from_store(bytes)?,
            _ => self.verifier.judge(bytes)?,
        };
        // Its author has named the transactions already: where the bytes say what the author's block says, all share that.
        let is_same = judged == *block && judged.block() == block.block();
        let admitted = if is_same { block.clone() } else { judged };
        self.admitted.insert(admitted.reference(), admitted.clone());
        Ok(admitted)
    }

    /// Judges bytes, whatever the switch says: nothing is known of who made them.
    pub(crate) fn judge(&self, bytes: Bytes) -> Result<VerifiedBlock, BlockError> {
        self.verifier.verify(bytes)
    }

    /// Judges a range of commits; every receiver does.
    pub(crate) fn judge_range(
        &self,
        after: ChainPoint,
        range: RangeBytes,
    ) -> Result<CertifiedRange, RangeError> {
        verify_range(&self.verifier, after, range)
    }

    /// What each receiver does besides, if judgement is not shared.
    pub(crate) fn receive(&self, blocks: &[VerifiedBlock]) {
        if self.signatures == Signatures::Each {
            for block in blocks {
                let judged = self.verifier.verify(block.signed_bytes().clone());
                debug_assert!(judged.is_ok(), "it was admitted before");
            }
        }
    }
}
