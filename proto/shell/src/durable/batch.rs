//! A set of writes that happens as a whole or not at all.

use std::collections::BTreeMap;

/// Writes and removals that are applied together.
///
/// One operation a key: a later one for the same key replaces the earlier one, as if both had been applied in order.
/// The caller bounds its size; a batch is held in memory twice while it is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    operations: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl WriteBatch {
    /// Stores `value` under `key`. Both are free bytes; keys order bytewise, so numbers in them are big-endian. Any
    /// length of value up to 4 GiB; a key is meant to be short (under 1 KiB).
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.operations.insert(key.into(), Some(value.into()));
    }

    /// Removes `key`; nothing happens if it is absent.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.operations.insert(key.into(), None);
    }

    /// Number of keys touched.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn size_bytes(&self) -> usize {
        self.operations().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum()
    }

    /// The operations in order of keys; `None` removes.
    pub fn operations(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.operations.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}
