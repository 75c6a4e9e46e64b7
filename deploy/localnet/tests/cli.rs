//! The command line, as scripts and people use it: exit codes, the one JSON object, and nothing left behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "support/command.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod command;

use command::{is_gone, json, localnet, pids, running, send, wait_for};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::Value;
use std::fs;

#[test]
fn a_run_ends_in_one_json_object_and_its_folder_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut last_index = 0;
    for _ in 0..2 {
        let arguments = ["--authorities", "4", "--duration", "2", "--json"];
        let output = localnet(&arguments, folder.path()).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let summary = json(&output);
        for figure in ["submitted", "executed"] {
            assert_eq!(summary[figure], 200, "{summary}");
        }
        for figure in ["rejected", "lost", "duplicates"] {
            assert_eq!(summary[figure], 0, "{summary}");
        }
        assert_eq!(summary["equal"], true);
        assert!(summary["p99_ms"].as_f64() >= summary["p50_ms"].as_f64(), "{summary}");
        assert!(
            summary["index"].as_u64().unwrap() > last_index,
            "the second run goes on where the first ended"
        );
        last_index = summary["index"].as_u64().unwrap();
    }
    let other_size = localnet(&["--authorities", "3"], folder.path()).wait_with_output().unwrap();
    assert_eq!(other_size.status.code(), Some(2));
    let text = String::from_utf8(other_size.stderr).unwrap();
    assert!(text.contains("has 4 authorities, not 3"), "{text}");
}

#[test]
fn ctrl_c_sums_up_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let child = localnet(&["--perpetual", "--json"], folder.path());
    let pids = running(folder.path());
    // As a terminal does it: to the whole group in the foreground.
    killpg(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("interrupted: ") && !text.contains("has ended with"), "{text}");
    let summary = json(&output);
    assert_eq!((&summary["equal"], &summary["interrupted"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(pids.into_iter().all(is_gone));
}

/// `pkill -x localnet` would otherwise mean the services too.
#[cfg(target_os = "linux")]
#[test]
fn services_have_their_own_names_in_the_list_of_processes() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = localnet(&["--perpetual"], folder.path());
    let pids = running(folder.path());
    for (pid, name) in pids.iter().zip(["consensus-svc", "executor-proxy"].iter().cycle()) {
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim_end(), *name);
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(command.starts_with(name.as_bytes()), "{}", String::from_utf8_lossy(&command));
    }
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A signal to all of them at once: those services end by themselves, and it is still an interruption.
#[test]
fn a_signal_that_hits_the_services_too_is_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let child = localnet(&["--perpetual", "--json"], folder.path());
    let pids = running(folder.path());
    send(&child, Signal::SIGINT);
    pids.iter().for_each(|pid| kill(*pid, Signal::SIGINT).unwrap());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert_eq!(json(&output)["interrupted"], true, "{text}");
    assert!(pids.into_iter().all(is_gone));
}

#[test]
fn services_end_with_a_localnet_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = localnet(&["--perpetual"], folder.path());
    let pids = running(folder.path());
    send(&child, Signal::SIGKILL);
    child.wait().unwrap();
    wait_for("all services have ended", || pids.iter().copied().all(is_gone).then_some(()));
}

#[test]
fn a_service_that_somebody_kills_comes_back_and_network_json_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let child = localnet(&["--duration", "6", "--restart", "--json"], folder.path());
    let before = running(folder.path());
    let victim = before[3];
    kill(victim, Signal::SIGKILL).unwrap();
    let after = wait_for("network.json names a new process", || {
        pids(folder.path()).filter(|after| after[3] != victim)
    });
    assert_eq!(before.iter().zip(&after).filter(|(before, after)| before != after).count(), 1);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("executor-proxy of authority 1 runs again"), "{text}");
    assert_eq!(json(&output)["lost"], 0);
}

#[test]
fn a_service_that_cannot_start_is_named_with_the_end_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("authority-0/executor.toml");
    let made = localnet(&["--duration", "1"], folder.path()).wait_with_output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(&config, "listen = 3\n").unwrap();
    let output = localnet(&[], folder.path()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("executor-proxy of authority 0 has ended with exit status: 78"), "{text}");
    assert!(text.contains("data_dir"), "the log's end lists the mistakes: {text}");
}
