//! What a run is about.

use std::{path::PathBuf, time::Duration};

use crate::legacy::{Layout, LegacyMaster};

/// How state roots and rejections are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LedgerKind {
    /// They are those of the reference ledger.
    Reference,
    /// The same history gives the same root, whatever it is; an empty one is none.
    Any,
}

/// What the master speaks, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `executor.v1.ExecutorService`.
    Grpc {
        /// `http://host:port` or `unix:/absolute/path`.
        endpoint: String,
    },
    /// The framed protocol of existing masters.
    Uds(LegacyMaster),
}

/// The variable that names the folder for the master's data.
pub const DATA_DIR: &str = "CONFORMANCE_DATA_DIR";
/// The variable that names the genesis file.
pub const GENESIS: &str = "CONFORMANCE_GENESIS";

/// A checked command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the master speaks, and where.
    pub protocol: Protocol,
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
    /// Where the master listens, for people.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match &self.protocol {
            Protocol::Grpc { endpoint } => endpoint.clone(),
            Protocol::Uds(master) => master.blocks.to_string(),
        }
    }

    /// True where roots are compared with those of the reference ledger. A layout without the digest of a commit leads to
    /// roots over other digests.
    #[must_use]
    pub fn roots_are_known(&self) -> bool {
        let digests = match &self.protocol {
            Protocol::Grpc { .. } => true,
            Protocol::Uds(master) => master.layout == Layout::ExecutableBlock,
        };
        digests && self.ledger == LedgerKind::Reference
    }

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
