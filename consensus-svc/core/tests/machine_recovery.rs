//! Restarts: from every node's store, alone and all at once.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use consensus_core::{
    AuthorityIndex, CommitIndex, CommittedSubDag, Consensus, Effect, Epoch, Input, Params, PeerFault,
    RecoverError, RecoveredLog, Round,
    testkit::{
        self,
        network::{TestNetwork, TestStore},
    },
};

const LINK: Duration = Duration::from_millis(10);

fn network() -> TestNetwork {
    let (genesis, signers) = testkit::genesis(4);
    TestNetwork::start(genesis, signers, Params::default(), LINK)
}

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

fn load(network: &mut TestNetwork, numbers: std::ops::Range<u64>, authorities: &[u16]) {
    for number in numbers {
        let to = authorities[usize::try_from(number).expect("small") % authorities.len()];
        network.submit(authority(to), number, &number.to_be_bytes());
        network.run(Duration::from_millis(30));
    }
}

fn committed(network: &TestNetwork, index: u16) -> usize {
    network.node(authority(index)).delivered.iter().flat_map(CommittedSubDag::transactions).count()
}

/// Every node's deliveries, over all its lives, are one chain without hole or repetition, and agree.
fn assert_one_chain(network: &TestNetwork) {
    let longest =
        (0..4).map(|index| &network.node(authority(index)).delivered).max_by_key(|chain| chain.len());
    let longest = longest.expect("four nodes");
    for index in 0..4 {
        let chain = &network.node(authority(index)).delivered;
        for (position, sub_dag) in chain.iter().enumerate() {
            assert_eq!(sub_dag.commit.index.get(), position as u64 + 1, "authority {index}");
            assert_eq!(sub_dag.digest, longest[position].digest, "authority {index}");
        }
    }
}

/// No authority ever stored two blocks for one slot.
fn assert_no_equivocation(network: &TestNetwork) {
    for index in 0..4 {
        let mut slots = BTreeSet::new();
        for reference in network.node(authority(index)).store.blocks.keys() {
            assert!(slots.insert(reference.slot()), "two blocks in {:?}", reference.slot());
        }
        let faults = &network.node(authority(index)).faults;
        assert!(!faults.iter().any(|fault| matches!(fault, PeerFault::Equivocation { .. })));
    }
}

/// The older even-round rule ran only when a new certificate came: a network that restarted with every decision in its
/// stores committed nothing until somebody proposed again.
#[test]
fn l01_a_decided_leader_is_committed_by_recovery_itself_without_a_new_block() {
    let mut network = network();
    load(&mut network, 0..10, &[0, 1, 2, 3]);
    network.run(Duration::from_secs(2));
    let node = network.node(authority(0));
    let delivered = node.delivered.len();
    assert!(delivered >= 3);
    // The last commits were decided and never made durable; their blocks were.
    let kept = delivered - 2;
    let mut store: TestStore = node.store.clone();
    store.commits.truncate(kept);
    let (_, signers) = testkit::genesis(4);
    let log = store.recovered(authority(0), network.genesis().parameters());
    let (_, effects) = Consensus::recover(
        network.genesis().clone(),
        Params::default(),
        signers[0].clone(),
        log,
        network.now(),
    )
    .expect("the store is sound");
    let again: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Deliver(sub_dag) => Some(sub_dag.digest),
            _ => None,
        })
        .collect();
    let first: Vec<_> = node.delivered[kept..].iter().map(|sub_dag| sub_dag.digest).collect();
    assert_eq!(again[..2], first[..], "the same commits, at once, from the store alone");
}

