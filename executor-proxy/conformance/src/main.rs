//! Command line of the conformance suite.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use executor_conformance::{
    Bench, Report, args::Arguments, network::Network, report::RowReport, row::Row, suite,
};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

const FAILED: u8 = 1;
const NOT_STARTED: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rows = arguments.rows().unwrap_or_else(|error| error.exit());
    if arguments.list {
        for row in &rows {
            println!("{:<14} {:<16} {}", row.name, row.ids, row.does);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(path) = &arguments.write_genesis {
        return match Network::of_the_suite().write(path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => not_started(&error),
        };
    }
    let mut folder = match Folder::make(arguments.dir.clone()) {
        Ok(folder) => folder,
        Err(error) => return not_started(&error),
    };
    let settings = arguments.settings(folder.path()).unwrap_or_else(|error| error.exit());
    let prepared = Bench::new(settings);
    let bench = match prepared {
        Ok(bench) => bench,
        Err(error) => return not_started(&error),
    };
    let log = bench.log();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return not_started(&error),
    };
    let code = match runtime.block_on(run(bench, &rows, arguments.json)) {
        Ok(Some(report)) => finish(&report, arguments.json),
        Ok(None) => return ExitCode::from(INTERRUPTED),
        Err(error) => not_started(&*error),
    };
    if code != ExitCode::SUCCESS {
        folder.keep();
        eprintln!("the master's log is {}", log.display());
    }
    code
}

/// `None` where it was interrupted; the master is killed with it.
async fn run(bench: Bench, rows: &[Row], quiet: bool) -> Result<Option<Report>, Box<dyn Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let observe = |row: &RowReport| {
        if !quiet {
            println!("{row}");
        }
    };
    tokio::select! {
        report = suite::run(bench, rows, observe) => Ok(Some(report?)),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
    }
}

fn finish(report: &Report, json: bool) -> ExitCode {
    if json {
        match serde_json::to_string(report) {
            Ok(text) => println!("{text}"),
            Err(error) => return not_started(&error),
        }
    } else {
        println!("\n{report}");
    }
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn not_started(error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::from(NOT_STARTED)
}

/// Where the suite writes.
enum Folder {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    fn make(given: Option<PathBuf>) -> std::io::Result<Self> {
        match given {
            Some(path) => Ok(Self::Given(std::path::absolute(path)?)),
            None => Ok(Self::Temporary(tempfile::Builder::new().prefix("conformance-").tempdir()?)),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Given(path) => path.clone(),
            Self::Temporary(folder) => folder.path().to_owned(),
        }
    }

    /// What failed is looked at.
    fn keep(&mut self) {
        if let Self::Temporary(folder) = self {
            folder.disable_cleanup(true);
        }
    }
}
