//! Supervision of child processes, with a shell script in place of a service.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use localnet::{
    process::{Process, ProcessSpec, ProcessState, Role, ServiceId},
    service,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, os::unix::process::ExitStatusExt, path::Path, time::Duration};
use tempfile::TempDir;

const ID: ServiceId = ServiceId { authority: 2, role: Role::Executor };

/// A service that runs until its standard input ends.
const OBEDIENT: &str = "obedient.sh";
/// One that does not end on SIGTERM.
const STUBBORN: &str = "stubborn.sh";

fn spec(folder: &TempDir, script: &str, restart: bool) -> ProcessSpec {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process").join(script);
    ProcessSpec {
        id: ID,
        program,
        arguments: service::arguments(ID.role, &folder.path().join("executor.toml")),
        log: folder.path().join("executor.log"),
        restart,
    }
}

fn kill_from_outside(process: &Process) -> u32 {
    let pid = process.pid().unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    pid
}

async fn ended(process: &Process) -> (Option<i32>, bool) {
    let mut state = process.state();
    let state = *state.wait_for(|state| matches!(state, ProcessState::Ended { .. })).await.unwrap();
    let ProcessState::Ended { status, intended } = state else { unreachable!("waited for it") };
    (status.signal(), intended)
}

/// Polls: a log file tells of its growth to nobody.
async fn wait_for_log(folder: &TempDir, text: &str) {
    let mut poll = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        while !fs::read_to_string(folder.path().join("executor.log")).unwrap_or_default().contains(text) {
            poll.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
}

#[tokio::test]
async fn a_process_is_told_what_to_become_and_can_be_killed_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::spawn(spec(&folder, OBEDIENT, false)).unwrap();
    let config = folder.path().join("executor.toml");
    wait_for_log(&folder, &format!("__service executor-proxy run --config {}", config.display())).await;
    let first = process.pid().unwrap();
    process.kill().await.unwrap();
    assert_eq!(ended(&process).await, (Some(9), true));
    assert_eq!(process.pid(), None);
    process.start().await.unwrap();
    assert_ne!(process.pid().unwrap(), first);
    process.stop(Duration::from_secs(10)).await.unwrap();
    assert_eq!(ended(&process).await, (Some(15), true));
}

#[tokio::test]
async fn one_that_does_not_end_in_time_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::spawn(spec(&folder, STUBBORN, false)).unwrap();
    wait_for_log(&folder, "ready").await;
    process.stop(Duration::from_millis(50)).await.unwrap();
    assert_eq!(ended(&process).await, (Some(9), true));
}

#[tokio::test]
async fn one_that_others_kill_comes_back_only_if_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::spawn(spec(&folder, OBEDIENT, false)).unwrap();
    kill_from_outside(&process);
    assert_eq!(ended(&process).await, (Some(9), false));
    drop(process);

    let process = Process::spawn(spec(&folder, OBEDIENT, true)).unwrap();
    let (mut state, first) = (process.state(), kill_from_outside(&process));
    assert_eq!(ended(&process).await, (Some(9), false));
    state.wait_for(|state| matches!(state, ProcessState::Running { .. })).await.unwrap();
    assert_ne!(process.pid().unwrap(), first);
}

#[tokio::test]
async fn dropping_the_handle_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::spawn(spec(&folder, OBEDIENT, false)).unwrap();
    wait_for_log(&folder, "__service").await;
    let pid = Pid::from_raw(i32::try_from(process.pid().unwrap()).unwrap());
    drop(process);
    let mut poll = tokio::time::interval(Duration::from_millis(10));
    let gone = async {
        while kill(pid, None).is_ok() {
            poll.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}
