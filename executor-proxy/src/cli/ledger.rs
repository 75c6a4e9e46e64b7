//! `executor-proxy ledger`: what was executed, read from the database one commit at a time.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use metanode_shell::durable::{Store, StoreOptions};
use serde::Serialize;
use thiserror::Error;

use super::{LedgerArgs, tell};
use crate::backend::{
    BackendError,
    embedded::{FOLDER, StoredCommit, StoredOutcome},
};

/// How long a proxy that ends may still hold the database.
const LOCK_DEADLINE: Duration = Duration::from_secs(2);
/// Reading in order needs little cache.
const CACHE_BYTES: u64 = 16 << 20;

#[derive(Debug, Error)]
enum LedgerError {
    #[error("there is no ledger in {}; --dir is the data_dir of a proxy with the embedded backend", path.display())]
    Absent { path: PathBuf },
    #[error("--from {from} is above --to {to}")]
    Range { from: u64, to: u64 },
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

/// One line of the output.
#[derive(Debug, Serialize)]
struct Line {
    index: u64,
    digest: String,
    root: String,
    transactions: Vec<String>,
    rejected: Vec<RejectedLine>,
    duplicates: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RejectedLine {
    digest: String,
    position: u32,
    code: u32,
    reason: String,
}

pub(super) fn print(args: &LedgerArgs) -> ExitCode {
    let mut output = BufWriter::new(io::stdout().lock());
    match write(args, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough, as in `| head`.
        Err(LedgerError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn write(args: &LedgerArgs, output: &mut impl Write) -> Result<(), LedgerError> {
    let to = args.to.unwrap_or(u64::MAX);
    if args.from > to {
        return Err(LedgerError::Range { from: args.from, to });
    }
    let path = args.dir.join(FOLDER);
    if !path.join("db").is_file() {
        return Err(LedgerError::Absent { path: args.dir.clone() });
    }
    let options = StoreOptions { cache_bytes: CACHE_BYTES, lock_deadline: LOCK_DEADLINE };
    let store = Store::open(&path, &options).map_err(BackendError::Open)?;
    let commits = StoredCommit::scan(&store, args.from)
        .take_while(|commit| commit.as_ref().map_or(true, |commit| commit.index <= to));
    if args.json { write_json(commits, output) } else { write_table(commits, output) }
}

type Commits<'a> = &'a mut dyn Iterator<Item = Result<StoredCommit, BackendError>>;

fn write_json(
    mut commits: impl Iterator<Item = Result<StoredCommit, BackendError>>,
    output: &mut impl Write,
) -> Result<(), LedgerError> {
    let commits: Commits<'_> = &mut commits;
    output.write_all(b"[")?;
    for (place, commit) in commits.enumerate() {
        output.write_all(if place == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *output, &line(commit?)).map_err(io::Error::from)?;
    }
    output.write_all(b"\n]\n")?;
    Ok(output.flush()?)
}

fn write_table(
    mut commits: impl Iterator<Item = Result<StoredCommit, BackendError>>,
    output: &mut impl Write,
) -> Result<(), LedgerError> {
    let commits: Commits<'_> = &mut commits;
    writeln!(output, "{:>10}  {:64}  {:64}  transactions", "index", "digest", "root")?;
    for commit in commits {
        let line = line(commit?);
        let (executed, rejected, duplicates) =
            (line.transactions.len(), line.rejected.len(), line.duplicates.len());
        writeln!(
            output,
            "{:>10}  {}  {}  {executed} executed, {rejected} rejected, {duplicates} duplicates",
            line.index, line.digest, line.root
        )?;
        for digest in line.transactions {
            writeln!(output, "{:>10}  {digest}  executed", "")?;
        }
        for rejected in line.rejected {
            let RejectedLine { digest, position, code, reason } = rejected;
            writeln!(output, "{:>10}  {digest}  rejected at position {position}: {code} {reason}", "")?;
        }
        for digest in line.duplicates {
            writeln!(output, "{:>10}  {digest}  duplicate", "")?;
        }
    }
    Ok(output.flush()?)
}

fn line(commit: StoredCommit) -> Line {
    let mut line = Line {
        index: commit.index,
        digest: commit.digest.to_string(),
        root: commit.state_root.to_string(),
        transactions: Vec::new(),
        rejected: Vec::new(),
        duplicates: Vec::new(),
    };
    for (position, result) in (0_u32..).zip(commit.results) {
        let digest = result.digest.to_string();
        match result.outcome {
            StoredOutcome::Executed => line.transactions.push(digest),
            StoredOutcome::Duplicate => line.duplicates.push(digest),
            StoredOutcome::Rejected { code, reason } => {
                line.rejected.push(RejectedLine { digest, position, code, reason });
            }
        }
    }
    line
}
