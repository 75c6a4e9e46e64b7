//! Transactions that were accepted here and are not committed, and those that were dropped lately.

use std::collections::{HashMap, HashSet, VecDeque};

use consensus_core::{DropReason, Timestamp, TransactionDigest};

use crate::submit::Fate;

/// Most dropped transactions that are remembered, about 150 bytes each; the oldest are forgotten first.
const MAX_DROPPED: usize = 65_536;

/// Looked up by digest, never walked but for the queue.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    accepted: HashSet<TransactionDigest>,
    dropped: HashMap<TransactionDigest, Dropped>,
    /// Dropped ones by age; an entry whose number is not that of the map is out of date.
    by_age: VecDeque<(TransactionDigest, u64)>,
    next_number: u64,
}

#[derive(Debug)]
struct Dropped {
    reason: DropReason,
    /// Timestamp of the newest commit by then.
    at: Timestamp,
    number: u64,
}

impl Uncommitted {
    pub(super) fn fate(&self, digest: &TransactionDigest) -> Option<Fate> {
        if self.accepted.contains(digest) {
            return Some(Fate::Accepted);
        }
        self.dropped.get(digest).map(|dropped| Fate::Dropped { reason: dropped.reason })
    }

    pub(super) fn accepted(&mut self, transactions: impl IntoIterator<Item = TransactionDigest>) {
        for digest in transactions {
            self.dropped.remove(&digest);
            self.accepted.insert(digest);
        }
    }

    pub(super) fn committed(&mut self, digest: &TransactionDigest) {
        self.accepted.remove(digest);
        self.dropped.remove(digest);
    }

    pub(super) fn dropped(&mut self, transactions: &[TransactionDigest], reason: DropReason, at: Timestamp) {
        for digest in transactions {
            self.accepted.remove(digest);
            let number = self.next_number;
            self.next_number += 1;
            self.dropped.insert(*digest, Dropped { reason, at, number });
            self.by_age.push_back((*digest, number));
            if self.by_age.len() > MAX_DROPPED {
                self.forget_oldest();
            }
        }
    }

    /// Forgets what was dropped before the window began.
    pub(super) fn forget(&mut self, start: Timestamp) {
        while self.by_age.front().is_some_and(|(digest, number)| {
            self.dropped.get(digest).is_none_or(|dropped| dropped.number != *number || dropped.at < start)
        }) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((digest, number)) = self.by_age.pop_front() else { return };
        if self.dropped.get(&digest).is_some_and(|dropped| dropped.number == number) {
            self.dropped.remove(&digest);
        }
    }
}
