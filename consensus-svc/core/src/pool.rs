//! Transactions that wait to be proposed, and those proposed that wait to be committed. First come, first proposed.
//!
//! Bounded in count and counted bytes over both kinds. When full, batches are refused; nothing is evicted.
//!
//! Every transaction that is taken leaves in one of two ways: it is committed, in whoever's block, or it is dropped because
//! its lifetime is over. The lifetime is judged only where the transaction waits: in the queue ([`Pool::expire`]), and when its
//! block is collected uncommitted ([`Pool::collect`], T01). What stands in an own block that is neither committed nor
//! collected is never dropped, since it may still be committed. Its payload is held until it leaves.

mod records;

use std::{collections::BTreeMap, time::Duration};

use self::records::{Pooled, Record, RecordId, Records};
use crate::{
    effect::SubmitOutcome,
    params::Params,
    transaction::Transaction,
    types::{Round, Timestamp, TransactionDigest},
};

/// The pool of one authority.
#[derive(Debug)]
pub struct Pool {
    max_transactions: usize,
    max_bytes: u64,
    lifetime: Duration,
    transactions: usize,
    bytes: u64,
    /// What left by being committed, since the start.
    committed_total: u64,
    next_arrival: u64,
    /// By ticket of arrival.
    queue: BTreeMap<u64, RecordId>,
    /// What own blocks hold that are not collected, each once a block. A record lives as long as it stands in one.
    proposed: BTreeMap<Round, Vec<RecordId>>,
    records: Records,
}

impl Pool {
    /// An empty pool under the bounds of `params`.
    pub fn new(params: &Params) -> Self {
        Self {
            max_transactions: params.max_pool_transactions,
            max_bytes: params.max_pool_bytes,
            lifetime: params.transaction_lifetime,
            transactions: 0,
            bytes: 0,
            committed_total: 0,
            next_arrival: 0,
            queue: BTreeMap::new(),
            proposed: BTreeMap::new(),
            records: Records::default(),
        }
    }

    /// Transactions in the pool, proposed ones included.
    pub const fn len(&self) -> usize {
        self.transactions
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.transactions == 0
    }

    /// Counted bytes in the pool, proposed ones included.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Transactions that left the pool by being committed since the start, in whoever's block. Those that are dropped do not count,
    /// nor those that others took and committed.
    pub const fn committed_total(&self) -> u64 {
        self.committed_total
    }

    /// Whether a transaction waits to be proposed.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Every transaction in the pool, proposed ones included, in no order that means anything.
    pub fn digests(&self) -> impl Iterator<Item = TransactionDigest> {
        let record = |id: &RecordId| self.records.get(*id);
        let queued = self.queue.values().filter_map(record);
        let proposed = self.proposed.iter().flat_map(move |(round, block)| {
            block.iter().filter_map(record).filter(|record| is_proposed(record, *round))
        });
        queued.chain(proposed).map(|record| record.digest)
    }

    /// Takes a batch whole or refuses it whole. `now` never goes back from call to call.
    pub fn submit(&mut self, now: Timestamp, batch: Vec<Transaction>) -> SubmitOutcome {
        let arrivals = self.next_arrival..;
        let mut bytes = self.bytes;
        let mut entered = Vec::with_capacity(batch.len());
        self.records.approach(&batch);
        // Entered first, which also finds what stands twice in the batch, and taken back if the batch is refused.
        for ((position, transaction), arrival) in batch.into_iter().enumerate().zip(arrivals.clone()) {
            let (digest, counted_bytes) = (transaction.digest(), transaction.counted_bytes());
            let id = self.records.find_or_enter(digest);
            let Some(record) = self.records.get_mut(id).filter(|record| record.pooled.is_none()) else {
                self.take_back(entered);
                return SubmitOutcome::AlreadyPooled { position, digest };
            };
            record.pooled = Some(Pooled { transaction, arrival, taken: now, is_proposed: false });
            bytes = bytes.saturating_add(counted_bytes);
            entered.push(id);
        }
        let transactions = self.transactions.saturating_add(entered.len());
        if transactions > self.max_transactions || bytes > self.max_bytes {
            self.take_back(entered);
            return SubmitOutcome::PoolFull {
                transactions: self.transactions,
                max_transactions: self.max_transactions,
                bytes: self.bytes,
                max_bytes: self.max_bytes,
            };
        }
        self.transactions = transactions;
        self.bytes = bytes;
        self.next_arrival = self.next_arrival.saturating_add(entered.len() as u64);
        self.queue.extend(arrivals.zip(entered));
        SubmitOutcome::Accepted
    }

    /// Takes the oldest transactions for an own block of `round`, as many as fit both limits. Rounds rise from call to call.
    pub fn propose(&mut self, round: Round, max_transactions: usize, max_bytes: u64) -> Vec<Transaction> {
        let mut transactions = Vec::new();
        let mut block = Vec::new();
        let mut bytes = 0u64;
        while transactions.len() < max_transactions {
            let Some(first) = self.queue.first_entry() else { break };
            let Some(record) = self.records.get_mut(*first.get()) else { break };
            let Some(pooled) = record.pooled.as_mut() else { break };
            bytes = bytes.saturating_add(pooled.transaction.counted_bytes());
            if bytes > max_bytes {
                break;
            }
            pooled.is_proposed = true;
            record.standing = Some(round);
            transactions.push(pooled.transaction.clone());
            block.push(first.remove());
        }
        if !block.is_empty() {
            self.proposed.insert(round, block);
        }
        transactions
    }

