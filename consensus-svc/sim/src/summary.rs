//! What came out of a campaign.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{
    fault::{Fault, FaultCounts},
    invariants::Kind,
    report::Report,
    weather::Weather,
};

/// A fault that a weather promises is demanded once this many seeds were run in it: fewer may miss a rare one.
pub(crate) const PROMISE_FROM_SEEDS: u64 = 8;

#[derive(Clone, Debug, Default)]
struct Row {
    seeds: u64,
    passed: u64,
    virtual_ms: u64,
    rounds: u64,
    commits: u64,
    transactions: u64,
    longest_wait_ms: u64,
    faults: FaultCounts,
}

/// Adds up reports, in the order of their seeds.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    rows: BTreeMap<Weather, Row>,
    by_kind: BTreeMap<&'static str, u64>,
    digest: blake3::Hasher,
}

impl Summary {
    /// Adds a report.
    pub fn add(&mut self, report: &Report) {
        let row = self.rows.entry(report.weather).or_default();
        row.seeds += 1;
        row.virtual_ms += report.virtual_ms;
        row.rounds += report.rounds;
        row.commits += report.commits;
        row.transactions += report.transactions;
        row.longest_wait_ms = row.longest_wait_ms.max(report.waited_ms);
        row.faults.add(&report.faults);
        match &report.violation {
            None => row.passed += 1,
            Some(violation) => {
                let kind = match violation.kind {
                    Kind::Diverged => "diverged",
                    Kind::NoProgress => "no_progress",
                    Kind::Invariant => "invariant",
                };
                *self.by_kind.entry(kind).or_default() += 1;
            }
        }
        self.digest.update(&report.digest);
    }

    /// Whether every seed passed and every promised fault happened.
    pub fn is_good(&self) -> bool {
        self.by_kind.is_empty() && self.missing_faults().is_empty()
    }

    /// Promised faults that never happened.
    pub fn missing_faults(&self) -> Vec<(Weather, Fault)> {
        let judged = self.rows.iter().filter(|(_, row)| row.seeds >= PROMISE_FROM_SEEDS);
        judged
            .flat_map(|(weather, row)| {
                let missing = weather.promised().iter().filter(|fault| row.faults.get(**fault) == 0);
                missing.map(|fault| (*weather, *fault))
            })
            .collect()
    }

    /// Virtual time of all runs, in milliseconds.
    pub fn virtual_ms(&self) -> u64 {
        self.rows.values().map(|row| row.virtual_ms).sum()
    }

    /// Hash over the hashes of all runs.
    pub fn digest_hex(&self) -> String {
        self.digest.finalize().to_hex().to_string()
    }

    /// A line a weather, with how often each fault happened in it.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<24}{:>6}{:>6}{:>9}{:>9}{:>10}{:>9}  faults\n",
            "weather", "seeds", "pass", "rounds", "commits", "tx", "heal s"
        );
        for (weather, row) in &self.rows {
            let faults: Vec<String> = Fault::ALL
                .into_iter()
                .filter(|fault| row.faults.get(*fault) > 0 || weather.promised().contains(fault))
                .map(|fault| format!("{} {}", fault.name(), row.faults.get(fault)))
                .collect();
            let _ = writeln!(
                table,
                "{:<24}{:>6}{:>6}{:>9}{:>9}{:>10}{:>7}.{}  {}",
                weather.name(),
                row.seeds,
                row.passed,
                row.rounds,
                row.commits,
                row.transactions,
                row.longest_wait_ms / 1_000,
                row.longest_wait_ms % 1_000 / 100,
                faults.join(", ")
            );
        }
        table
    }

    /// The last line. `spent` is the processor time of all runs, of one core.
    pub fn last_line(&self, spent: Duration) -> String {
        let (seeds, passed) =
            self.rows.values().fold((0, 0), |(seeds, passed), row| (seeds + row.seeds, passed + row.passed));
        let count = |kind| self.by_kind.get(kind).copied().unwrap_or_default();
        let spent_ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        let speed = self.virtual_ms() * 10 / spent_ms.max(1);
        format!(
            "seeds={seeds} pass={passed} no_progress={} diverged={} invariant={} speed={}.{}x",
            count("no_progress"),
            count("diverged"),
            count("invariant"),
            speed / 10,
            speed % 10
        )
    }
}
