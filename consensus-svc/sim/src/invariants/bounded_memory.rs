//! Bounded memory: DAG, waiting room and pool stay within what parameters allow, whatever others send (T06, T07).

use std::sync::Arc;

use consensus_core::{Genesis, MAX_UNPERSISTED_BLOCKS, MAX_UNPERSISTED_BYTES, Params};

use super::{Invariant, Record};

/// Most rounds that the clock moves on beyond the one whose leader closes a commit: what deciding a leader takes, and what
/// storms, liars and a node's own lag add to it (5 were seen). Without a limit, a GC that stalls would be within any bound.
const ROUNDS_TO_COMMIT: u64 = 20;

/// The bounds.
#[derive(Debug)]
pub(crate) struct BoundedMemory {
    nodes: u64,
    /// Most rounds from the GC round to the clock, while commits come.
    rounds: u64,
    waiting_blocks: usize,
    waiting_bytes: u64,
    pooled_transactions: usize,
    pooled_bytes: u64,
}

impl BoundedMemory {
    pub(crate) fn new(genesis: &Arc<Genesis>, params: &Params) -> Self {
        let parameters = genesis.parameters();
        Self {
            nodes: genesis.committee().size() as u64,
            rounds: parameters.gc_depth + parameters.heartbeat_rounds + ROUNDS_TO_COMMIT,
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
        // Rounds above GC, the one in progress, and one of blocks ahead of it; each slot with one twin: honest authors leave room
        // for the chains of twins that liars drag in. A recovered pool may be over its bound by what own blocks hold, which the
        // DAG bounds.
        let rounds = status.round.get().saturating_sub(status.gc_round.get());
        let dag_bound = (rounds.min(self.rounds) + 2).saturating_mul(2 * self.nodes);
        let missing_bound = (self.waiting_blocks as u64).saturating_mul(self.nodes);
        // At most 16 that are not overdue.
        let (fetches, fetches_bound) = (status.fetches.under_way as u64, 16);
        // Of each author one vote an index, 500 indexes below and above the last own commit.
        let votes_bound = self.nodes.saturating_mul(1_000);
        // Of each author 64 open ones; own roots that wait for an agreed one, and for a block.
        let roots_bound = 64 * self.nodes + 64 + 100;
        let bounds = [
            ("votes for roots", status.root_votes_held as u64, roots_bound),
            ("votes", status.votes_held as u64, votes_bound),
            ("rounds above the GC round", rounds, self.rounds),
            ("blocks in the DAG", status.dag_blocks as u64, dag_bound),
            ("fetches under way", fetches, fetches_bound),
            ("blocks in no batch", status.unpersisted_blocks as u64, MAX_UNPERSISTED_BLOCKS as u64),
            ("bytes in no batch", status.unpersisted_bytes, MAX_UNPERSISTED_BYTES),
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
