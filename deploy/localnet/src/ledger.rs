//! Reading what an executor has executed, while its process does not run.

mod go;

pub use go::GoLedgerError;

use executor_proxy::backend::{
    BackendError,
    embedded::{FOLDER, StoredCommit},
};
use metanode_shell::durable::{Store, StoreOptions};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The last index that there can be.
const LAST: u64 = u64::MAX;
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
    pub source: Unreadable,
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The database of an embedded one.
    #[error(transparent)]
    Embedded(#[from] Box<BackendError>),
    /// The file of a Go master.
    #[error(transparent)]
    Go(#[from] GoLedgerError),
}

/// Where the ledger of an executor is, and how it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerFolder {
    /// Inside the proxy.
    Embedded {
        /// The data folder of the proxy.
        data_dir: PathBuf,
    },
    /// In a Go master.
    Go {
        /// The program.
        program: PathBuf,
        /// The data folder of the master.
        data_dir: PathBuf,
    },
}

impl LedgerFolder {
    /// Opens the ledger of an executor that does not run. Blocks; waits some seconds for the lock of a process that was
    /// just killed.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(&self) -> Result<Ledger, LedgerError> {
        match self {
            Self::Embedded { data_dir } => Ledger::open(data_dir),
            Self::Go { program, data_dir } => Ok(Ledger {
                path: data_dir.clone(),
                source: match data_dir.join(GO_FILE).is_file() {
                    true => Source::Go { program: program.clone() },
                    false => Source::None,
                },
            }),
        }
    }
}

/// The file of a Go master's ledger.
const GO_FILE: &str = "ledger.db";

/// The ledger of one executor.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// An executor that has never run.
    None,
    Store(Store),
    Go {
        program: PathBuf,
    },
}

impl Ledger {
    /// Opens the embedded ledger in the data folder of a proxy that does not run.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn open(data_dir: &Path) -> Result<Self, LedgerError> {
        let path = data_dir.to_owned();
        let folder = data_dir.join(FOLDER);
        if !folder.join("db").is_file() {
            return Ok(Self { path, source: Source::None });
        }
        let options = StoreOptions { cache_bytes: CACHE_BYTES, lock_deadline: LOCK_DEADLINE };
        match Store::open(&folder, &options) {
            Ok(store) => Ok(Self { path, source: Source::Store(store) }),
            Err(error) => Err(LedgerError { path, source: Box::new(BackendError::Open(error)).into() }),
        }
    }

    /// What was executed at an index; `None` above the last one.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn at(&self, index: u64) -> Result<Option<StoredCommit>, LedgerError> {
        match &self.source {
            Source::None => Ok(None),
            Source::Store(store) => {
                StoredCommit::read(store, index).map_err(|error| self.error(Box::new(error)))
            }
            // Its command counts from 1.
            Source::Go { .. } if index == 0 => Ok(None),
            Source::Go { program } => self.go(program, index, index).next().transpose(),
        }
    }

    /// The last index executed; 0 before the first. Indexes have no holes, so that few of them have to be read.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn last_index(&self) -> Result<u64, LedgerError> {
        last_of(|index| Ok(self.at(index)?.is_some()))
    }

    /// All that was executed after an index, in order.
    pub fn after(&self, index: u64) -> Box<dyn Iterator<Item = Result<StoredCommit, LedgerError>> + '_> {
        let first = index.saturating_add(1);
        match &self.source {
            Source::None => Box::new(std::iter::empty()),
            Source::Store(store) => Box::new(
                StoredCommit::scan(store, first)
                    .map(|commit| commit.map_err(|error| self.error(Box::new(error)))),
            ),
            Source::Go { program } => Box::new(self.go(program, first, LAST)),
        }
    }

    fn go(
        &self,
        program: &Path,
        first: u64,
        last: u64,
    ) -> impl Iterator<Item = Result<StoredCommit, LedgerError>> + '_ {
        let (commits, failed) = match go::Commits::read(program, &self.path, first, last) {
            Ok(commits) => (Some(commits), None),
            Err(error) => (None, Some(Err(error))),
        };
        let commits = failed.into_iter().chain(commits.into_iter().flatten());
        commits.map(|commit| commit.map_err(|error| self.error(error)))
    }

    /// The first index after `index` that is left out though a later one is there; `None` if none is. Reads all of them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn first_hole(&self, index: u64) -> Result<Option<u64>, LedgerError> {
        first_hole(index, self.after(index).map(|commit| Ok(commit?.index)))
    }

    fn error(&self, error: impl Into<Unreadable>) -> LedgerError {
        LedgerError { path: self.path.clone(), source: error.into() }
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
