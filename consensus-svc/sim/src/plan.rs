//! What one run is made from.

use consensus_core::{Params, ProtocolParameters};

use crate::{happening::Scripted, weather::Weather};

/// How signatures are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// Once for each distinct block, shared by the world.
    #[default]
    Shared,
    /// By every node for every block that arrives, as real nodes do.
    Each,
    /// Never: blocks are decoded and named, nothing else.
    Skipped,
}

/// The load of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Transactions a second, over all nodes.
    pub per_second: u64,
    /// Bytes of each; at least 16.
    pub size_bytes: u64,
}

/// One run. Two runs of equal plans are equal byte for byte.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many authorities.
    pub authorities: u16,
    /// What goes wrong.
    pub weather: Weather,
    /// Virtual time until the network heals, in milliseconds.
    pub duration_ms: u64,
    /// How signatures are judged.
    pub signatures: Signatures,
    /// The load; `None` lets the seed choose.
    pub load: Option<Load>,
    /// What the genesis says; `None` lets the seed choose.
    pub parameters: Option<ProtocolParameters>,
    /// How nodes pace themselves; `None` lets the seed choose.
    pub params: Option<Params>,
    /// How long a transaction may wait, in milliseconds; `None` lets the seed choose.
    pub transaction_lifetime_ms: Option<u64>,
    /// What happens besides the weather.
    pub script: Vec<Scripted>,
    /// Whether to keep what [`crate::explain`] draws.
    pub record: bool,
}

impl Plan {
    /// A run of 30 virtual seconds.
    pub const fn new(seed: u64, authorities: u16, weather: Weather) -> Self {
        Self {
            seed,
            authorities,
            weather,
            duration_ms: 30_000,
            signatures: Signatures::Shared,
            load: None,
            parameters: None,
            params: None,
            transaction_lifetime_ms: None,
            script: Vec::new(),
            record: false,
        }
    }
}
