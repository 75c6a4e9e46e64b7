//! GC bound: no block at or below the GC round is committed, the GC round is the last leader's round of the last closing commit
//! minus the depth, and it never falls (protocol, From leaders to commits).

use consensus_core::Round;

use super::{Invariant, Record};

/// The GC round of the commits handed on, by node.
#[derive(Debug)]
pub(crate) struct GcBound {
    depth: u64,
    collected: Vec<Round>,
}

impl GcBound {
    pub(crate) fn new(nodes: usize, depth: u64) -> Self {
        Self { depth, collected: vec![Round::GENESIS; nodes] }
    }
}

impl Invariant for GcBound {
    fn name(&self) -> &'static str {
        "gc-bound"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Delivered { node, sub_dag, again: false, .. } => {
                let commit = &sub_dag.commit;
                let collected = self.collected[*node];
                if let Some(low) = commit.blocks.iter().find(|reference| reference.round <= collected) {
                    return Err(format!(
                        "commit {} of node {node} holds {low:?}, GC is {collected}",
                        commit.index
                    ));
                }
                if commit.closing {
                    let gc_round = commit.last_leader_round().minus(self.depth);
                    if gc_round < collected {
                        return Err(format!("commit {} of node {node} takes GC down", commit.index));
                    }
                    self.collected[*node] = gc_round;
                }
            }
            Record::Probed { node, status } => {
                let expected = status.last_committed_round.minus(self.depth);
                if status.gc_round != expected {
                    return Err(format!("GC of node {node} is {}, not {expected}", status.gc_round));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
