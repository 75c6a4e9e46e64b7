//! Transactions that wait to be proposed, and those proposed that wait to be committed. First come, first proposed.
//!
//! Bounded in count and counted bytes over both kinds. When full, batches are refused; nothing is evicted.
//!
//! Every transaction that is taken leaves in one of two ways: it is committed, in whoever's block, or it is dropped because
//! its lifetime is over. The lifetime is judged only where the transaction waits: in the queue ([`Pool::expire`]), and when its
//! block is collected uncommitted ([`Pool::collect`], T01). What stands in an own block that is neither committed nor
//! collected is never dropped, since it may still be committed.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    digest_map::DigestMap,
    effect::SubmitOutcome,
    params::Params,
    transaction::Transaction,
    types::{Round, Timestamp, TransactionDigest},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Waits under this ticket of arrival.
    Queued(u64),
    /// Stands in the own block of this round, which is not committed yet.
    Proposed(Round),
}

/// A transaction that waits to be proposed, or returns to that.
#[derive(Debug)]
struct Waiting {
    transaction: Transaction,
    /// When it was taken: the lifetime counts from here. Rises with the ticket of arrival.
    taken: Timestamp,
}

/// A proposed transaction with its ticket of arrival, under which it returns.
#[derive(Debug)]
struct Proposed {
    arrival: u64,
    waiting: Waiting,
}

/// The pool of one authority.
#[derive(Debug)]
pub struct Pool {
    max_transactions: usize,
    max_bytes: u64,
    lifetime: Duration,
    bytes: u64,
    next_arrival: u64,
    queue: BTreeMap<u64, Waiting>,
    places: DigestMap<(Place, u64)>,
    proposed: BTreeMap<Round, Vec<Proposed>>,
    /// The highest own block that is not collected, of each transaction in one. Bounded by what these blocks hold.
    standing: DigestMap<Round>,
}

