//! A network under load whose processes are killed and frozen, one after the other, for as long as it is told to.
//!
//! Each authority has consensus-svc, executor-proxy and, with Go masters, a master of its own. Every 5 to 15 s one of them, at random
//! by a seed, is killed with -9 or stands still for some seconds, and is brought back; half of the kills wait until commits are
//! on their way to an executor that is held still, so that they fall in mid-flight for certain. The next fault waits until the authority has executed what the
//! network had committed when it was brought back. The load goes to all authorities all the time; a transaction whose authority is away
//! is submitted again until its fate is known. At the end nothing may be lost or executed twice, and all ledgers are equal.

mod counter;
mod fault;
pub(crate) mod field;
mod plan;
mod report;

pub use fault::Outcome;
pub use plan::{Fault, Manner, Plan, Times};
pub use report::SoakReport;

use counter::Dropped;
use fault::carry_out;
use field::{Field, Setup, dropped_by_masters};
use localnet::{executor::ExecutorKind, monitor::Monitor, process::Role};
use report::name;
use std::{path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Authorities of every soak; four stand one fault.
const AUTHORITIES: u16 = 4;

/// What to do.
#[derive(Clone, Debug)]
pub struct SoakOptions {
    /// A program that calls [`localnet::service::intercept`] first: usually this one.
    pub program: PathBuf,
    /// What stands behind the proxies.
    pub executor: ExecutorKind,
    /// Time under load.
    pub time: Duration,
    /// Seed of what happens when.
    pub seed: u64,
    /// Transactions a second, over all authorities; at least 1.
    pub rate_per_s: u32,
    /// How often, and for how long.
    pub times: Times,
}

/// Runs a soak; `tell` is given a line as each thing happens.
///
/// # Errors
/// Where the network does not start, or its ledgers cannot be read. An authority that does not come back is a failure of the report.
pub async fn soak(options: &SoakOptions, mut tell: impl FnMut(&str)) -> anyhow::Result<SoakReport> {
    let SoakOptions { program, executor, time, seed, rate_per_s, .. } = options;
    let setup = Setup {
        program: program.clone(),
        authorities: AUTHORITIES,
        executor: *executor,
        rate_per_s: *rate_per_s,
    };
    let field = Field::start(&setup, &mut tell).await?;
    tell(&format!(
        "{AUTHORITIES} authorities with executor {executor} under {rate_per_s} transactions a second for {} s, seed {seed}",
        time.as_secs()
    ));
    let mut dropped = Dropped::new(&field.network);
    let Suffered { outcomes, mishaps } = suffer(&field, options, &mut dropped, &mut tell).await;
    tell("all is back; ending the load, and comparing the ledgers");
    let settled = field.end_load().await?;
    dropped.sample().await;
    let dropped_by_masters = dropped_by_masters(&settled.network)?;
    let load = settled.load.clone();
    let (verdict, folder) = settled.verdict().await?;
    let mut report = SoakReport {
        executor: *executor,
        seed: *seed,
        time: *time,
        outcomes,
        dropped_by_proxies: dropped.total(),
        dropped_by_masters,
        mishaps,
        load,
        verdict,
        kept: None,
    };
    if !report.holds() {
        report.kept = Some(folder.keep());
    }
    Ok(report)
}

struct Suffered {
    outcomes: Vec<Outcome>,
    mishaps: Vec<String>,
}

/// One fault after the other, until the time is over.
async fn suffer(
    field: &Field,
    options: &SoakOptions,
    dropped: &mut Dropped,
    tell: &mut impl FnMut(&str),
) -> Suffered {
    let parts: &[Role] = match options.executor.has_master() {
        true => &[Role::Consensus, Role::Executor, Role::Master],
        false => &[Role::Consensus, Role::Executor],
    };
    let mut monitor = Monitor::start(&field.network);
    let (mut outcomes, mut mishaps) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let end = start + options.time;
    let (mut begun, mut executed) = (start, 0);
    for fault in Plan::new(options.seed, field.network.len(), parts, options.times) {
        let due = begun + fault.after;
        let waiting = async {
            sleep_until(due.min(end)).await;
            if due >= end {
                return None;
            }
            begun = Instant::now();
            Some(carry_out(&field.network, fault).await)
        };
        let ended = tokio::select! {
            ended = waiting => ended,
            never = dropped.follow() => match never {},
        };
        while let Ok(event) = monitor.events.try_recv() {
            tell(&format!("{:>6.1} s  {event}", start.elapsed().as_secs_f64()));
            mishaps.push(event);
        }
        match ended {
            None => break,
            Some(Ok(outcome)) => {
                let now = field.load.snapshots().borrow().total(|lane| lane.executed);
                let since = now.saturating_sub(executed);
                executed = now;
                tell(&format!(
                    "{:>6.1} s  {outcome}; {since} transactions told executed since the last fault",
                    begun.duration_since(start).as_secs_f64()
                ));
                outcomes.push(outcome);
            }
            Some(Err(error)) => {
                let mishap = format!("{}: {error:#}", name(&fault));
                tell(&format!("{:>6.1} s  {mishap}", start.elapsed().as_secs_f64()));
                mishaps.push(mishap);
                break;
            }
        }
    }
    Suffered { outcomes, mishaps }
}
