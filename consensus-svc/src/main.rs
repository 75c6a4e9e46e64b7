//! Command line of consensus-svc.

use std::process::ExitCode;

fn main() -> ExitCode {
    consensus_svc::cli::main_with(std::env::args_os())
}
