//! Walking entries in order of their keys.

use super::{ReadError, Store, layout};

/// Key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Entries of a range of keys, from either end. After an error the walk may go on with the next entry; whether that
/// makes sense is the caller's to say.
#[derive(Debug)]
pub struct Scan<'a> {
    store: &'a Store,
    entries: DebugIter,
}

/// sled's iterator, which has no `Debug` of its own.
struct DebugIter(sled::Iter);

impl std::fmt::Debug for DebugIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Iter")
    }
}

impl<'a> Scan<'a> {
    pub(crate) fn new(store: &'a Store, entries: sled::Iter) -> Self {
        Self { store, entries: DebugIter(entries) }
    }

    /// Key and value of a stored entry; `None` if it was removed meanwhile.
    fn load(&self, entry: sled::Result<(sled::IVec, sled::IVec)>) -> Option<<Self as Iterator>::Item> {
        let (stored_key, head) = match entry {
            Ok(entry) => entry,
            Err(source) => return Some(Err(ReadError::Storage { source })),
        };
        let key = layout::entry_of(&stored_key)?;
        let value = self.store.value_of(key, head).transpose()?;
        Some(value.map(|value| (key.to_vec(), value)))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.entries.0.next()?;
            if let Some(item) = self.load(entry) {
                return Some(item);
            }
        }
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.entries.0.next_back()?;
            if let Some(item) = self.load(entry) {
                return Some(item);
            }
        }
    }
}
