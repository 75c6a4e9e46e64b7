//! The files in `vectors/` pin results and state roots; ledgers in other languages read the same files.

#![allow(clippy::unwrap_used)]

#[path = "vectors/format.rs"]
mod format;

use std::{fs, path::Path};

use format::Vector;

fn read(name: &str) -> Vector {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn holds(name: &str, commits: usize) {
    let vector = read(name);
    assert_eq!(vector.commits.len(), commits);
    assert_eq!(vector, vector.computed());
}

#[test]
fn every_outcome_is_as_pinned() {
    holds("outcomes.json", 4);
    let vector = read("outcomes.json");
    let codes: std::collections::BTreeSet<_> =
        vector.commits.iter().flat_map(|commit| commit.results.iter().map(|result| result.code)).collect();
    assert_eq!(codes, (0..=8).collect());
}

#[test]
fn signatures_are_judged_by_zip_215_as_pinned() {
    holds("zip215.json", 1);
    assert_eq!(read("zip215.json").commits[0].results[0].outcome, "EXECUTED");
}

#[test]
fn points_of_small_order_are_judged_as_pinned() {
    holds("small_order.json", 15);
    let commits = read("small_order.json").commits;
    let (refused, accepted) = commits.split_last().unwrap();
    assert!(accepted.iter().all(|commit| commit.results.iter().all(|result| result.outcome == "EXECUTED")));
    assert_eq!(refused.results.iter().map(|result| result.code).collect::<Vec<_>>(), [3, 3, 3, 0]);
}

#[test]
fn many_transfers_are_as_pinned() {
    holds("many.json", 12);
}
