//! What became of the rows: a table for people, one object for scripts.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    row::{Failure, Row},
    settings::Settings,
};

/// What a row came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The master does what the contract says.
    Passed,
    /// It does not.
    Failed(Failure),
    /// It could not be judged after what an earlier row left behind.
    NotRun {
        /// What that was.
        why: String,
    },
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct RowReport {
    /// Name of the row.
    pub row: &'static str,
    /// Failures that it stands for.
    pub ids: &'static str,
    /// What was done.
    pub does: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What to do about it; only where it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// How long it took, in milliseconds. Nothing is judged by it.
    pub duration_ms: u64,
}

impl RowReport {
    /// The line of a row.
    #[must_use]
    pub fn new(row: &Row, verdict: Verdict, took: Duration) -> Self {
        Self {
            row: row.name,
            ids: row.ids,
            does: row.does,
            advice: matches!(verdict, Verdict::Failed(_)).then_some(row.advice),
            verdict,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Passed => "pass",
            Verdict::Failed(_) => "FAIL",
            Verdict::NotRun { .. } => "----",
        };
        write!(f, "{mark}  {:<14} {:<16} {}", self.row, self.ids, self.does)?;
        match &self.verdict {
            Verdict::Passed => {}
            Verdict::Failed(failure) => {
                write!(f, "\n      expected  {}\n      came      {}", failure.expected, failure.came)?;
            }
            Verdict::NotRun { why } => write!(f, "\n      not run   {why}")?,
        }
        match self.advice {
            Some(advice) => write!(f, "\n      do        {advice}"),
            None => Ok(()),
        }
    }
}

/// The whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where the master listened.
    pub endpoint: String,
    /// What repeats the random points.
    pub seed: u64,
    /// One a row, in order.
    pub rows: Vec<RowReport>,
}

impl Report {
    /// Without rows.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { endpoint: settings.endpoint(), seed: settings.seed, rows: Vec::new() }
    }

    /// True where every row passed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.verdict == Verdict::Passed)
    }

    /// Names of the rows that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = |row: &&RowReport| matches!(row.verdict, Verdict::Failed(_));
        self.rows.iter().filter(failed).map(|row| row.row).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.rows.iter().filter(|row| row.verdict == Verdict::Passed).count();
        let failed = self.failed().len();
        let took: u64 = self.rows.iter().map(|row| row.duration_ms).sum();
        write!(
            f,
            "rows={} passed={passed} failed={failed} not_run={} seed={} seconds={}.{}",
            self.rows.len(),
            self.rows.len() - passed - failed,
            self.seed,
            took / 1000,
            took % 1000 / 100,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{GRPC, UDS};

    #[test]
    fn a_failure_shows_both_sides_and_what_to_do() {
        let verdict = Verdict::Failed(Failure::new("a", "b"));
        let report = RowReport::new(&GRPC[0], verdict, Duration::from_millis(1));
        let text = report.to_string();
        assert!(text.starts_with("FAIL  handshake"), "{text}");
        assert!(text.contains("expected  a\n      came      b\n      do        say block 0"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["verdict"], &json["expected"], &json["came"]),
            (&"failed".into(), &"a".into(), &"b".into())
        );
        let report = RowReport::new(&GRPC[0], Verdict::Passed, Duration::ZERO);
        assert_eq!(report.to_string().lines().count(), 1);
        assert!(serde_json::to_value(&report).unwrap().get("advice").is_none());
    }

    #[test]
    fn names_of_rows_are_distinct_and_fit_the_table() {
        for (place, row) in GRPC.iter().enumerate().chain(UDS.iter().enumerate()) {
            let rows = if UDS.iter().any(|one| std::ptr::eq(one, row)) { UDS } else { GRPC };
            assert!(rows[..place].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(row.name.len() <= 14 && row.ids.len() <= 16 && !row.advice.is_empty(), "{}", row.name);
        }
    }
}
