//! Command line of the local network. Also becomes the services that it starts.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use clap::Parser;
use localnet::{
    args::Arguments,
    interrupt::Interrupt,
    run::{NotStarted, RunError, run},
    service,
    summary::Summary,
};
use std::{env, error::Error, process::ExitCode};

const NOT_HELD: u8 = 1;
const NOT_STARTED: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if let Some(code) = service::intercept(env::args_os()) {
        return code;
    }
    let arguments = Arguments::parse().check().unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return not_started(&error),
    };
    let outcome = runtime.block_on(async {
        let program = env::current_exe().map_err(|error| RunError::NotStarted(NotStarted::Program(error)))?;
        let interrupt = Interrupt::listen()?;
        run(&arguments, program, &interrupt).await
    });
    match outcome {
        Ok(summary) => finish(&summary, arguments.json),
        Err(RunError::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(RunError::NotStarted(error)) => not_started(&error),
        Err(error) => {
            tell(&error);
            ExitCode::from(NOT_HELD)
        }
    }
}

fn finish(summary: &Summary, json: bool) -> ExitCode {
    if json {
        match serde_json::to_string(summary) {
            Ok(text) => println!("{text}"),
            Err(error) => tell(&error),
        }
    } else {
        println!("\n{summary}");
    }
    match summary {
        summary if summary.interrupted => ExitCode::from(INTERRUPTED),
        summary if summary.holds() => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_HELD),
    }
}

fn not_started(error: &(dyn Error + 'static)) -> ExitCode {
    tell(error);
    ExitCode::from(NOT_STARTED)
}

fn tell(error: &(dyn Error + 'static)) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("\n  because: {cause}"));
        source = cause.source();
    }
    eprintln!("{text}");
}
