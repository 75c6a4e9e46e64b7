//! The leader schedule in the simulator: a dead authority is replaced within bounds, and has its slots again once it is back.

#![allow(missing_docs)]

use consensus_sim::{
    Fault, Plan, Signatures, Weather,
    one_down::{Phase, measure},
    run,
};

#[test]
fn with_one_of_four_down_latency_is_within_1_3_of_the_healthy_one_after_one_window() {
    const WINDOW: u64 = 40;
    let outcome = measure(1, WINDOW, Signatures::Skipped);
    assert_eq!(outcome.report.violation, None);
    for phase in Phase::ALL {
        let measured = outcome.phase(phase);
        assert!(measured.latencies_ms.len() > 50, "{}: {}", phase.name(), measured.latencies_ms.len());
    }
    let percent = |phase| outcome.percent_of_healthy(phase);
    assert!(percent(Phase::Down) > 130, "it costs nothing: {}", percent(Phase::Down));
    assert!(percent(Phase::Replaced) <= 130, "{}", percent(Phase::Replaced));
    assert!(percent(Phase::Back) <= 130, "{}", percent(Phase::Back));
    // At worst it dies in the second half of a window, and the next one is the first that it misses more than half of.
    assert!(outcome.rounds_to_switch <= 2 * WINDOW, "{}", outcome.rounds_to_switch);
}

/// The invariant compares what every node stores with what the commits make, also of nodes that crashed and recovered.
#[test]
fn f04_nodes_that_come_and_go_store_the_schedule_that_the_commits_make() {
    let mut replaced = 0;
    for seed in 0..6 {
        let plan = Plan { duration_ms: 12_000, ..Plan::new(seed, 4, Weather::OneDown) };
        let report = run(&plan);
        if let Some(violation) = &report.violation {
            panic!("seed {seed}: {violation}");
        }
        replaced += report.faults.get(Fault::LeadersReplaced);
    }
    assert!(replaced > 0);
}