    /// Takes up the transactions of an own uncommitted block after a restart, blocks in rising rounds and before anything is
    /// submitted. `taken` is the latest that they can have been taken at: the block's timestamp, or now if that is earlier.
    pub fn recover(
        &mut self,
        round: Round,
        taken: Timestamp,
        transactions: impl IntoIterator<Item = Transaction>,
    ) {
        let mut block = Vec::new();
        for transaction in transactions {
            let counted_bytes = transaction.counted_bytes();
            let id = self.records.find_or_enter(transaction.digest());
            let Some(record) = self.records.get_mut(id) else { continue };
            // Of two in one block the first counts; of two blocks the higher one, which is collected last.
            if record.standing.replace(round) == Some(round) {
                continue;
            }
            let arrival = self.next_arrival;
            self.next_arrival = arrival.saturating_add(1);
            if record.pooled.is_none() {
                self.transactions = self.transactions.saturating_add(1);
                self.bytes = self.bytes.saturating_add(counted_bytes);
            }
            record.pooled = Some(Pooled { transaction, arrival, taken, is_proposed: true });
            block.push(id);
        }
        if !block.is_empty() {
            self.proposed.insert(round, block);
        }
    }

    /// Forgets a transaction that was committed, in whoever's block.
    pub fn committed(&mut self, digest: TransactionDigest) {
        let Some(id) = self.records.find(&digest) else { return };
        let Some(pooled) = self.leave(id) else { return };
        self.committed_total = self.committed_total.saturating_add(1);
        if !pooled.is_proposed {
            self.queue.remove(&pooled.arrival);
        }
    }

    /// As [`Pool::committed`], for all of a commit.
    pub(crate) fn all_committed<'a>(&mut self, transactions: impl Iterator<Item = &'a Transaction> + Clone) {
        self.records.approach(transactions.clone());
        for transaction in transactions {
            self.committed(transaction.digest());
        }
    }

    /// Own blocks at or below `gc_round` will never be committed any more: what they held and nobody committed returns
    /// to its old place, once (T01); what is past its lifetime by `now` is dropped instead, and answered.
    pub fn collect(&mut self, now: Timestamp, gc_round: Round) -> Vec<TransactionDigest> {
        let mut dropped = Vec::new();
        let kept = self.proposed.split_off(&gc_round.next());
        for (round, block) in std::mem::replace(&mut self.proposed, kept) {
            self.records.approach_again(&block);
            for id in block {
                let Some(record) = self.records.get_mut(id) else { continue };
                // It may have been committed, submitted again, and stand in a later block by now.
                if record.standing != Some(round) {
                    continue;
                }
                record.standing = None;
                match &mut record.pooled {
                    Some(pooled) if pooled.is_proposed && pooled.taken.plus(self.lifetime) <= now => {
                        dropped.push(record.digest);
                        self.leave(id);
                    }
                    Some(pooled) if pooled.is_proposed => {
                        pooled.is_proposed = false;
                        self.queue.insert(pooled.arrival, id);
                    }
                    Some(_) => {}
                    None => self.records.release(id),
                }
            }
        }
        dropped
    }

    /// Drops what waits in the queue and is past its lifetime by `now`, oldest first. What also stands in an own block that is
    /// not collected, because it was submitted again after it had been committed, is left until then.
    pub fn expire(&mut self, now: Timestamp) -> Vec<TransactionDigest> {
        let queued = self.queue.iter().map(|(arrival, id)| (*arrival, *id, self.records.get(*id)));
        let old =
            queued.take_while(|(.., record)| record.and_then(|record| self.expiry(record)) <= Some(now));
        let dropped: Vec<_> = old
            .filter_map(|(arrival, id, record)| Some((arrival, id, record?)))
            .filter(|(.., record)| record.standing.is_none())
            .map(|(arrival, id, record)| (arrival, id, record.digest))
            .collect();
        for (arrival, id, _) in &dropped {
            self.queue.remove(arrival);
            self.leave(*id);
        }
        dropped.into_iter().map(|(.., digest)| digest).collect()
    }

    /// When [`Pool::expire`] will drop something, unless it is proposed before.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let mut queued = self.queue.values().filter_map(|id| self.records.get(*id));
        queued.find(|record| record.standing.is_none()).and_then(|record| self.expiry(record))
    }

    fn expiry(&self, record: &Record) -> Option<Timestamp> {
        record.pooled.as_ref().map(|pooled| pooled.taken.plus(self.lifetime))
    }

    /// Takes a transaction out of the count; its place in the queue is the caller's.
    fn leave(&mut self, id: RecordId) -> Option<Pooled> {
        let pooled = self.records.get_mut(id)?.pooled.take()?;
        self.transactions = self.transactions.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(pooled.transaction.counted_bytes());
        self.records.release(id);
        Some(pooled)
    }

    /// Forgets what a refused batch has entered.
    fn take_back(&mut self, entered: Vec<RecordId>) {
        for id in entered {
            if let Some(record) = self.records.get_mut(id) {
                record.pooled = None;
            }
            self.records.release(id);
        }
    }
}

/// Whether a transaction stands in the own block of `round`, nowhere later, and is neither committed nor dropped.
fn is_proposed(record: &Record, round: Round) -> bool {
    record.standing == Some(round) && record.pooled.as_ref().is_some_and(|pooled| pooled.is_proposed)
}
