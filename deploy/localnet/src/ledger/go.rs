//! Reading the ledger of a Go master by its own command, `go-master ledger --json`: its file is its own business.

use executor_proxy::backend::embedded::{ResultRecord, StoredCommit, StoredOutcome};
use reference_ledger::Digest;
use serde::Deserialize;
use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// Most bytes of an error that are kept.
const MAX_ERROR_BYTES: u64 = 4 << 10;

/// Why a Go master's ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GoLedgerError {
    /// The program cannot be run, or its output cannot be read.
    #[error("cannot run {} ledger", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It has failed.
    #[error("{text}")]
    Failed {
        /// What it said.
        text: String,
    },
    /// A line of its output is no commit.
    #[error("a line is no commit: {reason}")]
    Line {
        /// What is wrong.
        reason: String,
    },
}

/// The commits of a range, read one line at a time.
pub(super) struct Commits {
    program: PathBuf,
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
    ended: bool,
}

impl Commits {
    /// Of `first` to `last`, as far as they are there.
    pub(super) fn read(
        program: &Path,
        data_dir: &Path,
        first: u64,
        last: u64,
    ) -> Result<Self, GoLedgerError> {
        let run = |source| GoLedgerError::Run { program: program.to_owned(), source };
        let mut child = Command::new(program)
            .args(["ledger", "--json", "--from", &first.to_string(), "--to", &last.to_string()])
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(run)?;
        let stdout = child.stdout.take().ok_or_else(|| run(io::ErrorKind::BrokenPipe.into()))?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { program: program.to_owned(), child, lines, ended: false })
    }

    fn next_commit(&mut self) -> Result<Option<StoredCommit>, GoLedgerError> {
        for line in &mut self.lines {
            let line = line.map_err(|source| GoLedgerError::Run { program: self.program.clone(), source })?;
            match line.trim_end_matches(',') {
                "[" | "]" => {}
                line => return parse(line).map(Some),
            }
        }
        self.finish().map(|()| None)
    }

    /// An output that was cut off is not the whole ledger.
    fn finish(&mut self) -> Result<(), GoLedgerError> {
        let run = |source| GoLedgerError::Run { program: self.program.clone(), source };
        let mut text = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            stderr.take(MAX_ERROR_BYTES).read_to_string(&mut text).map_err(run)?;
        }
        let status = self.child.wait().map_err(run)?;
        if status.success() {
            return Ok(());
        }
        Err(GoLedgerError::Failed { text: format!("{} ({status})", text.trim_end()) })
    }
}

impl Iterator for Commits {
    type Item = Result<StoredCommit, GoLedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_commit().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        // Who has read enough leaves it behind; one that has ended is only collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct Line {
    index: u64,
    digest: String,
    root: String,
    transactions: Vec<String>,
    rejected: Vec<RejectedLine>,
    duplicates: Vec<String>,
}

#[derive(Deserialize)]
struct RejectedLine {
    digest: String,
    code: u32,
    reason: String,
}

/// One commit; its results by outcome, since the output does not have them in the order of execution.
fn parse(line: &str) -> Result<StoredCommit, GoLedgerError> {
    let line: Line =
        serde_json::from_str(line).map_err(|error| GoLedgerError::Line { reason: error.to_string() })?;
    let of = |digests: Vec<String>, outcome: StoredOutcome| {
        digests.into_iter().map(move |text| (text, outcome.clone())).collect::<Vec<_>>()
    };
    let rejected = line.rejected.into_iter().map(|one| {
        let RejectedLine { digest, code, reason } = one;
        (digest, StoredOutcome::Rejected { code, reason })
    });
    let results = of(line.transactions, StoredOutcome::Executed)
        .into_iter()
        .chain(rejected)
        .chain(of(line.duplicates, StoredOutcome::Duplicate))
        .map(|(text, outcome)| Ok(ResultRecord { digest: digest(&text)?, outcome }))
        .collect::<Result<_, GoLedgerError>>()?;
    Ok(StoredCommit {
        index: line.index,
        digest: digest(&line.digest)?,
        state_root: digest(&line.root)?,
        results,
    })
}

fn digest(text: &str) -> Result<Digest, GoLedgerError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| GoLedgerError::Line { reason: format!("`{text}` is not 64 hex digits") })?;
    Ok(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_commit_with_all_its_results() {
        let (a, b, c) = ("0a".repeat(32), "0b".repeat(32), "0c".repeat(32));
        let line = format!(
            r#"{{"index":7,"digest":"{a}","root":"{b}","transactions":["{a}"],"rejected":[{{"digest":"{b}","position":0,"code":3,"reason":"poor"}}],"duplicates":["{c}"]}}"#
        );
        let commit = parse(&line).unwrap();
        assert_eq!((commit.index, commit.digest, commit.state_root), (7, Digest([10; 32]), Digest([11; 32])));
        let outcomes: Vec<_> = commit.results.iter().map(|one| (one.digest.0[0], &one.outcome)).collect();
        let rejected = StoredOutcome::Rejected { code: 3, reason: "poor".to_owned() };
        assert_eq!(
            outcomes,
            [(10, &StoredOutcome::Executed), (11, &rejected), (12, &StoredOutcome::Duplicate)]
        );
        assert!(parse(&line.replace(&a, "0a")).is_err());
    }
}
