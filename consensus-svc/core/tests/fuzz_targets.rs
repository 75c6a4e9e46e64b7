//! The fuzz targets over their seeds, over spoiled seeds and over random bytes: whatever `consensus-svc/core/fuzz` runs for
//! hours is compiled and run here.

#![allow(missing_docs, clippy::unwrap_used)]

use consensus_core::testkit::fuzzing::{SEEDS, Seeds, TARGETS, Target, spoil};
use proptest::{collection::vec, prelude::*};

fn target(name: &str) -> (Target, Vec<Vec<u8>>) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let (_, seeds): (_, Seeds) = SEEDS.into_iter().find(|(known, _)| *known == name).unwrap();
    (target, seeds())
}

fn run(name: &str, cases: u32) {
    let (target, mut seeds) = target(name);
    seeds.iter().for_each(|seed| target(seed));
    seeds.push(Vec::new());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (any::<prop::sample::Index>(), vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..300));
    proptest!(config, |((seed, script, tail) in inputs)| {
        let seed: &Vec<u8> = seed.get(&seeds);
        let mut bytes = spoil(seed, &script);
        bytes.extend(tail);
        target(&bytes);
    });
}

#[test]
fn every_target_has_seeds() {
    assert!(TARGETS.iter().map(|(name, _)| name).eq(SEEDS.iter().map(|(name, _)| name)));
}

#[test]
fn blocks_of_any_bytes() {
    run("block", 200);
}

#[test]
fn commits_of_any_bytes() {
    run("commit", 2_000);
}

#[test]
fn ranges_of_commits_of_any_bytes() {
    run("commit_range", 300);
}

#[test]
fn machines_among_peers_who_do_anything() {
    run("machine", 200);
}

#[test]
fn submissions_of_any_sizes() {
    run("submit", 300);
}
