//! Fates: every transaction that a node accepts meets exactly one fate there: it is in a commit that the node hands on, or the
//! node drops it and did not hand it on before within the window of duplicates, or the node tells that it did (T01). What a node
//! had accepted and not made durable when it crashed is forgiven; what stood in its durable own blocks is not.
//!
//! The window is computed here a second time, by walking back from the node's last commit.
//!
//! That nothing stays without a fate is for the end to tell: [`Fates::open`] is what is owed.

use consensus_core::{CommittedSubDag, ProtocolParameters, Transaction, TransactionDigest};

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
    /// Commits handed on.
    delivered: usize,
}

impl Ledger {
    /// Ends what is owed for a transaction. False if nothing is.
    fn settle(&mut self, name: u64) -> bool {
        self.open.remove(name) || self.tolerated.remove(name)
    }
}

/// By node; and the chain, from whoever handed a commit on first.
#[derive(Debug)]
pub(crate) struct Fates {
    nodes: Vec<Ledger>,
    window_ms: u64,
    max_entries: usize,
    /// Timestamp and unmarked transactions of each commit.
    chain: Vec<(u64, Vec<u64>)>,
}

impl Fates {
    pub(crate) fn new(nodes: usize, parameters: &ProtocolParameters) -> Self {
        Self {
            nodes: (0..nodes).map(|_| Ledger::default()).collect(),
            window_ms: u64::try_from(parameters.duplicate_window.as_millis()).unwrap_or(u64::MAX),
            max_entries: usize::try_from(parameters.max_duplicate_entries).unwrap_or(usize::MAX),
            chain: Vec::new(),
        }
    }

    /// Accepted transactions without a fate, over all nodes.
    pub(crate) fn open(&self) -> usize {
        self.nodes.iter().map(|ledger| ledger.open.len()).sum()
    }

    fn note(&mut self, sub_dag: &CommittedSubDag) {
        if sub_dag.commit.index.get() == self.chain.len() as u64 + 1 {
            let names = sub_dag.unmarked_transactions().map(|transaction| name(&transaction.digest()));
            self.chain.push((sub_dag.commit.timestamp.as_millis(), names.collect()));
        }
    }

    /// How many of these are in the window after the last commit that a node handed on.
    fn committed(&self, node: usize, transactions: &[TransactionDigest]) -> usize {
        let mut names = NameSet::default();
        for digest in transactions {
            names.insert(name(digest));
        }
        let handed_on = &self.chain[..self.nodes[node].delivered];
        let newest_ms = handed_on.last().map_or(0, |(at_ms, _)| *at_ms);
        let (mut entries, mut committed) = (0, 0);
        for (at_ms, unmarked) in handed_on.iter().rev() {
            entries += unmarked.len();
            if entries > self.max_entries || at_ms + self.window_ms < newest_ms {
                break;
            }
            committed += unmarked.iter().filter(|name| names.contains(**name)).count();
        }
        committed
    }
}

impl Invariant for Fates {
    fn name(&self) -> &'static str {
        "fates"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Accepted { node, transactions } => {
                let ledger = &mut self.nodes[*node];
                for digest in *transactions {
                    ledger.tolerated.remove(name(digest));
                    if !ledger.open.insert(name(digest)) {
                        return Err(format!("node {node} accepts {digest}, which it holds already"));
                    }
                }
            }
            Record::Delivered { node, sub_dag, .. } => {
                self.note(sub_dag);
                let ledger = &mut self.nodes[*node];
                ledger.delivered = usize::try_from(sub_dag.commit.index.get()).unwrap_or(usize::MAX);
                for name in sub_dag.transactions().map(Transaction::digest).map(|digest| name(&digest)) {
                    let _ = ledger.open.remove(name) || ledger.suspended.remove(name);
                }
            }
            Record::Dropped { node, transactions } | Record::CommittedBefore { node, transactions } => {
                let expected = if matches!(record, Record::Dropped { .. }) { 0 } else { transactions.len() };
                let committed = self.committed(*node, transactions);
                if committed != expected {
                    return Err(format!(
                        "node {node} gives up {}, of which {committed} were committed there within the window and \
                         {expected} should have been",
                        transactions.len()
                    ));
                }
                let ledger = &mut self.nodes[*node];
                if let Some(digest) = transactions.iter().find(|digest| !ledger.settle(name(digest))) {
                    return Err(format!("node {node} gives up {digest}, which had no open acceptance there"));
                }
            }
            Record::Crashed { node } => {
                let ledger = &mut self.nodes[*node];
                ledger.suspended = std::mem::take(&mut ledger.open);
                ledger.tolerated.clear();
            }
            Record::Recovered { node, commits, transactions } => {
                let ledger = &mut self.nodes[*node];
                // A node that lost its store knows of no commit that an earlier life handed on.
                ledger.delivered = *commits;
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
