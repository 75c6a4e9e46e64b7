//! Transactions, and how many of them went which way.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use bytes::{BufMut, Bytes, BytesMut};
use consensus_core::{CommittedSubDag, SubmitOutcome, Ticket, Transaction, TransactionDigest};

use crate::{downstream::Downstream, plan::Load, rng::Rng};

/// Batches that may be sent again.
const RECENT_BATCHES: usize = 60;

/// Submits transactions to honest nodes, and counts what became of them.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) load: Load,
    rng: Rng,
    /// May make the transactions instead.
    downstream: Rc<RefCell<dyn Downstream>>,
    made: u64,
    next_ticket: u64,
    pending: BTreeMap<Ticket, Vec<TransactionDigest>>,
    pub(crate) committed: u64,
    /// The last batches, sometimes sent again, mostly to another node (T02).
    recent: VecDeque<Batch>,
    /// Marked as duplicates in the longest chain.
    pub(crate) duplicates: u64,
    /// Given up by a node that had accepted them.
    pub(crate) dropped: u64,
}

/// The bytes of a batch. Named when it is sent: hardly any is sent again, and a copy of each name would cost more.
#[derive(Debug)]
struct Batch {
    /// Made by what is behind the nodes.
    given: Vec<Bytes>,
    /// All others, parts of one buffer, as those of one request are.
    buffer: Bytes,
    /// Bytes of each of these.
    size: usize,
}

impl Batch {
    fn transactions(&self) -> Vec<Transaction> {
        let parts = (0..self.buffer.len()).step_by(self.size);
        let parts = parts.map(|start| self.buffer.slice(start..start + self.size));
        self.given.iter().cloned().chain(parts).map(Transaction::new).collect()
    }
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
            committed: 0,
            recent: VecDeque::new(),
            duplicates: 0,
            dropped: 0,
        }
    }

    /// A batch of so many new transactions; one in fifty is a recent one again.
    pub(crate) fn batch(&mut self, count: u64) -> (Ticket, Vec<Transaction>) {
        if !self.recent.is_empty() && self.rng.chance(2_000) {
            let again = self.recent[self.rng.place(self.recent.len())].transactions();
            return self.enter(again);
        }
        let batch = self.make(count);
        let transactions = batch.transactions();
        self.recent.push_back(batch);
        if self.recent.len() > RECENT_BATCHES {
            self.recent.pop_front();
        }
        self.enter(transactions)
    }

    fn enter(&mut self, batch: Vec<Transaction>) -> (Ticket, Vec<Transaction>) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.pending.insert(ticket, batch.iter().map(Transaction::digest).collect());
        (ticket, batch)
    }

    /// One new transaction.
    pub(crate) fn fresh(&mut self) -> (Ticket, Vec<Transaction>) {
        let batch = self.make(1);
        self.enter(batch.transactions())
    }

    /// New transactions.
    fn make(&mut self, count: u64) -> Batch {
        let size = usize::try_from(self.load.size_bytes.max(16)).unwrap_or(16);
        let mut buffer = BytesMut::new();
        let mut given = Vec::new();
        for left in (1..=count).rev() {
            self.made += 1;
            let random = self.rng.draw();
            if let Some(bytes) = self.downstream.borrow_mut().transaction(random) {
                given.push(bytes);
                continue;
            }
            if buffer.is_empty() {
                buffer.reserve(usize::try_from(left).unwrap_or(1) * size);
            }
            let start = buffer.len();
            buffer.put_u64_le(self.made);
            buffer.put_u64_le(random);
            buffer.resize(start + size, 0);
        }
        Batch { given, buffer: buffer.freeze(), size }
    }

    /// An answer has come: the transactions that it accepts.
    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: SubmitOutcome) -> Vec<TransactionDigest> {
        let digests = self.pending.remove(&ticket).unwrap_or_default();
        if outcome == SubmitOutcome::Accepted { digests } else { Vec::new() }
    }

    /// A commit was handed on for the first time.
    pub(crate) fn commit(&mut self, sub_dag: &CommittedSubDag) {
        let all = sub_dag.transactions().count() as u64;
        self.committed += all;
        self.duplicates += all - sub_dag.unmarked_transactions().count() as u64;
    }
}
