//! The verdict over real ledgers, one of which stopped growing before the others did.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use loadgen::LoadReport;
use localnet::{
    executor::ExecutorKind, files::Files, ledger::LedgerFolder, network_file::NetworkFile, summary::Summary,
    verify::verify,
};
use std::{fs, path::Path, process::Command};

fn run(dir: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_localnet"))
        .args(["--rate", "100", "--duration", "2", "--json", "--dir"])
        .arg(dir)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// An executor that is frozen for a whole run agrees with all others at its own last index, and each transaction is found in
/// the longest ledger: the verdict was once that all is well.
#[test]
fn a_ledger_that_misses_the_end_of_the_load_fails_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    run(&dir);
    let files = Files::new(&dir);
    let network = NetworkFile::read(&files.network_file()).unwrap();
    let dirs = network.authorities.iter().map(|entry| entry.executor.data_dir.clone());
    let mut folders: Vec<_> = dirs.map(|data_dir| LedgerFolder::Embedded { data_dir }).collect();
    let frozen = folder.path().join("frozen");
    copy(&network.authorities[2].executor.data_dir, &frozen);
    run(&dir);

    let report = LoadReport { submitted: 200, ..LoadReport::default() };
    let verdict = verify(&folders, 0, 0, &files.settled()).unwrap();
    assert_eq!((verdict.tally.executed, verdict.tally.lost), (200, 0));
    let summary = Summary::new(ExecutorKind::Embedded, &report, &verdict, Vec::new());
    assert!(summary.holds(), "{summary}");

    folders[2] = LedgerFolder::Embedded { data_dir: frozen };
    let verdict = verify(&folders, 0, 0, &files.settled()).unwrap();
    assert!(verdict.equal && verdict.last_indexes[2] < verdict.last_indexes[1]);
    assert_eq!((verdict.tally.executed, verdict.tally.lost), (200, 0));
    let summary = Summary::new(ExecutorKind::Embedded, &report, &verdict, Vec::new());
    assert!(!summary.holds(), "{summary}");
    assert_eq!(summary.behind, [2]);
}
