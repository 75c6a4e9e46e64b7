//! Blocks that are not what they are sent for: of another content than the digest names, or not signed by their author. A digest does
//! not cover the signature.

use bytes::Bytes;
use consensus_core::{Transaction, VerifiedBlock};

use super::Byzantine;

/// The signature at the end of signed bytes.
const SIGNATURE_BYTES: usize = 64;

impl Byzantine {
    /// The block with another content: one of a liar is signed anew, so that it is valid; any other one keeps its signature.
    pub(super) fn falsify(&mut self, block: &VerifiedBlock) -> Bytes {
        self.made += 1;
        let mut content = block.block().clone();
        let mark = Transaction::new(Bytes::from(format!("content {} of {block:?}", self.made)));
        content.transactions.truncate(content.transactions.len() / 2);
        content.transactions.push(mark);
        if let Some(signer) = self.allies.get(&block.author()) {
            return content.sign(signer).signed_bytes().clone();
        }
        let signed = block.signed_bytes();
        let signature = signed.slice(signed.len().saturating_sub(SIGNATURE_BYTES)..);
        Bytes::from([content.canonical_bytes(), signature.to_vec()].concat())
    }

    /// The very block, with one bit of its signature flipped.
    pub(super) fn unsign(&mut self, block: &VerifiedBlock) -> Bytes {
        let mut bytes = block.signed_bytes().to_vec();
        let bit = self.rng.place(SIGNATURE_BYTES * 8);
        let place = bytes.len().saturating_sub(SIGNATURE_BYTES) + bit / 8;
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << (bit % 8);
        }
        Bytes::from(bytes)
    }
}
