//! The configuration file.
//!
//! ```toml
//! data_dir = "data"
//! genesis = "genesis.toml"
//! authority_key = "1f0e..."           # 64 hex digits
//! listen = "127.0.0.1:7200"
//! metrics_listen = "127.0.0.1:9200"
//!
//! [log]
//! format = "text"                     # or "json"
//! filter = "info"
//!
//! [window]
//! commits = 256
//! bytes = 33554432
//!
//! [backend]
//! kind = "embedded"                   # or "grpc", with endpoint = "http://127.0.0.1:7300" or "unix:/run/master.sock",
//!                                     # or "uds", with blocks, queries and layout
//! execute_timeout_ms = 30000
//! ```
//!
//! Each key can be replaced by an environment variable: `METANODE_EXECUTOR_LISTEN`, `METANODE_EXECUTOR_WINDOW__COMMITS`.

mod backend;

pub use backend::BackendKind;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use metanode_shell::config::{self, ConfigError, Problems};
use metanode_telemetry::LogFormat;
use sequencer_core::Authority;
use serde::Deserialize;

use crate::network::Network;
use backend::BackendSection;

/// Environment variables that start with this and an underscore replace keys of the file.
pub const ENV_PREFIX: &str = "METANODE_EXECUTOR";

/// The file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: PathBuf,
    genesis: PathBuf,
    authority_key: String,
    #[serde(default = "default_listen")]
    listen: String,
    metrics_listen: Option<String>,
    #[serde(default)]
    log: LogSection,
    #[serde(default)]
    window: WindowSection,
    #[serde(default)]
    backend: BackendSection,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    format: String,
    filter: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WindowSection {
    commits: u32,
    bytes: u64,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: "text".to_owned(), filter: "info".to_owned() }
    }
}

impl Default for WindowSection {
    fn default() -> Self {
        Self { commits: 256, bytes: 32 << 20 }
    }
}

fn default_listen() -> String {
    "127.0.0.1:7200".to_owned()
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of everything that is stored. Required. Relative paths start at the folder of the configuration file.
    pub data_dir: PathBuf,
    /// What is read from the genesis file. Required.
    pub network: Network,
    /// Protocol public key of the authority that this executor belongs to, 64 hex digits. Required; a member of the genesis
    /// committee. Any other sender is refused.
    pub authority: Authority,
    /// Address of the API, host:port. Default `127.0.0.1:7200`; port 0 takes a free one.
    /// No credential is asked for: whoever reaches it can feed the executor commits of their own making, and shut out
    /// consensus-svc. Anything but loopback is warned of at the start, and needs a firewall.
    pub listen: String,
    /// Address of the metrics, host:port. Default: none are served.
    pub metrics_listen: Option<String>,
    /// Form of the events. Default `text`.
    pub log_format: LogFormat,
    /// Filter of the events, as `tracing` reads it. Default `info`.
    pub log_filter: String,
    /// Most commits taken and not yet durable. Default 256, 1 to 4096. 1 makes each commit wait for a sync of its own.
    pub window_commits: u32,
    /// Most bytes in them. Default 32 MiB, 64 KiB to 1 GiB; memory grows with it. A larger commit is taken alone.
    pub window_bytes: u64,
    /// Which executor stands behind the proxy. Key `backend.kind`, default `embedded`.
    ///
    /// `grpc` needs `backend.endpoint`. `uds` needs `backend.blocks` and `backend.queries` (`/absolute/path` or `tcp://host:port`) and
    /// `backend.layout` (`executable-block` or `committed-epoch-data`). `backend.reports_ready`, default false: true where
    /// `is_ready` of the master's answers means something; true for a master that never sets it waits for ever.
    /// `backend.accept_zero`, default false: true lets a master that had acknowledged commits start anew from zero; left on, a master
    /// that answers before it has loaded its state is believed.
    pub backend: BackendKind,
    /// Time that the executor has for the oldest commit in flight, or for any other request, before the service stops with
    /// exit code 1, or, where it is a master of its own, before it is given up and asked anew. Key
    /// `backend.execute_timeout_ms`, default 30000, 1000 to 600000. Short: a slow disk ends the service. Long: an executor
    /// that hangs is restarted late.
    pub execute_timeout: Duration,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake that was found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file: File = config::load(path, ENV_PREFIX)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut problems = Problems::default();
        let checked = Self::check(file, folder, &mut problems);
        problems.finish(path)?;
        Ok(checked.expect("what has no problems is complete"))
    }

    /// `None` only if a problem was noted.
    fn check(file: File, folder: &Path, problems: &mut Problems) -> Option<Self> {
        let network = Network::read(&folder.join(&file.genesis), problems);
        let mut key = [0; 32];
        let is_key = hex::decode_to_slice(&file.authority_key, &mut key).is_ok();
        problems.check(is_key, "authority_key", "is not 64 hex digits");
        let authority = Authority(key);
        if let Some(network) = &network
            && is_key
        {
            let member = network.has(authority);
            problems.check(
                member,
                "authority_key",
                "is not the protocol_key of an authority of the genesis file",
            );
        }
        check_address(&file.listen, "listen", problems);
        if let Some(address) = &file.metrics_listen {
            check_address(address, "metrics_listen", problems);
        }
        let log_format = file.log.format.parse::<LogFormat>();
        problems.check(log_format.is_ok(), "log.format", "is neither text nor json");
        problems.check(!file.data_dir.as_os_str().is_empty(), "data_dir", "is empty");
        let WindowSection { commits, bytes } = file.window;
        problems.check(
            (1..=4096).contains(&commits),
            "window.commits",
            format!("is {commits}, allowed are 1 to 4096"),
        );
        problems.check(
            (64 << 10..=1 << 30).contains(&bytes),
            "window.bytes",
            format!("is {bytes}, allowed are 65536 to 1073741824"),
        );
        let backend = file.backend.check(problems);
        let execute_timeout_ms = file.backend.execute_timeout_ms;
        problems.check(
            (1000..=600_000).contains(&execute_timeout_ms),
            "backend.execute_timeout_ms",
            format!("is {execute_timeout_ms}, allowed are 1000 to 600000"),
        );
        Some(Self {
            data_dir: folder.join(file.data_dir),
            network: network?,
            authority,
            listen: file.listen,
            metrics_listen: file.metrics_listen,
            log_format: log_format.ok()?,
            log_filter: file.log.filter,
            window_commits: commits,
            window_bytes: bytes,
            backend: backend?,
            execute_timeout: Duration::from_millis(execute_timeout_ms),
        })
    }
}

fn check_address(address: &str, field: &str, problems: &mut Problems) {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    let valid = port.is_some_and(|port| port.parse::<u16>().is_ok());
    problems.check(valid, field, format!("`{address}` is not host:port"));
}
