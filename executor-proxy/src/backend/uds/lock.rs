//! One proxy feeds a master: an advisory lock on a file beside its socket of blocks (D12).
//!
//! Over TCP there is nothing beside the socket; there the lock of the records alone keeps a second proxy of the same folder away.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{address::Address, error::LegacyError};

/// The lock; released when dropped, and by the system when the process ends. The file stays: to remove it would let two hold it.
#[derive(Debug)]
pub(super) struct SocketLock {
    _file: File,
}

impl SocketLock {
    /// Takes the lock of a socket; `None` over TCP. Does not wait.
    ///
    /// # Errors
    /// [`LegacyError::Locked`], [`LegacyError::Lock`].
    pub(super) fn take(blocks: &Address) -> Result<Option<Self>, LegacyError> {
        let Address::Path(socket) = blocks else { return Ok(None) };
        let path = beside(socket);
        let failed = |source: io::Error| LegacyError::Lock { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.take(16).read_to_string(&mut text);
                let holder = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(LegacyError::Locked { path, holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let written =
            file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        written.map_err(failed)?;
        Ok(Some(Self { _file: file }))
    }
}

fn beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d12_a_second_proxy_is_told_who_feeds_the_master() {
        let folder = tempfile::tempdir().unwrap();
        let socket = Address::Path(folder.path().join("executor0.sock"));
        let first = SocketLock::take(&socket).unwrap();
        let Err(LegacyError::Locked { path, holder }) = SocketLock::take(&socket) else {
            panic!("two hold the lock")
        };
        assert_eq!((path, holder), (folder.path().join("executor0.sock.lock"), Some(std::process::id())));
        drop(first);
        SocketLock::take(&socket).unwrap();
    }
}
