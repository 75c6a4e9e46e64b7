//! Other processes: one that is killed while it writes, and one that wants the same database.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use consensus_core::CommitIndex;
use consensus_svc::commit_log::{CommitLog, LogOptions, OpenError};
use metanode_shell::durable::{self, StoreOptions};

use crate::history::{HISTORY, OWN, open, write};

const KILLED: &str = "METANODE_TEST_KILLED_LOG";
const SECOND: &str = "METANODE_TEST_SECOND_LOG";

fn child(test: &str, variable: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(variable, path).stdout(Stdio::piped());
    command
}

/// The child of the next test: writes commits, and prints each index that is durable.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = env::var_os(KILLED) else { return };
    let log = open(Path::new(&path));
    for index in 1..=HISTORY.last().commit.index.get() {
        write(&log, index, index).await;
        println!("durable {index}");
    }
    std::future::pending::<()>().await;
}

#[test]
fn s01_after_a_kill_every_durable_commit_is_there_with_its_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        child("process::child_that_writes_until_it_is_killed", KILLED, folder.path()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let durable = lines.filter_map(|line| line.unwrap().rsplit_once("durable ")?.1.parse::<u64>().ok());
    let confirmed = durable.take(15).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let log = open(folder.path());
    let last = log.last_index().unwrap().get();
    assert!(confirmed == 15 && last >= confirmed, "{confirmed} were durable, {last} are there");
    for index in 1..=last {
        assert_eq!(log.sub_dag(CommitIndex::new(index)).unwrap().as_ref(), Some(HISTORY.commit(index)));
    }
    assert_eq!(log.commit(CommitIndex::new(last + 1)).unwrap(), None);
    assert_eq!(
        log.recover(OWN, HISTORY.genesis.parameters(), None).unwrap().commits.last().unwrap().0.index.get(),
        last
    );
}

/// The child of the next test: a second process on one database.
#[test]
fn child_that_opens_a_log_in_use() {
    let Some(path) = env::var_os(SECOND) else { return };
    let store = StoreOptions { lock_deadline: Duration::ZERO, ..StoreOptions::default() };
    let options = LogOptions { store, ..LogOptions::default() };
    let error = CommitLog::open(Path::new(&path), HISTORY.chain_id(), &options).unwrap_err();
    assert!(matches!(error, OpenError::Store(durable::OpenError::Locked { .. })), "{error:?}");
    println!("refused {error}");
}

#[tokio::test]
async fn s08_a_second_process_is_refused_with_the_first_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write(&log, 1, 1).await;
    let output = child("process::child_that_opens_a_log_in_use", SECOND, folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let expected = format!("is in use by process {}; stop that process first", std::process::id());
    assert!(text.contains("refused") && text.contains(&expected), "{text}");
    write(&log, 2, 2).await;
    assert_eq!(log.last_index().unwrap(), CommitIndex::new(2), "the first one goes on");
}
