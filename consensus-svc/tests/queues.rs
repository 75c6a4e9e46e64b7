//! T06: the table of all queues names what can be looked at.

#![allow(clippy::unwrap_used, reason = "a test ends where it finds what it does not expect")]

use std::collections::BTreeSet;

use metanode_telemetry::metrics::{CONSENSUS, Kind, Metric};

const PAGE: &str = include_str!("../docs/operations.md");

/// The name in a scrape.
fn scraped(metric: &Metric) -> String {
    let unit = match metric.unit {
        "By" => "_bytes",
        "s" => "_seconds",
        _ => "",
    };
    let total = if metric.kind == Kind::Counter { "_total" } else { "" };
    format!("{}{unit}{total}", metric.name.replace('.', "_"))
}

/// The cells of each row of the table.
fn rows() -> Vec<Vec<&'static str>> {
    let table = PAGE.split("## Queues").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The metrics in a cell: words in backquotes that look like one.
fn metrics(cell: &'static str) -> impl Iterator<Item = &'static str> {
    let words = cell.split('`').skip(1).step_by(2);
    words.filter(|word| word.starts_with("metanode_"))
}

#[test]
fn t06_every_queue_has_a_bound_a_metric_that_exists_and_a_behaviour_when_full() {
    let known: BTreeSet<_> = CONSENSUS.iter().map(scraped).collect();
    let rows = rows();
    assert!(rows.len() >= 10, "{rows:#?}");
    for row in &rows {
        let [what, bound, metric, full] = row[..] else { panic!("{row:?} has not four cells") };
        assert!(
            bound.contains(|letter: char| letter.is_ascii_digit()) || bound.contains('`'),
            "{what}: {bound}"
        );
        assert!(metrics(metric).next().is_some(), "{what} has no metric");
        assert!(!full.is_empty(), "{what}: nothing is said of a full one");
        for name in metrics(metric).chain(metrics(full)) {
            assert!(known.contains(name), "{what}: there is no metric {name}");
        }
    }
}

/// A queue that is measured is in the table.
#[test]
fn t06_every_gauge_of_a_queue_is_in_the_table() {
    let listed: BTreeSet<_> = rows().iter().flat_map(|row| metrics(row[2])).collect();
    let queues = [
        "pool.",
        "driver.",
        "submit.",
        "api.",
        "blocks.waiting",
        "executor.in_flight",
        "votes.",
        "root_votes.",
        "evidence.",
    ];
    for metric in CONSENSUS.iter().filter(|metric| metric.kind == Kind::Gauge) {
        let name = metric.name.strip_prefix("metanode.consensus.").unwrap();
        if queues.iter().any(|queue| name.starts_with(queue)) {
            assert!(listed.contains(scraped(metric).as_str()), "{name} is in no row");
        }
    }
}
