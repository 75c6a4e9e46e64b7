//! Opening a store: lock, sled with the settings that were measured to survive power loss, version stamp.

use super::{
    OpenError, Store, layout,
    lock::{self, FolderLock},
    store::{Files, SCHEMA_VERSION},
};
use crate::{file, panic_text};
use std::{
    fs::{self, File},
    io,
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, Instant},
};

/// Never changeable for an existing database. The largest that sled takes: a page above a quarter of it would go to a
/// blob file, which sled never syncs.
const SEGMENT_BYTES: usize = 16 << 20;
/// sled collects its garbage in this flusher, so it stays on although every sync is our own.
const FLUSH_EVERY_MS: u64 = 500;

/// What can be chosen when a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Page cache, in bytes. Default 256 MiB. sled holds about this much in memory; far less makes reads of old
    /// entries slow.
    pub cache_bytes: u64,
    /// How long to wait for another process to let go of the database. Default 10 s: a killed predecessor needs some
    /// seconds until its lock is gone. Zero tries once.
    pub lock_deadline: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, lock_deadline: Duration::from_secs(10) }
    }
}

impl Store {
    /// Opens the database in folder `path`, or creates it. Blocks for up to `lock_deadline`, and for some seconds when
    /// the database is large; call it before the runtime starts or on a blocking thread.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is repaired, though sled itself cuts a torn end. A panic inside sled is caught and becomes
    /// [`OpenError::Damaged`].
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let deadline = Instant::now() + options.lock_deadline;
        file::create_directory_durably(path).map_err(io)?;
        let lock = FolderLock::take(path, deadline)?;
        let log_path = path.join("db");
        if !lock::wait_until_free(&log_path, deadline).map_err(io)? {
            return Err(OpenError::Locked { path: path.to_owned(), holder: None });
        }
        let db = open_sled(path, options)?;
        sync_files(path).map_err(io)?;
        let log = File::open(&log_path).map_err(|source| OpenError::Io { path: log_path, source })?;
        let is_stamped = check_stamp(&db, path)?;
        let store = Self::new(db, Files { log, blobs: path.join("blobs"), lock });
        let prepared = if is_stamped { store.check() } else { store.stamp_version() };
        prepared.map_err(|source| OpenError::Prepare { path: path.to_owned(), source })?;
        Ok(store)
    }
}

fn open_sled(path: &Path, options: &StoreOptions) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let path = path.to_owned();
    match panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) => Err(OpenError::Io { path, source }),
        Ok(Err(error)) => Err(OpenError::Damaged { path, reason: error.to_string() }),
        Err(payload) => Err(OpenError::Damaged { path, reason: panic_text(payload.as_ref()) }),
    }
}

/// Syncs what sled created: its files, which it does not all sync itself, and the folder that names them.
fn sync_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    file::sync_directory(&folder.join("blobs"))?;
    file::sync_directory(folder)
}

/// Checks the version stamp of an existing database. False if the database is new.
fn check_stamp(db: &sled::Db, path: &Path) -> Result<bool, OpenError> {
    let path = path.to_owned();
    let Some(stamp) = db.get(layout::VERSION_KEY).map_err(|error| damaged(&path, error.to_string()))? else {
        let is_new = db.is_empty();
        return if is_new {
            Ok(false)
        } else {
            Err(damaged(&path, "entries without a version stamp".to_owned()))
        };
    };
    match stamp.as_ref().try_into().map(u32::from_be_bytes) {
        Ok(SCHEMA_VERSION) => Ok(true),
        Ok(found) => Err(OpenError::Version { path, found, expected: SCHEMA_VERSION }),
        Err(_) => Err(damaged(&path, format!("a version stamp of {} bytes instead of 4", stamp.len()))),
    }
}

fn damaged(path: &Path, reason: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), reason }
}
