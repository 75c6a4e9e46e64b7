//! Lines of the failure catalogue that the simulator closes, each by a world made for it.

#![allow(missing_docs)]

use consensus_sim::{Fault, Happening, Plan, Report, Scripted, Weather, run};

fn at(at_ms: u64, what: Happening) -> Scripted {
    Scripted { at_ms, what }
}

fn pass(plan: &Plan) -> Report {
    let report = run(plan);
    if let Some(violation) = &report.violation {
        panic!("seed {} {}: {violation}", plan.seed, plan.weather.name());
    }
    assert!(report.commits > 0 && report.transactions > 0);
    report
}

fn scripted(seed: u64, authorities: u16, weather: Weather, script: Vec<Scripted>) -> Report {
    pass(&Plan { duration_ms: 8_000, script, ..Plan::new(seed, authorities, weather) })
}

/// The median over a quorum of parents is an honest time, or between two: the invariant compares each commit's time with
/// those of the honest parents.
#[test]
fn f02_lying_clocks_move_no_commit_outside_honest_time() {
    for seed in 0..3 {
        let report = scripted(seed, 7, Weather::ByzantineClocks, Vec::new());
        assert!(report.faults.get(Fault::LyingTimestamp) > 10);
    }
}

#[test]
fn f02_skewed_honest_clocks_still_make_one_rising_time() {
    scripted(5, 4, Weather::Clocks, Vec::new());
}

#[test]
fn f07_twins_in_every_pattern_leave_one_chain() {
    for seed in 0..3 {
        let report = scripted(seed, 4, Weather::ByzantineEquivocation, Vec::new());
        assert!(report.faults.get(Fault::TwinSplit) > 0 && report.faults.get(Fault::EquivocationSeen) > 0);
    }
}

#[test]
fn t07_garbage_phantoms_and_future_rounds_are_refused_within_bounded_memory() {
    let sum =
        |fault: Fault, reports: &[Report]| reports.iter().map(|report| report.faults.get(fault)).sum::<u64>();
    let reports: Vec<_> =
        (0..3).map(|seed| scripted(seed, 4, Weather::ByzantineInvalid, Vec::new())).collect();
    for fault in [Fault::GarbageRefused, Fault::PhantomParents, Fault::FutureRound] {
        assert!(sum(fault, &reports) > 0, "{}", fault.name());
    }
}

/// An authority that hears the others and is not heard.
fn cut_off(seed: u64, transaction_lifetime_ms: u64) -> Report {
    let script =
        vec![at(1_000, Happening::Partition { group: vec![2], one_way: true }), at(7_900, Happening::Mend)];
    let transaction_lifetime_ms = Some(transaction_lifetime_ms);
    let plan =
        Plan { duration_ms: 8_000, script, transaction_lifetime_ms, ..Plan::new(seed, 4, Weather::Calm) };
    let report = pass(&plan);
    assert_eq!(report.faults.get(Fault::PartitionOneWay), 1);
    report
}

/// Blocks of an authority that is cut off are collected uncommitted; what they held is committed later, once the network
/// heals: the end demands a fate for every transaction, and none was dropped.
#[test]
fn t01_what_a_cut_off_authority_proposed_is_committed_after_the_network_heals() {
    for seed in 0..4 {
        assert_eq!(cut_off(seed, 600_000).dropped, 0);
    }
}

#[test]
fn t01_what_a_cut_off_authority_cannot_have_committed_in_time_is_dropped_once() {
    assert!((0..4).map(|seed| cut_off(seed, 500).dropped).sum::<u64>() > 0);
}

/// What stood in a durable own block when the node died is answered by its next life.
#[test]
fn t01_short_lifetimes_and_crashes_leave_no_transaction_without_a_fate() {
    for seed in 0..4 {
        let transaction_lifetime_ms = Some(400);
        pass(&Plan { duration_ms: 8_000, transaction_lifetime_ms, ..Plan::new(seed, 4, Weather::Crashes) });
    }
}

#[test]
fn l03_all_restart_at_once_and_go_on() {
    let blackouts = [1_000, 2_500, 5_000].map(|at_ms| at(at_ms, Happening::Blackout { down_ms: 300 }));
    let report = scripted(1, 4, Weather::Calm, blackouts.to_vec());
    assert_eq!((report.faults.get(Fault::Blackout), report.faults.get(Fault::Restart)), (3, 12));
}

#[test]
fn l04_authorities_that_stopped_one_after_the_other_catch_up() {
    let crashes = (0..4).map(|node| {
        let at_ms = 1_000 + 700 * node as u64;
        at(at_ms, Happening::Crash { node, down_ms: 6_500 - at_ms })
    });
    scripted(2, 4, Weather::Calm, crashes.collect());
}

#[test]
fn l05_an_authority_that_was_long_away_catches_up_before_it_proposes() {
    for seed in 0..2 {
        let away = vec![at(500, Happening::Crash { node: 1, down_ms: 19_000 })];
        pass(&Plan { duration_ms: 20_000, script: away, ..Plan::new(seed, 4, Weather::Calm) });
    }
}

#[test]
fn l07_f_crash_and_come_back_while_others_crash() {
    let crashes =
        (0..8).map(|turn| at(500 + 900 * turn as u64, Happening::Crash { node: turn % 4, down_ms: 800 }));
    let report = scripted(3, 4, Weather::Calm, crashes.collect());
    assert_eq!(report.faults.get(Fault::Restart), 8);
}

#[test]
fn s01_s02_crashes_after_any_number_of_effects_lose_nothing_durable() {
    for effects in 0..8 {
        let crashes = (1..6).map(|turn| {
            let node = usize::try_from(turn % 4).expect("small");
            at(1_000 * turn, Happening::CrashAfterEffects { node, effects, down_ms: 200 })
        });
        let plan = Plan {
            duration_ms: 6_500,
            script: crashes.collect(),
            ..Plan::new(effects.into(), 4, Weather::Calm)
        };
        assert!(pass(&plan).faults.get(Fault::CrashBetweenEffects) >= 4);
    }
}

#[test]
fn s06_an_old_copy_or_an_empty_store_is_refused_by_the_guard_and_no_slot_is_signed_twice() {
    let script = vec![
        at(1_500, Happening::Copy { node: 0 }),
        at(4_000, Happening::RestoreCopy { node: 0, down_ms: 200 }),
        at(5_000, Happening::Wipe { node: 1, down_ms: 200 }),
    ];
    for seed in 0..3 {
        let report = scripted(seed, 4, Weather::Calm, script.clone());
        assert_eq!(report.faults.get(Fault::OldStoreRefused), 2);
    }
}

/// Nothing was signed yet, so nothing can be signed twice.
#[test]
fn s06_a_node_that_never_signed_may_start_empty() {
    let started = (0..12).map(|seed| {
        let script = vec![at(1, Happening::Wipe { node: 3, down_ms: 100 })];
        scripted(seed, 4, Weather::Calm, script).faults.get(Fault::RestartEmpty)
    });
    assert!(started.sum::<u64>() > 0);
}

/// The window is computed a second time by the invariant; nodes that crash rebuild theirs from commits.
#[test]
fn t02_transactions_sent_again_to_any_node_are_marked_alike_by_those_that_crashed() {
    let reports = (0..4).map(|seed| scripted(seed, 4, Weather::Crashes, Vec::new()));
    assert!(reports.map(|report| report.duplicates).sum::<u64>() > 0);
}
