//! A long log is replayed to an empty executor, by all processes of one authority.
//!
//! The log is made first, by the machine itself without its clock ([`history`]); then consensus-svc, executor-proxy and, with Go masters,
//! an empty master are started, and what each of them uses is sampled until the last commit is acknowledged. Memory must stay flat, since
//! the log on disk is the only queue (D17, D18).

mod history;
mod samples;

pub use samples::{MachineSample, ProcessSample, Sample};

use anyhow::{Context, bail};
use localnet::{
    executor::ExecutorKind,
    files::Files,
    go_master,
    network::{Network, NetworkOptions},
    prepare::{NewNetwork, prepare},
};
use metanode_proto::genesis::GenesisParameters;
use reference_ledger::Digest;
use std::{fmt, path::PathBuf, time::Duration};
use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};

/// Accounts that take turns.
const ACCOUNTS: usize = 64;
/// How often the position is asked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often a sample is kept.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// After so long without an acknowledgement the replay stands still.
const STANDS_STILL: Duration = Duration::from_secs(60);
/// Lines that are told on the way.
const TOLD: u64 = 10;
/// Memory counts as flat if the most of the second half is at most the most of the first half, plus a quarter of it, plus this.
const FLAT_SLACK_BYTES: u64 = 16 << 20;
/// Commits in flight at most: the default of consensus-svc and of the proxy.
const WINDOW: u64 = 256;
/// Share of a core from which a process is what bounds a replay.
const BUSY: f64 = 0.85;

/// What to replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// A program that calls [`localnet::service::intercept`] first: usually this one.
    pub program: PathBuf,
    /// What stands behind the proxy.
    pub executor: ExecutorKind,
    /// Commits of the log, of one signed transfer each; at least 1.
    pub commits: u64,
    /// Bytes of each transfer, signature and all; at least 181.
    pub tx_size_bytes: usize,
}

/// What a replay came to.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// What stood behind the proxy.
    pub executor: ExecutorKind,
    /// Commits that were replayed.
    pub commits: u64,
    /// From the start of the processes until the last one was acknowledged.
    pub time: Duration,
    /// One a second, from the first acknowledgement on.
    pub samples: Vec<Sample>,
    /// The executor's last index, and its transactions with and without effect.
    pub ledger: (u64, u64, u64),
    /// Digest of the last commit in the ledger.
    pub digest: Option<Digest>,
}

/// Makes a log and replays it; `tell` is given a line as each tenth is done.
///
/// # Errors
/// Where the log cannot be made, a process does not start, or the replay stands still.
pub async fn replay(options: &ReplayOptions, mut tell: impl FnMut(&str)) -> anyhow::Result<ReplayReport> {
    let ReplayOptions { program, executor, commits, tx_size_bytes } = options;
    let folder = tempfile::Builder::new().prefix("metanode-replay-").tempdir()?;
    let new = NewNetwork {
        authorities: Some(1),
        executor: Some(*executor),
        accounts: ACCOUNTS,
        parameters: GenesisParameters::default(),
    };
    let prepared = prepare(Files::new(folder.path()), new)?;
    if executor.has_master() {
        go_master::build(&prepared.files.go_master(), &mut tell).await?;
    }
    tell(&format!("making a log of {commits} commits"));
    let making = Instant::now();
    let transfers = prepared
        .accounts()
        .transfers(prepared.chain_id, *tx_size_bytes)
        .context("a transfer cannot have that size")?;
    let config =
        prepared.network.authorities.first().context("there is an authority")?.consensus.config.clone();
    let last = history::make(&config, *commits, transfers).await?;
    tell(&format!(
        "a log of {last} commits is made after {:.1} s; replaying",
        making.elapsed().as_secs_f64()
    ));

    let started = Instant::now();
    let network = Network::start(prepared, NetworkOptions::new(program.clone())).await?;
    let samples = follow(&network, last, &mut tell).await?;
    let time = started.elapsed();
    network.stop(Duration::from_secs(20)).await?;
    let ledger = network.prepared().ledger(0).context("there is a ledger")?;
    let (ledger, digest) = spawn_blocking(move || count(&ledger)).await??;
    Ok(ReplayReport { executor: *executor, commits: last, time, samples, ledger, digest })
}

/// Until the last commit is acknowledged.
async fn follow(network: &Network, last: u64, tell: &mut impl FnMut(&str)) -> anyhow::Result<Vec<Sample>> {
    let mut poll = interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples: Vec<Sample> = Vec::new();
    let (mut executed, mut moved, mut told) = (0, Instant::now(), 0);
    loop {
        poll.tick().await;
        if let Some(Ok(status)) = network.status(0).await
            && status.executed_index > executed
        {
            (executed, moved) = (status.executed_index, Instant::now());
        }
        if moved.elapsed() > STANDS_STILL {
            bail!("nothing was acknowledged for {} s after commit {executed}", STANDS_STILL.as_secs());
        }
        let is_over = executed >= last;
        let is_due = samples.last().is_none_or(|sample| sample.at.elapsed() >= SAMPLE_INTERVAL);
        if executed == 0 || !(is_due || is_over) {
            continue;
        }
        let sample = Sample::take(network, executed).await?;
        if let Some(before) = samples.last()
            && (is_over || executed.saturating_mul(TOLD) / last.max(1) > told)
        {
            told = executed.saturating_mul(TOLD) / last.max(1);
            let memory: Vec<_> = sample
                .processes
                .iter()
                .map(|one| format!("{} {} MiB", one.id.role.program(), one.rss_bytes >> 20))
                .collect();
            tell(&format!(
                "executed {executed:>8} of {last}, {:.0} commits/s; RSS {}",
                sample.rate_since(before),
                memory.join(", ")
            ));
        }
        samples.push(sample);
        if is_over {
            return Ok(samples);
        }
    }
}

