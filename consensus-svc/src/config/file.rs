//! The configuration file as it is written: every key, its default, its range, and what goes wrong at each end.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use consensus_core::Params;
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Folder of the store and the signing guard; made at the first start. Required. A network file system without
    /// working locks and syncs loses what was confirmed; two nodes on one folder are refused.
    pub data_dir: PathBuf,
    /// The genesis file of the network. Required. The same on every authority, byte for byte in all but its accounts.
    pub genesis: PathBuf,
    /// File of the key that signs blocks: 64 hex digits, mode 0600 or 0400. Required. Two running nodes with one key sign
    /// twice for one slot, which is a fault for all to see.
    pub protocol_key_file: PathBuf,
    /// File of the TLS key, of the same form. Required.
    pub network_key_file: PathBuf,
    /// Address for other authorities, host:port. Default `0.0.0.0:7100`; port 0 takes a free one, which no other
    /// authority knows. On loopback, others are not reached.
    #[serde(default = "default_peer_listen")]
    pub peer_listen: String,
    /// Address of the API (transactions, commits, status, health), host:port. Default `127.0.0.1:7101`; port 0 takes a
    /// free one. The API has no authentication: on `0.0.0.0` everybody who reaches it may submit.
    #[serde(default = "default_api_listen")]
    pub api_listen: String,
    /// Address of the metrics, host:port. Default: none are served.
    pub metrics_listen: Option<String>,
    /// Where authorities are reached, by index (`1 = "10.0.0.7:7100"`), in place of the address in the genesis file.
    /// Default: none.
    #[serde(default)]
    pub peers: BTreeMap<String, String>,
    /// Events.
    #[serde(default)]
    pub log: LogSection,
    /// The executor.
    pub executor: ExecutorSection,
    /// Pace of this authority.
    #[serde(default)]
    pub proposer: ProposerSection,
    /// Intake of transactions.
    #[serde(default)]
    pub submit: SubmitSection,
    /// The database.
    #[serde(default)]
    pub store: StoreSection,
    /// When health turns.
    #[serde(default)]
    pub health: HealthSection,
    /// Time that tasks have to end by themselves at shutdown, in milliseconds. Default 10000, 0 to 600000. Too short
    /// cuts answers off; too long, and the system's supervisor kills the process first.
    #[serde(default = "default_drain_timeout_ms")]
    pub drain_timeout_ms: u64,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `text` for people, `json` for collectors. Default `text`.
    pub format: String,
    /// Which events, in the syntax of tracing's `EnvFilter` (`info,consensus_svc=debug`). Default `info`. `RUST_LOG`
    /// replaces it. `trace` writes a line a message: far more bytes than the transactions have.
    pub filter: String,
}

/// What to do while the executor cannot be asked where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExecutorUnavailable {
    /// Take part in consensus, and wait with streaming until it answers.
    #[default]
    Wait,
    /// Stream from the first commit as soon as it can be reached; what it has is dropped by it as a duplicate. Never
    /// means "new network". Refused at start where the first commit is no longer held.
    Genesis,
}

/// `[executor]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorSection {
    /// Where the executor proxy is reached: `http://host:port` or `unix:/absolute/path`. Required.
    pub endpoint: String,
    /// Whether the executor is asked for its last block at start. Default true. False streams from the first commit, and
    /// is refused at start where that is no longer held.
    #[serde(default = "default_true")]
    pub executor_read_enabled: bool,
    /// `wait` or `genesis`. Default `wait`.
    #[serde(default)]
    pub on_executor_unavailable: OnExecutorUnavailable,
    /// Most commits sent and not yet acknowledged. Default 256, 1 to 4096. 1 pays a round trip a commit; more than the
    /// executor takes in fills its memory and gains nothing.
    #[serde(default = "default_window_commits")]
    pub window_commits: u64,
    /// Most counted bytes in them. Default 32 MiB, 64 KiB to 1 GiB. A larger commit is sent alone.
    #[serde(default = "default_window_bytes")]
    pub window_bytes: u64,
    /// Longest wait for an acknowledgement while commits are outstanding, in milliseconds. Default 30000, 100 to
    /// 3600000. Shorter than the slowest commit takes to execute, and the stream is cut and resent without end; longer,
    /// and a hung executor is noticed late.
    #[serde(default = "default_acknowledge_timeout_ms")]
    pub acknowledge_timeout_ms: u64,
}

