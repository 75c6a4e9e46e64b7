//! Transactions, and what became of them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use bytes::Bytes;
use consensus_core::{CommittedSubDag, SubmitOutcome, Ticket, Transaction, TransactionDigest};

use crate::{downstream::Downstream, plan::Load, rng::Rng};

/// Batches that may be sent again.
const RECENT_BATCHES: usize = 60;

/// Submits transactions to honest nodes, and remembers what was accepted and not committed yet.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) load: Load,
    rng: Rng,
    /// May make the transactions instead.
    downstream: Rc<RefCell<dyn Downstream>>,
    made: u64,
    next_ticket: u64,
    pending: BTreeMap<Ticket, Vec<TransactionDigest>>,
    /// Committed by anybody: a node that accepts one of these late owes nothing.
    done: BTreeSet<TransactionDigest>,
    /// Accepted, not committed: by whom, in which of its lives.
    owed: BTreeMap<TransactionDigest, (usize, u64)>,
    pub(crate) committed: u64,
    /// The last batches, sometimes sent again, mostly to another node (T02).
    recent: VecDeque<Vec<Transaction>>,
    /// Marked as duplicates in the longest chain.
    pub(crate) duplicates: u64,
}

impl Workload {
    pub(crate) fn new(load: Load, rng: Rng, downstream: Rc<RefCell<dyn Downstream>>) -> Self {
        Self {
            load,
            rng,
            downstream,
            made: 0,
            next_ticket: 0,
            pending: BTreeMap::new(),
            done: BTreeSet::new(),
            owed: BTreeMap::new(),
            committed: 0,
            recent: VecDeque::new(),
            duplicates: 0,
        }
    }

    /// A batch of so many new transactions; one in fifty is a recent one again.
    pub(crate) fn batch(&mut self, count: u64) -> (Ticket, Vec<Transaction>) {
        if !self.recent.is_empty() && self.rng.chance(2_000) {
            let again = self.recent[self.rng.place(self.recent.len())].clone();
            return self.enter(again);
        }
        let batch: Vec<_> = (0..count).map(|_| self.make()).collect();
        self.recent.push_back(batch.clone());
        if self.recent.len() > RECENT_BATCHES {
            self.recent.pop_front();
        }
        self.enter(batch)
    }

    fn enter(&mut self, batch: Vec<Transaction>) -> (Ticket, Vec<Transaction>) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.pending.insert(ticket, batch.iter().map(Transaction::digest).collect());
        (ticket, batch)
    }

    /// One new transaction.
    pub(crate) fn fresh(&mut self) -> (Ticket, Vec<Transaction>) {
        let batch = vec![self.make()];
        self.enter(batch)
    }

    fn make(&mut self) -> Transaction {
        self.made += 1;
        let random = self.rng.draw();
        if let Some(bytes) = self.downstream.borrow_mut().transaction(random) {
            return Transaction::new(bytes);
        }
        let size = usize::try_from(self.load.size_bytes.max(16)).unwrap_or(16);
        let mut bytes = vec![0u8; size];
        bytes[..8].copy_from_slice(&self.made.to_le_bytes());
        bytes[8..16].copy_from_slice(&random.to_le_bytes());
        Transaction::new(Bytes::from(bytes))
    }

    /// An answer has come to a node in one of its lives.
    pub(crate) fn answer(&mut self, node: usize, life: u64, ticket: Ticket, outcome: SubmitOutcome) {
        let Some(digests) = self.pending.remove(&ticket) else { return };
        if outcome == SubmitOutcome::Accepted {
            let open = digests.into_iter().filter(|digest| !self.done.contains(digest));
            self.owed.extend(open.map(|digest| (digest, (node, life))));
        }
    }

    /// A commit was handed on for the first time.
    pub(crate) fn commit(&mut self, sub_dag: &CommittedSubDag) {
        let before = self.committed;
        for transaction in sub_dag.transactions() {
            self.committed += 1;
            self.owed.remove(&transaction.digest());
            self.done.insert(transaction.digest());
        }
        self.duplicates += self.committed - before - sub_dag.unmarked_transactions().count() as u64;
    }

    /// A crash ends a life: what it had accepted and not made durable may be lost.
    pub(crate) fn forgive(&mut self, node: usize) {
        self.owed.retain(|_, (holder, _)| *holder != node);
    }

    /// How many transactions a node of an unbroken life still owes.
    pub(crate) fn owed(&self) -> usize {
        self.owed.len()
    }
}
