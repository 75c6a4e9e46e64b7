//! X07: an executor that a quorum contradicts is found, with evidence; consensus goes on, and executors keep no network awake.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use consensus_core::{
    AuthorityIndex, CommitIndex, Effect, Input, Params, ProtocolParameters, StateRoot,
    testkit::{self, network::TestNetwork},
};

const INTERVAL: u64 = 5;

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

/// Four authorities, each with an executor whose root after a commit is its digest; those of `wrong` have another.
struct Executors {
    network: TestNetwork,
    executed: [u64; 4],
    wrong: Vec<u16>,
    /// Effects of each machine when its executor spoke.
    answers: Vec<Vec<Effect>>,
}

fn executors(wrong: &[u16]) -> Executors {
    let parameters = ProtocolParameters { root_interval: INTERVAL, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
    let network = TestNetwork::start(genesis, signers, Params::default(), Duration::from_millis(10));
    Executors { network, executed: [0; 4], wrong: wrong.to_vec(), answers: Vec::new() }
}

impl Executors {
    fn root(&self, own: u16, index: u64) -> StateRoot {
        let place = usize::try_from(index - 1).unwrap();
        let digest = *self.network.node(authority(own)).store.commits[place].1.as_bytes();
        if self.wrong.contains(&own) {
            StateRoot::new([own.to_le_bytes()[0]; 32])
        } else {
            StateRoot::new(digest)
        }
    }

    /// Each executor executes what its node has handed on.
    fn execute(&mut self) {
        for own in 0..4 {
            while self.executed[usize::from(own)] < self.delivered(own) {
                self.executed[usize::from(own)] += 1;
                self.tell(own);
            }
        }
    }

    /// An executor says where it stands.
    fn tell(&mut self, own: u16) {
        let index = self.executed[usize::from(own)];
        let (root, index) = (Some(self.root(own, index)), CommitIndex::new(index));
        self.network.input(authority(own), Input::Executed { index, root });
        self.answers.push(self.network.node(authority(own)).last_effects.clone());
    }

    fn run(&mut self, steps: u64, load: bool) {
        for step in 0..steps {
            if load {
                let number = self.delivered(0) * 1_000 + step;
                self.network.submit(authority(0), number, &number.to_be_bytes());
            }
            self.network.run(Duration::from_millis(50));
            self.execute();
        }
    }

    fn contradicted_at(&self, own: u16) -> Option<u64> {
        let status = self.network.node(authority(own)).machine.as_ref().unwrap().status();
        status.root_contradiction.map(|found| found.index().get())
    }

    fn delivered(&self, own: u16) -> u64 {
        self.network.node(authority(own)).delivered.len() as u64
    }
}

#[test]
fn x07_the_executor_that_a_quorum_contradicts_is_found_with_evidence_and_consensus_goes_on() {
    let mut four = executors(&[3]);
    four.run(60, true);
    let before = four.delivered(3);
    for own in 0..4 {
        let node = four.network.node(authority(own));
        let agreed = node.machine.as_ref().unwrap().status().agreed_root.unwrap();
        assert!(agreed.index.get() >= INTERVAL && agreed.root == four.root(0, agreed.index.get()));
        assert!(node.store.roots.agreed.iter().any(|kept| kept.executed() == agreed));
        assert_eq!(four.contradicted_at(own), (own == 3).then_some(INTERVAL));
    }
    let node = four.network.node(authority(3));
    let kept = node.store.roots.contradiction.clone().unwrap();
    assert_eq!((kept.own, kept.agreed.root), (StateRoot::new([3; 32]), four.root(0, INTERVAL)));
    for reference in &kept.agreed.blocks {
        let votes = &node.store.blocks[reference].block().executed_roots;
        assert!(votes.contains(&kept.agreed.executed()), "the signed votes are in the store");
    }
    four.run(60, true);
    assert!(four.delivered(3) > before + 10 && four.delivered(3).abs_diff(four.delivered(0)) < 5);
}

#[test]
fn x07_what_was_told_is_durable_and_the_next_start_compares_again() {
    let mut four = executors(&[3]);
    four.run(60, true);
    assert_eq!(four.contradicted_at(3), Some(INTERVAL));
    four.network.crash(authority(3));
    four.network.restart(authority(3)).unwrap();
    assert_eq!(four.contradicted_at(3), None, "a new life has not heard its executor");
    let store = &four.network.node(authority(3)).store.roots;
    let position = CommitIndex::new(four.executed[3]);
    assert_eq!(store.forbids(position, None).map(|found| found.index().get()), Some(INTERVAL));

    // The executor is set back, and is as wrong as before.
    four.executed[3] = 3;
    four.answers.clear();
    four.execute();
    assert_eq!(four.contradicted_at(3), Some(INTERVAL));
    let told = |effect: &Effect| matches!(effect, Effect::RootContradicted(_));
    let effects = four.answers.iter().find(|effects| effects.iter().any(told)).unwrap();
    let Effect::Persist(batch) = &effects[0] else { panic!("unexpected: {effects:?}") };
    assert!(batch.roots.contradiction.is_some() && told(&effects[1]), "evidence first: {effects:?}");
}

/// The own vote outlives the crash in an own block, and is compared once the executor is heard again.
#[test]
fn x07_a_vote_of_an_earlier_life_is_compared_with_what_is_agreed_on_later() {
    let mut four = executors(&[3]);
    // Only the wrong one has executed by now.
    while four.network.node(authority(3)).store.roots.agreed.is_empty() && four.delivered(3) < 8 {
        four.network.submit(authority(0), four.delivered(3), b"x");
        four.network.run(Duration::from_millis(50));
    }
    four.executed[3] = INTERVAL;
    four.tell(3);
    for number in 0..10 {
        four.network.submit(authority(1), 100 + number, &number.to_be_bytes());
        four.network.run(Duration::from_millis(50));
    }
    four.network.crash(authority(3));
    four.network.restart(authority(3)).unwrap();
    four.executed[3] = four.delivered(3);
    four.tell(3);
    assert_eq!(four.contradicted_at(3), None);
    for own in 0..3 {
        four.executed[own] = INTERVAL - 1;
    }
    four.run(20, true);
    assert_eq!(four.contradicted_at(3), Some(INTERVAL));
}

/// A heartbeat's commit is executed, its root is voted for, and the vote waits for the block that is made anyway.
#[test]
fn an_idle_network_makes_no_block_more_for_votes() {
    let blocks = |with_executors: bool| {
        let mut four = executors(&[]);
        for _ in 0..1_200 {
            four.network.run(Duration::from_millis(50));
            if with_executors {
                four.execute();
            }
        }
        let status = four.network.node(authority(0)).machine.as_ref().unwrap().status();
        assert_eq!(status.agreed_root.is_some(), with_executors, "12 heartbeats in a minute");
        (status.proposed_round, four.delivered(0))
    };
    assert_eq!(blocks(true), blocks(false));
}
