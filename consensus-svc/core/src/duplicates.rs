//! Duplicates of transactions: marked by what the commits of a window held, the same on every node.
//!
//! The window is the set of unmarked digests of the newest commits. After each commit, whole commits leave from the old
//! end while they are older than the window or while entries exceed the cap, so where it starts follows from the commits
//! alone: it is the longest run of newest commits within both bounds, and a restart rebuilds it by walking back.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    commit::CommittedSubDag,
    digest_map::DigestSet,
    genesis::ProtocolParameters,
    transaction::Transaction,
    types::{Timestamp, TransactionDigest},
};

#[derive(Clone, Debug)]
struct Entry {
    timestamp: Timestamp,
    digests: Vec<TransactionDigest>,
}

/// Digests of the transactions that were committed lately. Bounded by the genesis parameters
/// `duplicate_window` and `max_duplicate_entries`, and by one commit while it is marked.
#[derive(Clone, Debug)]
pub struct DuplicateWindow {
    length: std::time::Duration,
    max_entries: usize,
    commits: VecDeque<Entry>,
    digests: DigestSet,
}

impl DuplicateWindow {
    /// An empty window.
    pub fn new(parameters: &ProtocolParameters) -> Self {
        Self {
            length: parameters.duplicate_window,
            max_entries: usize::try_from(parameters.max_duplicate_entries).unwrap_or(usize::MAX),
            commits: VecDeque::new(),
            digests: DigestSet::default(),
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
        self.digests.contains(digest)
    }

    /// Takes the transactions of the next commit in order: answers with its bitmap of duplicates, and lets old commits go.
    /// The first of equal ones wins; a marked one neither enters nor stays longer.
    pub(crate) fn commit<'a>(
        &mut self,
        timestamp: Timestamp,
        transactions: impl Iterator<Item = &'a Transaction>,
    ) -> Bytes {
        let mut marks = Marks::default();
        let mut digests = Vec::new();
        for transaction in transactions {
            let is_new = self.digests.insert(transaction.digest(), ());
            marks.push(!is_new);
            if is_new {
                digests.push(transaction.digest());
            }
        }
        self.commits.push_back(Entry { timestamp, digests });
        while self.commits.front().is_some_and(|oldest| {
            self.digests.len() > self.max_entries || oldest.timestamp.plus(self.length) < timestamp
        }) {
            for digest in self.commits.pop_front().into_iter().flat_map(|entry| entry.digests) {
                self.digests.remove(&digest);
            }
        }
        marks.finish()
    }

    /// Takes a commit older than all in the window, while it is rebuilt from the newest commit back. False if the commit
    /// is outside, and with it all older ones.
    pub fn rebuild(&mut self, older: &CommittedSubDag) -> bool {
        let newest = self.commits.back().map_or(older.commit.timestamp, |newest| newest.timestamp);
        let digests: Vec<_> = older.unmarked_transactions().map(Transaction::digest).collect();
        let entries = self.digests.len().saturating_add(digests.len());
        let is_inside = older.commit.timestamp.plus(self.length) >= newest && entries <= self.max_entries;
        if is_inside {
            for digest in &digests {
                self.digests.insert(*digest, ());
            }
            self.commits.push_front(Entry { timestamp: older.commit.timestamp, digests });
        }
        is_inside
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
