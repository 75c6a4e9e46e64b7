//! Genesis: what a chain starts from, and the parameters that every authority must share.

use std::time::Duration;

use crate::{
    codec::Encoder,
    committee::Committee,
    crypto,
    types::{ChainId, Timestamp},
};

/// Format of the canonical bytes. Format 1 had no `schedule_window_rounds`, format 2 no `root_interval`. A genesis of an older
/// format has another chain id, so nothing of the one is taken for the other's.
const GENESIS_VERSION: u16 = 3;

const CONTEXT: &str = "metanode 2026 genesis v3";

/// Bytes counted for each block on top of its transactions, when commits are measured.
pub const BLOCK_OVERHEAD_BYTES: u64 = 128;

/// Limits and intervals that every authority must compute alike; part of the chain id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolParameters {
    /// Leader slots a round; 1 to the number of authorities.
    pub leaders_per_round: u16,
    /// Rounds that blocks stay in the DAG below the last committed leader; 10 to 10000.
    pub gc_depth: u64,
    /// Longest time between commits by block timestamps; 100 ms to 1 h.
    pub heartbeat_interval: Duration,
    /// Most rounds between last leaders of successive groups; 1 to half of `gc_depth`.
    pub heartbeat_rounds: u64,
    /// Most transactions in a commit; 1 to 1000000.
    pub max_commit_transactions: u32,
    /// Most counted bytes in a commit; 64 KiB to 64 MiB.
    pub max_commit_bytes: u64,
    /// Most transactions in a block; 1 to `max_commit_transactions`.
    pub max_block_transactions: u32,
    /// Most counted bytes of transactions in a block, its own overhead included; at most `max_commit_bytes`.
    pub max_block_bytes: u64,
    /// Most bytes in a transaction; with overheads it must fit a block.
    pub max_transaction_bytes: u32,
    /// How long a committed transaction marks later ones with the same bytes as duplicates, by commit timestamps; 1 ms
    /// to 1 h.
    pub duplicate_window: Duration,
    /// Most digests that are kept for that; 1 to 10000000.
    pub max_duplicate_entries: u64,
    /// Leader rounds of a window of the leader schedule, which ends with the commit that reaches them; 10 to 100000.
    pub schedule_window_rounds: u64,
    /// State roots are voted for at commits whose index is a multiple of this; 1 to 100000.
    pub root_interval: u64,
}

impl Default for ProtocolParameters {
    fn default() -> Self {
        Self {
            leaders_per_round: 1,
            gc_depth: 60,
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_rounds: 20,
            max_commit_transactions: 10_000,
            max_commit_bytes: 4 << 20,
            max_block_transactions: 5_000,
            max_block_bytes: 2 << 20,
            max_transaction_bytes: 512 << 10,
            duplicate_window: Duration::from_secs(60),
            max_duplicate_entries: 500_000,
            schedule_window_rounds: 120,
            root_interval: 100,
        }
    }
}

/// A parameter out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed is {minimum} to {maximum}")]
pub struct GenesisError {
    /// The parameter.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// Least allowed value.
    pub minimum: u64,
    /// Greatest allowed value.
    pub maximum: u64,
}

/// A checked genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    chain_id: ChainId,
    name: String,
    timestamp: Timestamp,
    parameters: ProtocolParameters,
    committee: Committee,
}

impl Genesis {
    /// Checks the parameters against the committee and each other, and computes the chain id.
    ///
    /// # Errors
    /// Every parameter that is out of range, not only the first.
    pub fn new(
        name: String,
        timestamp: Timestamp,
        parameters: ProtocolParameters,
        committee: Committee,
    ) -> Result<Self, Vec<GenesisError>> {
        let problems = out_of_range(&name, &parameters, &committee);
        if !problems.is_empty() {
            return Err(problems);
        }
        let bytes = canonical_bytes(&name, timestamp, &parameters, &committee);
        Ok(Self {
            chain_id: ChainId::new(crypto::hash(CONTEXT, &bytes)),
            name,
            timestamp,
            parameters,
            committee,
        })
    }

    /// Names the chain.
    pub const fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Timestamp of the genesis blocks.
    pub const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The shared parameters.
    pub const fn parameters(&self) -> &ProtocolParameters {
        &self.parameters
    }

    /// The committee of epoch 0.
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }
}

fn out_of_range(name: &str, p: &ProtocolParameters, committee: &Committee) -> Vec<GenesisError> {
    let group_leaders = p.heartbeat_rounds.saturating_mul(u64::from(p.leaders_per_round));
    let largest_transaction = p
        .max_block_bytes
        .saturating_sub(BLOCK_OVERHEAD_BYTES)
        .saturating_sub(crate::transaction::TRANSACTION_OVERHEAD_BYTES);
    let ranges = [
        ("name bytes", name.len() as u64, 1, 64),
        ("leaders_per_round", u64::from(p.leaders_per_round), 1, committee.size() as u64),
        ("gc_depth", p.gc_depth, 10, 10_000),
        ("heartbeat_interval_ms", millis(p.heartbeat_interval), 100, 3_600_000),
        ("heartbeat_rounds", p.heartbeat_rounds, 1, p.gc_depth / 2),
        // A group has at most as many leaders, and all its commits name them, on top of `max_commit_bytes` (D15).
        ("heartbeat_rounds * leaders_per_round", group_leaders, 0, 10_000),
        ("max_commit_transactions", u64::from(p.max_commit_transactions), 1, 1_000_000),
        ("max_commit_bytes", p.max_commit_bytes, 64 << 10, 64 << 20),
        (
            "max_block_transactions",
            u64::from(p.max_block_transactions),
            1,
            u64::from(p.max_commit_transactions),
        ),
        ("max_block_bytes", p.max_block_bytes, 1024, p.max_commit_bytes),
        ("max_transaction_bytes", u64::from(p.max_transaction_bytes), 1, largest_transaction),
        ("duplicate_window_ms", millis(p.duplicate_window), 1, 3_600_000),
        ("max_duplicate_entries", p.max_duplicate_entries, 1, 10_000_000),
        ("schedule_window_rounds", p.schedule_window_rounds, 10, 100_000),
        ("root_interval", p.root_interval, 1, 100_000),
    ];
    ranges
        .into_iter()
        .filter(|(_, value, minimum, maximum)| value < minimum || value > maximum)
        .map(|(field, value, minimum, maximum)| GenesisError { field, value, minimum, maximum })
        .collect()
}

fn canonical_bytes(
    name: &str,
    timestamp: Timestamp,
    p: &ProtocolParameters,
    committee: &Committee,
) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder
        .u16(GENESIS_VERSION)
        .bytes(name.as_bytes())
        .u64(timestamp.as_millis())
        .u16(p.leaders_per_round)
        .u64(p.gc_depth)
        .u64(millis(p.heartbeat_interval))
        .u64(p.heartbeat_rounds)
        .u32(p.max_commit_transactions)
        .u64(p.max_commit_bytes)
        .u32(p.max_block_transactions)
        .u64(p.max_block_bytes)
        .u32(p.max_transaction_bytes)
        .u64(millis(p.duplicate_window))
        .u64(p.max_duplicate_entries)
        .u64(p.schedule_window_rounds)
        .u64(p.root_interval)
        .raw(committee.digest().as_bytes());
    encoder.finish()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