#[test]
fn l02_the_proposer_goes_on_from_its_own_last_block_with_a_quorum_of_parents() {
    let mut network = network();
    load(&mut network, 0..30, &[0, 1, 2, 3]);
    let before = network.node(authority(1)).machine.as_ref().expect("running").status().proposed_round;
    network.crash(authority(1));
    network.restart(authority(1)).expect("its own store");
    assert!(network.run_until_within(Duration::from_secs(10), |network| {
        network.node(authority(1)).machine.as_ref().expect("running").status().proposed_round > before
    }));
    let store = &network.node(authority(1)).store;
    let next = store.blocks.values().find(|block| block.author() == authority(1) && block.round() > before);
    let next = next.expect("a new own block");
    assert_eq!(next.ancestors()[0].round, before, "its own last block comes first");
    let parents = next.ancestors().iter().filter(|ancestor| ancestor.round.next() == next.round()).count();
    assert!(parents >= 3, "a quorum of the previous round, not genesis");
    assert_no_equivocation(&network);
}

/// The moments of an idle round, one after the other: messages under way to nobody, to some, to all, and none at all, when
/// everybody holds everything and nothing that comes in tells where the clock stands.
#[test]
fn l03_all_authorities_restart_at_once_and_progress_resumes_without_transactions() {
    let params = Params::default();
    // A commit is due with the heartbeat, and is made some idle rounds later, each of which may wait for its leader.
    let heartbeat = testkit::genesis(4).0.parameters().heartbeat_interval;
    let soon = heartbeat + 5 * (params.idle_delay + params.leader_timeout);
    for moment in 0..30 {
        let mut network = network();
        load(&mut network, 0..20, &[0, 1, 2, 3]);
        network.run(Duration::from_millis(40 * moment));
        for index in 0..4 {
            network.crash(authority(index));
        }
        for index in 0..4 {
            network.restart(authority(index)).expect("its own store");
        }
        let round = |network: &TestNetwork, index| {
            network.node(authority(index)).machine.as_ref().expect("running").status().last_committed_round
        };
        let before: Vec<_> = (0..4).map(|index| round(&network, index)).collect();
        assert!(
            network.run_until_within(soon, |network| (0..4)
                .all(|index| round(network, index) > before[usize::from(index)])),
            "killed {} ms into an idle network, nothing is committed any more",
            40 * moment
        );
        load(&mut network, 20..30, &[0, 1, 2, 3]);
        assert!(
            network.run_until_within(soon, |network| (0..4).all(|index| committed(network, index) == 30))
        );
        assert_one_chain(&network);
        assert_no_equivocation(&network);
    }
}

#[test]
fn l04_a_node_that_was_away_for_longer_than_the_gc_depth_catches_up_and_proposes_again() {
    let mut network = network();
    load(&mut network, 0..10, &[0, 1, 2, 3]);
    network.crash(authority(3));
    load(&mut network, 10..600, &[0, 1, 2]);
    let gone = network.node(authority(0)).machine.as_ref().expect("running").status();
    let away = network.node(authority(3)).store.blocks.keys().map(|reference| reference.round).max();
    assert!(gone.gc_round > away.expect("it took part"), "the others have collected what it had");
    network.restart(authority(3)).expect("its own store");
    assert!(network.run_until_within(Duration::from_secs(60), |network| {
        network.node(authority(3)).delivered.len() >= network.node(authority(0)).delivered.len()
    }));
    load(&mut network, 600..640, &[3]);
    assert!(network.run_until_within(Duration::from_secs(10), |network| committed(network, 0) == 640));
    assert_one_chain(&network);
    assert_no_equivocation(&network);
}

/// With one of four down, a quorum is up: what is submitted to it is committed while the other is away, and not only
/// after its return.
#[test]
fn l07_each_authority_crashes_in_turn_under_load_and_nothing_stalls() {
    let soon = 10 * Params::default().leader_timeout;
    let mut network = network();
    let mut number = 0;
    for turn in 0..8u16 {
        let victim = turn % 4;
        let alive: Vec<u16> = (0..4).filter(|index| *index != victim).collect();
        network.crash(authority(victim));
        load(&mut network, number..number + 20, &alive);
        number += 20;
        let all = |network: &TestNetwork, index| {
            committed(network, index) == usize::try_from(number).expect("small")
        };
        assert!(
            network.run_until_within(soon, |network| alive.iter().all(|index| all(network, *index))),
            "turn {turn}: three of four commit nothing"
        );
        network.restart(authority(victim)).expect("its own store");
        // What was submitted to the next victim must be in a durable block before it dies.
        assert!(
            network.run_until_within(Duration::from_secs(20), |network| {
                (0..4).all(|index| all(network, index))
            }),
            "turn {turn}"
        );
    }
    assert_one_chain(&network);
    assert_no_equivocation(&network);
}

