//! The program as an operator meets it: files that it makes, exit codes, what it says.

// Helpers of tests may panic as tests may; the lint sees only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use consensus_svc::config::Config;
use metanode_proto::genesis::GenesisFile;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_consensus-svc")).args(arguments).output().unwrap()
}

fn genesis(out: &Path, more: &[&str]) -> Output {
    run(&[&["genesis", "--authorities", "4", "--out", out.to_str().unwrap()], more].concat())
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn error_text(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_generated_network_is_ready_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let (out, accounts) = (folder.path().join("net"), folder.path().join("accounts"));
    fs::write(&accounts, format!("{}:1000\n", "ab".repeat(32))).unwrap();
    let more = ["--name", "trial", "--base-port", "9000", "--accounts", accounts.to_str().unwrap()];
    let output = genesis(&out, &more);
    assert_eq!(code(&output), 0, "{}", error_text(&output));

    let file: GenesisFile = toml::from_str(&fs::read_to_string(out.join("genesis.toml")).unwrap()).unwrap();
    assert_eq!((file.name.as_str(), file.authorities.len()), ("trial", 4));
    assert_eq!(file.accounts[0].balance, 1000);
    assert!(file.authorities.is_sorted_by_key(|authority| authority.protocol_key.clone()));
    for (index, port) in (0u16..4).zip((9000..).step_by(10)) {
        let authority = out.join(format!("authority-{index}"));
        let config = Config::load(&authority.join("consensus.toml")).unwrap();
        assert_eq!(config.own.get(), index);
        assert_eq!(config.peer_listen, format!("127.0.0.1:{port}"));
        assert_eq!(config.executor.endpoint, format!("http://127.0.0.1:{}", port + 3));
        let executor: toml::Table =
            toml::from_str(&fs::read_to_string(authority.join("executor.toml")).unwrap()).unwrap();
        assert_eq!(executor["listen"].as_str(), Some(format!("127.0.0.1:{}", port + 3).as_str()));
        let key = &file.authorities[usize::from(index)].protocol_key;
        assert_eq!(executor["authority_key"].as_str(), Some(key.as_str()));
        assert_eq!(executor["backend"]["kind"].as_str(), Some("embedded"));
    }
}

#[test]
fn a_network_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(code(&genesis(folder.path(), &[])), 0);
    let before = fs::read(folder.path().join("genesis.toml")).unwrap();
    let output = genesis(folder.path(), &[]);
    assert_eq!(code(&output), 1);
    assert!(error_text(&output).contains("never overwritten"), "{}", error_text(&output));
    // Keys of a network that was not finished are kept as well.
    fs::remove_file(folder.path().join("genesis.toml")).unwrap();
    let output = genesis(folder.path(), &[]);
    assert_eq!(code(&output), 1);
    assert!(error_text(&output).contains("a key is never overwritten"), "{}", error_text(&output));
    assert!(!folder.path().join("genesis.toml").exists());
    assert!(!before.is_empty());
}

#[test]
fn ports_that_do_not_fit_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net");
    assert_eq!(code(&genesis(&out, &["--base-port", "65496"])), 0, "the last port is 65535");
    let out = folder.path().join("other");
    let output = genesis(&out, &["--base-port", "65497"]);
    assert_eq!(code(&output), 1);
    assert!(error_text(&output).contains("65535"), "{}", error_text(&output));
    assert!(!out.exists());
}

#[test]
fn a_node_that_cannot_be_reached_ends_with_1_and_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&["status", "--json", "--endpoint", &endpoint]);
    assert_eq!((code(&output), output.stdout.len()), (1, 0));
    assert!(error_text(&output).contains(&endpoint));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_help_with_0() {
    assert_eq!(code(&run(&["genesis", "--authorities", "0", "--out", "x"])), 2);
    assert_eq!(code(&run(&["genesys"])), 2);
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(
        text.contains("Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration"),
        "{text}"
    );
}
