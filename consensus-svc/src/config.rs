//! The configuration: one TOML file, checked as a whole before anything is opened.
//!
//! ```toml
//! data_dir = "data"
//! genesis = "../genesis.toml"
//! protocol_key_file = "protocol.key"
//! network_key_file = "network.key"
//!
//! [executor]
//! endpoint = "http://127.0.0.1:7103"
//! ```
//!
//! Everything else has a default ([`mod@file`]). Relative paths start at the folder of the file. Each key can be replaced by
//! an environment variable: `METANODE_CONSENSUS_API_LISTEN`, `METANODE_CONSENSUS_EXECUTOR__ENDPOINT`.
//!
//! Loading also reads the genesis file and the keys, since what is wrong with them is the operator's to mend as well:
//! all unknown keys and values of a wrong type are listed at once, then all wrong values, and the process ends with exit code 78.

mod check;
pub mod file;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use consensus_core::{AuthorityIndex, Genesis, Params};
use metanode_shell::{
    config::{self, ConfigError, Problems},
    durable::StoreOptions,
};
use metanode_telemetry::LogFormat;

pub use self::file::OnExecutorUnavailable;
use crate::{guard::GUARD_FILE, identity::Identity};

/// Environment variables that start with this and an underscore replace keys of the file.
pub const ENV_PREFIX: &str = "METANODE_CONSENSUS";

/// A valid configuration: made by [`Config::load`] only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Folder of the store and the signing guard.
    pub data_dir: PathBuf,
    /// The checked genesis.
    pub genesis: Arc<Genesis>,
    /// This authority's place in the genesis committee.
    pub own: AuthorityIndex,
    /// This authority's keys; those of the genesis file.
    pub identity: Identity,
    /// Where other authorities reach this one, host:port.
    pub peer_listen: String,
    /// Where clients and operators reach this one, host:port.
    pub api_listen: String,
    /// Where metrics are scraped, host:port.
    pub metrics_listen: Option<String>,
    /// Where each other authority is reached, host:port: of the genesis file unless overridden. Without this one.
    pub peers: BTreeMap<AuthorityIndex, String>,
    /// How events are written.
    pub log: Log,
    /// How the executor is served.
    pub executor: Executor,
    /// How this authority paces itself; checked against the genesis.
    pub params: Params,
    /// Bounds of intake.
    pub submit: Submit,
    /// The database.
    pub store: StoreOptions,
    /// How long a node with something to do may be without a new commit before its health turns.
    pub stalled_after: Duration,
    /// How long tasks have to end by themselves.
    pub drain_timeout: Duration,
}

/// How events are written.
#[derive(Clone, Debug)]
pub struct Log {
    /// Form of the events.
    pub format: LogFormat,
    /// Which events.
    pub filter: String,
}

/// How the executor is served.
#[derive(Clone, Debug)]
pub struct Executor {
    /// `http://host:port` or `unix:/path`.
    pub endpoint: String,
    /// Whether the executor is asked where it stands.
    pub read_enabled: bool,
    /// What to do while it cannot be asked.
    pub on_unavailable: OnExecutorUnavailable,
    /// Most commits sent and not yet acknowledged.
    pub window_commits: usize,
    /// Most counted bytes in them.
    pub window_bytes: u64,
    /// Longest wait for an acknowledgement while commits are outstanding.
    pub acknowledge_timeout: Duration,
}

/// Bounds of intake.
#[derive(Clone, Debug)]
pub struct Submit {
    /// Most transactions in one call.
    pub max_batch_transactions: usize,
    /// Most bytes of transactions in one call.
    pub max_batch_bytes: u64,
    /// Most transactions that somebody waits for.
    pub max_waiting: usize,
    /// Commits by which the executor may lag before intake is refused.
    pub max_executed_lag: u64,
}

impl Config {
    /// Reads and checks the file at `path`, the genesis file and the key files.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake that was found.
    pub fn load(path: &std::path::Path) -> Result<Self, ConfigError> {
        let file: file::File = config::load(path, ENV_PREFIX)?;
        let folder = path.parent().unwrap_or(std::path::Path::new(""));
        let mut problems = Problems::default();
        let checked = check::check(file, folder, &mut problems);
        problems.finish(path)?;
        Ok(checked.expect("what has no problems is complete"))
    }

    /// Folder of the database.
    pub fn store_path(&self) -> PathBuf {
        self.data_dir.join("store")
    }

    /// The signing guard.
    pub fn guard_path(&self) -> PathBuf {
        self.data_dir.join(GUARD_FILE)
    }
}

#[cfg(test)]
mod tests;