#[test]
fn a_partition_heals_and_both_sides_agree() {
    let mut network = network();
    load(&mut network, 0..10, &[0, 1, 2, 3]);
    for other in [1, 2, 3] {
        network.cut(authority(0), authority(other));
    }
    load(&mut network, 10..60, &[1, 2, 3]);
    network.heal();
    assert!(network.run_until_within(Duration::from_secs(30), |network| committed(network, 0) == 60));
    assert_one_chain(&network);
}

#[test]
fn a_store_that_contradicts_itself_is_refused_by_name() {
    let mut network = network();
    load(&mut network, 0..20, &[0, 1, 2, 3]);
    let sound = network.node(authority(0)).store.clone();
    assert!(sound.commits.len() >= 4);
    network.crash(authority(0));

    let mut store = sound.clone();
    store.commits.remove(2);
    network.node_mut(authority(0)).store = store;
    let hole = RecoverError::CommitHole { previous: CommitIndex::new(2), found: CommitIndex::new(4) };
    assert_eq!(network.restart(authority(0)), Err(hole));

    let mut store = sound.clone();
    store.commits[3].0.closing = false;
    network.node_mut(authority(0)).store = store;
    let changed = RecoverError::CommitChain { index: CommitIndex::new(4) };
    assert_eq!(network.restart(authority(0)), Err(changed));

    let mut store = sound.clone();
    let lowest = *store.blocks.keys().next().expect("blocks");
    store.blocks.remove(&lowest);
    network.node_mut(authority(0)).store = store;
    assert!(
        matches!(network.restart(authority(0)), Err(RecoverError::MissingAncestor { ancestor, .. }) if ancestor == lowest)
    );

    let mut store = sound.clone();
    store.guard = Some((Epoch::new(1), Round::FIRST));
    network.node_mut(authority(0)).store = store;
    let epoch = RecoverError::GuardEpoch { stored: Epoch::GENESIS, guard: Epoch::new(1) };
    assert_eq!(network.restart(authority(0)), Err(epoch));

    network.node_mut(authority(0)).store = sound;
    network.restart(authority(0)).expect("the sound store is taken");
}

#[test]
fn commits_that_do_not_reach_the_gc_round_or_come_without_their_window_are_refused() {
    let mut network = network();
    load(&mut network, 0..200, &[0, 1, 2, 3]);
    let parameters = network.genesis().parameters().clone();
    let (_, signers) = testkit::genesis(4);
    let sound = network.node(authority(0)).store.recovered(authority(0), &parameters);
    let recover = |log| {
        let signer = signers[0].clone();
        Consensus::recover(network.genesis().clone(), Params::default(), signer, log, network.now())
            .map(|_| ())
    };
    let last = sound.commits.last().expect("commits").0.last_leader_round();
    let gc_round = last.minus(parameters.gc_depth);
    assert!(gc_round > Round::GENESIS);
    let needed =
        sound.commits.iter().rposition(|(commit, _)| commit.last_leader_round() <= gc_round).expect("one");
    let from = |first: usize| {
        let mut log = sound.clone();
        log.commits.drain(..first);
        log
    };
    assert_eq!(recover(from(needed)), Ok(()));
    let first = sound.commits[needed + 1].0.index;
    assert_eq!(recover(from(needed + 1)), Err(RecoverError::CommitsTooShort { first, gc_round }));
    let mut log = sound.clone();
    log.duplicates = None;
    assert_eq!(recover(log), Err(RecoverError::MissingDuplicates));
}

