//! The simulated world with what stands behind each authority in service: a real sequencer and a real reference ledger, over a
//! virtual link on which executors die at any point, connections break, and commits come twice.
//!
//! What must hold, whatever the weather and the links do: every executor executes every commit once and in order, to the same
//! state root as all others at each index; nothing that was acknowledged is sent again or lost; and once links and network
//! are well again, everybody has executed everything.

#![allow(missing_docs)]

mod virtual_delivery {
    pub(crate) mod bridge;
    pub(crate) mod delivery;
    pub(crate) mod dice;
    pub(crate) mod executor;
}

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use consensus_sim::{Downstream, Load, Plan, Signatures, Weather, run_with};
use virtual_delivery::delivery::{Delivery, Seen, Trouble};

/// Runs a seed to its healed end.
fn play(seed: u64, weather: Weather, troubles: &[Trouble]) -> Seen {
    let plan = Plan {
        duration_ms: 6_000,
        signatures: Signatures::Skipped,
        load: Some(Load { per_second: 40, size_bytes: 16 }),
        ..Plan::new(seed, 4, weather)
    };
    let delivery = Rc::new(RefCell::new(Delivery::new(seed, troubles)));
    let report = run_with(&plan, &(delivery.clone() as Rc<RefCell<dyn Downstream>>));
    if let Some(violation) = report.violation {
        panic!("seed {seed}, weather {}: {violation}", weather.name());
    }
    let mut delivery = delivery.borrow_mut();
    delivery.settle();
    assert!(delivery.seen.commits > 0, "seed {seed}, weather {} commits nothing", weather.name());
    std::mem::take(&mut delivery.seen)
}

/// The sum over seeds of one weather.
fn campaign(seeds: std::ops::Range<u64>, weather: impl Fn(u64) -> Weather, troubles: &[Trouble]) -> Seen {
    let mut all = Seen::default();
    for seed in seeds {
        let seen = play(seed, weather(seed), troubles);
        for (trouble, count) in seen.troubles {
            *all.troubles.entry(trouble).or_default() += count;
        }
        all.duplicates += seen.duplicates;
        all.fenced += seen.fenced;
        all.died_in_flight += seen.died_in_flight;
        all.resumed += seen.resumed;
        all.commits += seen.commits;
    }
    all
}

#[test]
fn every_commit_is_executed_once_in_order_and_to_equal_roots_in_every_weather() {
    let seen = campaign(0..39, Weather::of_seed, &Trouble::ALL);
    let happened = seen.troubles.keys().copied().collect::<Vec<_>>();
    assert_eq!(happened, Trouble::ALL, "some trouble never happened: {seen:?}");
    assert!(seen.duplicates > 0 && seen.fenced > 0 && seen.died_in_flight > 0, "{seen:?}");
}

/// A node dies with commits on their way; its next life asks the executor and sends what is not executed, nothing else.
#[test]
fn d01_a_node_that_dies_with_commits_in_flight_sends_exactly_what_is_not_executed() {
    let seen = campaign(0..8, |_| Weather::Crashes, &[Trouble::Stalls]);
    assert!(seen.died_in_flight > 5, "{seen:?}");
}

#[test]
fn d05_what_an_executor_took_and_did_not_execute_is_sent_again() {
    let deaths = [Trouble::DiesBeforeExecuting, Trouble::DiesBeforeSync];
    let seen = campaign(0..6, |_| Weather::Calm, &deaths);
    assert!(deaths.iter().all(|death| seen.troubles.get(death) > Some(&5)), "{seen:?}");
}

#[test]
fn d09_what_comes_twice_is_dropped_and_acknowledged() {
    let seen = campaign(0..6, |_| Weather::Calm, &[Trouble::Duplicated]);
    let duplicated = seen.troubles.get(&Trouble::Duplicated).copied();
    assert!(duplicated > Some(5) && Some(seen.duplicates) >= duplicated, "{seen:?}");
}

#[test]
fn d11_after_a_break_the_stream_resumes_and_late_frames_of_the_old_one_are_refused() {
    let seen = campaign(0..6, |_| Weather::Calm, &[Trouble::Breaks, Trouble::AcknowledgementLost]);
    let counts: BTreeMap<_, _> = seen.troubles.clone();
    assert!(counts.values().all(|count| *count > 5) && counts.len() == 2, "{seen:?}");
    assert!(seen.fenced > 0 && seen.resumed > 10, "{seen:?}");
}

/// Executed durably, the word of it lost: the executor says where it stands at the next handshake.
#[test]
fn d16_an_executor_that_dies_before_its_acknowledgement_executes_nothing_twice() {
    let seen = campaign(0..6, |_| Weather::Calm, &[Trouble::DiesBeforeAcknowledging]);
    assert!(seen.troubles.get(&Trouble::DiesBeforeAcknowledging) > Some(&5), "{seen:?}");
}
