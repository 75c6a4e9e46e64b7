//! The fuzz targets over their seeds, over spoiled seeds and over random bytes.

#![allow(missing_docs, clippy::unwrap_used)]

use consensus_core::testkit::fuzzing::{Seeds, Target, spoil};
use consensus_svc::fuzzing::{SEEDS, TARGETS};
use proptest::{collection::vec, prelude::*};

fn run(name: &str, cases: u32) {
    let (_, target): (_, Target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let (_, seeds): (_, Seeds) = SEEDS.into_iter().find(|(known, _)| *known == name).unwrap();
    let mut seeds = seeds();
    seeds.iter().for_each(|seed| target(seed));
    seeds.push(Vec::new());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let inputs = (any::<prop::sample::Index>(), vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..100));
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
fn genesis_files_of_any_text() {
    run("genesis_file", 300);
}

#[test]
fn messages_of_peers_of_any_bytes() {
    run("peer_messages", 1_000);
}

#[test]
fn submissions_of_any_bytes() {
    run("submit_messages", 1_000);
}

#[test]
fn acknowledgements_of_any_bytes() {
    run("acknowledgements", 1_000);
}
