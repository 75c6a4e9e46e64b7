//! The store: reads at any time from any thread, atomic batches, explicit syncs.

use super::{
    Entry, ReadError, Scan, StoreError, WriteBatch,
    layout::{self, Head, PART_BYTES},
    lock::FolderLock,
};
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Version of the layout of entries. Another one in a database is refused at opening, never misread.
pub const SCHEMA_VERSION: u32 = 1;

/// An open database. Shared as `Arc<Store>`: reads are free, writes go through one [`super::Writer`].
///
/// Dropping the last reference closes it and lets another process open it.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
    /// Held while a batch is applied: which parts a batch replaces is read before it is written.
    applying: Mutex<()>,
    syncs: AtomicU64,
    /// Last, so that sled is closed before the next process may open it.
    files: Files,
}

/// What a store holds beside sled.
#[derive(Debug)]
pub(crate) struct Files {
    /// Own handle on sled's log, for syncs down to the device.
    pub(crate) log: File,
    /// Folder of blob files, to stay empty.
    pub(crate) blobs: PathBuf,
    #[expect(dead_code, reason = "held for as long as the store is open")]
    pub(crate) lock: FolderLock,
}

impl Store {
    pub(crate) fn new(db: sled::Db, files: Files) -> Self {
        Self { db, applying: Mutex::new(()), syncs: AtomicU64::new(0), files }
    }

    /// Makes a database out of an empty log.
    pub(crate) fn stamp_version(&self) -> Result<(), StoreError> {
        let mut stamps = sled::Batch::default();
        stamps.insert(layout::VERSION_KEY, &SCHEMA_VERSION.to_be_bytes());
        self.db.apply_batch(stamps).map_err(|source| StoreError::Apply { source })?;
        self.sync()
    }

