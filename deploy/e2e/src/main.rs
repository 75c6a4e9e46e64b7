//! Long trials over real processes, each one command; and what tests and trials start their processes from, since this program
//! becomes the service that its arguments name.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use e2e::{ReplayOptions, SoakOptions, Times, replay, soak};
use localnet::executor::ExecutorKind;
use std::{env, process::ExitCode, time::Duration};

/// Long trials over real processes.
///
/// Exit codes: 0 all held; 1 something did not (lines FAILED say what); 2 the trial could not be held, or a wrong command line.
#[derive(Debug, Parser)]
#[command(name = "e2e", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kills and freezes processes of four authorities under load, and sees that nothing is lost or executed twice.
    ///
    /// Every 5 to 15 s one of consensus-svc, executor-proxy and master of a random authority is killed with -9 or frozen, and
    /// brought back. Prints a line as each thing happens, and one summary at the end.
    Soak(SoakArguments),
    /// Replays a long log to an empty executor, and tells how fast, what each process uses, and what bounds it.
    ///
    /// Use a release build for figures: `cargo run --release -p e2e -- replay`.
    Replay(ReplayArguments),
}

#[derive(Debug, clap::Args)]
struct SoakArguments {
    /// What executes: go and go-uds need Go, and build the master first.
    #[arg(long, value_enum, default_value_t = ExecutorKind::Go)]
    executor: ExecutorKind,
    /// Time under load.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..))]
    seconds: u64,
    /// What happens when is a function of it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Transactions a second, over all authorities.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Milliseconds between two faults, at least and at most: less finds more in less time.
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "5000..15000")]
    every_ms: (u64, u64),
    /// Milliseconds that a frozen process stands still, at least and at most.
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "1000..8000")]
    frozen_ms: (u64, u64),
}

#[derive(Debug, clap::Args)]
struct ReplayArguments {
    /// What executes: go and go-uds need Go, and build the master first.
    #[arg(long, value_enum, default_value_t = ExecutorKind::Go)]
    executor: ExecutorKind,
    /// Commits of the log, of one transfer each.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    commits: u64,
    /// Bytes of each transfer, signature and all; at least 181.
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    tx_size: usize,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let ends =
        text.split_once("..").and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
    ends.filter(|(least, most)| least <= most)
        .ok_or_else(|| "two numbers in order, as in 5000..15000".to_owned())
}

fn main() -> ExitCode {
    if let Some(code) = localnet::service::intercept(env::args_os()) {
        return code;
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Ctrl-C ends it, with all processes that it has started.
async fn unless_interrupted<T>(trial: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        ended = trial => ended,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// Whether all held.
fn run(command: Command) -> anyhow::Result<bool> {
    let program = env::current_exe().context("cannot find this program's own file")?;
    let runtime = tokio::runtime::Runtime::new()?;
    match command {
        Command::Soak(SoakArguments { executor, seconds, seed, rate, every_ms, frozen_ms }) => {
            let time = Duration::from_secs(seconds);
            let options = SoakOptions {
                program,
                executor,
                time,
                seed,
                rate_per_s: rate,
                times: Times { every_ms, frozen_ms },
            };
            let report = runtime.block_on(unless_interrupted(soak(&options, |line| println!("{line}"))))?;
            println!("{report}");
            Ok(report.holds())
        }
        Command::Replay(ReplayArguments { executor, commits, tx_size }) => {
            let options = ReplayOptions { program, executor, commits, tx_size_bytes: tx_size };
            let report = runtime.block_on(unless_interrupted(replay(&options, |line| println!("{line}"))))?;
            println!("{report}");
            Ok(report.holds())
        }
    }
}
