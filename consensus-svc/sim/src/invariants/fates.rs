//! Fates: every transaction that a node accepts meets exactly one fate there: it is in a commit that the node hands on, or the
//! node drops it and did not hand it on before (T01). What a node had accepted and not made durable when it crashed is
//! forgiven; what stood in its durable own blocks is not.
//!
//! That nothing stays without a fate is for the end to tell: [`Fates::open`] is what is owed.

use std::collections::HashSet;

use consensus_core::{Transaction, TransactionDigest};

use super::{Invariant, Record};

/// The open transactions of one node. Looked up, never walked.
#[derive(Debug, Default)]
struct Ledger {
    /// Accepted, without a fate.
    open: HashSet<TransactionDigest>,
    /// Of an earlier life: what is not found in durable own blocks is forgiven.
    suspended: HashSet<TransactionDigest>,
    /// In durable own blocks, but without an acceptance that a client heard of in time, or with a fate already: a fate may
    /// follow and none must.
    tolerated: HashSet<TransactionDigest>,
}

/// By node.
#[derive(Debug)]
pub(crate) struct Fates(Vec<Ledger>);

impl Fates {
    pub(crate) fn new(nodes: usize) -> Self {
        Self((0..nodes).map(|_| Ledger::default()).collect())
    }

    /// Accepted transactions without a fate, over all nodes.
    pub(crate) fn open(&self) -> usize {
        self.0.iter().map(|ledger| ledger.open.len()).sum()
    }
}

impl Invariant for Fates {
    fn name(&self) -> &'static str {
        "fates"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Accepted { node, transactions } => {
                let ledger = &mut self.0[*node];
                for digest in *transactions {
                    ledger.tolerated.remove(digest);
                    if !ledger.open.insert(*digest) {
                        return Err(format!("node {node} accepts {digest}, which it holds already"));
                    }
                }
            }
            Record::Delivered { node, sub_dag, .. } => {
                let ledger = &mut self.0[*node];
                for digest in sub_dag.transactions().map(Transaction::digest) {
                    let _ = ledger.open.remove(&digest) || ledger.suspended.remove(&digest);
                }
            }
            Record::Dropped { node, transactions } => {
                let ledger = &mut self.0[*node];
                for digest in *transactions {
                    if !ledger.open.remove(digest) && !ledger.tolerated.remove(digest) {
                        return Err(format!(
                            "node {node} drops {digest}, which had no open acceptance there"
                        ));
                    }
                }
            }
            Record::Crashed { node } => {
                let ledger = &mut self.0[*node];
                ledger.suspended = std::mem::take(&mut ledger.open);
                ledger.tolerated.clear();
            }
            Record::Recovered { node, transactions } => {
                let ledger = &mut self.0[*node];
                for digest in *transactions {
                    let set = if ledger.suspended.remove(digest) {
                        &mut ledger.open
                    } else {
                        &mut ledger.tolerated
                    };
                    set.insert(*digest);
                }
                ledger.suspended.clear();
            }
            _ => {}
        }
        Ok(())
    }
}
