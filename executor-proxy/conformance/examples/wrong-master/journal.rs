//! What a master has done, in one file: a line an entry, synced when it is told to. A line that was cut by a kill is dropped.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// A commit was executed.
    Executed(Executed),
    /// A lease is in force.
    Lease { authority: [u8; 32], incarnation: u64 },
    /// An epoch is in force.
    Epoch(u64),
}

/// What executing a commit came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Executed {
    pub(crate) index: u64,
    pub(crate) epoch: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) root: [u8; 32],
    /// Position, code and reason.
    pub(crate) rejected: Vec<(u32, u32, String)>,
    /// Account, balance and nonce after it.
    pub(crate) changes: Vec<([u8; 32], u64, u64)>,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
    /// How many those are.
    pub(crate) count: usize,
}

impl Journal {
    /// Opens the file in a folder, and reads what is in it.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Vec<Entry>)> {
        fs::create_dir_all(folder)?;
        let path = folder.join("journal");
        let text = fs::read(&path).unwrap_or_default();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok((Self { file, waiting: Vec::new(), count: 0 }, entries))
    }

    /// Adds a line; it is durable after the next sync.
    pub(crate) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        serde_json::to_writer(&mut self.waiting, entry)?;
        self.waiting.push(b'\n');
        self.count += 1;
        Ok(())
    }

    /// Makes all lines durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.write_all(&self.waiting)?;
        self.file.sync_data()?;
        self.waiting.clear();
        self.count = 0;
        Ok(())
    }
}
