//! The command line of the simulator; see `--help`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;

use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use clap::Parser;
use consensus_sim::{Plan, Report, Summary, explain, run};
use indicatif::{ProgressBar, ProgressStyle};
use nix::time::ClockId;

use crate::args::Args;

/// One run's report and the processor time that it took.
type Done = (Report, Duration);

fn main() -> ExitCode {
    let args = Args::parse();
    match args.explain {
        Some(seed) => explain_seed(&args, seed),
        None => campaign(&args),
    }
}

fn campaign(args: &Args) -> ExitCode {
    let plans: Vec<Plan> = args.seeds.iter().map(|seed| args.plan(seed)).collect();
    let mut summary = Summary::default();
    let mut spent = Duration::ZERO;
    for (report, took) in run_all(&plans, args.jobs(), &args.more()) {
        summary.add(&report);
        spent += took;
    }
    println!("{}", summary.table());
    for (weather, fault) in summary.missing_faults() {
        println!("FAIL {}: {} never happened", weather.name(), fault.name());
    }
    if args.digest {
        println!("digest={}", summary.digest_hex());
    }
    println!("{}", summary.last_line(spent));
    if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs plans on so many threads, and tells of failures at once. A run uses one thread; reports come in the order of the
/// plans, whoever ran them.
fn run_all(plans: &[Plan], jobs: usize, more: &str) -> Vec<Done> {
    let next = Mutex::new(plans.iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(plans.len()));
    // Draws nothing where nobody looks.
    let progress = ProgressBar::new(plans.len() as u64).with_style(seed_count());
    let work = || {
        loop {
            let Some((place, plan)) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                return;
            };
            let started = processor_time();
            let report = run(plan);
            let took = processor_time().saturating_sub(started);
            if let Some(violation) = &report.violation {
                let (seed, weather, repro) = (report.seed, report.weather.name(), report.repro(more));
                progress.suspend(|| println!("FAIL seed {seed} {weather}: {violation}\n  {repro}"));
            }
            progress.inc(1);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, (report, took)));
        }
    };
    match jobs.min(plans.len()) {
        // The first thread has the allocator's main arena, which grows in larger steps.
        1 => work(),
        threads => std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work)))),
    }
    progress.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, done)| done).collect()
}

fn seed_count() -> ProgressStyle {
    let shown = ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {eta} left");
    shown.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What this thread has had of a core: a run's speed is that of one core, however many run beside it.
fn processor_time() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}

fn explain_seed(args: &Args, seed: u64) -> ExitCode {
    let mut plan = args.plan(seed);
    plan.record = true;
    let started = processor_time();
    let report = run(&plan);
    let took = processor_time().saturating_sub(started);
    let path =
        args.svg.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("consensus-sim-{seed}.svg")));
    let picture = explain::svg(&report).unwrap_or_default();
    if let Err(error) = std::fs::write(&path, picture) {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    let outcome = report.violation.as_ref().map_or("all invariants hold".to_owned(), ToString::to_string);
    println!("seed {seed}, {} authorities, {}: {outcome}", report.authorities, report.weather.name());
    println!("picture: {}", path.display());
    let mut summary = Summary::default();
    summary.add(&report);
    println!("{}", summary.table());
    if args.digest {
        println!("digest={}", report.digest_hex());
    }
    println!("{}", summary.last_line(took));
    if report.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
