//! Masters that keep every promise but one: the suite finds each, at the row of its fault, and blames little else.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

#[path = "support/trial.rs"]
#[allow(dead_code, reason = "the helper serves other tests too")]
mod trial;

use std::time::Duration;

use executor_conformance::{
    Effort, Protocol, Report, Verdict,
    legacy::{Layout, LegacyMaster},
    row::Row,
    rows,
};
use futures::{StreamExt, stream};
use trial::{PATIENCE, example, run, run_for, table};

/// Trials at a time.
const AT_ONCE: usize = 3;

/// A fault, the rows that must find it, and those that may: a wrong root shows wherever there are roots.
struct Trial {
    fault: &'static str,
    found_by: &'static [&'static str],
    also: &'static [&'static str],
}

const fn only(fault: &'static str, found_by: &'static [&'static str]) -> Trial {
    Trial { fault, found_by, also: &[] }
}

/// All rows that restart the master and compare.
const RESTARTS: &[&str] = &["incarnation", "fencing", "authority", "epoch", "restart", "kill", "loading"];
/// All rows that ask right after an acknowledgement.
const ASKS: &[&str] = &[
    "duplicate",
    "in-flight",
    "fork",
    "gap",
    "predecessor",
    "later-epoch",
    "opening",
    "malformed",
    "stream-order",
    "oversize",
    "incarnation",
    "fencing",
    "takeover",
    "authority",
    "chain",
    "hang-up",
    "freeze",
    "quiet",
    "epoch-refused",
    "epoch",
    "restart",
    "kill",
    "loading",
];
/// All rows that send more than five commits.
const MORE_THAN_FIVE: &[&str] = &[
    "duplicate",
    "in-flight",
    "fork",
    "opening",
    "malformed",
    "fencing",
    "takeover",
    "authority",
    "hang-up",
    "freeze",
    "unread",
    "epoch-refused",
    "epoch",
    "restart",
    "kill",
    "loading",
];

const TRIALS: &[Trial] = &[
    only("none", &[]),
    Trial { fault: "acknowledges-before-sync", found_by: &["kill", "restart"], also: RESTARTS },
    only("reports-before-sync", &["kill"]),
    Trial { fault: "acknowledges-before-executing", found_by: &["order"], also: ASKS },
    only("accepts-a-gap", &["gap", "predecessor"]),
    only("ignores-the-previous-digest", &["predecessor"]),
    only("takes-forks", &["fork"]),
    only("executes-duplicates-again", &["duplicate", "in-flight", "epoch", "restart"]),
    Trial { fault: "ignores-duplicate-marks", found_by: &["order"], also: MORE_THAN_FIVE },
    Trial {
        fault: "wrong-root",
        found_by: &["order"],
        also: &["hang-up", "freeze", "unread", "restart", "kill", "loading"],
    },
    only("forgets-the-incarnation", &["incarnation", "fencing", "authority"]),
    only("old-incarnation-goes-on", &["fencing"]),
    Trial { fault: "old-stream-goes-on", found_by: &["takeover"], also: &["hang-up", "freeze"] },
    only("takes-any-authority", &["authority"]),
    only("takes-any-chain", &["chain"]),
    only("executes-any-epoch", &["later-epoch", "epoch"]),
    only("advance-epoch-not-idempotent", &["epoch"]),
    only("advances-early", &["epoch-refused"]),
    only("forgets-the-epoch", &["epoch"]),
    only("latest-committee", &["committee"]),
    Trial { fault: "ready-before-loaded", found_by: &["loading"], also: &["kill"] },
    Trial { fault: "position-without-digest", found_by: &["restart"], also: RESTARTS },
    Trial { fault: "other-digest-after-restart", found_by: &["restart"], also: RESTARTS },
    only("forgets-results", &["restart"]),
    only("skips-malformed", &["malformed", "oversize"]),
    only("dies-on-oversize", &["oversize"]),
    only("hoards-commits", &["unread"]),
    Trial {
        fault: "untyped-errors",
        found_by: &["fork", "gap", "predecessor", "malformed", "fencing", "epoch-refused"],
        also: &[
            "committee",
            "later-epoch",
            "opening",
            "stream-order",
            "oversize",
            "takeover",
            "authority",
            "chain",
            "epoch",
        ],
    },
    only("never-healthy", &["health"]),
];

/// Faults that the framed protocol shows too. A number above what is durable is none there (X05).
const FRAMED: &[Trial] = &[
    only("none", &[]),
    only("acknowledges-before-sync", &[]),
    only("accepts-a-gap", &["ahead"]),
    only("swaps-answers", &["queries"]),
    only("skips-malformed", &["block-framing"]),
    only("ready-before-loaded", &["restart", "kill"]),
    only("forgets-the-epoch", &["epoch"]),
    only("advance-epoch-not-idempotent", &["epoch"]),
    only("latest-committee", &["validators"]),
];

impl Trial {
    async fn run(&self) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let socket = format!("unix:{}/wrong.sock", folder.path().display());
        let command = self.command(&socket);
        // Only one of them is about memory, and all that is sent takes its time.
        let unread_bytes = if self.fault == "hoards-commits" { 256 << 20 } else { 16 << 20 };
        let effort = Effort { unread_bytes, kills: 5, ..Effort::default() };
        run(folder.path(), Protocol::Grpc { endpoint: socket }, command, rows::GRPC, effort).await
    }

    async fn run_framed(&self, rows: &[Row], patience: Duration) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name).display().to_string();
        let (blocks, queries) = (path("blocks.sock"), path("queries.sock"));
        let socket = format!("unix:{}", path("wrong.sock"));
        let command = format!("{} --blocks {blocks} --queries {queries}", self.command(&socket));
        let protocol = Protocol::Uds(LegacyMaster {
            blocks: blocks.parse().unwrap(),
            queries: queries.parse().unwrap(),
            layout: Layout::ExecutableBlock,
            reports_ready: true,
        });
        run_for(folder.path(), protocol, command, rows, Effort { kills: 5, ..Effort::default() }, patience)
            .await
    }

    fn command(&self, socket: &str) -> String {
        format!(
            "exec {} --fault {} --genesis \"$CONFORMANCE_GENESIS\" --data-dir \"$CONFORMANCE_DATA_DIR\" --listen {socket}",
            example("wrong-master"),
            self.fault
        )
    }

    /// What does not fit.
    fn judge(&self, report: &Report, rows: &[Row]) -> Option<String> {
        let failed = report.failed();
        let missed: Vec<_> = self.found_by.iter().filter(|row| !failed.contains(row)).collect();
        let blamed: Vec<_> =
            failed.iter().filter(|row| !self.found_by.contains(row) && !self.also.contains(row)).collect();
        let judged = report.rows.iter().all(|row| !matches!(row.verdict, Verdict::NotRun { .. }));
        let complete = report.rows.len() == rows.len() && judged;
        (!missed.is_empty() || !blamed.is_empty() || !complete).then(|| {
            format!("{}: not found by {missed:?}, blamed by {blamed:?}\n{}", self.fault, table(report))
        })
    }
}

#[tokio::test]
async fn every_fault_fails_at_its_row() {
    let problems: Vec<_> = stream::iter(TRIALS)
        .map(|trial| async move { trial.judge(&trial.run().await, rows::GRPC) })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// The row of waiting until a silent connection is closed is that of the masters that are right.
#[tokio::test]
async fn every_fault_behind_the_framed_protocol_fails_at_its_row() {
    let all: Vec<_> = rows::UDS.iter().filter(|row| row.name != rows::IDLE).copied().collect();
    let mut problems = Vec::new();
    for trial in FRAMED {
        problems.extend(trial.judge(&trial.run_framed(&all, PATIENCE).await, &all));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// What never comes is waited for as long as patience lasts: one row, and little patience. Too little finds this fault as well.
#[tokio::test]
async fn a_master_that_counts_no_empty_blocks_fails_at_their_order() {
    let trial = only("ignores-empty-blocks", &["order"]);
    let order: Vec<_> = rows::UDS.iter().filter(|row| row.name == "order").copied().collect();
    let report = trial.run_framed(&order, Duration::from_secs(5)).await;
    assert_eq!(trial.judge(&report, &order), None);
}
