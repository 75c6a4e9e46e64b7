//! What the processes use while a replay goes on.

use crate::scrape::{scrape, value};
use anyhow::Context;
use localnet::{
    network::Network,
    process::ServiceId,
    usage::{Usage, rss_bytes},
};
use std::{fs, time::Duration};
use tokio::time::Instant;

/// One process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ProcessSample {
    /// Which one.
    pub id: ServiceId,
    /// CPU time since its start, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// The most of it so far, in bytes.
    pub peak_rss_bytes: u64,
}

/// What all cores together did since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineSample {
    /// Anything.
    pub all: u32,
    /// Nothing, and nothing was waited for.
    pub idle: u32,
    /// Nothing, but wait for a disk.
    pub disk: u32,
}

impl MachineSample {
    /// `None` where the system does not tell.
    fn take() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line: user, nice, system, idle, waiting for a disk, and others that are work.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map(|one| one.parse().ok()).collect::<Option<_>>()?;
        // Differences are what counts, so that a wrap does no harm.
        let low = |ticks: u64| u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(0);
        // The last two are parts of the first two.
        let all = ticks.iter().take(8).fold(0_u64, |sum, one| sum.wrapping_add(*one));
        Some(Self { all: low(all), idle: low(*ticks.get(3)?), disk: low(*ticks.get(4)?) })
    }

    /// Shares of all cores since an earlier moment: busy with anything, and waiting for a disk.
    pub fn since(self, earlier: Self) -> (f64, f64) {
        let grown = |now: u32, then: u32| f64::from(now.wrapping_sub(then));
        let all = grown(self.all, earlier.all).max(1.0);
        let (idle, disk) = (grown(self.idle, earlier.idle), grown(self.disk, earlier.disk));
        (1.0 - (idle + disk) / all, disk / all)
    }
}

/// All of them at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// The last commit that the executor has acknowledged.
    pub executed: u64,
    /// Commits that consensus had sent beyond it.
    pub in_flight: u64,
    /// The machine.
    pub machine: MachineSample,
    /// Consensus, proxy, and the master where there is one.
    pub processes: Vec<ProcessSample>,
}

impl Sample {
    pub(super) async fn take(network: &Network, executed: u64) -> anyhow::Result<Self> {
        let of = |process: &localnet::process::Process| {
            let id = process.spec().id;
            let pid = process.pid().with_context(|| format!("{id} has ended"))?;
            let usage = Usage::of(pid).context("the system tells what processes use")?;
            let rss_bytes = rss_bytes(pid).context("the system tells what processes use")?;
            let Usage { cpu_seconds, max_rss_bytes: peak_rss_bytes } = usage;
            Ok(ProcessSample { id, cpu_seconds, rss_bytes, peak_rss_bytes })
        };
        let processes = network.processes().map(of).collect::<anyhow::Result<_>>()?;
        let entry = network.prepared().network.authorities.first().context("there is an authority")?;
        let metrics = scrape(&entry.consensus.metrics_address).await?;
        let in_flight = value(&metrics, "metanode_consensus_executor_in_flight")?;
        let machine = MachineSample::take().context("the system tells what the machine does")?;
        Ok(Self { at: Instant::now(), executed, in_flight, machine, processes })
    }

    /// Time since an earlier one.
    pub fn since(&self, earlier: &Self) -> Duration {
        self.at.duration_since(earlier.at)
    }

    /// Commits a second since an earlier one.
    pub fn rate_since(&self, earlier: &Self) -> f64 {
        localnet::view::per_second(self.executed.saturating_sub(earlier.executed), self.since(earlier))
    }

    /// Share of one core of each process since an earlier one.
    pub fn cpu_since(&self, earlier: &Self) -> Vec<(ServiceId, f64)> {
        let seconds = self.since(earlier).as_secs_f64();
        let pairs = self.processes.iter().zip(&earlier.processes);
        let share = |(now, then): (&ProcessSample, &ProcessSample)| {
            let used = now.cpu_seconds - then.cpu_seconds;
            (now.id, if seconds > 0.0 { used / seconds } else { 0.0 })
        };
        pairs.map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_machine_are_told_apart() {
        let sample = |stat| MachineSample::parse(stat).unwrap();
        let before = sample("cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 2 3 4 5 6 7 8\n");
        let after = sample("cpu  120 0 60 850 70 0 0 0 9 9\n");
        let (busy, disk) = after.since(before);
        assert!((busy - 0.3).abs() < 1e-9 && (disk - 0.2).abs() < 1e-9, "{busy} {disk}");
        assert_eq!(MachineSample::parse("intr 1"), None);
    }
}
