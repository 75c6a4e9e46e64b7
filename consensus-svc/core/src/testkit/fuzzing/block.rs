//! Blocks from outside.

use bytes::Bytes;

use super::{
    choices::Choices,
    subject::{Subject, World},
};
use crate::{
    block::VerifiedBlock,
    block_verifier::BlockVerifier,
    input::{BlockSource, Input},
    types::AuthorityIndex,
};

/// Takes pieces (length in two bytes, bytes) for signed blocks: each is judged, and what is valid goes to a machine. A
/// piece that decodes is also judged with the chain and the signature set right, for no fuzzer finds a signature.
///
/// # Panics
/// If an invariant of the machine breaks, or a valid block is not what its bytes say: a bug.
pub fn block(bytes: &[u8]) {
    let world = World::of(0);
    let verifier = BlockVerifier::new(world.genesis.clone());
    let mut subject = Subject::new(&world, AuthorityIndex::new(0));
    subject.hear_all();
    let mut choices = Choices::new(bytes);
    while !choices.is_over() {
        let piece = Bytes::copy_from_slice(choices.piece());
        let mended = mend(&world, piece.clone());
        for bytes in [Some(piece), mended].into_iter().flatten() {
            let Some(block) = judge(&verifier, bytes) else { continue };
            let from = block.author();
            subject.input(Input::Blocks { from, source: BlockSource::Streamed, blocks: vec![block] });
        }
    }
}

fn judge(verifier: &BlockVerifier, bytes: Bytes) -> Option<VerifiedBlock> {
    let block = verifier.verify(bytes.clone()).ok()?;
    assert!(bytes.len() as u64 <= verifier.max_signed_bytes(), "a block over the bound is valid");
    assert_eq!(block.signed_bytes(), &bytes);
    assert!(bytes.starts_with(&block.block().canonical_bytes()), "a block has two encodings");
    let stored = VerifiedBlock::from_store(bytes).expect("what was judged is read back");
    assert_eq!((stored.reference(), stored.block()), (block.reference(), block.block()));
    Some(block)
}

/// The same content for this chain and epoch, signed by its author.
fn mend(world: &World, bytes: Bytes) -> Option<Bytes> {
    let mut block = VerifiedBlock::from_store(bytes).ok()?.block().clone();
    let signer = world.signers.get(block.author.as_usize())?;
    block.chain_id = world.genesis.chain_id();
    block.epoch = world.genesis.committee().epoch();
    Some(block.sign(signer).signed_bytes().clone())
}
