//! What a soak came to.

use super::{
    fault::Outcome,
    plan::{Fault, Manner},
};
use loadgen::LoadReport;
use localnet::{executor::ExecutorKind, process::Role, verify::Verdict};
use std::{fmt, path::PathBuf, time::Duration};

/// The figures of a soak.
#[derive(Clone, Debug)]
pub struct SoakReport {
    /// What stood behind the proxies.
    pub executor: ExecutorKind,
    /// The seed of the plan.
    pub seed: u64,
    /// Time under load.
    pub time: Duration,
    /// What happened, in order.
    pub outcomes: Vec<Outcome>,
    /// Commits that proxies dropped, by their metrics.
    pub dropped_by_proxies: u64,
    /// Commits that masters dropped, by their logs.
    pub dropped_by_masters: u64,
    /// What did not go as it must while the load ran.
    pub mishaps: Vec<String>,
    /// The load, as it was told.
    pub load: LoadReport,
    /// The ledgers, as they are.
    pub verdict: Verdict,
    /// The folder of the network, if it is kept.
    pub kept: Option<PathBuf>,
}

impl SoakReport {
    /// Whether all is as it must be.
    pub fn holds(&self) -> bool {
        self.failures().is_empty()
    }

    /// What is not, a line each.
    pub fn failures(&self) -> Vec<String> {
        let Self { verdict, load, .. } = self;
        let mut failures = self.mishaps.clone();
        if self.outcomes.is_empty() {
            failures.push("nothing was killed".to_owned());
        }
        if verdict.tally.lost > 0 || load.lost > 0 {
            let (ledgers, told) = (verdict.tally.lost, load.lost);
            failures
                .push(format!("{ledgers} transactions were taken and are in no ledger, {told} have no fate"));
        }
        if verdict.tally.duplicates > 0 {
            failures.push(format!("{} transactions were executed twice", verdict.tally.duplicates));
        }
        if verdict.tally.executed == 0 {
            failures.push("nothing was executed".to_owned());
        }
        if !verdict.equal {
            let first = verdict.first_difference.unwrap_or(verdict.index);
            failures.push(format!("the ledgers differ from index {first} on"));
        }
        for authority in verdict.behind() {
            failures
                .push(format!("the ledger of authority {authority} stayed below {}", verdict.required_index));
        }
        for (authority, hole) in verdict.holes.iter().enumerate() {
            if let Some(hole) = hole {
                failures.push(format!("the ledger of authority {authority} leaves out index {hole}"));
            }
        }
        failures
    }

    fn sum(&self, figure: impl Fn(&Outcome) -> u64) -> u64 {
        self.outcomes.iter().map(figure).sum()
    }
}

/// What was done to whom, in a word.
pub(crate) fn name(fault: &Fault) -> String {
    let Fault { authority, part, manner, .. } = fault;
    let what = match manner {
        Manner::Kill { away, .. } => format!("kill -9, {:.1} s away", away.as_secs_f64()),
        Manner::Freeze { still } => format!("frozen for {:.1} s", still.as_secs_f64()),
    };
    format!("{} of authority {authority}: {what}", part.program())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, in_flight, reopened, resent, replayed, back } = self;
        write!(f, "{}; {in_flight} commits in flight; back after {:.2} s", name(fault), back.as_secs_f64())?;
        match reopened {
            0 => write!(f, " on the same stream"),
            _ => write!(f, ", streams opened {reopened}, replayed {replayed}, of these sent before {resent}"),
        }
    }
}

const PARTS: [Role; 3] = [Role::Consensus, Role::Executor, Role::Master];

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, load, .. } = self;
        writeln!(f, "part             kill -9   in mid-flight   frozen   worst return")?;
        for part in PARTS {
            let of: Vec<_> = self.outcomes.iter().filter(|one| one.fault.part == part).collect();
            let is_kill = |one: &&&Outcome| matches!(one.fault.manner, Manner::Kill { .. });
            let kills = of.iter().filter(is_kill).count();
            let mid_flight = of.iter().filter(is_kill).filter(|one| one.in_flight > 0).count();
            let worst = of.iter().map(|one| one.back).max().unwrap_or_default().as_secs_f64();
            let (name, frozen) = (part.program(), of.len() - kills);
            writeln!(f, "{name:<15} {kills:>8} {mid_flight:>15} {frozen:>8} {worst:>12.2} s")?;
        }
        writeln!(
            f,
            "delivery         streams opened again {}, commits replayed {}, of these sent before {}; duplicates dropped by proxies {}, by \
             masters {}",
            self.sum(|one| one.reopened),
            self.sum(|one| one.replayed),
            self.sum(|one| one.resent),
            self.dropped_by_proxies,
            self.dropped_by_masters
        )?;
        writeln!(
            f,
            "load             submitted {}, resubmitted {}, told executed {}, results computed here {}, told dropped and sent again {}, \
             due but never sent {}",
            load.submitted, load.resubmitted, load.executed, load.untold, load.dropped, load.unsent
        )?;
        let (digest, root) = verdict.at_index.first().copied().unzip();
        writeln!(
            f,
            "ledgers          last indexes {:?}, required {}; at {} digest {} root {}",
            verdict.last_indexes,
            verdict.required_index,
            verdict.index,
            digest.map(|digest| digest.to_string()).unwrap_or_default(),
            root.map(|root| root.to_string()).unwrap_or_default()
        )?;
        for failure in self.failures() {
            writeln!(f, "FAILED           {failure}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "kept in          {}", kept.display())?;
        }
        let worst = self.outcomes.iter().map(|one| one.back).max().unwrap_or_default();
        let tally = verdict.tally;
        write!(
            f,
            "{} soak of {} s with {}, seed {}: {} faults, {} executed, {} rejected, {} lost, {} executed twice, roots {} at index {}, worst \
             return {:.2} s",
            if self.holds() { "PASSED" } else { "FAILED" },
            self.time.as_secs(),
            self.executor,
            self.seed,
            self.outcomes.len(),
            tally.executed,
            tally.rejected,
            tally.lost,
            tally.duplicates,
            if verdict.equal { "equal" } else { "UNEQUAL" },
            verdict.index,
            worst.as_secs_f64()
        )
    }
}