    /// The value of `key`; `None` if there is none.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if the bytes are not those that were written; [`ReadError::Storage`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.db.get(layout::entry_key(key)).map_err(|source| ReadError::Storage { source })? {
            Some(head) => self.value_of(key, head),
            None => Ok(None),
        }
    }

    /// All entries whose key starts with `prefix`, in order of keys, from key `from` on (a whole key, inclusive; empty:
    /// from the first). Can be walked from both ends, and page by page with `take`. It holds no snapshot: what is
    /// written meanwhile may or may not show.
    pub fn scan_prefix(&self, prefix: &[u8], from: &[u8]) -> Scan<'_> {
        let (start, end) = (layout::entry_key(prefix.max(from)), layout::entries_end(prefix));
        // A start above the end of the prefix is an empty range, which sled would refuse.
        let start = start.min(end.clone());
        Scan::new(self, self.db.range(start..end))
    }

    /// The entry with the greatest key that starts with `prefix`.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn last_with_prefix(&self, prefix: &[u8]) -> Result<Option<Entry>, ReadError> {
        self.scan_prefix(prefix, &[]).next_back().transpose()
    }

    /// Applies a batch as a whole. Readers see it at once; it is durable after the next [`Store::sync`].
    ///
    /// # Errors
    /// [`StoreError::Apply`], [`StoreError::ValueTooLarge`]; nothing of the batch is then to be relied on.
    pub fn apply(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writes = sled::Batch::default();
        for (key, value) in batch.operations() {
            let new_parts = match value {
                Some(value) => put(&mut writes, key, value)?,
                None => {
                    writes.remove(layout::entry_key(key));
                    0
                }
            };
            for number in new_parts..self.parts_held(key)? {
                writes.remove(layout::part_key(key, number));
            }
        }
        self.db.apply_batch(writes).map_err(|source| StoreError::Apply { source })
    }

    /// Makes all applied batches durable: flush, then `fdatasync` on the log.
    ///
    /// # Errors
    /// [`StoreError`]; what was applied since the last success is then not known to be durable, and writing must end.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|source| StoreError::Flush { source })?;
        self.files.log.sync_data().map_err(|source| StoreError::Sync { source })?;
        self.check()?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Syncs that succeeded since the store was opened.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Bytes of all files of the database on disk.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub fn size_on_disk(&self) -> Result<u64, ReadError> {
        self.db.size_on_disk().map_err(|source| ReadError::Storage { source })
    }

    /// Checks that sled keeps no blob files; every sync does.
    ///
    /// # Errors
    /// [`StoreError::BlobFile`], [`StoreError::BlobFolder`].
    pub fn check(&self) -> Result<(), StoreError> {
        let mut files = match fs::read_dir(&self.files.blobs) {
            Ok(files) => files,
            // Connections have used up the descriptors: no fault of the storage, and the next sync looks again.
            Err(error) if is_out_of_descriptors(&error) => return Ok(()),
            Err(source) => return Err(StoreError::BlobFolder { source }),
        };
        match files.next() {
            None => Ok(()),
            Some(Ok(file)) => Err(StoreError::BlobFile { path: file.path() }),
            Some(Err(source)) => Err(StoreError::BlobFolder { source }),
        }
    }

    /// The checked value behind a stored entry; `None` if the key was removed while its parts were read.
    pub(crate) fn value_of(&self, key: &[u8], mut stored: sled::IVec) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            let (checksum, value) = match layout::decode(&stored) {
                Some(Head::Whole { checksum, value }) => (checksum, Some(value.to_vec())),
                Some(Head::InParts { checksum, length }) => (checksum, self.join_parts(key, length)?),
                None => return Err(damaged(key)),
            };
            if let Some(value) = value.filter(|value| layout::checksum(key, value) == checksum) {
                return Ok(Some(value));
            }
            // Parts may have been replaced between the reads; then the entry has changed too.
            match self.db.get(layout::entry_key(key)).map_err(|source| ReadError::Storage { source })? {
                None => return Ok(None),
                Some(now) if now == stored => return Err(damaged(key)),
                Some(now) => stored = now,
            }
        }
    }

    /// The parts one after the other; `None` if one is missing or they have another length.
    fn join_parts(&self, key: &[u8], length: u32) -> Result<Option<Vec<u8>>, ReadError> {
        let mut value = Vec::new();
        for number in 0..layout::parts_of(length) {
            let part = self.db.get(layout::part_key(key, number));
            match part.map_err(|source| ReadError::Storage { source })? {
                Some(part) => value.extend_from_slice(&part),
                None => return Ok(None),
            }
        }
        Ok(u32::try_from(value.len()).is_ok_and(|found| found == length).then_some(value))
    }

    /// Number of parts that the present value of `key` has.
    fn parts_held(&self, key: &[u8]) -> Result<u32, StoreError> {
        let stored = self.db.get(layout::entry_key(key)).map_err(|source| StoreError::Apply { source })?;
        Ok(match stored.as_deref().and_then(layout::decode) {
            Some(Head::InParts { length, .. }) => layout::parts_of(length),
            _ => 0,
        })
    }
}

/// Adds one value to a batch of sled's; says in how many parts.
fn put(writes: &mut sled::Batch, key: &[u8], value: &[u8]) -> Result<u32, StoreError> {
    if value.len() <= PART_BYTES {
        writes.insert(layout::entry_key(key), layout::encode_whole(key, value));
        return Ok(0);
    }
    let length = u32::try_from(value.len())
        .map_err(|_| StoreError::ValueTooLarge { key: hex::encode(key), size_bytes: value.len() })?;
    writes.insert(layout::entry_key(key), layout::encode_in_parts(key, value, length));
    for (number, part) in (0..).zip(value.chunks(PART_BYTES)) {
        writes.insert(layout::part_key(key, number), part);
    }
    Ok(layout::parts_of(length))
}

fn damaged(key: &[u8]) -> ReadError {
    ReadError::Damaged { key: hex::encode(key) }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    // ENFILE and EMFILE, as on every Unix that the standard library knows.
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_told_from_a_missing_folder() {
        assert!(is_out_of_descriptors(&io::Error::from_raw_os_error(24)));
        assert!(is_out_of_descriptors(&io::Error::from_raw_os_error(23)));
        assert!(!is_out_of_descriptors(&io::Error::from_raw_os_error(2)));
        assert!(!is_out_of_descriptors(&io::Error::other("something else")));
    }
}
