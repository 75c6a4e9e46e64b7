//! The `executor-proxy` command; all of it is in the library, so that others can become it.

use std::process::ExitCode;

fn main() -> ExitCode {
    executor_proxy::cli::main_with(std::env::args_os())
}
