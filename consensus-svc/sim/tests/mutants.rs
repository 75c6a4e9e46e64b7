//! The list of mutants fits the sources: what it would break is there. Whether the simulator catches them is shown by
//! `cargo run --release -p consensus-sim --example mutants`.

#[path = "../examples/mutants/list.rs"]
mod list;

use std::path::Path;

#[test]
fn every_mutant_breaks_a_rule_that_stands_in_the_sources() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mutants = list::read(&top).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(mutants.len() >= 15, "a trial of {} mutants says little", mutants.len());
    assert!(mutants.iter().all(|mutant| !mutant.rule.is_empty()));
}
