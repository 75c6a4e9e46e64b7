//! What a run ends with: for people, and as one JSON object.

use crate::{
    drill::DrillReport, executor::ExecutorKind, network::Network, process::Role, verify::Verdict,
    view::per_second,
};
use loadgen::LoadReport;
use metanode_client::GetStatusResponse;
use serde::Serialize;
use std::{fmt, path::PathBuf, time::Duration};

/// The figures of a run. The first nine are promised to scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Transactions sent, each once. `submitted = executed + rejected + lost`.
    pub submitted: u64,
    /// In the ledgers, with effect.
    pub executed: u64,
    /// In the ledgers without effect, or refused for good.
    pub rejected: u64,
    /// Taken, and in no ledger.
    pub lost: u64,
    /// Executions beyond the first one of a transaction.
    pub duplicates: u64,
    /// From intended submission to execution, in milliseconds; null where nothing was executed. Where results are not told it ends
    /// when they are computed.
    pub p50_ms: Option<f64>,
    /// Likewise.
    pub p99_ms: Option<f64>,
    /// Whether all ledgers have the same digest and state root at `index`.
    pub equal: bool,
    /// Largest index that all ledgers have executed.
    pub index: u64,
    /// Digest of that commit; of the first authority where they differ.
    pub digest: String,
    /// State root after it; of the first authority where they differ.
    pub state_root: String,
    /// Where the ledgers first differ, if they do.
    pub first_difference: Option<u64>,
    /// Last index that each authority's executor has executed. Commits made while the processes were stopped may set them apart.
    pub last_indexes: Vec<u64>,
    /// What each of them must have reached: all that was committed when the load had ended, and each transaction of the load.
    pub required_index: u64,
    /// Authorities whose executors have not.
    pub behind: Vec<usize>,
    /// First index that is left out in each ledger; null where none is.
    pub holes: Vec<Option<u64>>,
    /// Executed, by the time from the first to the last.
    pub tx_per_s: f64,
    /// What stood behind the proxies.
    pub executor: ExecutorKind,
    /// Of those that are settled, how many without a result told by the executor: the load computed it from the chain. With `go-uds`
    /// nearly all of them. The ledgers have the last word on each: `executed`, `rejected` and `lost` are what they hold.
    pub untold: u64,
    /// Sent more than once, because the fate of an earlier try was unknown.
    pub resubmitted: u64,
    /// Due, and never sent: too slow for the rate.
    pub unsent: u64,
    /// Why the first transaction was rejected, if one was.
    pub first_rejection: Option<String>,
    /// From the start of the load to its last transaction, in seconds.
    pub seconds: f64,
    /// What each process has used.
    pub processes: Vec<ProcessSummary>,
    /// The drill, if there was one.
    pub drill: Option<DrillReport>,
    /// Whether the run was ended by a signal.
    pub interrupted: bool,
    /// The folder of the network, if it is kept.
    pub dir: Option<PathBuf>,
}

/// What one process has used.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessSummary {
    /// Index of its authority.
    pub authority: usize,
    /// `consensus-svc`, `executor-proxy` or `go-master`.
    pub service: &'static str,
    /// CPU time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// The same, of one core, over the time of the load.
    pub cpu_percent: f64,
    /// Largest resident memory, in bytes.
    pub max_rss_bytes: u64,
    /// Durable syncs of its store since its last start; null where it is not told.
    pub syncs: Option<u64>,
}

