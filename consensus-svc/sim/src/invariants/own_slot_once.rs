//! Own slot once: an honest authority signs at most one block a slot, over all its lives (protocol, Never two blocks for one
//! slot; S06).

use std::collections::BTreeMap;

use consensus_core::{BlockRef, Slot};

use super::{Invariant, Record};

/// What honest authorities let out, by slot.
#[derive(Debug, Default)]
pub(crate) struct OwnSlotOnce(BTreeMap<Slot, BlockRef>);

impl Invariant for OwnSlotOnce {
    fn name(&self) -> &'static str {
        "own-slot-once"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Sent { node, honest: true, block, .. } = record else { return Ok(()) };
        if block.author().as_usize() != *node {
            return Err(format!("node {node} lets out {block:?} as its own"));
        }
        let first = *self.0.entry(block.slot()).or_insert_with(|| block.reference());
        if first == block.reference() {
            Ok(())
        } else {
            Err(format!("node {node} signed {first:?} and {:?} for one slot", block.reference()))
        }
    }
}
