//! Fates: every transaction that a node accepts meets exactly one fate there: it is in a commit that the node hands on, or the
//! node drops it and did not hand it on before (T01). What a node had accepted and not made durable when it crashed is
//! forgiven; what stood in its durable own blocks is not.
//!
//! That nothing stays without a fate is for the end to tell: [`Fates::open`] is what is owed.

use consensus_core::Transaction;

use super::{Invariant, Record};
use crate::names::{NameSet, name};

/// The open transactions of one node. Looked up, never walked.
#[derive(Debug, Default)]
struct Ledger {
    /// Accepted, without a fate.
    open: NameSet,
    /// Of an earlier life: what is not found in durable own blocks is forgiven.
    suspended: NameSet,
    /// In durable own blocks, but without an acceptance that a client heard of in time, or with a fate already: a fate may
    /// follow and none must.
    tolerated: NameSet,
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
                    ledger.tolerated.remove(name(digest));
                    if !ledger.open.insert(name(digest)) {
                        return Err(format!("node {node} accepts {digest}, which it holds already"));
                    }
                }
            }
            Record::Delivered { node, sub_dag, .. } => {
                let ledger = &mut self.0[*node];
                for name in sub_dag.transactions().map(Transaction::digest).map(|digest| name(&digest)) {
                    let _ = ledger.open.remove(name) || ledger.suspended.remove(name);
                }
            }
            Record::Dropped { node, transactions } => {
                let ledger = &mut self.0[*node];
                for digest in *transactions {
                    if !ledger.open.remove(name(digest)) && !ledger.tolerated.remove(name(digest)) {
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
                    let set = if ledger.suspended.remove(name(digest)) {
                        &mut ledger.open
                    } else {
                        &mut ledger.tolerated
                    };
                    set.insert(name(digest));
                }
                ledger.suspended.clear();
            }
            _ => {}
        }
        Ok(())
    }
}
