//! Reading what an executor has executed, while its process does not run.

use executor_proxy::backend::{
    BackendError,
    embedded::{FOLDER, StoredCommit},
};
use metanode_shell::durable::{Store, StoreOptions};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a process that was just killed may still hold the database.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
/// Reading in order needs little.
const CACHE_BYTES: u64 = 16 << 20;

/// A ledger cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the ledger in {}", path.display())]
pub struct LedgerError {
    /// The data folder of its executor.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: Box<BackendError>,
}

/// The ledger of one executor.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    /// `None` for an executor that has never run.
    store: Option<Store>,
}

impl Ledger {
    /// Opens the ledger in the data folder of an executor that does not run. Blocks; waits some seconds for the lock of a
    /// process that was just killed.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(data_dir: &Path) -> Result<Self, LedgerError> {
        let path = data_dir.to_owned();
        let folder = data_dir.join(FOLDER);
        if !folder.join("db").is_file() {
            return Ok(Self { path, store: None });
        }
        let options = StoreOptions { cache_bytes: CACHE_BYTES, lock_deadline: LOCK_DEADLINE };
        match Store::open(&folder, &options) {
            Ok(store) => Ok(Self { path, store: Some(store) }),
            Err(error) => Err(LedgerError { path, source: Box::new(BackendError::Open(error)) }),
        }
    }

    /// What was executed at an index; `None` above the last one.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn at(&self, index: u64) -> Result<Option<StoredCommit>, LedgerError> {
        let Some(store) = &self.store else { return Ok(None) };
        StoredCommit::read(store, index).map_err(|error| self.error(error))
    }

    /// The last index executed; 0 before the first. Indexes have no holes, so that few of them have to be read.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last_index(&self) -> Result<u64, LedgerError> {
        last_of(|index| Ok(self.at(index)?.is_some()))
    }

    /// All that was executed after an index, in order.
    pub fn after(&self, index: u64) -> impl Iterator<Item = Result<StoredCommit, LedgerError>> + '_ {
        let first = index.saturating_add(1);
        let commits = self.store.iter().flat_map(move |store| StoredCommit::scan(store, first));
        commits.map(|commit| commit.map_err(|error| self.error(error)))
    }

    /// The first index after `index` that is left out though a later one is there; `None` if none is. Reads all of them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn first_hole(&self, index: u64) -> Result<Option<u64>, LedgerError> {
        first_hole(index, self.after(index).map(|commit| Ok(commit?.index)))
    }

    fn error(&self, error: BackendError) -> LedgerError {
        LedgerError { path: self.path.clone(), source: Box::new(error) }
    }
}

/// The last of the indexes from 1 on that are there, when none is left out; 0 if there is none.
fn last_of<E>(is_there: impl Fn(u64) -> Result<bool, E>) -> Result<u64, E> {
    let mut above = 1_u64;
    while is_there(above)? {
        above = above.saturating_mul(2);
    }
    let mut below = above / 2;
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if is_there(middle)? { below = middle } else { above = middle }
    }
    Ok(below)
}

/// The first number that does not follow the one before it.
fn first_hole<E>(after: u64, indexes: impl Iterator<Item = Result<u64, E>>) -> Result<Option<u64>, E> {
    let mut last = after;
    for index in indexes {
        let expected = last.saturating_add(1);
        if index? != expected {
            return Ok(Some(expected));
        }
        last = expected;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_left_out_or_comes_twice_is_found() {
        let hole = |after, indexes: &[u64]| {
            first_hole(after, indexes.iter().map(|index| Ok::<_, LedgerError>(*index))).unwrap()
        };
        assert_eq!(hole(0, &[]), None);
        assert_eq!(hole(4, &[5, 6, 7]), None);
        assert_eq!(hole(0, &[2]), Some(1));
        assert_eq!(hole(4, &[5, 7]), Some(6));
        assert_eq!(hole(4, &[5, 5]), Some(6));
    }

    #[test]
    fn the_last_index_is_found_with_few_reads() {
        for last in (0..70).chain([1_000_000]) {
            let reads = std::cell::Cell::new(0);
            let is_there = |index| {
                reads.set(reads.get() + 1);
                Ok::<_, LedgerError>(index <= last)
            };
            assert_eq!(last_of(is_there).unwrap(), last);
            assert!(reads.get() <= 42, "{last}: {} reads", reads.get());
        }
    }
}
