//! Becoming one of the services: localnet links both and starts itself again for each process, so that one cargo
//! command builds all that it runs.
//!
//! A service ends with its parent, however the parent ends: its standard input is a pipe that the parent holds, and the
//! system closes it for a parent that was killed.

use crate::process::Role;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    path::Path,
    process::ExitCode,
    thread,
};

/// First argument of a process that is to become a service; not for people.
pub const SERVICE_ARGUMENT: &str = "__service";

/// The command line of a process that becomes this service, without the program.
pub fn arguments(role: Role, config: &Path) -> Vec<OsString> {
    let mut arguments: Vec<_> = [SERVICE_ARGUMENT, role.program(), "run", "--config"].map(Into::into).into();
    arguments.push(config.into());
    arguments
}

/// Becomes the service that the arguments of this process name: `__service consensus-svc run --config F`. `None` where they
/// name none. Call it first in `main`, before any thread or runtime is started.
pub fn intercept(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != OsStr::new(SERVICE_ARGUMENT) {
        return None;
    }
    let command: Vec<_> = arguments.collect();
    if let Some(name) = command.first() {
        take_name(name);
    }
    if let Err(code) = end_with_parent() {
        return Some(code);
    }
    match command.first().and_then(|name| name.to_str()) {
        Some("consensus-svc") => Some(consensus_svc::cli::main_with(command)),
        Some("executor-proxy") => Some(executor_proxy::cli::main_with(command)),
        _ => Some(ExitCode::from(2)),
    }
}

/// Takes the name of the service in the system's list of processes, so that `pkill -x localnet` means localnet alone.
fn take_name(name: &OsStr) {
    // Linux only, and nothing depends on it.
    let _ = fs::write("/proc/self/comm", name.as_encoded_bytes());
}

/// Kills this process when its standard input ends. It may: kill -9 is what these services are made to survive.
fn end_with_parent() -> Result<(), ExitCode> {
    let watch = || {
        let mut byte = [0; 1];
        loop {
            match io::stdin().read(&mut byte) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        // Cannot fail: the process exists and is ours.
        let _ = kill(Pid::this(), Signal::SIGKILL);
    };
    match thread::Builder::new().name("parent".to_owned()).spawn(watch) {
        Ok(_) => Ok(()),
        Err(_) => Err(ExitCode::FAILURE),
    }
}
