//! The program, as people start it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fault-proxy");

#[test]
fn a_link_is_run_told_what_to_do_and_ended_by_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("control");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = server.local_addr().unwrap().to_string();
    let mut run = Command::new(PROGRAM)
        .args(["run", "--listen", "127.0.0.1:0", "--upstream", &upstream, "--control"])
        .arg(&control)
        .args(["delay", "1", "up"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let status: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(status["faults"]["up"]["delay_ms"], 1);

    let mut client = TcpStream::connect(status["listen"].as_str().unwrap()).unwrap();
    let (mut taken, _) = server.accept().unwrap();
    client.write_all(b"a").unwrap();
    taken.read_exact(&mut [0]).unwrap();
    let tell = |order: &[&str]| {
        Command::new(PROGRAM).args(["tell", "--control"]).arg(&control).args(order).output().unwrap()
    };
    let told = tell(&["reset"]);
    assert!(told.status.success(), "{told:?}");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["accepted"], &told["bytes_up"]), (&1.into(), &1.into()));
    assert!(client.read_exact(&mut [0]).is_err());
    assert_eq!(tell(&["delay", "a long time"]).status.code(), Some(2));

    let pid = run.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(run.wait().unwrap().success());
    assert!(!control.exists(), "the control socket goes with it");
    let gone = tell(&["status"]);
    assert_eq!(gone.status.code(), Some(1));
    let text = String::from_utf8(gone.stderr).unwrap();
    assert!(text.contains("is a fault-proxy running with it?"), "{text}");
}

#[test]
fn an_address_that_is_none_is_a_wrong_command_line() {
    let run = Command::new(PROGRAM)
        .args(["run", "--listen", "http://127.0.0.1:1", "--upstream", "127.0.0.1:2"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(2));
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(text.contains("neither `host:port` nor `unix:PATH`"), "{text}");
}
