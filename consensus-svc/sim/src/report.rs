//! What came out of one run.

use crate::{chronicle::Chronicle, fault::FaultCounts, invariants::Violation, plan::Plan, weather::Weather};

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Its weather.
    pub weather: Weather,
    /// How many authorities it had.
    pub authorities: u16,
    /// The first violated invariant; `None` if all held.
    pub violation: Option<Violation>,
    /// How often each fault happened.
    pub faults: FaultCounts,
    /// Hash over all events and deliveries.
    pub digest: [u8; 32],
    /// Virtual time that passed.
    pub virtual_ms: u64,
    /// How much of it after the network healed.
    pub waited_ms: u64,
    /// Commits in the longest chain.
    pub commits: u64,
    /// Transactions in it.
    pub transactions: u64,
    /// Those of them that are marked as duplicates.
    pub duplicates: u64,
    /// Transactions that nodes which had accepted them gave up.
    pub dropped: u64,
    /// Highest round of any clock.
    pub rounds: u64,
    /// Inputs that machines handled.
    pub inputs: u64,
    /// What can be drawn, if the plan asked for it.
    pub chronicle: Option<Chronicle>,
}

impl Report {
    /// A run of which nothing else is known.
    pub(crate) fn of_violation(plan: &Plan, violation: Violation) -> Self {
        Self {
            seed: plan.seed,
            weather: plan.weather,
            authorities: plan.authorities,
            violation: Some(violation),
            faults: FaultCounts::default(),
            digest: [0; 32],
            virtual_ms: 0,
            waited_ms: 0,
            commits: 0,
            transactions: 0,
            duplicates: 0,
            dropped: 0,
            rounds: 0,
            inputs: 0,
            chronicle: None,
        }
    }

    /// The command that runs it again.
    pub fn repro(&self, more: &str) -> String {
        format!(
            "cargo run --release -p consensus-sim -- --seeds {}..{} --authorities {}..{} --weather {}{more}",
            self.seed,
            self.seed + 1,
            self.authorities,
            self.authorities,
            self.weather.name()
        )
    }

    /// The digest in hexadecimal.
    pub fn digest_hex(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