/// Last index, transactions with and without effect, and the last digest.
fn count(ledger: &localnet::ledger::LedgerFolder) -> anyhow::Result<((u64, u64, u64), Option<Digest>)> {
    use executor_proxy::backend::embedded::StoredOutcome;
    let ledger = ledger.open()?;
    let (mut last, mut executed, mut others, mut digest) = (0, 0, 0, None);
    for commit in ledger.after(0) {
        let commit = commit?;
        anyhow::ensure!(commit.index == last + 1, "commit {} follows commit {last}", commit.index);
        (last, digest) = (commit.index, Some(commit.digest));
        for result in commit.results {
            match result.outcome {
                StoredOutcome::Executed => executed += 1,
                _ => others += 1,
            }
        }
    }
    Ok(((last, executed, others), digest))
}

impl ReplayReport {
    /// Whether all is as it must be.
    pub fn holds(&self) -> bool {
        self.failures().is_empty()
    }

    /// What is not, a line each.
    pub fn failures(&self) -> Vec<String> {
        let (last, executed, others) = self.ledger;
        let mut failures = Vec::new();
        if last < self.commits {
            failures.push(format!("the ledger ends at {last}, the log at {}", self.commits));
        }
        if executed < self.commits || others > 0 {
            failures.push(format!("of {last} transfers {executed} had their effect"));
        }
        for (name, first, second) in self.peaks() {
            if second > first + first / 4 + FLAT_SLACK_BYTES {
                let (first, second) = (first >> 20, second >> 20);
                failures.push(format!("the memory of {name} grew from {first} to {second} MiB"));
            }
        }
        failures
    }

    /// Commits in flight, as half of the samples had more.
    fn in_flight(&self) -> u64 {
        let mut all: Vec<_> = self.samples.iter().map(|sample| sample.in_flight).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    }

    /// The most memory of each process in the first and in the second half, in bytes.
    fn peaks(&self) -> Vec<(&'static str, u64, u64)> {
        let (first, second) = self.samples.split_at(self.samples.len() / 2);
        let roles = self.samples.first().into_iter().flat_map(|sample| &sample.processes).enumerate();
        let most = |samples: &[Sample], place: usize| {
            let all = samples.iter().filter_map(|sample| sample.processes.get(place));
            all.map(|one| one.rss_bytes).max().unwrap_or(0)
        };
        roles.map(|(place, one)| (one.id.role.program(), most(first, place), most(second, place))).collect()
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return write!(f, "FAILED replay: nothing was seen");
        };
        writeln!(f, "process          of a core   RSS first half   RSS second half   RSS peak")?;
        let shares = last.cpu_since(first);
        for (((_, share), (name, early, late)), one) in shares.iter().zip(self.peaks()).zip(&last.processes) {
            let (early, late, peak) = (early >> 20, late >> 20, one.peak_rss_bytes >> 20);
            writeln!(f, "{name:<15} {:>9.0} % {early:>12} MiB {late:>13} MiB {peak:>6} MiB", share * 100.0)?;
        }
        let (busy, disk) = last.machine.since(first.machine);
        writeln!(
            f,
            "machine          {:.0} % busy with anything, {:.0} % waiting for a disk",
            busy * 100.0,
            disk * 100.0
        )?;
        writeln!(
            f,
            "in flight        {} commits in the middle of all samples, of a window of {WINDOW}",
            self.in_flight()
        )?;
        let busiest = shares.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
        let bound = match busiest {
            Some((id, share)) if *share >= BUSY => {
                format!("{}, at {:.0} % of a core", id.role.program(), share * 100.0)
            }
            _ if self.executor == ExecutorKind::GoUds => {
                "stop and wait: a block is sent when the one before it is reported, and recorded with two syncs".to_owned()
            }
            _ => {
                let side = match self.in_flight() {
                    full if full > WINDOW - WINDOW / 10 => {
                        "the executor: the window is full, so syncs of the ledger and the way there are waited for"
                    }
                    half if half > WINDOW / 2 => {
                        "no side alone: the window is more than half full, and each side waits for the other at times"
                    }
                    _ => "consensus: the window is not full, so reading and sending the log is waited for",
                };
                let others = if busy >= BUSY { "; the cores of this machine are all in use" } else { "" };
                format!("{side}{others}")
            }
        };
        writeln!(f, "bounded by       {bound}")?;
        for failure in self.failures() {
            writeln!(f, "FAILED           {failure}")?;
        }
        let (index, executed, _) = self.ledger;
        write!(
            f,
            "{} replay of {} commits to an empty executor ({}): {:.0} commits/s, {:.1} s with the start; the ledger ends at {index} with \
             {executed} executed, digest {}",
            if self.holds() { "PASSED" } else { "FAILED" },
            self.commits,
            self.executor,
            last.rate_since(first),
            self.time.as_secs_f64(),
            self.digest.map(|digest| digest.to_string()).unwrap_or_default()
        )
    }
}
