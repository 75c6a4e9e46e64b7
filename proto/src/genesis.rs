//! The genesis file: what all authorities and executors of a network agree on before its first block.
//!
//! One TOML file a network, written by `consensus-svc genesis` and read by both services. Keys are lower-case hex.

use serde::{Deserialize, Serialize};

/// A whole genesis file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// BLAKE3 digest over name, timestamp, parameters and authorities; 32 bytes as hex. Written by the generator and
    /// checked by consensus-svc at start: a file that was edited by hand is refused.
    pub chain_id: String,
    /// Name of the network, for people; 1 to 64 bytes.
    pub name: String,
    /// Timestamp of the genesis blocks, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Limits and intervals that every authority must compute alike.
    pub parameters: GenesisParameters,
    /// The committee of epoch 0, sorted by protocol key bytes; the place is the authority index.
    pub authorities: Vec<GenesisAuthority>,
    /// Accounts of the reference ledger at the start; not part of the chain id. May be empty.
    #[serde(default)]
    pub accounts: Vec<GenesisAccount>,
}

/// Limits and intervals that every authority must compute alike; fixed for the life of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenesisParameters {
    /// Leader slots a round; 1 to the number of authorities. Default 1.
    pub leaders_per_round: u16,
    /// Rounds that blocks stay in the DAG below the last committed leader; 10 to 10000. Default 60. Lower loses
    /// transactions of slow authorities, higher costs memory.
    pub gc_depth: u64,
    /// An idle network commits at least once in this time by block timestamps, in milliseconds; 100 to 3600000.
    /// Default 5000.
    pub heartbeat_interval_ms: u64,
    /// ... and at least once in this many rounds; 1 to half of gc_depth. Default 20.
    pub heartbeat_rounds: u64,
    /// Most transactions in a commit; 1 to 1000000. Default 10000.
    pub max_commit_transactions: u32,
    /// Most bytes in a commit, counted as transaction bytes + 16 a transaction + 128 a block; 64 KiB to 64 MiB.
    /// Default 4 MiB.
    pub max_commit_bytes: u64,
    /// Most transactions in a block; 1 to max_commit_transactions. Default 5000.
    pub max_block_transactions: u32,
    /// Most bytes of transactions in a block, counted as in a commit; at most max_commit_bytes. Default 2 MiB.
    pub max_block_bytes: u64,
    /// Most bytes in one transaction; 1 to max_block_bytes less the overheads of a block and a transaction. Default
    /// 512 KiB.
    pub max_transaction_bytes: u32,
    /// How long a committed transaction marks later ones with the same bytes as duplicates, by commit timestamps, in
    /// milliseconds; 1 to 3600000. Default 60000.
    pub duplicate_window_ms: u64,
    /// Most digests that are kept for that, about 100 bytes of memory each; 1 to 10000000. Default 500000.
    pub max_duplicate_entries: u64,
    /// Leader rounds of a window of the leader schedule: who votes late or not at all in one has no leader slots in the
    /// next. 10 to 100000; default 120. Lower reacts to short disturbances, higher waits longer for dead leaders.
    pub schedule_window_rounds: u64,
    /// Authorities vote for the state root of their executor after every commit whose index is a multiple of this. 1 to
    /// 100000; default 100. Lower finds a wrong executor sooner and costs 40 bytes of a block each time, higher lets a wrong
    /// one execute longer.
    pub root_interval: u64,
}

impl Default for GenesisParameters {
    fn default() -> Self {
        Self {
            leaders_per_round: 1,
            gc_depth: 60,
            heartbeat_interval_ms: 5_000,
            heartbeat_rounds: 20,
            max_commit_transactions: 10_000,
            max_commit_bytes: 4 << 20,
            max_block_transactions: 5_000,
            max_block_bytes: 2 << 20,
            max_transaction_bytes: 512 << 10,
            duplicate_window_ms: 60_000,
            max_duplicate_entries: 500_000,
            schedule_window_rounds: 120,
            root_interval: 100,
        }
    }
}

/// One authority of the genesis committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAuthority {
    /// Voting stake; at least 1.
    pub stake: u64,
    /// Ed25519 public key that signs blocks; 32 bytes as hex.
    pub protocol_key: String,
    /// Ed25519 public key of its TLS identity; 32 bytes as hex.
    pub network_key: String,
    /// Where other authorities reach it, host:port; at most 255 bytes.
    pub address: String,
}

/// One account of the reference ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Ed25519 public key of the holder; 32 bytes as hex.
    pub public_key: String,
    /// Units that the account starts with.
    pub balance: u64,
}
