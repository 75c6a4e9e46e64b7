//! One process a database: an advisory lock on a file of our own, taken before sled takes its own.
//!
//! sled reports a held lock only as text. With a lock of ours around it, a held one is known by type, and the holder's
//! process id can be read from the file.

use super::OpenError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

const FILE: &str = "lock";
/// Nothing tells when another process drops its lock before a deadline, so it is asked again in this interval.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The lock; released when dropped, and by the system when the process ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, which exists, trying until `deadline`.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process still holds it then; [`OpenError::Io`].
    pub(crate) fn take(folder: &Path, deadline: Instant) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let io = |source| OpenError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        if !try_until(&file, deadline).map_err(io)? {
            return Err(OpenError::Locked { path: folder.to_owned(), holder: read_holder(&mut file) });
        }
        file.set_len(0)
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// Waits until nobody holds a lock on `path`, or until `deadline`: sled's threads may keep theirs for a moment after
/// the database was dropped. Says whether it is free; a file that is absent is.
pub(crate) fn wait_until_free(path: &Path, deadline: Instant) -> std::io::Result<bool> {
    match File::open(path) {
        Ok(file) => try_until(&file, deadline),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn try_until(file: &File, deadline: Instant) -> std::io::Result<bool> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        thread::sleep(left.min(RETRY_INTERVAL));
    }
}

fn read_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
