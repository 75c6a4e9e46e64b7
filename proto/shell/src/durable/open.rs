//! Opening a store: lock, sled with the settings that were measured to survive power loss, version stamp.

use super::{
    OpenError, Store, layout,
    lock::{self, FolderLock},
    mark::Mark,
    store::{Files, SCHEMA_VERSION},
};
use crate::{file, panic_text::panic_text};
use std::{
    fs::{self, File},
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
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
        let (mark, confirmed) = Mark::open(path).map_err(io)?;
        let found = check_stamps(&db, path, confirmed)?;
        let store =
            Self::new(db, Files { log, blobs: path.join("blobs"), mark, lock }, found.unwrap_or_default());
        let prepared = match found {
            Some(_) => store.check(),
            None => store.stamp_version(),
        };
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

/// Checks what an existing database says about itself: the number of its last batch, or `None` if it is new.
fn check_stamps(db: &sled::Db, path: &Path, confirmed: u64) -> Result<Option<u64>, OpenError> {
    let path: PathBuf = path.to_owned();
    let version = read_stamp(db, layout::VERSION_KEY, &path)?.map(u32::from_be_bytes);
    let sequence = read_stamp(db, layout::SEQUENCE_KEY, &path)?.map(u64::from_be_bytes);
    match version {
        Some(found) if found != SCHEMA_VERSION => {
            return Err(OpenError::Version { path, found, expected: SCHEMA_VERSION });
        }
        None if !db.is_empty() => {
            return Err(OpenError::Damaged { path, reason: "entries without a version stamp".to_owned() });
        }
        _ => {}
    }
    match sequence.unwrap_or_default() {
        found if found < confirmed => Err(OpenError::Cut { path, confirmed, found }),
        found => Ok(version.map(|_| found)),
    }
}

fn read_stamp<const N: usize>(db: &sled::Db, key: &[u8], path: &Path) -> Result<Option<[u8; N]>, OpenError> {
    let damaged = |reason| OpenError::Damaged { path: path.to_owned(), reason };
    let Some(stamp) = db.get(key).map_err(|error| damaged(error.to_string()))? else { return Ok(None) };
    let bytes = stamp.as_ref().try_into();
    bytes.map(Some).map_err(|_| damaged(format!("a stamp of {} bytes instead of {N}", stamp.len())))
}
