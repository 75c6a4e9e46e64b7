//! Transactions that wait to be proposed, and those proposed that wait to be committed. First come, first proposed.
//!
//! Bounded in count and counted bytes over both kinds. When full, batches are refused; nothing is evicted.

use std::collections::BTreeMap;

use crate::{
    effect::SubmitOutcome,
    params::Params,
    transaction::Transaction,
    types::{Round, TransactionDigest},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Waits under this ticket of arrival.
    Queued(u64),
    /// Stands in the own block of this round, which is not committed yet.
    Proposed(Round),
}

/// A proposed transaction with its ticket of arrival, under which it returns.
#[derive(Debug)]
struct Proposed {
    arrival: u64,
    transaction: Transaction,
}

/// The pool of one authority.
#[derive(Debug)]
pub struct Pool {
    max_transactions: usize,
    max_bytes: u64,
    bytes: u64,
    next_arrival: u64,
    queue: BTreeMap<u64, Transaction>,
    places: BTreeMap<TransactionDigest, (Place, u64)>,
    proposed: BTreeMap<Round, Vec<Proposed>>,
}

impl Pool {
    /// An empty pool under the bounds of `params`.
    pub fn new(params: &Params) -> Self {
        Self {
            max_transactions: params.max_pool_transactions,
            max_bytes: params.max_pool_bytes,
            bytes: 0,
            next_arrival: 0,
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
            proposed: BTreeMap::new(),
        }
    }

    /// Transactions in the pool, proposed ones included.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Counted bytes in the pool, proposed ones included.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a transaction waits to be proposed.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes a batch whole or refuses it whole.
    pub fn submit(&mut self, batch: Vec<Transaction>) -> SubmitOutcome {
        let mut digests = std::collections::BTreeSet::new();
        for (position, transaction) in batch.iter().enumerate() {
            let digest = transaction.digest();
            if self.places.contains_key(&digest) || !digests.insert(digest) {
                return SubmitOutcome::AlreadyPooled { position, digest };
            }
        }
        let batch_bytes = batch.iter().fold(0u64, |sum, tx| sum.saturating_add(tx.counted_bytes()));
        let (transactions, bytes) =
            (self.len().saturating_add(batch.len()), self.bytes.saturating_add(batch_bytes));
        if transactions > self.max_transactions || bytes > self.max_bytes {
            return SubmitOutcome::PoolFull {
                transactions: self.len(),
                max_transactions: self.max_transactions,
                bytes: self.bytes,
                max_bytes: self.max_bytes,
            };
        }
        for transaction in batch {
            let arrival = self.next_arrival;
            self.next_arrival = arrival.saturating_add(1);
            self.enter(&transaction, Place::Queued(arrival));
            self.queue.insert(arrival, transaction);
        }
        SubmitOutcome::Accepted
    }

    /// Takes the oldest transactions for an own block of `round`, as many as fit both limits.
    pub fn propose(&mut self, round: Round, max_transactions: usize, max_bytes: u64) -> Vec<Transaction> {
        let mut block = Vec::new();
        let mut bytes = 0u64;
        while block.len() < max_transactions {
            let Some(entry) = self.queue.first_entry() else { break };
            bytes = bytes.saturating_add(entry.get().counted_bytes());
            if bytes > max_bytes {
                break;
            }
            let (arrival, transaction) = entry.remove_entry();
            if let Some((place, _)) = self.places.get_mut(&transaction.digest()) {
                *place = Place::Proposed(round);
            }
            block.push(Proposed { arrival, transaction });
        }
        let transactions = block.iter().map(|proposed| proposed.transaction.clone()).collect();
        if !block.is_empty() {
            self.proposed.insert(round, block);
        }
        transactions
    }

    /// Takes up the transactions of an own uncommitted block after a restart.
    pub fn recover(&mut self, round: Round, transactions: &[Transaction]) {
        let mut block = Vec::new();
        for transaction in transactions {
            if !self.places.contains_key(&transaction.digest()) {
                let arrival = self.next_arrival;
                self.next_arrival = arrival.saturating_add(1);
                self.enter(transaction, Place::Proposed(round));
                block.push(Proposed { arrival, transaction: transaction.clone() });
            }
        }
        if !block.is_empty() {
            self.proposed.insert(round, block);
        }
    }

    /// Forgets a transaction that was committed, in whoever's block.
    pub fn committed(&mut self, digest: TransactionDigest) {
        if let Some((place, bytes)) = self.places.remove(&digest) {
            self.bytes = self.bytes.saturating_sub(bytes);
            if let Place::Queued(arrival) = place {
                self.queue.remove(&arrival);
            }
        }
    }

    /// Own blocks at or below `gc_round` will never be committed any more: what they held and nobody committed returns
    /// to its old place, once (T01).
    pub fn collect(&mut self, gc_round: Round) {
        let kept = self.proposed.split_off(&gc_round.next());
        for (round, block) in std::mem::replace(&mut self.proposed, kept) {
            for Proposed { arrival, transaction } in block {
                // It may have been committed, submitted again, and stand in a later block by now.
                if let Some((place, _)) = self.places.get_mut(&transaction.digest())
                    && *place == Place::Proposed(round)
                {
                    *place = Place::Queued(arrival);
                    self.queue.insert(arrival, transaction);
                }
            }
        }
    }

    fn enter(&mut self, transaction: &Transaction, place: Place) {
        let bytes = transaction.counted_bytes();
        self.bytes = self.bytes.saturating_add(bytes);
        self.places.insert(transaction.digest(), (place, bytes));
    }
}
