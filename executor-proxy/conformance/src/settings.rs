//! What a run is about.

use std::{path::PathBuf, time::Duration};

/// How state roots and rejections are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LedgerKind {
    /// They are those of the reference ledger.
    Reference,
    /// The same history gives the same root, whatever it is; an empty one is none.
    Any,
}

/// The variable that names the folder for the master's data.
pub const DATA_DIR: &str = "CONFORMANCE_DATA_DIR";
/// The variable that names the genesis file.
pub const GENESIS: &str = "CONFORMANCE_GENESIS";

/// A checked command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the master listens: `http://host:port` or `unix:/absolute/path`.
    pub endpoint: String,
    /// Starts it; run by `sh -c`.
    pub command: String,
    /// How its results are judged.
    pub ledger: LedgerKind,
    /// Where the random kill points come from.
    pub seed: u64,
    /// How long each answer, and each start, may take. Nothing is judged by time otherwise.
    pub patience: Duration,
    /// How much is done where more finds more.
    pub effort: Effort,
    /// Genesis file of the caller's; the suite writes its own where there is none.
    pub genesis: Option<PathBuf>,
    /// Folder of what the suite writes: genesis, log, data folders.
    pub folder: PathBuf,
}

impl Settings {
    /// True where the command keeps its data in the folder that it is given, so that each row may have a new one.
    #[must_use]
    pub fn is_fresh_each_row(&self) -> bool {
        self.command.contains(DATA_DIR)
    }
}

/// How much is done where more finds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Kills in mid-stream.
    pub kills: u64,
    /// Bytes of commits that are sent without reading an acknowledgement.
    pub unread_bytes: u64,
    /// Most bytes of memory that the master may take up meanwhile.
    pub growth_bytes: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { kills: 8, unread_bytes: 256 << 20, growth_bytes: 160 << 20 }
    }
}
