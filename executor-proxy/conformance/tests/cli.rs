//! The command line, as scripts and people use it: exit codes, the one JSON object, and nothing left behind.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

#[path = "support/trial.rs"]
#[allow(dead_code, reason = "the helper serves other tests too")]
mod trial;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use trial::{PATIENCE, example};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_executor-conformance"));
    command.stdin(Stdio::null());
    command
}

/// A run against a master with a fault, in a folder.
fn against(fault: &str, folder: &Path) -> Command {
    let socket = format!("unix:{}/wrong.sock", folder.display());
    let mut command = program();
    command.args(["--endpoint", &socket, "--start"]).arg(format!(
        "echo $$ >> {}/pids; exec {} --fault {fault} --genesis \"$CONFORMANCE_GENESIS\" --data-dir \"$CONFORMANCE_DATA_DIR\" --listen {socket}",
        folder.display(),
        example("wrong-master"),
    ));
    command.arg("--dir").arg(folder.join("trial"));
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Processes that were started and still run.
fn alive(folder: &Path) -> Vec<Pid> {
    let pids = fs::read_to_string(folder.join("pids")).unwrap_or_default();
    let pids = pids.lines().map(|line| Pid::from_raw(line.parse().unwrap()));
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    })
    .collect()
}

/// Polls: other processes change what is looked at.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn help_teaches_with_examples_and_names_the_exit_codes() {
    let Output { status, stdout, .. } = program().arg("--help").output().unwrap();
    assert_eq!(status.code(), Some(0));
    let help = text(&stdout);
    for word in [
        "CONFORMANCE_GENESIS",
        "--uds-legacy",
        "--write-genesis",
        "http://127.0.0.1:7300",
        "unix:/tmp",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
}

#[test]
fn rows_are_listed_with_the_failures_that_they_stand_for() {
    let list = |protocol| text(&program().args(["--list", "--protocol", protocol]).output().unwrap().stdout);
    assert!(list("grpc").lines().any(|line| line.starts_with("gap") && line.contains("D08")));
    assert!(list("uds").lines().any(|line| line.starts_with("idle") && line.contains("D14")));
}

#[test]
fn a_genesis_file_is_written_for_masters_that_are_configured_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genesis.toml");
    let written = program().arg("--write-genesis").arg(&path).output().unwrap();
    assert_eq!(written.status.code(), Some(0));
    let read = executor_conformance::network::Network::read(&path).unwrap();
    read.check_accounts(&path).unwrap();
}

#[test]
fn a_master_that_passes_is_exit_code_0_and_one_that_fails_1_with_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let rows = ["--only", "gap", "--only", "fork"];
    let passed = against("none", folder.path()).args(rows).output().unwrap();
    assert_eq!(passed.status.code(), Some(0), "{}", text(&passed.stderr));
    assert!(text(&passed.stdout).contains("rows=2 passed=2 failed=0"), "{}", text(&passed.stdout));

    let failed = against("accepts-a-gap", folder.path()).args(rows).arg("--json").output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&failed.stdout).unwrap();
    let verdicts: Vec<_> = report["rows"].as_array().unwrap().iter().map(|row| &row["verdict"]).collect();
    assert_eq!(verdicts, ["passed", "failed"]);
    assert!(report["rows"][1]["expected"].as_str().unwrap().contains("COMMIT_GAP"));
    assert_eq!(alive(folder.path()), []);
}

#[test]
fn a_command_that_starts_no_master_and_a_wrong_command_line_are_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/none.sock", folder.path().display());
    let run = |arguments: &[&str]| {
        let output = program().args(arguments).arg("--dir").arg(folder.path()).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, error) = run(&["--endpoint", &socket, "--start", "echo no such thing; exit 3"]);
    assert!(
        code == Some(2) && error.contains("no such thing") && error.contains("exit status: 3"),
        "{error}"
    );
    assert_eq!(run(&["--endpoint", "nowhere", "--start", "true"]).0, Some(2));
    assert_eq!(run(&["--endpoint", &socket]).0, Some(2));
    assert_eq!(run(&["--list", "--only", "nothing"]).0, Some(2));
    assert_eq!(run(&["--endpoint", "/a", "--protocol", "uds", "--start", "true"]).0, Some(2));
}

#[test]
fn a_folder_that_is_not_new_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/wrong.sock", folder.path().display());
    let command = format!(
        "exec {} --fault none --genesis \"$CONFORMANCE_GENESIS\" --data-dir {}/kept --listen {socket}",
        example("wrong-master"),
        folder.path().display()
    );
    let run = || {
        let arguments = ["--only", "order", "--endpoint", &socket, "--start", &command];
        program().args(arguments).arg("--dir").arg(folder.path()).output().unwrap()
    };
    assert_eq!(run().status.code(), Some(0));
    let again = run();
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("stands at block 24"), "{}", text(&again.stderr));
}

fn interrupted(signal: Signal) {
    let folder = tempfile::tempdir().unwrap();
    let mut child: Child =
        against("none", folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the master runs", || !alive(folder.path()).is_empty());
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_until("the master is gone", || alive(folder.path()).is_empty());
}

#[test]
fn ctrl_c_and_sigterm_are_exit_code_130_and_leave_no_process_behind() {
    interrupted(Signal::SIGINT);
    interrupted(Signal::SIGTERM);
}
