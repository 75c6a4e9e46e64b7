//! What stands behind the nodes is told of their lives and of every durable commit, and changes nothing.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use consensus_core::{CommitDigest, CommittedSubDag, Genesis};
use consensus_sim::{Downstream, Plan, Weather, run, run_with};

/// The log of each node, as it is told.
#[derive(Debug, Default)]
struct Listener {
    logs: BTreeMap<usize, Vec<CommitDigest>>,
    up: BTreeMap<usize, bool>,
    deaths: u64,
    now_ms: u64,
}

impl Listener {
    fn pass(&mut self, at_ms: u64) {
        assert!(at_ms >= self.now_ms, "time goes back from {} to {at_ms} ms", self.now_ms);
        self.now_ms = at_ms;
    }
}

impl Downstream for Listener {
    fn starts(&mut self, genesis: &Arc<Genesis>) {
        assert_eq!(genesis.committee().size(), 4);
    }

    fn begins(&mut self, at_ms: u64, node: usize, log_end: u64) {
        self.pass(at_ms);
        assert_ne!(self.up.insert(node, true), Some(true), "a life begins before the last one ended");
        let log = self.logs.entry(node).or_default();
        assert!(log_end <= log.len() as u64, "a log ends where it was never told to");
        log.truncate(usize::try_from(log_end).unwrap());
    }

    fn dies(&mut self, at_ms: u64, node: usize) {
        self.pass(at_ms);
        self.deaths += 1;
        assert_eq!(self.up.insert(node, false), Some(true));
    }

    fn delivered(&mut self, at_ms: u64, node: usize, sub_dag: &CommittedSubDag) {
        self.pass(at_ms);
        assert_eq!(self.up.get(&node), Some(&true));
        let log = self.logs.get_mut(&node).unwrap();
        assert_eq!(sub_dag.commit.index.get(), log.len() as u64 + 1);
        assert_eq!(sub_dag.commit.previous_digest, log.last().copied().unwrap_or(CommitDigest::ZERO));
        log.push(sub_dag.digest);
    }

    fn passes(&mut self, at_ms: u64) {
        self.pass(at_ms);
    }
}

#[test]
fn every_durable_commit_is_handed_on_once_and_in_order_over_all_lives() {
    let mut deaths = 0;
    for weather in [Weather::Calm, Weather::Crashes, Weather::Restarts, Weather::Disks, Weather::Mixed] {
        for seed in 0..3 {
            let plan = Plan { duration_ms: 6_000, ..Plan::new(seed, 4, weather) };
            let listener = Rc::new(RefCell::new(Listener::default()));
            let report = run_with(&plan, &(listener.clone() as Rc<RefCell<dyn Downstream>>));
            assert_eq!(report.violation, None, "{} {seed}", weather.name());
            assert_eq!(report.digest, run(&plan).digest, "who listens changes nothing");
            let listener = listener.borrow();
            deaths += listener.deaths;
            let longest = listener.logs.values().map(Vec::len).max();
            assert_eq!(longest, usize::try_from(report.commits).ok());
        }
    }
    assert!(deaths > 20, "{deaths}");
}

/// An assertion of what stands behind ends the run as a violation, with its words and its seed.
#[test]
fn a_panic_of_what_stands_behind_is_a_violation() {
    #[derive(Debug)]
    struct Broken;

    impl Downstream for Broken {
        fn starts(&mut self, _: &Arc<Genesis>) {}
        fn begins(&mut self, _: u64, _: usize, _: u64) {}
        fn dies(&mut self, _: u64, _: usize) {}
        fn delivered(&mut self, _: u64, node: usize, _: &CommittedSubDag) {
            panic!("the executor of node {node} is broken");
        }
        fn passes(&mut self, _: u64) {}
    }

    let plan = Plan { duration_ms: 2_000, ..Plan::new(7, 4, Weather::Calm) };
    let report = run_with(&plan, &(Rc::new(RefCell::new(Broken)) as Rc<RefCell<dyn Downstream>>));
    let violation = report.violation.unwrap();
    assert_eq!(violation.invariant, "panic");
    assert!(violation.detail.contains("is broken"), "{violation}");
}
