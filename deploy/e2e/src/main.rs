//! What the tests start their processes from: it becomes the service that its arguments name.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    localnet::service::intercept(env::args_os()).unwrap_or(ExitCode::from(2))
}