impl Pool {
    /// An empty pool under the bounds of `params`.
    pub fn new(params: &Params) -> Self {
        Self {
            max_transactions: params.max_pool_transactions,
            max_bytes: params.max_pool_bytes,
            lifetime: params.transaction_lifetime,
            bytes: 0,
            next_arrival: 0,
            queue: BTreeMap::new(),
            places: DigestMap::default(),
            proposed: BTreeMap::new(),
            standing: DigestMap::default(),
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

    /// Every transaction in the pool, proposed ones included, in no order that means anything.
    pub fn digests(&self) -> impl Iterator<Item = TransactionDigest> {
        let queued = self.queue.values().map(|waiting| waiting.transaction.digest());
        let proposed = self.proposed.iter().flat_map(|(round, block)| {
            let digests = block.iter().map(|proposed| proposed.waiting.transaction.digest());
            digests.filter(|digest| self.is_proposed(digest, *round))
        });
        queued.chain(proposed)
    }

    /// Takes a batch whole or refuses it whole. `now` never goes back from call to call.
    pub fn submit(&mut self, now: Timestamp, batch: Vec<Transaction>) -> SubmitOutcome {
        let arrivals = self.next_arrival..;
        let mut bytes = self.bytes;
        // Entered first, which also finds what stands twice in the batch, and taken back if the batch is refused.
        for ((position, transaction), arrival) in batch.iter().enumerate().zip(arrivals.clone()) {
            let (digest, counted_bytes) = (transaction.digest(), transaction.counted_bytes());
            if !self.places.insert(digest, (Place::Queued(arrival), counted_bytes)) {
                self.take_back(batch.iter().take(position));
                return SubmitOutcome::AlreadyPooled { position, digest };
            }
            bytes = bytes.saturating_add(counted_bytes);
        }
        if self.len() > self.max_transactions || bytes > self.max_bytes {
            self.take_back(batch.iter());
            return SubmitOutcome::PoolFull {
                transactions: self.len(),
                max_transactions: self.max_transactions,
                bytes: self.bytes,
                max_bytes: self.max_bytes,
            };
        }
        self.bytes = bytes;
        self.next_arrival = self.next_arrival.saturating_add(batch.len() as u64);
        let waiting = batch.into_iter().map(|transaction| Waiting { transaction, taken: now });
        self.queue.extend(arrivals.zip(waiting));
        SubmitOutcome::Accepted
    }

    /// Takes the oldest transactions for an own block of `round`, as many as fit both limits.
    pub fn propose(&mut self, round: Round, max_transactions: usize, max_bytes: u64) -> Vec<Transaction> {
        let mut block = Vec::new();
        let mut bytes = 0u64;
        while block.len() < max_transactions {
            let Some(entry) = self.queue.first_entry() else { break };
            bytes = bytes.saturating_add(entry.get().transaction.counted_bytes());
            if bytes > max_bytes {
                break;
            }
            let (arrival, waiting) = entry.remove_entry();
            let digest = waiting.transaction.digest();
            if let Some((place, _)) = self.places.get_mut(&digest) {
                *place = Place::Proposed(round);
            }
            self.stand(digest, round);
            block.push(Proposed { arrival, waiting });
        }
        let transactions = block.iter().map(|proposed| proposed.waiting.transaction.clone()).collect();
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
            let digest = transaction.digest();
            self.stand(digest, round);
            let arrival = self.next_arrival;
            self.next_arrival = arrival.saturating_add(1);
            match self.places.get_mut(&digest) {
                // The higher block is collected last.
                Some((place, _)) => *place = Place::Proposed(round),
                None => self.enter(&transaction, Place::Proposed(round)),
            }
            block.push(Proposed { arrival, waiting: Waiting { transaction, taken } });
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
    /// to its old place, once (T01); what is past its lifetime by `now` is dropped instead, and answered.
    pub fn collect(&mut self, now: Timestamp, gc_round: Round) -> Vec<TransactionDigest> {
        let mut dropped = Vec::new();
        let kept = self.proposed.split_off(&gc_round.next());
        for (round, block) in std::mem::replace(&mut self.proposed, kept) {
            for Proposed { arrival, waiting } in block {
                let digest = waiting.transaction.digest();
                if self.standing.get(&digest).is_some_and(|highest| *highest <= gc_round) {
                    self.standing.remove(&digest);
                }
                // It may have been committed, submitted again, and stand in a later block by now.
                if !self.is_proposed(&digest, round) {
                    continue;
                }
                if self.expiry(&waiting) <= now {
                    self.leave(&digest);
                    dropped.push(digest);
                    continue;
                }
                if let Some((place, _)) = self.places.get_mut(&digest) {
                    *place = Place::Queued(arrival);
                }
                self.queue.insert(arrival, waiting);
            }
        }
        dropped
    }

    /// Drops what waits in the queue and is past its lifetime by `now`, oldest first. What also stands in an own block that is
    /// not collected, because it was submitted again after it had been committed, is left until then.
    pub fn expire(&mut self, now: Timestamp) -> Vec<TransactionDigest> {
        let old = self.queue.iter().take_while(|(_, waiting)| self.expiry(waiting) <= now);
        let dropped: Vec<_> = old
            .map(|(arrival, waiting)| (*arrival, waiting.transaction.digest()))
            .filter(|(_, digest)| !self.standing.contains(digest))
            .collect();
        for (arrival, digest) in &dropped {
            self.queue.remove(arrival);
            self.leave(digest);
        }
        dropped.into_iter().map(|(_, digest)| digest).collect()
    }

    /// When [`Pool::expire`] will drop something, unless it is proposed before.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let mut queued = self.queue.values();
        let next = queued.find(|waiting| !self.standing.contains(&waiting.transaction.digest()))?;
        Some(self.expiry(next))
    }

    fn expiry(&self, waiting: &Waiting) -> Timestamp {
        waiting.taken.plus(self.lifetime)
    }

    fn leave(&mut self, digest: &TransactionDigest) {
        if let Some((_, bytes)) = self.places.remove(digest) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// Whether a transaction stands in the own block of `round` and nowhere later.
    fn is_proposed(&self, digest: &TransactionDigest, round: Round) -> bool {
        self.places.get(digest).is_some_and(|(place, _)| *place == Place::Proposed(round))
    }

    fn stand(&mut self, digest: TransactionDigest, round: Round) {
        match self.standing.get_mut(&digest) {
            Some(highest) => *highest = round,
            None => {
                self.standing.insert(digest, round);
            }
        }
    }

    fn take_back<'a>(&mut self, refused: impl Iterator<Item = &'a Transaction>) {
        for transaction in refused {
            self.places.remove(&transaction.digest());
        }
    }

    fn enter(&mut self, transaction: &Transaction, place: Place) {
        let bytes = transaction.counted_bytes();
        self.bytes = self.bytes.saturating_add(bytes);
        self.places.insert(transaction.digest(), (place, bytes));
    }
}
