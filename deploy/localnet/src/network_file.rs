//! `network.json`: who runs where. Written atomically at the start and whenever a process is started again, so that a
//! script can find what to look at, or what to kill.

use crate::{
    executor::ExecutorKind,
    process::{Role, ServiceId},
};
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
    /// What stands behind the proxies: `embedded`, `go` or `go-uds`.
    #[serde(default)]
    pub executor_kind: ExecutorKind,
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
    /// The Go master behind it; null where the ledger is inside the proxy.
    #[serde(default)]
    pub master: Option<MasterEntry>,
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

/// A Go master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterEntry {
    /// Process id; null while it does not run.
    pub pid: Option<u32>,
    /// Executor service and health, unix:PATH.
    pub api_address: String,
    /// Socket of blocks of the framed protocol; null where it is not served.
    pub blocks: Option<PathBuf>,
    /// Socket of queries of the framed protocol; null where it is not served.
    pub queries: Option<PathBuf>,
    /// Protocol key of the authority that it takes commits from, 64 hex digits.
    pub authority_key: String,
    /// Output.
    pub log: PathBuf,
    /// What it stores.
    pub data_dir: PathBuf,
}

impl NetworkFile {
    /// Forgets the process ids of an earlier run.
    pub fn forget_pids(&mut self) {
        for entry in &mut self.authorities {
            (entry.consensus.pid, entry.executor.pid) = (None, None);
            if let Some(master) = &mut entry.master {
                master.pid = None;
            }
        }
    }

    /// Notes the process id of one process.
    pub fn note_pid(&mut self, id: ServiceId, pid: Option<u32>) {
        let Some(entry) = self.authorities.get_mut(id.authority) else { return };
        match id.role {
            Role::Consensus => entry.consensus.pid = pid,
            Role::Executor => entry.executor.pid = pid,
            Role::Master => {
                if let Some(master) = &mut entry.master {
                    master.pid = pid;
                }
            }
        }
    }

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
