//! The live table: redrawn in a terminal, plain lines elsewhere. All of it goes to stderr.
#![allow(clippy::print_stderr, reason = "this is the terminal's side of a command line")]

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use loadgen::{LaneSnapshot, Snapshot};
use metanode_client::GetStatusResponse;
use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};
use tokio::time::Instant;

/// How often plain lines are printed.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

const HEADER: [&str; 9] =
    ["authority", "round", "commit", "executed", "lag", "tx/s", "p50", "p99", "backlog"];

/// Where progress is shown.
#[derive(Debug)]
pub enum View {
    /// A table that is redrawn.
    Terminal(Table),
    /// Lines.
    Plain {
        /// When the next ones are due.
        due: Option<Instant>,
    },
}

/// The parts of the table.
#[derive(Debug)]
pub struct Table {
    multi: MultiProgress,
    header: ProgressBar,
    rows: Vec<ProgressBar>,
    time: ProgressBar,
}

/// What there is to show.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Of each authority; `None` where it does not answer.
    pub statuses: &'a [Option<GetStatusResponse>],
    /// The load, now.
    pub load: &'a Snapshot,
    /// Since the load was started.
    pub elapsed: Duration,
    /// How long it will send; `None` until Ctrl-C.
    pub duration: Option<Duration>,
}

impl View {
    /// A table where stderr is a terminal.
    pub fn new() -> Self {
        if stderr().is_terminal() { Self::Terminal(Table::new()) } else { Self::Plain { due: None } }
    }

    /// A line that stays.
    pub fn note(&self, text: &str) {
        match self {
            // A terminal that has gone away is nobody's loss.
            Self::Terminal(table) => drop(table.multi.println(text)),
            Self::Plain { .. } => eprintln!("{text}"),
        }
    }

    /// Shows the newest figures.
    pub fn update(&mut self, progress: &Progress<'_>) {
        match self {
            Self::Terminal(table) => table.update(progress),
            Self::Plain { due } => {
                let now = Instant::now();
                if due.is_none_or(|due| now >= due) {
                    *due = Some(now + PLAIN_INTERVAL);
                    eprintln!("{}\n{}", time_text(progress), line(HEADER));
                    rows(progress).for_each(|row| eprintln!("{row}"));
                }
            }
        }
    }

    /// Removes what is redrawn; notes go on as lines.
    pub fn finish(&mut self) {
        if let Self::Terminal(table) = self {
            // As above.
            let _ = table.multi.clear();
            // Its parts would draw themselves once more when they are dropped.
            table.multi.set_draw_target(ProgressDrawTarget::hidden());
            *self = Self::Plain { due: None };
        }
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    fn new() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let header = multi.add(text_line());
        let time = multi.add(ProgressBar::new(0));
        Self { multi, header, rows: Vec::new(), time }
    }

    fn update(&mut self, progress: &Progress<'_>) {
        self.header.set_message(line(HEADER));
        while self.rows.len() < progress.statuses.len() {
            self.rows.push(self.multi.insert_before(&self.time, text_line()));
        }
        self.rows.iter().zip(rows(progress)).for_each(|(line, row)| line.set_message(row));
        match progress.duration {
            Some(duration) => {
                let style = ProgressStyle::with_template("{bar:50} {msg}");
                self.time.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                self.time.set_length(duration.as_secs());
                self.time.set_position(progress.elapsed.as_secs().min(duration.as_secs()));
            }
            None => self.time.set_style(message_style()),
        }
        self.time.set_message(time_text(progress));
    }
}

fn text_line() -> ProgressBar {
    ProgressBar::new(0).with_style(message_style())
}

fn message_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn time_text(progress: &Progress<'_>) -> String {
    let elapsed = progress.elapsed.as_secs();
    let executed = progress.load.total(|lane| lane.executed);
    let submitted = progress.load.total(|lane| lane.submitted);
    match progress.duration {
        Some(duration) if progress.elapsed < duration => {
            format!("{elapsed} of {} s, executed {executed} of {submitted} submitted", duration.as_secs())
        }
        Some(_) => format!("all sent, waiting for the last: executed {executed} of {submitted} submitted"),
        None => format!("{elapsed} s, executed {executed} of {submitted} submitted; Ctrl-C ends it"),
    }
}

fn rows(progress: &Progress<'_>) -> impl Iterator<Item = String> {
    let none = LaneSnapshot::default();
    progress.statuses.iter().enumerate().map(move |(index, status)| {
        row(index, status.as_ref(), progress.load.lanes.get(index).unwrap_or(&none))
    })
}

fn row(index: usize, status: Option<&GetStatusResponse>, lane: &LaneSnapshot) -> String {
    let watermark = |read: fn(&GetStatusResponse) -> u64| {
        status.map_or_else(|| "-".to_owned(), |status| read(status).to_string())
    };
    line([
        &index.to_string(),
        &watermark(|status| status.round),
        &watermark(|status| status.commit_index),
        &watermark(|status| status.executed_index),
        &watermark(|status| status.commit_index.saturating_sub(status.executed_index)),
        &lane.executed_per_s.to_string(),
        &millis(lane.p50),
        &millis(lane.p99),
        &lane.backlog.to_string(),
    ])
}

fn line([authority, round, commit, executed, lag, rate, p50, p99, backlog]: [&str; 9]) -> String {
    format!(
        "{authority:>9} {round:>8} {commit:>8} {executed:>9} {lag:>6} {rate:>8} {p50:>9} {p99:>9} {backlog:>8}"
    )
}

/// A rate, from a count.
pub fn per_second(count: u64, time: Duration) -> f64 {
    let count = u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    if time.is_zero() { 0.0 } else { count / time.as_secs_f64() }
}

fn millis(latency: Option<Duration>) -> String {
    latency.map_or_else(|| "-".to_owned(), |latency| format!("{:.0} ms", latency.as_secs_f64() * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_the_header() {
        let status =
            GetStatusResponse { commit_index: 12, executed_index: 10, round: 40, ..Default::default() };
        let p50 = Some(Duration::from_millis(80));
        let lane = LaneSnapshot { p50, executed_per_s: 250, ..Default::default() };
        let full = row(0, Some(&status), &lane);
        assert_eq!(
            full,
            "        0       40       12        10      2      250     80 ms         -        0"
        );
        assert_eq!(full.len(), line(HEADER).len());
        assert_eq!(row(3, None, &lane).len(), full.len());
    }
}
