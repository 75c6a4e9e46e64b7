//! What a run ends with: for people, and as one JSON object.

use crate::{drill::DrillReport, network::Network, process::Role, verify::Verdict, view::per_second};
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
    /// From intended submission to execution, in milliseconds; null where nothing was executed.
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
    /// Executed, by the time from the first to the last.
    pub tx_per_s: f64,
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
    /// `consensus-svc` or `executor-proxy`.
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
    pub fn new(report: &LoadReport, verdict: &Verdict, processes: Vec<ProcessSummary>) -> Self {
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
            tx_per_s: per_second(tally.executed, report.elapsed),
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
        self.equal
            && self.lost == 0
            && self.duplicates == 0
            && self.drill.as_ref().is_none_or(DrillReport::holds)
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
        if let Some(reason) = &self.first_rejection {
            writeln!(f, "         first rejection: {reason}")?;
        }
        write!(f, "speed    {:.0} transactions a second", self.tx_per_s)?;
        if let (Some(p50), Some(p99)) = (self.p50_ms, self.p99_ms) {
            write!(f, ", submission to execution p50 {p50:.0} ms, p99 {p99:.0} ms")?;
        }
        writeln!(f)?;
        let verdict = if self.equal { "EQUAL" } else { "UNEQUAL" };
        writeln!(f, "verdict  {verdict}: all ledgers compared at index {}", self.index)?;
        if let Some(index) = self.first_difference {
            writeln!(f, "         they differ from index {index} on; the first one has")?;
        }
        write!(f, "         digest {}\n         root   {}", self.digest, self.state_root)?;
        if let Some(dir) = &self.dir {
            write!(f, "\nkept in  {}", dir.display())?;
        }
        Ok(())
    }
}
