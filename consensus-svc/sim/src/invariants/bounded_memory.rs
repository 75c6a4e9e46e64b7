//! Bounded memory: DAG, waiting room and pool stay within what parameters allow, whatever others send (T06, T07).

use std::sync::Arc;

use consensus_core::{Genesis, Params};

use super::{Invariant, Record};

/// The bounds.
#[derive(Debug)]
pub(crate) struct BoundedMemory {
    nodes: u64,
    waiting_blocks: usize,
    waiting_bytes: u64,
    pooled_transactions: usize,
    pooled_bytes: u64,
}

impl BoundedMemory {
    pub(crate) fn new(genesis: &Arc<Genesis>, params: &Params) -> Self {
        Self {
            nodes: genesis.committee().size() as u64,
            waiting_blocks: params.max_waiting_blocks,
            waiting_bytes: params.max_waiting_bytes,
            pooled_transactions: params.max_pool_transactions,
            pooled_bytes: params.max_pool_bytes,
        }
    }
}

impl Invariant for BoundedMemory {
    fn name(&self) -> &'static str {
        "bounded-memory"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Probed { node, status } = record else { return Ok(()) };
        // Rounds above GC, the one in progress, and one of blocks ahead of it; each slot with one twin. A recovered pool may be
        // over its bound by what own blocks hold, which the DAG bounds.
        let rounds = status.round.get().saturating_sub(status.gc_round.get()) + 2;
        let missing_bound = (self.waiting_blocks as u64).saturating_mul(2 * self.nodes);
        // Of each author one vote an index, 500 indexes below and above the last own commit.
        let votes_bound = self.nodes.saturating_mul(1_000);
        let bounds = [
            ("votes", status.votes_held as u64, votes_bound),
            ("blocks in the DAG", status.dag_blocks as u64, rounds.saturating_mul(2 * self.nodes)),
            ("blocks in the waiting room", status.waiting_blocks as u64, self.waiting_blocks as u64),
            ("bytes in the waiting room", status.waiting_bytes, self.waiting_bytes),
            ("missing blocks", status.missing_blocks as u64, missing_bound),
            ("transactions in the pool", status.pooled_transactions as u64, self.pooled_transactions as u64),
            ("bytes in the pool", status.pooled_bytes, self.pooled_bytes),
        ];
        match bounds.into_iter().find(|(_, found, bound)| found > bound) {
            Some((what, found, bound)) => Err(format!("node {node} holds {found} {what}, at most {bound}")),
            None => Ok(()),
        }
    }
}
