use super::*;
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    #[serde(default)]
    mode: Mode,
    stream: Stream,
    #[serde(default)]
    peers: Vec<Peer>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Wait,
    Genesis,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    window: u32,
    listen: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    stake: u64,
}

fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Fields and messages of all mistakes of a file that must be refused.
fn mistakes(text: &str) -> Vec<(String, String)> {
    let (_folder, path) = write(text);
    match load::<Settings>(&path, "METANODE_NONE").unwrap_err() {
        ConfigError::Invalid { path: named, problems } => {
            assert_eq!(named, path);
            problems.into_iter().map(|problem| (problem.field, problem.message)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn fields(text: &str) -> Vec<String> {
    let mut fields: Vec<_> = mistakes(text).into_iter().map(|(field, _)| field).collect();
    fields.sort();
    fields
}

#[test]
fn a_correct_file_is_read() {
    let (_folder, path) = write(
        "name = 'a'\nmode = 'genesis'\n[stream]\nwindow = 8\nlisten = '127.0.0.1:80'\n[[peers]]\nstake = 3\n",
    );
    let settings: Settings = load(&path, "METANODE_NONE").unwrap();
    assert_eq!((settings.name.as_str(), settings.stream.window), ("a", 8));
    assert_eq!(settings.mode, Mode::Genesis);
    assert_eq!(settings.stream.listen.port(), 80);
    assert_eq!(settings.peers[0].stake, 3);
}

#[test]
fn mistakes_of_every_kind_are_listed_at_once() {
    let text = "nmae = 'a'\nmode = 'maybe'\n[stream]\nwindow = 'many'\nlisten = 'nowhere'\nburst = 1\n[[peers]]\nstake = -1\n[[peers]]\nsteak = 2\n";
    assert_eq!(
        fields(text),
        [
            "mode",
            "name",
            "nmae",
            "peers.0.stake",
            "peers.1.stake",
            "peers.1.steak",
            "stream.burst",
            "stream.listen",
            "stream.window"
        ]
    );
}

#[test]
fn each_mistake_says_what_is_wrong() {
    let found = mistakes("nmae = 'a'\n[stream]\nlisten = '127.0.0.1:80'\nwindow = 5000000000\n");
    let text = format!("{found:?}");
    assert!(text.contains("unknown key; known here: name, mode, stream, peers"), "{text}");
    assert!(text.contains("is missing"), "{text}");
    assert!(text.contains("5000000000"), "{text}");
    assert_eq!(found.len(), 3, "{text}");
}

#[test]
fn a_missing_section_is_one_mistake_with_those_inside_it() {
    assert_eq!(fields("name = 'a'\n")[0], "stream");
}

#[test]
fn wrong_toml_is_reported_with_its_line() {
    let found = mistakes("name = 'a'\nmode = = 1\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("line 2"), "{found:?}");
}

#[test]
fn an_absent_file_is_named() {
    let error = load::<Settings>(Path::new("/absent/service.toml"), "METANODE_NONE").unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(error.to_string().contains("/absent/service.toml"));
}

#[test]
fn problems_are_numbered_with_their_fields() {
    let mut problems = Problems::default();
    problems.check(true, "fine", "never shown");
    problems.check(false, "pool.max_bytes", "0 is below 1");
    problems.push("", "authority 3 is not in the genesis file");
    assert_eq!(problems.found().len(), 2);
    let text = problems.finish(Path::new("a.toml")).unwrap_err().to_string();
    assert_eq!(
        text,
        "a.toml has 2 mistakes\n  1. pool.max_bytes: 0 is below 1\n  2. authority 3 is not in the genesis file"
    );
}

#[test]
fn no_problem_is_no_error() {
    assert!(Problems::default().finish(Path::new("a.toml")).is_ok());
}

/// A test of variables runs itself in a child process: the environment of this one is shared by all tests.
fn rerun_with(test: &str, variables: &[(&str, &str)]) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("config::tests::{test}")]).envs(variables.iter().copied());
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_variable_replaces_a_key() {
    if std::env::var_os("METANODE_REPLACE_STREAM__WINDOW").is_none() {
        let variables = [
            ("METANODE_REPLACE_STREAM__WINDOW", "9"),
            ("METANODE_REPLACE_NAME", "'7'"),
            ("METANODE_REPLACE_STREAM__LISTEN", "[::1]:81"),
        ];
        return rerun_with("a_variable_replaces_a_key", &variables);
    }
    let (_folder, path) = write("name = 'a'\n[stream]\nwindow = 8\nlisten = '127.0.0.1:80'\n");
    let settings: Settings = load(&path, "METANODE_REPLACE").unwrap();
    assert_eq!((settings.name.as_str(), settings.stream.window), ("7", 9));
    assert_eq!(settings.stream.listen.to_string(), "[::1]:81");
}

#[test]
fn a_wrong_variable_is_named() {
    if std::env::var_os("METANODE_WRONG_STREAM__WINDOW").is_none() {
        let variables = [("METANODE_WRONG_STREAM__WINDOW", "lots"), ("METANODE_WRONG_STREAM__WINDWO", "9")];
        return rerun_with("a_wrong_variable_is_named", &variables);
    }
    let (_folder, path) = write("name = 'a'\n[stream]\nwindow = 8\nlisten = '127.0.0.1:80'\n");
    let text = load::<Settings>(&path, "METANODE_WRONG").unwrap_err().to_string();
    assert!(text.contains("2 mistakes"), "{text}");
    assert!(text.contains("from environment variable METANODE_WRONG_STREAM__WINDOW)"), "{text}");
    assert!(text.contains("from environment variable METANODE_WRONG_STREAM__WINDWO)"), "{text}");
}
