//! The fuzz targets over their seeds, over spoiled seeds and over random bytes.

#![allow(missing_docs, clippy::unwrap_used)]

use executor_proxy::fuzzing::TARGETS;
use proptest::{collection::vec, prelude::*};

fn run(name: &str, cases: u32) {
    let (_, target, seeds) = TARGETS.into_iter().find(|(known, ..)| *known == name).unwrap();
    let mut seeds = seeds();
    seeds.iter().for_each(|seed| target(seed));
    seeds.push(Vec::new());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let inputs =
        (any::<prop::sample::Index>(), changes, any::<prop::sample::Index>(), vec(any::<u8>(), 0..100));
    proptest!(config, |((seed, changes, cut, tail) in inputs)| {
        let seed: &Vec<u8> = seed.get(&seeds);
        let mut bytes = seed.clone();
        for (place, by) in changes.into_iter().filter(|_| !seed.is_empty()) {
            bytes[place.index(seed.len())] ^= by;
        }
        if tail.len() % 2 == 1 {
            bytes.truncate(cut.index(seed.len() + 1));
        }
        bytes.extend(tail);
        target(&bytes);
    });
}

#[test]
fn streams_of_any_bytes() {
    run("execute_commits", 500);
}

#[test]
fn transfers_of_any_bytes() {
    run("transfers", 1_000);
}

#[test]
fn t07_answers_of_existing_masters_of_any_bytes() {
    run("legacy_answers", 2_000);
}
