//! Local parameters: how this authority paces itself. They may differ between authorities; nothing that is computed
//! alike depends on them.

use std::time::Duration;

/// Paces and bounds of one authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Longest wait for a missing leader of the previous round. Default 250 ms, 10 ms to 60 s. Too short skips slow
    /// leaders, too long stalls behind dead ones.
    pub leader_timeout: Duration,
    /// Least time between own proposals. Default 40 ms, 0 to 10 s. Lower costs syncs and bytes, higher latency.
    pub min_round_interval: Duration,
    /// How long a proposal waits with nothing to order. Default 1 s; 0 to less than a third of the heartbeat interval. 0
    /// never idles.
    pub idle_delay: Duration,
    /// How long a peer has to answer a fetch before another is asked. Default 500 ms, 10 ms to 60 s.
    pub fetch_timeout: Duration,
    /// Most blocks that wait for ancestors, over all authors. Default 10000, at least 10 an authority.
    pub max_waiting_blocks: usize,
    /// Most signed bytes that wait for ancestors. Default 128 MiB; at least one largest block an authority.
    pub max_waiting_bytes: u64,
    /// How many rounds above the clock blocks are let in. Default 120, 10 to 10000.
    pub max_rounds_ahead: u64,
    /// Most transactions in the pool. Default 20000, 1 to 10000000.
    pub max_pool_transactions: usize,
    /// Most counted bytes in the pool. Default 64 MiB.
    pub max_pool_bytes: u64,
    /// How long a transaction may wait for an own block that is committed. Default 60 s, 100 ms to 24 h; there is no value for
    /// ever. Past it, a transaction that is in no own block, or whose block was collected, is dropped, and its submitter is
    /// told. Too short drops what a slow minute would still have committed; too long holds the pool full of what clients
    /// have long sent elsewhere.
    pub transaction_lifetime: Duration,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            leader_timeout: Duration::from_millis(250),
            min_round_interval: Duration::from_millis(40),
            idle_delay: Duration::from_secs(1),
            fetch_timeout: Duration::from_millis(500),
            max_waiting_blocks: 10_000,
            max_waiting_bytes: 128 << 20,
            max_rounds_ahead: 120,
            max_pool_transactions: 20_000,
            max_pool_bytes: 64 << 20,
            transaction_lifetime: Duration::from_secs(60),
        }
    }
}

/// A parameter out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed is {minimum} to {maximum}")]
pub struct ParamsError {
    /// The parameter.
    pub field: &'static str,
    /// Its value, durations in milliseconds.
    pub value: u64,
    /// Least allowed value.
    pub minimum: u64,
    /// Greatest allowed value.
    pub maximum: u64,
}

impl Params {
    /// Checks the parameters against a genesis.
    ///
    /// # Errors
    /// Every parameter that is out of range, not only the first.
    pub fn validate(&self, genesis: &crate::genesis::Genesis) -> Result<(), Vec<ParamsError>> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let protocol = genesis.parameters();
        let authorities = genesis.committee().size() as u64;
        let least_waiting = protocol.max_block_bytes.saturating_add(64 << 10).saturating_mul(authorities);
        let least_pool = u64::from(protocol.max_transaction_bytes).saturating_add(16);
        let longest_idle_delay = millis(protocol.heartbeat_interval).saturating_sub(1) / 3;
        let ranges = [
            ("leader_timeout_ms", millis(self.leader_timeout), 10, 60_000),
            ("min_round_interval_ms", millis(self.min_round_interval), 0, 10_000),
            ("idle_delay_ms", millis(self.idle_delay), 0, longest_idle_delay),
            ("fetch_timeout_ms", millis(self.fetch_timeout), 10, 60_000),
            (
                "max_waiting_blocks",
                self.max_waiting_blocks as u64,
                authorities.saturating_mul(10),
                10_000_000,
            ),
            ("max_waiting_bytes", self.max_waiting_bytes, least_waiting, u64::MAX),
            ("max_rounds_ahead", self.max_rounds_ahead, 10, 10_000),
            ("max_pool_transactions", self.max_pool_transactions as u64, 1, 10_000_000),
            ("max_pool_bytes", self.max_pool_bytes, least_pool, u64::MAX),
            ("transaction_lifetime_ms", millis(self.transaction_lifetime), 100, 86_400_000),
        ];
        let problems: Vec<_> = ranges
            .into_iter()
            .filter(|(_, value, minimum, maximum)| value < minimum || value > maximum)
            .map(|(field, value, minimum, maximum)| ParamsError { field, value, minimum, maximum })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
