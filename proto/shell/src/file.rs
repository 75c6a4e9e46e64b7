//! Files that are whole or absent, and keys that only their owner can read.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Why a secret key could not be read. The key itself is never part of a message.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read key file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read it.
    #[error("key file {} has mode {mode:04o}, so others than its owner can use it; run `chmod 600 {}`",
        path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold 32 bytes in hex.
    #[error("key file {} does not hold 64 hex digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Writes a file so that after a crash at any point either the old content or the new one is there: temporary file in
/// the same folder, sync, rename, sync of the folder. `mode` is its permission bits, whatever the umask.
///
/// # Errors
/// What the operating system says; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let folder = parent(path);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{}.{}-{number}.tmp", name.to_string_lossy(), std::process::id()));
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; a leftover is harmless.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_directory(&folder))
}

/// Reads a secret key of 32 bytes, stored as 64 hex digits (white space around them is allowed) in a file that group
/// and others have no rights to.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_secret_key(path: &Path) -> Result<[u8; 32], KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(256).read_to_end(&mut text).map_err(io)?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim_ascii(), &mut key)
        .map_err(|_| KeyFileError::Malformed { path: path.to_owned() })?;
    Ok(key)
}

/// Creates a folder with all above it, so that it is still there after power loss.
///
/// # Errors
/// What the operating system says.
pub fn create_directory_durably(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut folder = path.to_owned();
    while !folder.try_exists()? {
        missing.push(folder.clone());
        folder = parent(&folder);
    }
    fs::create_dir_all(path)?;
    missing.iter().try_for_each(|created| sync_directory(&parent(created)))
}

/// Makes the names in a folder durable: files that were created, renamed or removed.
///
/// # Errors
/// What the operating system says.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The folder that a path lies in; the current one for a bare name.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_replaces_the_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        write_atomic(&path, b"old", 0o644).unwrap();
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write_atomic(&path, b"new", 0o600).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("protocol.key");
        let text = hex::encode([7; 32]) + "\n";
        for mode in [0o640, 0o604, 0o660] {
            write_atomic(&path, text.as_bytes(), mode).unwrap();
            assert!(
                matches!(read_secret_key(&path), Err(KeyFileError::Exposed { mode: found, .. }) if found == mode)
            );
        }
        for mode in [0o600, 0o400] {
            write_atomic(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(read_secret_key(&path).unwrap(), [7; 32]);
        }
    }

    #[test]
    fn a_key_of_another_length_is_malformed_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("protocol.key");
        for text in ["", "ab", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
            write_atomic(&path, text.as_bytes(), 0o600).unwrap();
            let error = read_secret_key(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }));
            assert!(!error.to_string().contains("abab"));
        }
    }

    #[test]
    fn folders_are_created_down_to_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        create_directory_durably(&path).unwrap();
        create_directory_durably(&path).unwrap();
        assert!(path.is_dir());
    }
}
