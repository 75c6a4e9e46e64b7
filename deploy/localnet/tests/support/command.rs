//! Running localnet as a command, and watching what it leaves.

use localnet::network_file::NetworkFile;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Many times what each wait takes.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn localnet(arguments: &[&str], dir: &Path) -> Child {
    command(arguments, dir).spawn().unwrap()
}

/// The command before it is started.
pub(crate) fn command(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_localnet"));
    command
        .args(["--rate", "100", "--dir"])
        .arg(dir)
        .args(arguments)
        .stdin(Stdio::null())
        // As a shell does it for what it starts in the foreground.
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn json(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Polls: another process changes what is looked at.
pub(crate) fn wait_for<T>(what: &str, condition: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "still not: {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Process ids of all services, once the load has begun.
pub(crate) fn running(dir: &Path) -> Vec<Pid> {
    wait_for("all services run, and the load has begun", || {
        fs::metadata(dir.join("settled.bin")).ok().filter(|file| file.len() > 0)?;
        pids(dir)
    })
}

/// Process ids of all services, if all run.
pub(crate) fn pids(dir: &Path) -> Option<Vec<Pid>> {
    let network = NetworkFile::read(&dir.join("network.json")).ok()?;
    let pids = network.authorities.iter().flat_map(|entry| {
        let master = entry.master.as_ref().map(|master| master.pid);
        [entry.consensus.pid, entry.executor.pid].into_iter().chain(master)
    });
    pids.map(|pid| Some(Pid::from_raw(i32::try_from(pid?).unwrap()))).collect()
}

pub(crate) fn is_gone(pid: Pid) -> bool {
    // A zombie, whose new parent has not looked yet, is gone too.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None) == Err(Errno::ESRCH) || stat.contains(") Z ")
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}
