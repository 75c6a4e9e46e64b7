//! Lines of the failure catalogue that the simulator closes, each by a world made for it.

#![allow(missing_docs)]

use consensus_core::{AuthorityIndex, Params, ProtocolParameters, Round};
use consensus_sim::{Chronicle, Fault, Happening, Load, Loss, Plan, Report, Scripted, Weather, run};

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

fn sum(fault: Fault, reports: &[Report]) -> u64 {
    reports.iter().map(|report| report.faults.get(fault)).sum()
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

/// The highest round of a block that any of these authorities has sent up to a moment.
fn reached(chronicle: &Chronicle, authorities: &[u16], until_ms: u64) -> Round {
    let sent = authorities.iter().flat_map(|authority| chronicle.sent_by(AuthorityIndex::new(*authority)));
    sent.filter(|(at_ms, _)| *at_ms <= until_ms).map(|(_, round)| round).max().unwrap_or_default()
}

/// What it missed is collected everywhere: certified commits take it past that, and only then does it propose. The end demands
/// every commit of it, the invariants that its own blocks and votes are those of a node that was there, and the chronicle
/// shows that it sent none for the rounds that it missed.
#[test]
fn l04_l05_an_authority_that_was_away_for_longer_than_blocks_are_kept_catches_up_before_it_proposes() {
    const BACK_MS: u64 = 19_500;
    let reports: Vec<_> = (0..3)
        .map(|seed| {
            let away = vec![at(500, Happening::Crash { node: 1, down_ms: BACK_MS - 500 })];
            let report = pass(&Plan {
                duration_ms: 20_000,
                script: away,
                params: Some(Params::default()),
                load: Some(Load { per_second: 50, size_bytes: 32 }),
                record: true,
                ..Plan::new(seed, 4, Weather::Calm)
            });
            let chronicle = report.chronicle.as_ref().expect("it was asked for");
            let missed = reached(chronicle, &[0, 2, 3], BACK_MS);
            let back = chronicle.sent_by(AuthorityIndex::new(1)).find(|(at_ms, _)| *at_ms >= BACK_MS);
            let (_, first) = back.expect("it proposes again");
            // A quarter of the largest depth: nearer than that an own block helps the others.
            assert!(
                missed > Round::new(80) && first >= missed.minus(15),
                "seed {seed}: back with a block of round {first}, others are in {missed}"
            );
            report
        })
        .collect();
    assert!(sum(Fault::CatchUp, &reports) > 0 && sum(Fault::RangeApplied, &reports) > 0);
}

/// Liars forge, mix, cut and spoil ranges, and vote for commits that nobody has.
#[test]
fn f03_l04_only_what_a_quorum_certified_is_taken_for_what_is_missing() {
    let reports: Vec<_> = (0..10).map(|seed| pass(&Plan::new(seed, 4, Weather::Absences))).collect();
    for fault in [Fault::RangeApplied, Fault::RangeRefused, Fault::FalseVote] {
        assert!(sum(fault, &reports) > 0, "{}", fault.name());
    }
}

/// Some were one commit ahead and forgot a round that the others needed, whose votes that commit needed: blocks are
/// kept down to the GC round of the last certified commit, not of the last one.
#[test]
fn l04_nobody_forgets_what_those_need_whose_votes_are_missing() {
    for (seed, authorities) in [(50, 4), (14, 5), (14, 6)] {
        pass(&Plan::new(seed, authorities, Weather::Partitions));
    }
}

/// One of four is down at almost any time, each in turn: the three others go on meanwhile, also where it leads.
#[test]
fn l07_f_crash_and_come_back_while_others_crash() {
    const TURN_MS: u64 = 2_000;
    let turns = (1..9).map(|turn| (usize::try_from(turn % 4).expect("small"), turn * TURN_MS));
    let down_ms = TURN_MS - 200;
    let script = turns.clone().map(|(node, at_ms)| at(at_ms, Happening::Crash { node, down_ms }));
    let plan = Plan {
        duration_ms: 10 * TURN_MS,
        script: script.collect(),
        params: Some(Params::default()),
        load: Some(Load { per_second: 100, size_bytes: 32 }),
        record: true,
        ..Plan::new(3, 4, Weather::Calm)
    };
    let report = pass(&plan);
    assert_eq!(report.faults.get(Fault::Restart), 8);
    let chronicle = report.chronicle.as_ref().expect("it was asked for");
    for (down, from_ms) in turns {
        let up: Vec<u16> = (0..4).filter(|authority| usize::from(*authority) != down).collect();
        let (before, after) = (reached(chronicle, &up, from_ms), reached(chronicle, &up, from_ms + down_ms));
        // Its own turn to lead comes every four rounds.
        assert!(after >= before.plus(8), "while {down} is down, from {before} to {after}");
    }
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

fn lose(at_ms: u64, node: usize, loss: Loss, after_sending: bool) -> Scripted {
    at(at_ms, Happening::Lose { node, loss, after_sending, down_ms: 20 })
}

const LOSSES: [Loss; 4] = [Loss::Store, Loss::All, Loss::SinceCopy, Loss::AllSinceCopy];

/// Under load, one after the other, each with the last block on its way to nobody.
#[test]
fn s06_a_node_that_lost_its_store_or_guard_or_both_comes_back_by_itself_and_no_slot_is_signed_twice() {
    for (seed, loss) in (0..).zip(LOSSES) {
        let script = (0..3).flat_map(|node| {
            let at_ms = 1_000 + 2_300 * node as u64;
            [at(at_ms, Happening::Copy { node }), lose(at_ms + 600, node, loss, node != 1)]
        });
        let load = Some(Load { per_second: 100, size_bytes: 64 });
        let plan =
            Plan { duration_ms: 9_000, script: script.collect(), load, ..Plan::new(seed, 4, Weather::Calm) };
        let report = pass(&plan);
        let count = |fault| report.faults.get(fault);
        assert_eq!((count(Fault::AmnesiaEntered), count(Fault::AmnesiaLeft)), (3, 3), "{loss:?}");
        let takes_guard = matches!(loss, Loss::All | Loss::AllSinceCopy);
        assert_eq!(count(Fault::GuardLost), if takes_guard { 3 } else { 0 }, "{loss:?}");
        assert_eq!(count(Fault::LossOutsideBound), 0);
    }
}

/// It loses all a second time before it has signed again, and a crash falls in between.
#[test]
fn s06_a_second_loss_and_crashes_in_the_middle_of_amnesia_change_nothing() {
    for effects in 0..6 {
        let script = vec![
            lose(2_000, 1, Loss::All, true),
            at(2_120, Happening::CrashAfterEffects { node: 1, effects, down_ms: 30 }),
            lose(2_400, 1, Loss::All, false),
            at(2_520, Happening::CrashAfterEffects { node: 1, effects, down_ms: 30 }),
            lose(4_000, 1, Loss::Store, true),
        ];
        let report = scripted(effects.into(), 4, Weather::Calm, script);
        assert!(report.faults.get(Fault::AmnesiaLeft) >= 1);
        assert!(report.faults.get(Fault::AmnesiaEntered) >= 2);
    }
}

/// f = 2 of 7: one liar, one amnesiac.
#[test]
fn s06_liars_neither_lock_an_amnesiac_out_nor_make_it_sign_twice() {
    let reports = (0..8).map(|seed| {
        let script = LOSSES.iter().zip(0..).flat_map(|(loss, node)| {
            let at_ms = 800 + 1_700 * node as u64;
            [at(at_ms, Happening::Copy { node }), lose(at_ms + 500, node, *loss, true)]
        });
        scripted(seed, 7, Weather::ByzantineAmnesia, script.collect())
    });
    let (lied, left) = reports.fold((0, 0), |(lied, left), report| {
        (lied + report.faults.get(Fault::OwnLastLied), left + report.faults.get(Fault::AmnesiaLeft))
    });
    assert!(lied > 8 && left > 8, "{lied} lies, {left} returns");
}

/// Own stake is above f: nobody could tell what was signed, so the operator must.
#[test]
fn s06_in_a_committee_of_three_an_old_copy_or_an_empty_store_is_refused_by_the_guard() {
    for seed in 0..2 {
        let script = vec![
            at(1_500, Happening::Copy { node: 0 }),
            lose(4_000, 0, Loss::SinceCopy, false),
            lose(5_000, 1, Loss::Store, false),
            lose(6_000, 2, Loss::All, false),
        ];
        let report = scripted(seed, 3, Weather::Calm, script);
        let count = |fault| report.faults.get(fault);
        assert_eq!((count(Fault::OldStoreRefused), count(Fault::AmnesiaEntered)), (2, 0));
        assert_eq!(count(Fault::LossOutsideBound), 1, "without its guard nothing would refuse it");
    }
}

/// Nothing was signed yet, so nothing can be signed twice.
#[test]
fn s06_a_node_that_never_signed_may_start_empty() {
    let started = (0..12).map(|seed| {
        let script =
            vec![at(1, Happening::Lose { node: 3, loss: Loss::Store, after_sending: false, down_ms: 100 })];
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

/// With a load that commits often, and roots at every second commit.
fn with_roots(seed: u64, script: Vec<Scripted>) -> Report {
    let parameters = Some(ProtocolParameters { root_interval: 2, ..ProtocolParameters::default() });
    let load = Some(Load { per_second: 40, size_bytes: 32 });
    pass(&Plan { duration_ms: 8_000, parameters, load, script, ..Plan::new(seed, 4, Weather::Calm) })
}

/// Every machine's executor computes a chain of roots; the invariant computes it a second time.
#[test]
fn x07_an_executor_that_is_wrong_is_stopped_with_evidence_and_all_others_go_on() {
    for seed in 0..3 {
        let report = with_roots(seed, vec![at(2_000, Happening::BreakExecutor { node: 1 })]);
        let count = |fault| report.faults.get(fault);
        assert_eq!((count(Fault::ExecutorBroken), count(Fault::RootContradicted)), (1, 1), "seed {seed}");
    }
}

#[test]
fn x07_over_crashes_a_wrong_executor_is_refused_until_it_is_repaired() {
    for seed in 0..3 {
        let script = vec![
            at(1_000, Happening::BreakExecutor { node: 1 }),
            at(4_000, Happening::Crash { node: 1, down_ms: 200 }),
            at(5_000, Happening::Crash { node: 1, down_ms: 200 }),
            at(6_000, Happening::RepairExecutor { node: 1, down_ms: 200 }),
            at(7_000, Happening::Crash { node: 1, down_ms: 200 }),
        ];
        let report = with_roots(seed, script);
        let count = |fault| report.faults.get(fault);
        assert_eq!((count(Fault::ExecutorRepaired), count(Fault::RootContradicted)), (1, 1), "seed {seed}");
    }
}

/// With wrong executors they have at most f of the stake: no false root is agreed on, and none that is right is stopped.
#[test]
fn x07_liars_agree_on_no_root_and_stop_no_executor_that_is_right() {
    let reports: Vec<_> = (0..6).map(|seed| pass(&Plan::new(seed, 7, Weather::WrongRoots))).collect();
    assert!(sum(Fault::FalseRoot, &reports) > 20 && sum(Fault::RootContradicted, &reports) > 2);
}
