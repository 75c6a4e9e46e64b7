//! Arguments.

use std::{path::PathBuf, str::FromStr};

use clap::Parser;
use consensus_sim::{Load, Plan, Signatures, Weather};

/// Runs the real consensus machine in a virtual world, many worlds a second.
///
/// Each seed is one world: a committee, a weather (what goes wrong), and 30 virtual seconds of it. Then the network heals
/// and must show progress within 60 virtual seconds. The same seed runs the same way, byte for byte, on any machine.
#[derive(Debug, Parser)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// Seeds: A..B without B, A..=B with it, or one seed.
    #[arg(long, default_value = "0..130")]
    pub(crate) seeds: Range,
    /// Committee sizes from M to N, both included; seeds take them in turn.
    #[arg(long, default_value = "4..7")]
    authorities: Sizes,
    /// One weather for all seeds; without it seeds take all weathers in turn.
    #[arg(long, value_parser = weather)]
    weather: Option<Weather>,
    /// Virtual seconds until the network heals.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration_s: u64,
    /// Do not judge signatures and validity of honest blocks (garbage still is).
    #[arg(long)]
    no_crypto: bool,
    /// Judge each block at each receiver, as real nodes do, instead of once for the world.
    #[arg(long, conflicts_with = "no_crypto")]
    verify_each: bool,
    /// Transactions a second over all nodes; without it the seed chooses.
    #[arg(long, requires = "tx_bytes")]
    tx_rate: Option<u64>,
    /// Bytes of a transaction, 16 to 65536.
    #[arg(long, requires = "tx_rate", value_parser = clap::value_parser!(u64).range(16..=65_536))]
    tx_bytes: Option<u64>,
    /// Print the hash over all events and deliveries of all runs.
    #[arg(long)]
    pub(crate) digest: bool,
    /// Run this seed alone and draw its DAG as an SVG.
    #[arg(long, value_name = "SEED")]
    pub(crate) explain: Option<u64>,
    /// Where the picture goes; the temporary folder without it.
    #[arg(long, requires = "explain")]
    pub(crate) svg: Option<PathBuf>,
    /// Threads; a run uses one. All cores without it. The speed is always that of one core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

const HELP: &str = "\
Weathers:
  calm                    links take 50-100 ms, nothing else
  jitter                  wide and heavy-tailed delays, blocks out of order
  lossy                   streams stall and break, fetches are lost, late, doubled
  partitions              groups lose each other, both ways or one way; slow links
  crashes                 nodes die between any two effects and come back
  restarts                everybody restarts at once; a node starts empty
  disks                   slow syncs, torn tails, stores older than the signing guard
  clocks                  honest clocks are wrong by up to 500 ms
  byzantine-equivocation  up to f authorities sign twins (split, to all, late, in chains and trees)
  byzantine-withholding   ... keep blocks back, send to some, refuse and falsify fetches
  byzantine-invalid       ... send garbage, phantom parents, future rounds, old blocks
  byzantine-clocks        ... lie about the time
  amnesia                 stores wiped or replaced by old copies, with their guards or without
  byzantine-amnesia       ... while others lie about the last blocks that they know, and forge commits
  absences                a node is away for longer than blocks are kept; liars forge commits and certificates
  mixed                   all of it
  one-down                one authority is down for many windows of the leader schedule

Examples:
  consensus-sim --seeds 0..1300 --authorities 4..10
  consensus-sim --seeds 42 --authorities 7..7 --weather mixed --digest
  consensus-sim --explain 42 --weather partitions
  consensus-sim --seeds 0..4 --authorities 4..4 --weather calm --tx-rate 20000 --tx-bytes 512 --jobs 1
  consensus-sim --seeds 0..4 --authorities 10..10 --weather calm --tx-rate 1000 --tx-bytes 512 --jobs 1

Reading the output: a line FAIL and a command for each failing seed; a table of weathers (heal s: the longest wait for
progress after the network healed) with how often each fault really happened. From 8 seeds of a weather on, a fault that
it promises and that never happened is a failure too. The last line adds up; speed is virtual time by processor time,
that is of one core; --jobs 1 leaves it the memory and the caches too.
Exit: 0 if all passed, 1 if not, 2 for bad arguments.";

impl Args {
    /// The run of a seed.
    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let weather = self.weather.unwrap_or(Weather::of_seed(seed));
        let sizes = u64::from(self.authorities.last - self.authorities.first) + 1;
        // Sizes turn slower than weathers, so that each meets each.
        let step = if self.weather.is_some() { seed } else { seed / Weather::ALL.len() as u64 };
        let authorities = self.authorities.first + u16::try_from(step % sizes).unwrap_or(0);
        let load =
            self.tx_rate.zip(self.tx_bytes).map(|(per_second, size_bytes)| Load { per_second, size_bytes });
        let signatures = match (self.no_crypto, self.verify_each) {
            (true, _) => Signatures::Skipped,
            (_, true) => Signatures::Each,
            _ => Signatures::Shared,
        };
        let duration_ms = self.duration_s * 1_000;
        Plan { duration_ms, signatures, load, ..Plan::new(seed, authorities, weather) }
    }

    /// The arguments that a repetition needs besides seed, committee and weather.
    pub(crate) fn more(&self) -> String {
        let mut more = format!(" --duration-s {}", self.duration_s);
        if let Some((rate, bytes)) = self.tx_rate.zip(self.tx_bytes) {
            more.push_str(&format!(" --tx-rate {rate} --tx-bytes {bytes}"));
        }
        if self.no_crypto {
            more.push_str(" --no-crypto");
        }
        more
    }

    /// How many threads.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            usize::from,
        )
    }
}

fn weather(name: &str) -> Result<Weather, String> {
    let all = || Weather::ALL.map(Weather::name).join(", ");
    Weather::named(name).ok_or_else(|| format!("no such weather; there are {}", all()))
}

/// Seeds.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    first: u64,
    end: u64,
}

impl Range {
    pub(crate) fn iter(&self) -> std::ops::Range<u64> {
        self.first..self.end
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, end, includes_end) = bounds(text)?;
        let end = if includes_end { end.saturating_add(1) } else { end };
        if first < end && end - first <= 10_000_000 {
            Ok(Self { first, end })
        } else {
            Err("one to ten million seeds, as A..B".to_owned())
        }
    }
}

/// Committee sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    first: u16,
    last: u16,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last, _) = bounds(text)?;
        let size = |number: u64| u16::try_from(number).ok().filter(|size| (1..=100).contains(size));
        match (size(first), size(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err("committees of 1 to 100, as M..N".to_owned()),
        }
    }
}

/// `A..B`, `A..=B` or `A`, which ends with itself.
fn bounds(text: &str) -> Result<(u64, u64, bool), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    match text.split_once("..") {
        None => Ok((number(text)?, number(text)?, true)),
        Some((first, last)) => match last.strip_prefix('=') {
            Some(last) => Ok((number(first)?, number(last)?, true)),
            None => Ok((number(first)?, number(last)?, false)),
        },
    }
}
