//! `network.json`: who runs where. Written atomically at the start and whenever a process is started again, so that a
//! script can find what to look at, or what to kill.

use metanode_shell::file::write_atomic;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFile {
    /// Chain id, 64 hex digits.
    pub chain_id: String,
    /// The genesis file.
    pub genesis: PathBuf,
    /// By authority index.
    pub authorities: Vec<AuthorityEntry>,
}

/// One authority and its executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityEntry {
    /// Index in the committee.
    pub index: usize,
    /// Its consensus-svc.
    pub consensus: ConsensusEntry,
    /// Its executor-proxy.
    pub executor: ExecutorEntry,
}

/// A consensus-svc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusEntry {
    /// Process id; null while it does not run.
    pub pid: Option<u32>,
    /// For other authorities, host:port.
    pub peer_address: String,
    /// Transactions, commits, status and health, host:port.
    pub api_address: String,
    /// Prometheus scrape, host:port.
    pub metrics_address: String,
    /// Configuration file.
    pub config: PathBuf,
    /// Output.
    pub log: PathBuf,
    /// What it stores.
    pub data_dir: PathBuf,
}

/// An executor-proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorEntry {
    /// Process id; null while it does not run.
    pub pid: Option<u32>,
    /// Executor service and health, host:port.
    pub api_address: String,
    /// Prometheus scrape, host:port.
    pub metrics_address: String,
    /// Configuration file.
    pub config: PathBuf,
    /// Output.
    pub log: PathBuf,
    /// What it stores.
    pub data_dir: PathBuf,
}

impl NetworkFile {
    /// Reads the file of a network that was made before.
    ///
    /// # Errors
    /// What the operating system says; `InvalidData` for a file of another form.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// What the operating system says; the old file is then untouched.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_atomic(path, &text, 0o644)
    }
}
