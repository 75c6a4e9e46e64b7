//! The mark: how far the log was confirmed, kept outside of it.
//!
//! sled ends its log at the first record that it cannot read, in silence: one flipped bit in the newest segment, and
//! batches that were confirmed are gone, down to an empty database. So every batch carries a sequence number, and after
//! each sync the number that it confirmed is written here. A log that ends below its mark was cut.
//!
//! The mark is written after the sync and not synced itself, so it is never ahead of the log; after power loss it may be
//! behind, which only makes the check weaker. It decides nothing else.

use crate::file;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

const FILE: &str = "confirmed";
const SEQUENCE_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 16;

/// The open mark of a database.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
}

impl Mark {
    /// Opens the mark of `folder` and reads the confirmed sequence number; 0 if there is none yet.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, u64)> {
        let path = folder.join(FILE);
        let known = path.try_exists()?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut bytes = Vec::new();
        (&mut file).take(64).read_to_end(&mut bytes)?;
        let confirmed = decode(&bytes);
        if known && confirmed.is_none() {
            tracing::warn!(path = %path.display(), "mark of the database is unreadable and is written anew");
        }
        if !known {
            file::sync_directory(folder)?;
        }
        Ok((Self { file }, confirmed.unwrap_or_default()))
    }

    /// Notes that everything up to `sequence` is durable.
    pub(crate) fn write(&self, sequence: u64) -> io::Result<()> {
        let bytes = sequence.to_be_bytes();
        let checksum = blake3::hash(&bytes);
        let record = [bytes.as_slice(), &checksum.as_bytes()[..CHECKSUM_BYTES]].concat();
        self.file.write_all_at(&record, 0)
    }
}

fn decode(record: &[u8]) -> Option<u64> {
    let (bytes, checksum) = record.split_first_chunk::<SEQUENCE_BYTES>()?;
    let expected = blake3::hash(bytes);
    (checksum == &expected.as_bytes()[..CHECKSUM_BYTES]).then(|| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mark, confirmed) = Mark::open(folder.path()).unwrap();
        assert_eq!(confirmed, 0);
        mark.write(7).unwrap();
        mark.write(8).unwrap();
        assert_eq!(Mark::open(folder.path()).unwrap().1, 8);
    }

    #[test]
    fn an_unreadable_mark_claims_nothing() {
        let folder = tempfile::tempdir().unwrap();
        Mark::open(folder.path()).unwrap().0.write(7).unwrap();
        let path = folder.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Mark::open(folder.path()).unwrap().1, 0);
        std::fs::write(&path, &bytes[..5]).unwrap();
        assert_eq!(Mark::open(folder.path()).unwrap().1, 0);
    }
}
