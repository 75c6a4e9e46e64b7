//! What became of each transaction, as the load was told, on disk: a run may be longer than memory is large.
//!
//! Records of 33 bytes: the digest, and one byte for the fate.

use loadgen::{Fate, Settled};
use reference_ledger::Digest;
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};
use tokio::{sync::mpsc, task::JoinHandle};

const RECORD_BYTES: usize = 33;

/// Writes what comes over a channel, until the other end is dropped.
#[derive(Debug)]
pub struct SettledWriter {
    task: JoinHandle<io::Result<()>>,
}

impl SettledWriter {
    /// Starts a new file at `path`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(path: PathBuf) -> io::Result<(mpsc::Sender<Vec<Settled>>, Self)> {
        let mut file = BufWriter::new(File::create(path)?);
        let (sender, mut settled) = mpsc::channel::<Vec<Settled>>(256);
        let task = tokio::task::spawn_blocking(move || {
            while let Some(some) = settled.blocking_recv() {
                some.iter().try_for_each(|one| file.write_all(&encode(one)))?;
            }
            file.flush()
        });
        Ok((sender, Self { task }))
    }

    /// Waits until all is written; every sender must have been dropped.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn finish(self) -> io::Result<()> {
        self.task.await.map_err(io::Error::other)?
    }
}

/// Reads the records of a file.
///
/// # Errors
/// What the operating system says; so do the items. A record that was cut off ends the file.
pub fn read(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Settled>>> {
    let mut file = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut record = [0; RECORD_BYTES];
        match file.read_exact(&mut record) {
            Ok(()) => Some(decode(&record)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }))
}

fn encode(settled: &Settled) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let (digest, fate) = record.split_at_mut(RECORD_BYTES - 1);
    digest.copy_from_slice(settled.digest.as_bytes());
    fate.fill(match settled.fate {
        Fate::Executed => 0,
        Fate::Rejected => 1,
        Fate::Unresolved => 2,
    });
    record
}

fn decode(record: &[u8; RECORD_BYTES]) -> io::Result<Settled> {
    let (digest, fate) = record.split_at(RECORD_BYTES - 1);
    let fate = match fate {
        [0] => Fate::Executed,
        [1] => Fate::Rejected,
        [2] => Fate::Unresolved,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let digest = Digest::from_slice(digest).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Settled { digest, fate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_come_back_and_a_cut_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settled.bin");
        let (sender, writer) = SettledWriter::start(path.clone()).unwrap();
        let fates = [Fate::Executed, Fate::Rejected, Fate::Unresolved];
        let all: Vec<_> =
            (1..).zip(fates).map(|(byte, fate)| Settled { digest: Digest([byte; 32]), fate }).collect();
        sender.send(all.clone()).await.unwrap();
        drop(sender);
        writer.finish().await.unwrap();
        assert_eq!(read(&path).unwrap().collect::<io::Result<Vec<_>>>().unwrap(), all);

        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(2 * 33 + 5).unwrap();
        assert_eq!(read(&path).unwrap().collect::<io::Result<Vec<_>>>().unwrap(), all[..2]);
    }
}
