//! What stands behind the consensus of each honest node, where a run is to show more than consensus.
//!
//! The world knows nothing of executors. It tells of each node's lives, hands on every commit once it is durable, and lets
//! whoever listens make the transactions; everything it tells depends on the plan alone.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use consensus_core::{CommittedSubDag, Genesis};

/// Stands behind the honest nodes of a world, each named by its place, from 0. Time is virtual, in milliseconds from the
/// start of the run, and never goes back from one call to the next.
pub trait Downstream: fmt::Debug {
    /// Before anything else: what the network starts from.
    fn starts(&mut self, genesis: &Arc<Genesis>);

    /// The bytes of the next transaction that a client submits, from a random number of the run; at least 1, at most
    /// `max_transaction_bytes`. `None` takes the world's own. Bytes that repeat are taken for the same transaction.
    fn transaction(&mut self, random: u64) -> Option<Bytes> {
        let _ = random;
        None
    }

    /// A life of a node begins. Its log ends at commit `log_end`; 0 is an empty log.
    fn begins(&mut self, at_ms: u64, node: usize, log_end: u64);

    /// The life of a node ends: what it had in memory is lost, and so are its connections.
    fn dies(&mut self, at_ms: u64, node: usize);

    /// A commit of a node's log, durable: each index once and in order over all its lives. A node whose store was replaced by an
    /// older one hands on again what it commits again.
    fn delivered(&mut self, at_ms: u64, node: usize, sub_dag: &CommittedSubDag);

    /// Time has passed.
    fn passes(&mut self, at_ms: u64);
}

/// Nothing stands behind.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Downstream for Nothing {
    fn starts(&mut self, _: &Arc<Genesis>) {}

    fn begins(&mut self, _: u64, _: usize, _: u64) {}

    fn dies(&mut self, _: u64, _: usize) {}

    fn delivered(&mut self, _: u64, _: usize, _: &CommittedSubDag) {}

    fn passes(&mut self, _: u64) {}
}
