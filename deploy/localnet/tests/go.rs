//! The same network with a Go master behind each proxy. Needs Go; without it the tests say that they are skipped, unless REQUIRE_GO=1.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests, and a skipped one says so"
)]

#[path = "support/command.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod command;

use command::{command, is_gone, json, localnet, running, send, wait_for};
use localnet::network_file::NetworkFile;
use nix::sys::signal::Signal;
use std::{
    env, fs,
    process::{Command, Stdio},
};

fn has_go() -> bool {
    let found = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has = found.is_ok_and(|status| status.success());
    if !has {
        assert_ne!(env::var("REQUIRE_GO").as_deref(), Ok("1"), "REQUIRE_GO=1, but there is no Go");
        eprintln!("skipped: there is no Go on this machine (REQUIRE_GO=1 makes this a failure)");
    }
    has
}

/// A drill and then a resumed run: kill -9 of a master, the verdict from ledgers in Go, what is recorded, and who is refused.
fn a_network_with(kind: &str, untold: bool) {
    if !has_go() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--executor", kind, "--duration", "10", "--drill", "restart", "--json"];
    let output = localnet(&arguments, folder.path()).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("building the Go master") && text.contains("4 Go masters"), "{text}");
    let summary = json(&output);
    assert_eq!((&summary["executor"], &summary["drill"]["process"]), (&kind.into(), &"go-master".into()));
    assert_eq!(
        (&summary["executed"], &summary["lost"], &summary["duplicates"]),
        (&1000.into(), &0.into(), &0.into())
    );
    assert_eq!(summary["untold"].as_u64() == summary["executed"].as_u64(), untold, "{summary}");
    assert_eq!(summary["processes"].as_array().unwrap().len(), 12);

    let network = NetworkFile::read(&folder.path().join("network.json")).unwrap();
    assert_eq!(network.executor_kind.name(), kind);
    for master in network.authorities.iter().map(|entry| entry.master.as_ref().unwrap()) {
        assert!(master.log.is_file() && master.data_dir.is_dir() && master.pid.is_none(), "{master:?}");
        assert_eq!(master.blocks.is_some(), kind == "go-uds");
    }

    let other = localnet(&["--executor", "embedded"], folder.path()).wait_with_output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    let text = String::from_utf8(other.stderr).unwrap();
    assert!(text.contains(&format!("was made with --executor {kind}, not embedded")), "{text}");

    let resumed = localnet(&["--duration", "2", "--json"], folder.path()).wait_with_output().unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{}", String::from_utf8_lossy(&resumed.stderr));
    let again = json(&resumed);
    assert_eq!((&again["executor"], &again["executed"]), (&kind.into(), &200.into()));
    assert!(again["index"].as_u64() > summary["index"].as_u64(), "it goes on where the first one ended");
}

#[test]
fn go_masters_execute_over_grpc_and_a_killed_one_comes_back() {
    a_network_with("go", false);
}

/// What the framed protocol does not tell is not claimed: all of it is counted as computed here.
#[test]
fn go_masters_execute_behind_the_framed_protocol_and_a_killed_one_comes_back() {
    a_network_with("go-uds", true);
}

#[test]
fn masters_end_with_localnet_whether_it_is_asked_or_killed() {
    if !has_go() {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = localnet(&["--executor", "go", "--perpetual", "--json"], folder.path());
        let pids = running(folder.path());
        assert_eq!(pids.len(), 12);
        send(&child, signal);
        let status = child.wait().unwrap();
        if signal == Signal::SIGINT {
            assert_eq!(status.code(), Some(130));
        }
        wait_for("all processes have ended", || pids.iter().copied().all(is_gone).then_some(()));
    }
}

#[test]
fn a_killed_master_comes_back_and_network_json_names_it() {
    if !has_go() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let child = localnet(&["--executor", "go", "--perpetual", "--restart", "--json"], folder.path());
    let victim = running(folder.path())[2];
    nix::sys::signal::kill(victim, Signal::SIGKILL).unwrap();
    wait_for("network.json names a new process", || {
        let network = NetworkFile::read(&folder.path().join("network.json")).ok()?;
        let pid = network.authorities[0].master.as_ref().unwrap().pid?;
        (i64::from(pid) != i64::from(victim.as_raw())).then_some(())
    });
    send(&child, Signal::SIGINT);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("go-master of authority 0 runs again"), "{text}");
    assert_eq!((&json(&output)["equal"], &json(&output)["duplicates"]), (&true.into(), &0.into()), "{text}");
}

/// Nothing is left behind that another try would stumble over.
#[test]
fn without_go_one_message_says_what_is_missing_and_what_else_there_is() {
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for kind in ["go", "go-uds"] {
        let child = command(&["--executor", kind], folder.path()).env("PATH", empty.path()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        for part in ["no `go` on the PATH", "https://go.dev/dl", "--executor embedded"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    // A folder of its own with nothing in it is not kept, nor told of.
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_localnet"))
        .args(["--executor", "go", "--duration", "3"])
        .env("PATH", empty.path())
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--executor embedded") && !text.contains("are kept in"), "{text}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