/// Own stake 1 of 4: two answers make a quorum.
#[test]
fn nothing_is_proposed_before_a_quorum_has_answered_the_question_of_the_start() {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let now = genesis.timestamp();
    let params = Params { idle_delay: Duration::ZERO, ..Params::default() };
    let (mut machine, effects) =
        Consensus::recover(genesis, params, signers[0].clone(), RecoveredLog::default(), now).expect("empty");
    assert_eq!(effects, []);
    let answer = |machine: &mut Consensus, peer| {
        machine.handle(now, Input::OwnLastBlock { from: authority(peer), block: None, peers_last: None })
    };
    assert_eq!(answer(&mut machine, 1), []);
    assert_eq!(answer(&mut machine, 1), [], "an authority answers once");
    assert_eq!(machine.next_deadline(), None);
    assert!(!machine.status().may_propose);
    let effects = answer(&mut machine, 3);
    assert!(
        matches!(&effects[..], [Effect::Persist(_), Effect::Guard { .. }, Effect::Broadcast(_)]),
        "{effects:?}"
    );
    assert!(machine.status().may_propose);
}

/// Whatever was lost of store and guard: the authority comes back by itself, under load, and signs no slot twice.
#[test]
fn s06_a_store_that_was_lost_or_is_an_old_copy_is_filled_again_and_no_slot_is_signed_twice() {
    for (keeps_guard, copied) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut network = network();
        load(&mut network, 0..20, &[0, 1, 2, 3]);
        let old = if copied { network.node(authority(2)).store.clone() } else { TestStore::default() };
        load(&mut network, 20..60, &[0, 1, 2, 3]);
        let before = network.node(authority(2)).store.clone();
        let guard = before.guard.expect("it has signed").1;
        network.crash(authority(2));
        let kept = if keeps_guard { before.guard } else { old.guard };
        network.node_mut(authority(2)).store = TestStore { guard: kept, ..old };
        network.node_mut(authority(2)).delivered.clear();
        network.restart(authority(2)).expect("it comes back by itself");
        // It has something to propose at once.
        network.submit(authority(2), 1_000, b"too early");
        load(&mut network, 60..120, &[0, 1, 3]);
        assert!(
            network.run_until_within(Duration::from_secs(20), |network| committed(network, 0) == 121),
            "guard kept: {keeps_guard}, copied: {copied}"
        );
        let status = network.node(authority(2)).machine.as_ref().expect("running").status();
        assert_eq!((status.halted, status.amnesia), (false, None));
        for block in
            network.node(authority(2)).store.blocks.values().filter(|block| block.author() == authority(2))
        {
            let is_new = !before.blocks.contains_key(&block.reference());
            assert!(!is_new || block.round() > guard, "{block:?} was signed after the loss");
        }
        assert_no_equivocation(&network);
    }
}

#[test]
fn s06_an_amnesiac_that_is_restarted_again_and_again_comes_back_all_the_same() {
    let mut network = network();
    load(&mut network, 0..40, &[0, 1, 2, 3]);
    let guard = network.node(authority(1)).store.guard.expect("it has signed").1;
    network.crash(authority(1));
    network.node_mut(authority(1)).store = TestStore::default();
    for turn in 0..12u64 {
        network.restart(authority(1)).expect("it comes back by itself");
        load(&mut network, 40 + turn..41 + turn, &[0]);
        network.run(Duration::from_millis(7 * turn));
        network.crash(authority(1));
    }
    network.restart(authority(1)).expect("it comes back by itself");
    network.submit(authority(1), 1_000, b"at last");
    assert!(network.run_until_within(Duration::from_secs(20), |network| committed(network, 0) == 53));
    let own = network.node(authority(0)).store.blocks.keys().filter(|block| block.author == authority(1));
    assert!(own.clone().any(|block| block.round > guard));
    assert_no_equivocation(&network);
}