/// `[proposer]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProposerSection {
    /// Longest wait for a missing leader of the previous round, in milliseconds. Default 250, 10 to 60000. Too short
    /// skips slow leaders; too long stalls every round of a dead one.
    pub leader_timeout_ms: u64,
    /// Least time between own proposals, in milliseconds. Default 40, 0 to 10000. Lower costs syncs and bytes, higher
    /// costs latency.
    pub min_round_interval_ms: u64,
    /// How long a proposal waits with nothing to order, in milliseconds. Default 1000, 0 to a third of the genesis
    /// heartbeat interval. 0 never idles and burns CPU; above the limit the heartbeat would be late.
    pub idle_delay_ms: u64,
    /// How long a peer has to answer a fetch before another is asked, in milliseconds. Default 500, 10 to 60000. Too
    /// short asks everybody for the same; too long waits for a dead peer.
    pub fetch_timeout_ms: u64,
    /// Most blocks that wait for ancestors, over all authors. Default 10000, 10 an authority to 10000000. Too few drops
    /// blocks that are fetched again; more is memory that a faulty peer can fill.
    pub max_waiting_blocks: usize,
    /// Most signed bytes that wait for ancestors. Default 128 MiB, at least one largest block an authority.
    pub max_waiting_bytes: u64,
    /// How many rounds above the clock blocks are let in. Default 120, 10 to 10000. Too few refuses fast peers after a
    /// pause; more is memory that a faulty peer can fill.
    pub max_rounds_ahead: u64,
    /// Most transactions in the pool. Default 20000, `submit.max_batch_transactions` to 10000000. Too few refuses bursts; more is latency that nobody
    /// waits for.
    pub max_pool_transactions: usize,
    /// Most counted bytes in the pool. Default 64 MiB, at least one largest transaction, and at least one largest batch:
    /// `submit.max_batch_bytes` and 16 bytes for each of its transactions.
    pub max_pool_bytes: u64,
    /// How long a transaction may wait for an own block that is committed, in milliseconds. Default 60000, 100 to 86400000; there
    /// is no value for ever. Past it a transaction that is in no own block, or whose block was collected, is dropped and
    /// its submitter is told. Too short drops what a slow minute would still have committed; too long keeps what clients have
    /// sent elsewhere.
    pub transaction_lifetime_ms: u64,
}

/// `[submit]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubmitSection {
    /// Most transactions in one call. Default 1000, 1 to 10000.
    pub max_batch_transactions: usize,
    /// Most bytes of transactions in one call. Default 2 MiB, from the genesis limit of a transaction to 64 MiB.
    pub max_batch_bytes: u64,
    /// Most transactions that somebody waits for, over all calls. Default 100000, `max_batch_transactions` to 10000000;
    /// about 200 bytes each.
    /// A call over it is refused, with the time to try again.
    pub max_waiting: usize,
    /// Commits by which the executor may lag before intake is refused. Default 1000, 1 to 1000000. Too few refuses at
    /// every hiccup of the executor; too many promises an execution that is far away.
    pub max_executed_lag: u64,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// Page cache of the database, in MiB. Default 256, 16 to 65536. The process holds about this much in memory; far
    /// less makes replays slow.
    pub cache_mib: u64,
    /// How long to wait at start for a predecessor to let go of the database, in milliseconds. Default 10000, 0 to
    /// 600000. 0 refuses at once, also just after a kill.
    pub lock_timeout_ms: u64,
}

/// `[health]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSection {
    /// Without a new commit for this long, though there is something to do, health turns NOT_SERVING, in milliseconds. Default
    /// 30000, 1000 to 3600000. Shorter than a slow network takes for a commit, and health turns back and forth; longer, and a
    /// node that hangs is noticed late.
    pub stalled_after_ms: u64,
}

impl Default for HealthSection {
    fn default() -> Self {
        Self { stalled_after_ms: 30_000 }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: "text".to_owned(), filter: "info".to_owned() }
    }
}

impl Default for ProposerSection {
    fn default() -> Self {
        let params = Params::default();
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            leader_timeout_ms: millis(params.leader_timeout),
            min_round_interval_ms: millis(params.min_round_interval),
            idle_delay_ms: millis(params.idle_delay),
            fetch_timeout_ms: millis(params.fetch_timeout),
            max_waiting_blocks: params.max_waiting_blocks,
            max_waiting_bytes: params.max_waiting_bytes,
            max_rounds_ahead: params.max_rounds_ahead,
            max_pool_transactions: params.max_pool_transactions,
            max_pool_bytes: params.max_pool_bytes,
            transaction_lifetime_ms: millis(params.transaction_lifetime),
        }
    }
}

impl ProposerSection {
    /// The machine's parameters; not yet checked.
    pub(super) fn params(&self) -> Params {
        Params {
            leader_timeout: Duration::from_millis(self.leader_timeout_ms),
            min_round_interval: Duration::from_millis(self.min_round_interval_ms),
            idle_delay: Duration::from_millis(self.idle_delay_ms),
            fetch_timeout: Duration::from_millis(self.fetch_timeout_ms),
            max_waiting_blocks: self.max_waiting_blocks,
            max_waiting_bytes: self.max_waiting_bytes,
            max_rounds_ahead: self.max_rounds_ahead,
            max_pool_transactions: self.max_pool_transactions,
            max_pool_bytes: self.max_pool_bytes,
            transaction_lifetime: Duration::from_millis(self.transaction_lifetime_ms),
        }
    }
}

impl Default for SubmitSection {
    fn default() -> Self {
        Self {
            max_batch_transactions: 1_000,
            max_batch_bytes: 2 << 20,
            max_waiting: 100_000,
            max_executed_lag: 1_000,
        }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { cache_mib: 256, lock_timeout_ms: 10_000 }
    }
}

fn default_peer_listen() -> String {
    "0.0.0.0:7100".to_owned()
}

fn default_api_listen() -> String {
    "127.0.0.1:7101".to_owned()
}

const fn default_drain_timeout_ms() -> u64 {
    10_000
}

const fn default_true() -> bool {
    true
}

const fn default_window_commits() -> u64 {
    256
}

const fn default_window_bytes() -> u64 {
    32 << 20
}

const fn default_acknowledge_timeout_ms() -> u64 {
    30_000
}
