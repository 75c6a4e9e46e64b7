//! The signing guard: the highest (epoch, round) of an own block that may have been sent, kept outside the store.
//!
//! It only forbids. If the store is lost, restored from an old copy, or its tail is cut, the guard still knows up to
//! where this authority may have signed, so that it never signs a second block for a slot. It is never a position to go
//! on from: the store is that.
//!
//! The file holds two slots, 4096 bytes apart, so that no sector is shared. Raising writes the older slot and syncs; a
//! write that is torn by a power cut leaves the other slot, whose pair is right, because the block of the torn one was
//! not sent. A slot, little-endian:
//!
//! ```text
//! magic 8 "MNGUARD1" | sequence u64 | epoch u64 | round u64 | BLAKE3 of the bytes before 32
//! ```

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use consensus_core::{Epoch, Round};
use metanode_shell::file;

/// Name of the file in the data folder.
pub const GUARD_FILE: &str = "signing.guard";

const MAGIC: &[u8; 8] = b"MNGUARD1";
const BODY_BYTES: usize = 32;
const SLOT_BYTES: usize = BODY_BYTES + 32;
const SLOT_DISTANCE: usize = 4096;
const FILE_MODE: u32 = 0o600;

/// Why the guard does not let this node sign. In each case it must not.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The system refused. After a failed raise nothing is known of the file, so every later raise fails too.
    #[error("cannot use the signing guard {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// There is no guard beside a store that holds own blocks: it is made before the first of them, so it was lost.
    #[error(
        "the signing guard {} is missing, but the store holds own blocks up to epoch {} round {}, so it is not known up \
         to which round this authority has signed; restore the guard file that belongs to this store, the newest one, \
         or replace the authority's protocol key",
        path.display(), own_last.0, own_last.1
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Newest own block of the store.
        own_last: (Epoch, Round),
    },
    /// Neither slot can be read: one torn write cannot do this.
    #[error(
        "the signing guard {} is damaged in both slots, so it is not known up to which round this authority has signed; \
         keep it down, and restore the file, or replace the authority's protocol key",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Asked to allow what was forbidden before: a bug, or a machine that runs on an old store.
    #[error("the signing guard stands at epoch {} round {}, and was asked to go down to epoch {} round {}",
        held.0, held.1, asked.0, asked.1)]
    Lower {
        /// Where it stands.
        held: (Epoch, Round),
        /// What it was asked for.
        asked: (Epoch, Round),
    },
    /// A raise failed before.
    #[error("the signing guard {} failed before; nothing may be signed until this process starts again", path.display())]
    FailedBefore {
        /// The file.
        path: PathBuf,
    },
}

/// The open guard. One task owns it. Open it after the store, whose lock keeps other processes out.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    file: File,
    newest: Record,
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    sequence: u64,
    epoch: Epoch,
    round: Round,
}

impl Guard {
    /// Opens the guard. Returns the pair that it holds, `None` if it was never raised. `own_last` is the newest own block
    /// of the store: where there is none, a guard that is missing is created, and forbids nothing. A guard that is there
    /// and was never raised is right beside any store, since a crash may come between the first own block and the first
    /// raise.
    ///
    /// # Errors
    /// [`GuardError::Missing`], [`GuardError::Damaged`], [`GuardError::Io`]. A missing guard is still missing then, so
    /// that the next start is refused as well.
    pub fn open(
        path: &Path,
        own_last: Option<(Epoch, Round)>,
    ) -> Result<(Self, Option<(Epoch, Round)>), GuardError> {
        let io = |source| GuardError::Io { path: path.to_owned(), source };
        if !path.try_exists().map_err(io)? {
            if let Some(own_last) = own_last {
                return Err(GuardError::Missing { path: path.to_owned(), own_last });
            }
            file::write_atomic(path, &new_file(), FILE_MODE).map_err(io)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        let slots = [read_slot(&file, 0).map_err(io)?, read_slot(&file, 1).map_err(io)?];
        let newest = slots.into_iter().flatten().max_by_key(|record| record.sequence);
        let newest = newest.ok_or_else(|| GuardError::Damaged { path: path.to_owned() })?;
        let guard = Self { path: path.to_owned(), file, newest, failed: false };
        let held = guard.held();
        Ok((guard, held))
    }

    /// The pair that it holds; `None` if it was never raised.
    pub fn held(&self) -> Option<(Epoch, Round)> {
        (self.newest.sequence > 0).then_some((self.newest.epoch, self.newest.round))
    }

    /// Raises the guard, durably when this returns. The pair that it holds already is fine and costs nothing. Blocks
    /// for a sync of the disk.
    ///
    /// # Errors
    /// [`GuardError`]: the block of this round must not be sent.
    pub fn raise(&mut self, epoch: Epoch, round: Round) -> Result<(), GuardError> {
        if self.failed {
            return Err(GuardError::FailedBefore { path: self.path.clone() });
        }
        let asked = (epoch, round);
        match self.held() {
            Some(held) if asked < held => return Err(GuardError::Lower { held, asked }),
            Some(held) if asked == held => return Ok(()),
            _ => {}
        }
        let next = Record { sequence: self.newest.sequence + 1, epoch, round };
        let written = self
            .file
            .write_all_at(&encode(&next), slot_offset(next.sequence % 2))
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.failed = true;
            return Err(GuardError::Io { path: self.path.clone(), source });
        }
        self.newest = next;
        Ok(())
    }
}

/// Both slots are written from the start: a file of zeros is a damaged guard, not a new one.
fn new_file() -> Vec<u8> {
    let slot = encode(&Record { sequence: 0, epoch: Epoch::GENESIS, round: Round::GENESIS });
    let mut bytes = vec![0; SLOT_DISTANCE];
    bytes[..SLOT_BYTES].copy_from_slice(&slot);
    bytes.extend_from_slice(&slot);
    bytes
}

const fn slot_offset(slot: u64) -> u64 {
    slot * SLOT_DISTANCE as u64
}

fn read_slot(file: &File, slot: u64) -> io::Result<Option<Record>> {
    let mut bytes = [0; SLOT_BYTES];
    match file.read_exact_at(&mut bytes, slot_offset(slot)) {
        Ok(()) => Ok(decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode(record: &Record) -> [u8; SLOT_BYTES] {
    let mut body = Vec::with_capacity(SLOT_BYTES);
    body.extend_from_slice(MAGIC);
    for number in [record.sequence, record.epoch.get(), record.round.get()] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    let checksum = blake3::hash(&body);
    body.extend_from_slice(checksum.as_bytes());
    body.try_into().expect("a slot has a fixed length")
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<Record> {
    let (body, checksum) = bytes.split_at(BODY_BYTES);
    let (magic, numbers) = body.split_at(MAGIC.len());
    if magic != MAGIC || blake3::hash(body).as_bytes() != checksum {
        return None;
    }
    let mut numbers = numbers.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
    Some(Record {
        sequence: numbers.next()?,
        epoch: Epoch::new(numbers.next()?),
        round: Round::new(numbers.next()?),
    })
}

#[cfg(test)]
mod tests;
