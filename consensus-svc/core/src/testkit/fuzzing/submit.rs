//! Transactions of clients.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    choices::Choices,
    subject::{Subject, World, params},
};
use crate::{
    effect::{Effect, SubmitOutcome},
    input::{Input, Ticket},
    transaction::Transaction,
    types::{AuthorityIndex, TransactionDigest},
};

/// Reads bytes as batches for a lone authority, with time between them. Of every batch it is known beforehand what must
/// become of it; nothing accepted is lost, and the pool is accounted for to the byte.
///
/// # Panics
/// If an answer or the account is wrong: a bug.
pub fn submit(bytes: &[u8]) {
    let world = World::of(World::LONE);
    let mut subject = Subject::new(&world, AuthorityIndex::new(0));
    let mut pool = Account {
        limit_bytes: u64::from(world.genesis.parameters().max_transaction_bytes),
        held: BTreeMap::new(),
    };
    let mut choices = Choices::new(bytes);
    let mut ticket = 0u64;
    while !choices.is_over() {
        subject.now = subject.now.plus(Duration::from_millis(u64::from(choices.byte())));
        let count = choices.below(8);
        let effects = if count == 7 {
            subject.input(Input::Tick)
        } else {
            ticket = ticket.saturating_add(1);
            let transactions: Vec<_> = (0..count).map(|_| transaction(&mut choices)).collect();
            let expected = pool.expect(&transactions);
            let accepted: Vec<_> = if expected == SubmitOutcome::Accepted {
                transactions.iter().map(|tx| (tx.digest(), tx.counted_bytes())).collect()
            } else {
                Vec::new()
            };
            pool.held.extend(accepted);
            let effects = subject.input(Input::Transactions { ticket: Ticket(ticket), transactions });
            let answers: Vec<_> = effects.iter().filter_map(answer).collect();
            assert_eq!(answers, [(Ticket(ticket), expected)]);
            effects
        };
        pool.take(&effects);
        let status = subject.status();
        let held = (pool.held.len(), pool.bytes());
        assert_eq!((status.pooled_transactions, status.pooled_bytes), held, "the pool is not accounted for");
    }
}

fn answer(effect: &Effect) -> Option<(Ticket, SubmitOutcome)> {
    match effect {
        Effect::Answer { ticket, outcome } => Some((*ticket, *outcome)),
        _ => None,
    }
}

/// What the pool must hold: accepted and not committed, with counted bytes.
struct Account {
    limit_bytes: u64,
    held: BTreeMap<TransactionDigest, u64>,
}

impl Account {
    fn bytes(&self) -> u64 {
        self.held.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// What must become of a batch.
    fn expect(&self, batch: &[Transaction]) -> SubmitOutcome {
        let mut digests = std::collections::BTreeSet::new();
        let limit_bytes = self.limit_bytes;
        for (position, transaction) in batch.iter().enumerate() {
            let size_bytes = transaction.bytes().len() as u64;
            if size_bytes == 0 || size_bytes > limit_bytes {
                return SubmitOutcome::TransactionSize { position, size_bytes, limit_bytes };
            }
        }
        for (position, transaction) in batch.iter().enumerate() {
            let digest = transaction.digest();
            if self.held.contains_key(&digest) || !digests.insert(digest) {
                return SubmitOutcome::AlreadyPooled { position, digest };
            }
        }
        let bounds = params();
        let batch_bytes = batch.iter().fold(0u64, |sum, tx| sum.saturating_add(tx.counted_bytes()));
        let fits = self.held.len().saturating_add(batch.len()) <= bounds.max_pool_transactions
            && self.bytes().saturating_add(batch_bytes) <= bounds.max_pool_bytes;
        if fits {
            return SubmitOutcome::Accepted;
        }
        SubmitOutcome::PoolFull {
            transactions: self.held.len(),
            max_transactions: bounds.max_pool_transactions,
            bytes: self.bytes(),
            max_bytes: bounds.max_pool_bytes,
        }
    }

    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Deliver(sub_dag) = effect {
                for transaction in sub_dag.transactions() {
                    let held = self.held.remove(&transaction.digest());
                    assert!(held.is_some(), "a transaction is committed that nobody has submitted");
                }
            }
        }
    }
}

/// One of many small transactions, or of few at the limit of sizes.
fn transaction(choices: &mut Choices<'_>) -> Transaction {
    let (size, fill) = (choices.byte(), choices.byte());
    let size = if size >= 250 { usize::from(size).saturating_add(48) } else { usize::from(size) };
    Transaction::new(Bytes::from(vec![fill; size]))
}
