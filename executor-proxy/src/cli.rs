//! The command line.

mod ledger;
mod run;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// Exactly-once delivery of commits to an execution master.
///
/// Serves executor.v1.ExecutorService: consensus streams commits in, the executor behind the proxy executes them in
/// order, and each is acknowledged when its effects are durable.
///
/// Exit codes: 0 ended on request; 1 an error, told on standard error and in the log; 2 wrong arguments; 78 mistakes in the
/// configuration, all of them listed.
#[derive(Debug, Parser)]
#[command(name = "executor-proxy", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the proxy until SIGTERM or SIGINT, then drains.
    ///
    /// The configuration needs data_dir, genesis and authority_key; all else has defaults. Any key can be replaced by the
    /// environment: METANODE_EXECUTOR_LISTEN=0.0.0.0:7200, METANODE_EXECUTOR_WINDOW__COMMITS=64. RUST_LOG replaces the
    /// filter of events.
    Run(RunArgs),
    /// Prints what the embedded ledger has executed, in execution order.
    ///
    /// Reads the database itself, so the proxy of that folder must not run. With --json, a JSON array with one commit a
    /// line: index, digest, root, transactions (digests of those executed), rejected (digest, position, code, reason),
    /// duplicates (digests of those skipped).
    Ledger(LedgerArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct LedgerArgs {
    /// The data_dir of the proxy.
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
    /// First commit index.
    #[arg(long, value_name = "INDEX", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// Last commit index; those that are not executed yet are left out [default: the last one executed].
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Becomes the command: `args` as of a process, the name first. Installs a subscriber of events and, for `run`, signal
/// handlers and a runtime of its own; so it must not be called within one.
pub fn main_with(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to standard output.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args.config),
        Command::Ledger(args) => ledger::print(&args),
    }
}

/// Tells an error and its sources on standard error.
#[allow(clippy::print_stderr)]
fn tell(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    eprintln!("executor-proxy: {text}");
}