impl Summary {
    /// Puts the figures together.
    pub fn new(
        executor: ExecutorKind,
        report: &LoadReport,
        verdict: &Verdict,
        processes: Vec<ProcessSummary>,
    ) -> Self {
        let millis = |latency: Option<Duration>| latency.map(|latency| latency.as_secs_f64() * 1e3);
        let tally = verdict.tally;
        let (digest, state_root) = verdict.at_index.first().copied().unzip();
        Self {
            submitted: report.submitted,
            executed: tally.executed,
            rejected: tally.rejected,
            lost: tally.lost,
            duplicates: tally.duplicates,
            p50_ms: millis(report.latency.p50()),
            p99_ms: millis(report.latency.p99()),
            equal: verdict.equal,
            index: verdict.index,
            digest: digest.map(|digest| digest.to_string()).unwrap_or_default(),
            state_root: state_root.map(|root| root.to_string()).unwrap_or_default(),
            first_difference: verdict.first_difference,
            last_indexes: verdict.last_indexes.clone(),
            required_index: verdict.required_index,
            behind: verdict.behind(),
            holes: verdict.holes.clone(),
            tx_per_s: per_second(tally.executed, report.elapsed),
            executor,
            untold: report.untold,
            resubmitted: report.resubmitted,
            unsent: report.unsent,
            first_rejection: report.first_rejection.clone(),
            seconds: report.elapsed.as_secs_f64(),
            processes,
            drill: None,
            interrupted: false,
            dir: None,
        }
    }

    /// Whether everything is as it must be.
    pub fn holds(&self) -> bool {
        self.failures().is_empty()
    }

    /// What is not as it must be, a line each.
    pub fn failures(&self) -> Vec<String> {
        let Self { submitted, executed, rejected, lost, duplicates, .. } = self;
        let mut failures = Vec::new();
        if !self.equal {
            failures.push(format!("the ledgers differ at index {}", self.index));
        }
        for authority in &self.behind {
            let last = self.last_indexes.get(*authority).copied().unwrap_or(0);
            let required = self.required_index;
            failures
                .push(format!("executor of authority {authority} stopped at index {last}, below {required}"));
        }
        for (authority, hole) in self.holes.iter().enumerate() {
            if let Some(hole) = hole {
                failures.push(format!("the ledger of authority {authority} leaves out index {hole}"));
            }
        }
        if *lost > 0 {
            failures.push(format!("{lost} transactions were taken, and are in no ledger"));
        }
        if *duplicates > 0 {
            failures.push(format!("{duplicates} transactions were executed twice"));
        }
        if *submitted > 0 && *executed == 0 {
            failures.push(format!("nothing was executed: of {submitted} sent, {rejected} were rejected"));
        }
        if self.drill.as_ref().is_some_and(|drill| !drill.holds()) {
            failures.push("the drill's invariant does not hold".to_owned());
        }
        failures
    }
}

