//! What the pool knows of each transaction, found by digest, or by the number that its queue and its blocks keep.

use crate::{
    digest_index::DigestIndex,
    transaction::Transaction,
    types::{Round, Timestamp, TransactionDigest},
};

/// A transaction that is in the pool.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) transaction: Transaction,
    /// Ticket of arrival: its place in the queue, also when it returns there.
    pub(super) arrival: u64,
    /// When it was taken: the lifetime counts from here. Rises with the ticket of arrival.
    pub(super) taken: Timestamp,
    /// Whether it stands in the own block of [`Record::standing`]; else it waits in the queue.
    pub(super) is_proposed: bool,
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) digest: TransactionDigest,
    /// Neither committed nor dropped.
    pub(super) pooled: Option<Pooled>,
    /// The highest own block that is not collected and holds it, committed or not.
    pub(super) standing: Option<Round>,
}

/// Number of a record, until that is released.
pub(super) type RecordId = u32;

/// The records. Bounded by whoever pools and proposes: one for each transaction that is in the pool or in an own block that is not
/// collected. Room that was needed once is kept and used again.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: Vec<Record>,
    free: Vec<RecordId>,
    index: DigestIndex,
}

impl Records {
    /// Looks where many transactions will be looked for, see [`DigestIndex::approach`].
    pub(super) fn approach<'a>(&self, transactions: impl IntoIterator<Item = &'a Transaction>) {
        self.index.approach(transactions.into_iter().map(Transaction::named));
    }

    /// Looks where many records will be taken from, see [`DigestIndex::approach`].
    pub(super) fn approach_again(&self, ids: &[RecordId]) {
        self.index.approach(ids.iter().filter_map(|id| self.get(*id)).map(|record| &record.digest));
    }

    /// The record of a digest.
    pub(super) fn find(&self, digest: &TransactionDigest) -> Option<RecordId> {
        self.index.find(digest, |id| self.get(id).is_some_and(|record| record.digest == *digest))
    }

    /// The record of a digest; a blank one, to be filled or released, if it has none.
    pub(super) fn find_or_enter(&mut self, digest: TransactionDigest) -> RecordId {
        if let Some(found) = self.find(&digest) {
            return found;
        }
        let blank = Record { digest, pooled: None, standing: None };
        let reused = self.free.pop();
        // Bounded far below 2^32, by what fits in a pool and in a few blocks.
        let id = reused.unwrap_or_else(|| u32::try_from(self.records.len()).unwrap_or(u32::MAX));
        match self.get_mut(id) {
            Some(record) => *record = blank,
            None => self.records.push(blank),
        }
        self.index.enter(&digest, id);
        id
    }

    /// Reads a record.
    pub(super) fn get(&self, id: RecordId) -> Option<&Record> {
        self.records.get(usize::try_from(id).ok()?)
    }

    /// Reads a record, to change it.
    pub(super) fn get_mut(&mut self, id: RecordId) -> Option<&mut Record> {
        self.records.get_mut(usize::try_from(id).ok()?)
    }

    /// Lets a record go if nothing is in it any more: neither pooled nor standing in a block.
    pub(super) fn release(&mut self, id: RecordId) {
        let blank = self.get(id).filter(|record| record.pooled.is_none() && record.standing.is_none());
        if let Some(digest) = blank.map(|record| record.digest) {
            self.index.remove(&digest, id);
            self.free.push(id);
        }
    }
}
