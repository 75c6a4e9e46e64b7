//! executor-proxy with its embedded ledger, as a process for the suite to start and kill: the same as the command of that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    executor_proxy::cli::main_with(std::env::args_os())
}
