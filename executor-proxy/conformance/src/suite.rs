//! The run: one row after the other, each with a verdict.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::{
    bench::{BeginError, Bench},
    report::{Report, RowReport, Verdict},
    row::{Failure, Row},
};

/// Times the patience for one answer that a whole row may take: what no single wait finds.
const ROW_PATIENCE: u32 = 10;

/// Nothing can be judged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotStarted(pub String);

/// Takes the master through the rows. `observe` sees each verdict as it falls.
///
/// # Errors
/// [`NotStarted`] where the command starts no master, or one that is not new.
pub async fn run(
    mut bench: Bench,
    rows: &[Row],
    mut observe: impl FnMut(&RowReport),
) -> Result<Report, NotStarted> {
    let mut report = Report::new(&bench.settings);
    for row in rows {
        let began = Instant::now();
        let verdict = match bench.begin().await {
            Ok(()) => verdict(&mut bench, row).await,
            Err(BeginError::NotStarted(text)) => return Err(NotStarted(text)),
            Err(BeginError::LeftBehind(why)) => Verdict::NotRun { why },
        };
        let done = RowReport::new(row, verdict, began.elapsed());
        observe(&done);
        report.rows.push(done);
    }
    // A master that hangs at its end is no reason to hang with it: the group is killed when it is dropped, too.
    let _ = bench.kill().await;
    Ok(report)
}

async fn verdict(bench: &mut Bench, row: &Row) -> Verdict {
    let patience: Duration = bench.settings.patience * ROW_PATIENCE;
    match timeout(patience, (row.check)(bench)).await {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(failure)) => Verdict::Failed(failure),
        Err(_) => Verdict::Failed(Failure::new(
            format!("the row ends within {} s", patience.as_secs()),
            "it was still under way",
        )),
    }
}
