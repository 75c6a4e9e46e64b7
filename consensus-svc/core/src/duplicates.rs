//! Duplicates of transactions: marked by what the commits of a window held, the same on every node.
//!
//! The window is the set of unmarked digests of the newest commits. After each commit, whole commits leave from the old
//! end while they are older than the window or while entries exceed the cap, so where it starts follows from the commits
//! alone: it is the longest run of newest commits within both bounds, and a restart rebuilds it by walking back.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    commit::CommittedSubDag,
    digest_index::DigestIndex,
    genesis::ProtocolParameters,
    transaction::Transaction,
    types::{Timestamp, TransactionDigest},
};

#[derive(Clone, Debug)]
struct Entry {
    timestamp: Timestamp,
    /// How many of the window's digests are this commit's.
    digests: usize,
}

/// Digests of the transactions that were committed lately. Bounded by the genesis parameters
/// `duplicate_window` and `max_duplicate_entries`, and by one commit while it is marked.
#[derive(Clone, Debug)]
pub struct DuplicateWindow {
    length: std::time::Duration,
    max_entries: usize,
    commits: VecDeque<Entry>,
    /// Those of older commits first.
    digests: VecDeque<TransactionDigest>,
    /// The running number of the first digest; the index gives the running number of each. It wraps: a window holds far fewer
    /// than 2^32.
    first: u32,
    index: DigestIndex,
}

impl DuplicateWindow {
    /// An empty window.
    pub fn new(parameters: &ProtocolParameters) -> Self {
        Self {
            length: parameters.duplicate_window,
            max_entries: usize::try_from(parameters.max_duplicate_entries).unwrap_or(usize::MAX),
            commits: VecDeque::new(),
            digests: VecDeque::new(),
            first: 0,
            index: DigestIndex::default(),
        }
    }

    /// Digests in the window.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whether a transaction was committed within the window.
    pub fn contains(&self, digest: &TransactionDigest) -> bool {
        let is_there = |number: u32| {
            let place = usize::try_from(number.wrapping_sub(self.first)).ok();
            place.and_then(|place| self.digests.get(place)) == Some(digest)
        };
        self.index.find(digest, is_there).is_some()
    }

    /// Takes the transactions of the next commit in order: answers with its bitmap of duplicates, and lets old commits go.
    /// The first of equal ones wins; a marked one neither enters nor stays longer.
    pub(crate) fn commit<'a>(
        &mut self,
        timestamp: Timestamp,
        transactions: impl Iterator<Item = &'a Transaction> + Clone,
    ) -> Bytes {
        self.index.approach(transactions.clone().map(Transaction::named));
        let mut marks = Marks::default();
        let before = self.digests.len();
        for transaction in transactions {
            let digest = transaction.digest();
            let is_new = !self.contains(&digest);
            marks.push(!is_new);
            if is_new {
                self.enter_newest(digest);
            }
        }
        self.commits.push_back(Entry { timestamp, digests: self.digests.len().saturating_sub(before) });
        while self.commits.front().is_some_and(|oldest| {
            self.digests.len() > self.max_entries || oldest.timestamp.plus(self.length) < timestamp
        }) {
            self.forget_oldest();
        }
        marks.finish()
    }

    /// Takes a commit older than all in the window, while it is rebuilt from the newest commit back. False if the commit
    /// is outside, and with it all older ones.
    pub fn rebuild(&mut self, older: &CommittedSubDag) -> bool {
        let newest = self.commits.back().map_or(older.commit.timestamp, |newest| newest.timestamp);
        let entries = self.digests.len().saturating_add(older.unmarked_transactions().count());
        let is_inside = older.commit.timestamp.plus(self.length) >= newest && entries <= self.max_entries;
        if is_inside {
            let before = self.digests.len();
            for digest in older.unmarked_transactions().map(Transaction::digest) {
                self.enter_oldest(digest);
            }
            let digests = self.digests.len().saturating_sub(before);
            self.commits.push_front(Entry { timestamp: older.commit.timestamp, digests });
        }
        is_inside
    }

    /// Takes a digest that is not in the window.
    fn enter_newest(&mut self, digest: TransactionDigest) {
        // Far fewer than 2^32, see `first`.
        let after_first = u32::try_from(self.digests.len()).unwrap_or(u32::MAX);
        self.index.enter(&digest, self.first.wrapping_add(after_first));
        self.digests.push_back(digest);
    }

    /// Takes a digest of a commit older than all. In a true chain no newer one holds it unmarked.
    fn enter_oldest(&mut self, digest: TransactionDigest) {
        if !self.contains(&digest) {
            self.first = self.first.wrapping_sub(1);
            self.index.enter(&digest, self.first);
            self.digests.push_front(digest);
        }
    }

    /// Lets the oldest commit go.
    fn forget_oldest(&mut self) {
        let leaving = self.commits.pop_front().map_or(0, |oldest| oldest.digests);
        let leaving = leaving.min(self.digests.len());
        self.index.approach(self.digests.range(..leaving));
        for digest in self.digests.drain(..leaving) {
            self.index.remove(&digest, self.first);
            self.first = self.first.wrapping_add(1);
        }
    }
}

/// A bitmap over transaction positions, least significant bit first, without trailing zero bytes.
#[derive(Debug, Default)]
struct Marks {
    bytes: Vec<u8>,
    position: usize,
}

impl Marks {
    fn push(&mut self, marked: bool) {
        let (byte, bit) = place(self.position);
        if marked {
            if self.bytes.len() <= byte {
                self.bytes.resize(byte.saturating_add(1), 0);
            }
            if let Some(byte) = self.bytes.get_mut(byte) {
                *byte |= bit;
            }
        }
        self.position = self.position.saturating_add(1);
    }

    fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

/// Whether a bitmap of duplicates marks a position.
pub fn is_marked(marks: &[u8], position: usize) -> bool {
    let (byte, bit) = place(position);
    marks.get(byte).is_some_and(|byte| byte & bit != 0)
}

/// Byte and bit of a position.
const fn place(position: usize) -> (usize, u8) {
    (position / 8, 1 << (position % 8))
}
