//! What is known of transactions, by the first eight bytes of their digests.
//!
//! A run of a heavy load makes a million transactions, and whole digests would cost more memory, and so more time, than the
//! machines do. Nobody grinds digests here, so eight uniform bytes tell a million apart: two are alike in one run of
//! some thirty million. A hash set, never iterated, so its order is nowhere seen.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

use consensus_core::TransactionDigest;

/// The first bytes of a digest.
pub(crate) const fn name(digest: &TransactionDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A set of names.
#[derive(Debug, Default)]
pub(crate) struct NameSet(HashSet<u64, BuildHasherDefault<AsItIs>>);

impl NameSet {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, name: u64) -> bool {
        self.0.contains(&name)
    }

    /// Enters a name. Whether it is new.
    pub(crate) fn insert(&mut self, name: u64) -> bool {
        self.0.insert(name)
    }

    /// Takes a name out. Whether it was in.
    pub(crate) fn remove(&mut self, name: u64) -> bool {
        !self.0.is_empty() && self.0.remove(&name)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Names are uniform already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, name: u64) {
        self.0 = name;
    }
}