/// What the processes of a network have used over `time`, with the last statuses of its authorities.
pub fn processes(
    network: &Network,
    statuses: &[Option<GetStatusResponse>],
    time: Duration,
) -> Vec<ProcessSummary> {
    let summary = |(id, usage): (crate::process::ServiceId, crate::usage::Usage)| ProcessSummary {
        authority: id.authority,
        service: id.role.program(),
        cpu_seconds: usage.cpu_seconds,
        cpu_percent: if time.is_zero() { 0.0 } else { 100.0 * usage.cpu_seconds / time.as_secs_f64() },
        max_rss_bytes: usage.max_rss_bytes,
        syncs: match (id.role, statuses.get(id.authority)) {
            (Role::Consensus, Some(Some(status))) => Some(status.syncs_total),
            _ => None,
        },
    };
    network.usage().into_iter().map(summary).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(drill) = &self.drill {
            writeln!(f, "{drill}\n")?;
        }
        writeln!(f, "process         authority        cpu   of a core     max RSS     syncs")?;
        for process in &self.processes {
            let ProcessSummary { service, authority, cpu_seconds, cpu_percent, .. } = process;
            let syncs = process.syncs.map_or_else(|| "-".to_owned(), |syncs| syncs.to_string());
            let mib = process.max_rss_bytes >> 20;
            writeln!(
                f,
                "{service:<14} {authority:>10} {cpu_seconds:>8.1} s {cpu_percent:>9.1} % {mib:>7} MiB {syncs:>9}"
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "load     submitted {}, executed {}, rejected {}, lost {}, executed twice {}",
            self.submitted, self.executed, self.rejected, self.lost, self.duplicates
        )?;
        if self.resubmitted + self.unsent > 0 {
            writeln!(f, "         resubmitted {}, due but never sent {}", self.resubmitted, self.unsent)?;
        }
        if self.untold > 0 {
            writeln!(
                f,
                "         of {} the executor told no result; the load computed it from the chain",
                self.untold
            )?;
        }
        if let Some(reason) = &self.first_rejection {
            writeln!(f, "         first rejection: {reason}")?;
        }
        write!(f, "speed    {:.0} transactions a second", self.tx_per_s)?;
        if let (Some(p50), Some(p99)) = (self.p50_ms, self.p99_ms) {
            write!(f, ", submission to execution p50 {p50:.0} ms, p99 {p99:.0} ms")?;
        }
        writeln!(f)?;
        let verdict = match (self.equal, self.behind.is_empty()) {
            (true, true) => "EQUAL",
            (true, false) => "BEHIND",
            (false, _) => "UNEQUAL",
        };
        writeln!(f, "verdict  {verdict}: all ledgers compared at index {}", self.index)?;
        let last: Vec<_> = self.last_indexes.iter().map(u64::to_string).collect();
        writeln!(
            f,
            "         last index by authority {}; required of each {}",
            last.join(", "),
            self.required_index
        )?;
        if let Some(index) = self.first_difference {
            writeln!(f, "         they differ from index {index} on; the first one has")?;
        }
        write!(f, "         digest {}\n         root   {}", self.digest, self.state_root)?;
        for failure in self.failures() {
            write!(f, "\nFAILED   {failure}")?;
        }
        if let Some(dir) = &self.dir {
            write!(f, "\nkept in  {}", dir.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Tally;
    use reference_ledger::Digest;

    fn summary(executed: u64, rejected: u64, last_indexes: [u64; 4]) -> Summary {
        let verdict = Verdict {
            index: last_indexes.into_iter().min().unwrap_or(0),
            at_index: vec![(Digest([1; 32]), Digest([2; 32])); 4],
            equal: true,
            first_difference: None,
            last_indexes: last_indexes.to_vec(),
            required_index: 40,
            holes: vec![None; 4],
            tally: Tally { executed, rejected, ..Tally::default() },
        };
        let load = LoadReport { submitted: executed + rejected, ..LoadReport::default() };
        Summary::new(ExecutorKind::Embedded, &load, &verdict, Vec::new())
    }

    #[test]
    fn an_executor_that_stood_still_is_a_failure_though_all_are_equal_where_it_stands() {
        assert!(summary(9, 0, [40, 41, 40, 42]).holds(), "commits during the stop are nobody's fault");
        let frozen = summary(9, 0, [40, 41, 3, 42]);
        assert!(frozen.equal && !frozen.holds());
        assert_eq!(frozen.failures(), ["executor of authority 2 stopped at index 3, below 40"]);
        let text = frozen.to_string();
        assert!(text.contains("verdict  BEHIND") && text.contains("authority 40, 41, 3, 42"), "{text}");
        assert_eq!(serde_json::to_value(&frozen).unwrap()["last_indexes"][2], 3);
    }

    #[test]
    fn a_load_of_which_nothing_was_executed_is_a_failure() {
        assert_eq!(summary(0, 7, [40; 4]).failures(), ["nothing was executed: of 7 sent, 7 were rejected"]);
        assert!(summary(0, 0, [40; 4]).holds(), "an idle network");
        assert!(summary(1, 6, [40; 4]).holds());
    }

    #[test]
    fn a_ledger_with_a_hole_is_a_failure() {
        let mut summary = summary(9, 0, [40; 4]);
        summary.holes[1] = Some(17);
        assert_eq!(summary.failures(), ["the ledger of authority 1 leaves out index 17"]);
    }
}
