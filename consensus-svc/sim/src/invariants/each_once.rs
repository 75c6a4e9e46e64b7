//! Each once: over all its lives a node hands on each commit once and without a hole (D01, D02, D08), and a block stands in one
//! commit only (protocol, From leaders to commits).
//!
//! A node whose store was replaced by an older copy forms commits again that its reader has; those are compared and
//! dropped (D09), and must not go on past the reader with a hole.

use std::collections::BTreeSet;

use consensus_core::BlockRef;

use super::{Invariant, Record};

/// The last index by node, and the blocks of the longest chain.
#[derive(Debug)]
pub(crate) struct EachOnce {
    last: Vec<u64>,
    chain: u64,
    committed: BTreeSet<BlockRef>,
}

impl EachOnce {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { last: vec![0; nodes], chain: 0, committed: BTreeSet::new() }
    }
}

impl Invariant for EachOnce {
    fn name(&self) -> &'static str {
        "each-once"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Delivered { node, sub_dag, again, .. } = record else { return Ok(()) };
        let index = sub_dag.commit.index.get();
        let expected = self.last[*node] + 1;
        if index != expected && !(*again && index < expected) {
            return Err(format!("node {node} hands on commit {index} where {expected} is next"));
        }
        self.last[*node] = index.max(expected - 1);
        if index == self.chain + 1 {
            self.chain = index;
            for reference in &sub_dag.commit.blocks {
                if !self.committed.insert(*reference) {
                    return Err(format!("commit {index} holds {reference:?}, which was committed before"));
                }
            }
        }
        Ok(())
    }
}
