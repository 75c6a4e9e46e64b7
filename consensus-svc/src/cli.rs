//! The command line: `run`, `genesis`, `status`, `explain`, `evidence`.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done; 1 failed; 2 the command line
//! itself is wrong; 78 the configuration is wrong, so that starting again does not help.

mod call;
pub mod evidence;
pub mod explain;
pub mod genesis;
pub mod run;
pub mod status;

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use metanode_shell::config::EX_CONFIG;

use crate::node;

const EXAMPLES: &str = "\
Make a network of four authorities and start the first one:
  consensus-svc genesis --authorities 4 --out net
  executor-proxy run --config net/authority-0/executor.toml &
  consensus-svc run --config net/authority-0/consensus.toml
See how it is doing:
  consensus-svc status --endpoint http://127.0.0.1:7101
See what it waits for:
  consensus-svc explain --endpoint http://127.0.0.1:7101

Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration (mistakes are listed).";

/// DAG-based BFT consensus over gRPC: orders transactions, and streams the commits to an executor.
#[derive(Debug, Parser)]
#[command(name = "consensus-svc", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an authority until SIGTERM or SIGINT
    Run(ConfigArgument),
    Genesis(genesis::GenesisArguments),
    Status(status::StatusArguments),
    Explain(explain::ExplainArguments),
    Evidence(evidence::EvidenceArguments),
}

/// Runs a command line, the program's name first, and says how the process should end. Starts its own runtime: not to be
/// called inside one.
pub fn main_with<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command }) => match command {
            Command::Run(arguments) => run::run(&arguments.config, node::run),
            Command::Genesis(arguments) => genesis::main(&arguments, &mut io::stdout().lock()),
            Command::Status(arguments) => status::main(&arguments, &mut io::stdout().lock()),
            Command::Explain(arguments) => explain::main(&arguments, &mut io::stdout().lock()),
            Command::Evidence(arguments) => evidence::main(&arguments, &mut io::stdout().lock()),
        },
        Err(error) => {
            // Help and version are asked for, and go to standard output; a closed one is nobody's fault.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// Writes an error with all that caused it to standard error.
fn tell(error: &dyn Error) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("\n  because: {cause}"));
        source = cause.source();
    }
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Ends with 1 after telling why.
fn failure(error: &dyn Error) -> ExitCode {
    tell(error);
    ExitCode::FAILURE
}

/// Ends with 78 after telling what is wrong with the configuration.
fn misconfigured(error: &dyn Error) -> ExitCode {
    tell(error);
    ExitCode::from(EX_CONFIG)
}

/// The configuration file of a command.
#[derive(Debug, clap::Args)]
pub struct ConfigArgument {
    /// The configuration file (TOML). Relative paths in it start at its folder; METANODE_CONSENSUS_A__B in the
    /// environment replaces key b of section a
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}
