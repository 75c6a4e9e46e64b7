//! The real program: arguments, configuration, signals, a second process, the ledger command.

#![allow(clippy::unwrap_used)]

#[path = "service/harness.rs"]
#[allow(dead_code)]
mod harness;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use harness::{Client, commit, commit_with, digest, transfer, write_files};
use reference_ledger::transaction_digest;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_executor-proxy"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A proxy as a process; killed when dropped.
struct Process {
    child: Child,
    /// Read all the time, since a process whose pipe is full stands still.
    events: mpsc::Receiver<serde_json::Value>,
    address: String,
}

impl Process {
    /// Starts it and waits for the event that tells where it listens.
    fn start(folder: &Path) -> Self {
        let mut child = program()
            .args(["run", "--config"])
            .arg(folder.join("proxy.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, events) = mpsc::sync_channel(10_000);
        thread::spawn(move || {
            for line in lines {
                // The last words of an error are for people.
                if let Ok(event) = serde_json::from_str(&line.unwrap()) {
                    let _ = sender.send(event);
                }
            }
        });
        let listening = events.iter().find(|event: &serde_json::Value| event["message"] == "listening");
        let address = listening.expect("it listens")["address"].as_str().unwrap().to_owned();
        Self { child, events, address }
    }

    fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// SIGTERM; the exit code and the events that came since it listened.
    fn terminate(mut self) -> (Option<i32>, Vec<serde_json::Value>) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        (status.code(), self.events.iter().collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn help_names_commands_and_exit_codes() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in ["run", "ledger", "78", "Exit codes"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    let (code, help, _) = run(&["run", "--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("METANODE_EXECUTOR_LISTEN"), "{help}");
    assert_eq!(run(&["run"]).0, Some(2));
}

#[test]
fn all_mistakes_of_a_configuration_are_listed_and_the_exit_code_is_78() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let path = folder.path().join("wrong.toml");
    let text = format!(
        "data_dir = ''\ngenesis = 'genesis.toml'\nauthority_key = '{}'\nlisten = 'nowhere'\n\
         metrics_listen = ':1'\n[log]\nformat = 'xml'\n[window]\ncommits = 0\nbytes = 1\n\
         [backend]\nexecute_timeout_ms = 0\n",
        "ee".repeat(32)
    );
    std::fs::write(&path, text).unwrap();
    let (code, _, error) = run(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(code, Some(78), "{error}");
    let fields = [
        "data_dir",
        "authority_key",
        "listen",
        "metrics_listen",
        "log.format",
        "window.commits",
        "window.bytes",
        "backend.execute_timeout_ms",
    ];
    for field in fields {
        assert!(error.contains(&format!(". {field}: ")), "{field} is not in\n{error}");
    }
    assert!(error.contains("8 mistakes"), "{error}");
    assert!(!folder.path().join("d").exists(), "nothing is created");

    std::fs::write(&path, "lisen = '127.0.0.1:1'\n[backend]\nkind = 'embedded'\ndelay_ms = 5\n").unwrap();
    let (code, _, error) = run(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(code, Some(78), "{error}");
    for field in ["lisen", "data_dir", "genesis", "authority_key", "backend.delay_ms"] {
        assert!(error.contains(&format!(". {field}: ")), "{field} is not in\n{error}");
    }
}

#[test]
fn a_genesis_file_with_mistakes_is_refused_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let genesis = folder.path().join("genesis.toml");
    let text = std::fs::read_to_string(&genesis).unwrap();
    let text = text.replace("max_commit_bytes = 65536", "max_commit_bytes = 65535");
    std::fs::write(&genesis, text.replace(&"c1".repeat(32), "c1")).unwrap();
    let (code, _, error) = run(&["run", "--config", folder.path().join("proxy.toml").to_str().unwrap()]);
    assert_eq!(code, Some(78), "{error}");
    assert!(error.contains("chain_id") && error.contains("max_commit_bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let first = Process::start(folder.path());
    let client = first.client();
    client.wait_until_ready().await;
    let config = folder.path().join("proxy.toml");
    let (code, _, error) = run(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&format!("in use by process {}", first.child.id())), "{error}");
    let data = folder.path().join("data");
    let (code, output, error) = run(&["ledger", "--dir", data.to_str().unwrap(), "--json"]);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains("in use by process"), "{error}");
    let (mut stream, _) = client.open(0).await;
    stream.execute(commit(1)).await;
    drop((stream, client));
    let (code, events) = first.terminate();
    assert_eq!(code, Some(0), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_command_prints_what_was_executed_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let mut process = Process::start(folder.path());
    let client = process.client();
    client.wait_until_ready().await;
    let (mut stream, _) = client.open(0).await;
    let root = stream.execute(commit(1)).await.state_root;
    let mut mixed = commit_with(2, vec![transfer(1, 0), transfer(1, 1), b"junk".to_vec(), transfer(1, 2)]);
    mixed.duplicate_marks = vec![0b1].into();
    stream.execute(mixed).await;
    stream.execute(commit_with(3, Vec::new())).await;
    process.child.kill().unwrap();
    process.child.wait().unwrap();

    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let (code, output, error) = run(&["ledger", "--dir", data, "--from", "1", "--to", "2", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(output.lines().count(), 4, "one commit a line between the brackets");
    let lines: serde_json::Value = serde_json::from_str(&output).unwrap();
    let hash = |bytes: &[u8]| transaction_digest(bytes).to_string();
    assert_eq!(
        lines[0],
        serde_json::json!({
            "index": 1,
            "digest": hex::encode(digest(1)),
            "root": hex::encode(root),
            "transactions": [hash(&transfer(1, 0))],
            "rejected": [],
            "duplicates": [],
        })
    );
    assert_eq!(lines[1]["transactions"], serde_json::json!([hash(&transfer(1, 1)), hash(&transfer(1, 2))]));
    assert_eq!(lines[1]["duplicates"], serde_json::json!([hash(&transfer(1, 0))]));
    let rejected = &lines[1]["rejected"][0];
    assert_eq!((rejected["position"].as_u64(), rejected["code"].as_u64()), (Some(2), Some(1)));
    assert_eq!(rejected["digest"], hash(b"junk"));

    let all: serde_json::Value = serde_json::from_str(&run(&["ledger", "--dir", data, "--json"]).1).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 3);
    let none = run(&["ledger", "--dir", data, "--from", "4", "--json"]);
    assert_eq!((none.0, none.1.as_str()), (Some(0), "[\n]\n"));
    let (code, table, _) = run(&["ledger", "--dir", data]);
    assert_eq!(code, Some(0));
    assert!(table.contains("2 executed, 1 rejected, 1 duplicates"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_a_kill_under_load_loses_nothing_that_was_acknowledged_and_executes_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let (mut acknowledged, mut sent, mut root) = (0, 0, Vec::new());
    for round in 1..=4_u64 {
        let mut process = Process::start(folder.path());
        let client = process.client();
        client.wait_until_ready().await;
        let position = client.position().await;
        assert!((acknowledged..=sent).contains(&position.block_number), "{acknowledged} {sent} {position:?}");
        assert_eq!(position.commit_digest, digest(position.block_number));
        if position.block_number == acknowledged {
            assert!(round == 1 || position.state_root == root);
        }
        let (mut stream, incarnation) = client.open(0).await;
        assert_eq!(incarnation, round);
        for index in position.block_number + 1..=position.block_number + 20 {
            stream.commit(commit(index)).await;
            sent = index;
        }
        for _ in 0..5 + round {
            let acknowledgement = stream.acknowledgement().await;
            assert!(!acknowledgement.duplicate && acknowledgement.rejected.is_empty(), "{acknowledgement:?}");
            (acknowledged, root) = (acknowledgement.index, acknowledgement.state_root.to_vec());
        }
        assert!(acknowledged < sent, "something is on its way at the kill");
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }
    let data = folder.path().join("data");
    let (code, output, error) = run(&["ledger", "--dir", data.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let commits: Vec<serde_json::Value> = serde_json::from_str(&output).unwrap();
    assert!(u64::try_from(commits.len()).unwrap() >= acknowledged);
    for (index, executed) in (1..).zip(&commits) {
        // Each transfer carries the next nonce, so one executed twice or left out would be a rejection.
        let transaction = transaction_digest(&transfer(1, index - 1)).to_string();
        assert_eq!((&executed["index"], &executed["rejected"]), (&index.into(), &serde_json::json!([])));
        assert_eq!(executed["transactions"], serde_json::json!([transaction]));
    }
}

#[test]
fn the_ledger_command_refuses_a_folder_without_one_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, error) = run(&["ledger", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no ledger in"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let (code, _, error) =
        run(&["ledger", "--dir", folder.path().to_str().unwrap(), "--from", "5", "--to", "4"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("--from 5 is above --to 4"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_carry_their_tags_and_values_in_fields() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let process = Process::start(folder.path());
    let client = process.client();
    client.wait_until_ready().await;
    let (mut stream, _) = client.open(0).await;
    stream.commit(commit(2)).await;
    stream.error().await;
    drop((stream, client));
    let (code, events) = process.terminate();
    assert_eq!(code, Some(0));
    let find = |message: &str| {
        let found = events.iter().find(|event| event["message"] == message);
        found.unwrap_or_else(|| panic!("{message} is not in {events:?}"))
    };
    let loaded = find("[STARTUP] executor position loaded");
    assert_eq!((&loaded["target"], &loaded["block_number"]), (&"startup".into(), &0.into()));
    assert_eq!(find("[EXECUTOR-REQ] stream opened")["incarnation"], 1);
    let gap = find("[SEQUENTIAL-BUFFER] gap");
    assert_eq!((&gap["expected_index"], &gap["commit_index"]), (&1.into(), &2.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn x01_an_existing_master_that_is_not_there_is_waited_for_and_told() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path());
    let path = folder.path().join("proxy.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (blocks, queries) = (folder.path().join("blocks.sock"), folder.path().join("queries.sock"));
    let section = format!(
        "[backend]\nkind = 'uds'\nblocks = '{}'\nqueries = '{}'\nlayout = 'executable-block'\n",
        blocks.display(),
        queries.display()
    );
    std::fs::write(&path, text + &section).unwrap();
    let process = Process::start(folder.path());
    assert!(!process.client().position().await.ready);
    let told = process
        .events
        .iter()
        .find(|event| event["message"] == "[STARTUP] no answer of the master that can be used");
    assert_eq!(told.unwrap()["blocks"].as_str().unwrap(), blocks.to_str().unwrap());
    assert_eq!(process.terminate().0, Some(0));
    assert!(folder.path().join("blocks.sock.lock").exists() && folder.path().join("data/legacy").exists());
}
