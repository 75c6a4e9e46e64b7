//! The machine in a network without faults, and what it says to its driver.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeSet, time::Duration};

use consensus_core::{
    AuthorityIndex, BlockSource, CommittedSubDag, Consensus, Effect, Input, Params, ProtocolParameters,
    RecoveredLog, Round, SubmitOutcome, Ticket, Transaction,
    testkit::{self, network::TestNetwork},
};

const LINK: Duration = Duration::from_millis(10);

fn network(authorities: u16) -> TestNetwork {
    let (genesis, signers) = testkit::genesis(authorities);
    TestNetwork::start(genesis, signers, Params::default(), LINK)
}

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

fn payloads(commits: &[CommittedSubDag]) -> Vec<Vec<u8>> {
    commits.iter().flat_map(CommittedSubDag::transactions).map(|tx| tx.bytes().to_vec()).collect()
}

fn assert_agreement(network: &TestNetwork, authorities: u16) {
    let chains: Vec<Vec<_>> = (0..authorities)
        .map(|index| network.node(authority(index)).delivered.iter().map(|sub_dag| sub_dag.digest).collect())
        .collect();
    let longest = chains.iter().max_by_key(|chain| chain.len()).expect("a committee");
    for chain in &chains {
        assert_eq!(chain[..], longest[..chain.len()]);
    }
}

#[test]
fn four_authorities_order_the_same_transactions_alike() {
    let mut network = network(4);
    for number in 0..40u64 {
        network.submit(authority(u16::try_from(number % 4).expect("small")), number, &number.to_be_bytes());
        network.run(Duration::from_millis(25));
    }
    let done = network.run_until_within(Duration::from_secs(5), |network| {
        (0..4).all(|index| payloads(&network.node(authority(index)).delivered).len() == 40)
    });
    assert!(done, "all transactions are committed everywhere");
    assert_agreement(&network, 4);
    let committed: BTreeSet<_> = payloads(&network.node(authority(0)).delivered).into_iter().collect();
    assert_eq!(committed, (0..40u64).map(|number| number.to_be_bytes().to_vec()).collect());
    for index in 0..4 {
        let node = network.node(authority(index));
        assert!(node.faults.is_empty());
        for (position, sub_dag) in node.delivered.iter().enumerate() {
            assert_eq!(sub_dag.commit.index.get(), position as u64 + 1);
        }
    }
}

#[test]
fn a_committee_of_one_commits_by_the_same_code() {
    let mut network = network(1);
    network.submit(authority(0), 1, b"alone");
    assert!(network.run_until_within(Duration::from_secs(2), |network| {
        payloads(&network.node(authority(0)).delivered) == [b"alone".to_vec()]
    }));
}

#[test]
fn an_idle_network_commits_by_heartbeat_and_proposes_once_an_idle_delay() {
    let mut network = network(4);
    network.run(Duration::from_secs(60));
    let status = network.node(authority(0)).machine.as_ref().expect("running").status();
    let rounds = status.round.get();
    assert!((50..=70).contains(&rounds), "one round an idle delay of 1 s, found {rounds}");
    let commits = network.node(authority(0)).delivered.len();
    assert!((8..=12).contains(&commits), "one commit a heartbeat interval of 5 s, found {commits}");
    assert_agreement(&network, 4);
}

#[test]
fn a_transaction_wakes_an_idle_network_at_once() {
    let mut network = network(4);
    // Some 200 ms after a round began, every authority has proposed in it and the next proposals are 800 ms away.
    assert!(network.run_until_within(Duration::from_secs(30), |network| {
        network.node(authority(0)).machine.as_ref().expect("running").status().round == Round::new(10)
    }));
    network.run(Duration::from_millis(200));
    let submitted = network.now();
    network.submit(authority(2), 1, b"wake up");
    assert!(network.run_until_within(Duration::from_secs(5), |network| {
        !payloads(&network.node(authority(2)).delivered).is_empty()
    }));
    let latency = network.now().since(submitted);
    assert!(latency < Duration::from_millis(700), "commit took {latency:?}, an idle delay is 1 s");
}

#[test]
fn progress_goes_on_without_one_of_four() {
    let mut network = network(4);
    network.crash(authority(3));
    for number in 0..20u64 {
        network.submit(authority(u16::try_from(number % 3).expect("small")), number, &number.to_be_bytes());
        network.run(Duration::from_millis(50));
    }
    assert!(network.run_until_within(Duration::from_secs(20), |network| {
        (0..3).all(|index| payloads(&network.node(authority(index)).delivered).len() == 20)
    }));
    assert_agreement(&network, 4);
    let status = network.node(authority(0)).machine.as_ref().expect("running").status();
    assert!(status.leader_timeouts_total > 0);
    assert!(status.skipped_leaders_total > 0);
}

#[test]
fn no_progress_without_a_quorum_and_none_is_lost_when_it_returns() {
    let mut network = network(4);
    network.crash(authority(2));
    network.crash(authority(3));
    network.run(Duration::from_secs(5));
    network.submit(authority(0), 1, b"patience");
    network.run(Duration::from_secs(30));
    assert!(payloads(&network.node(authority(0)).delivered).is_empty());
    network.restart(authority(2)).expect("its own store");
    assert!(network.run_until_within(Duration::from_secs(20), |network| {
        !payloads(&network.node(authority(0)).delivered).is_empty()
    }));
}

#[test]
fn effects_stand_in_the_order_in_which_they_become_visible() {
    let (genesis, signers) = testkit::genesis(1);
    let now = genesis.timestamp();
    let params =
        Params { min_round_interval: Duration::ZERO, idle_delay: Duration::ZERO, ..Params::default() };
    let genesis = std::sync::Arc::new(genesis);
    let (mut machine, first) =
        Consensus::recover(genesis, params, signers[0].clone(), RecoveredLog::default(), now).expect("empty");
    assert!(matches!(first[..], [Effect::Persist(_), Effect::Guard { .. }, Effect::Broadcast(_)]));
    let transactions = vec![Transaction::new(bytes::Bytes::from_static(b"x"))];
    machine.handle(now, Input::Transactions { ticket: Ticket(1), transactions });
    let mut delivered = None;
    for _ in 0..6 {
        let effects = machine.handle(now, Input::Tick);
        if effects.iter().any(|effect| matches!(effect, Effect::Deliver(_))) {
            delivered = Some(effects);
            break;
        }
    }
    let effects = delivered.expect("a committee of one commits within a wave");
    let [
        Effect::Persist(batch),
        Effect::Guard { round, .. },
        Effect::Broadcast(block),
        Effect::Deliver(sub_dag),
    ] = &effects[..]
    else {
        panic!("unexpected order: {effects:?}");
    };
    assert!(batch.blocks.contains(block));
    assert_eq!(batch.commits, vec![(sub_dag.commit.clone(), sub_dag.digest)]);
    assert_eq!(*round, block.round());
    assert_eq!(batch.progress.last_commit, sub_dag.commit.index);
}

#[test]
fn a_block_over_the_limit_of_a_commit_cannot_exist_and_large_groups_are_cut() {
    let parameters = ProtocolParameters {
        max_commit_transactions: 4,
        max_block_transactions: 2,
        ..ProtocolParameters::default()
    };
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
    let mut network = TestNetwork::start(genesis, signers, Params::default(), LINK);
    for number in 0..64u64 {
        network.submit(authority(u16::try_from(number % 4).expect("small")), number, &number.to_be_bytes());
    }
    assert!(network.run_until_within(Duration::from_secs(30), |network| {
        payloads(&network.node(authority(0)).delivered).len() == 64
    }));
    for sub_dag in &network.node(authority(0)).delivered {
        assert!(sub_dag.transactions().count() <= 4);
    }
    let cut = network.node(authority(0)).delivered.iter().any(|sub_dag| !sub_dag.commit.closing);
    assert!(cut, "a group of four blocks of two transactions exceeds four");
    assert_agreement(&network, 4);
}

#[test]
fn a_halted_machine_proposes_nothing_and_still_commits() {
    let mut network = network(4);
    network.run(Duration::from_secs(3));
    network.input(authority(1), Input::Halt);
    let proposed = network.node(authority(1)).machine.as_ref().expect("running").status().proposed_round;
    network.submit(authority(1), 7, b"refused");
    assert_eq!(network.node(authority(1)).answers[&Ticket(7)], SubmitOutcome::NotProposing);
    network.submit(authority(0), 8, b"goes on");
    assert!(network.run_until_within(Duration::from_secs(20), |network| {
        !payloads(&network.node(authority(1)).delivered).is_empty()
    }));
    let status = network.node(authority(1)).machine.as_ref().expect("running").status();
    assert_eq!(status.proposed_round, proposed);
    assert!(status.halted);
}

/// On unequal links a hint overtakes the blocks that let its receiver into the round.
#[test]
fn a_wake_hint_that_comes_before_its_round_ends_the_delay_of_that_round() {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = std::sync::Arc::new(genesis);
    let drawing = testkit::drawing::draw(&genesis, &signers, "BCD1:[*]");
    let now = genesis.timestamp();
    let params = Params { min_round_interval: Duration::ZERO, ..Params::default() };
    let proposes_at_once = |hints: &[u64]| {
        let (mut machine, _) = Consensus::recover(
            genesis.clone(),
            params.clone(),
            signers[0].clone(),
            RecoveredLog::default(),
            now,
        )
        .expect("an empty store");
        for peer in [1, 2] {
            machine.handle(now, Input::OwnLastBlock { from: authority(peer), block: None, peers_last: None });
        }
        for round in hints {
            machine.handle(now, Input::Wake { from: authority(1), round: Round::new(*round) });
        }
        let blocks = ["B1", "C1", "D1"].map(|name| drawing.block(name).clone()).to_vec();
        let effects =
            machine.handle(now, Input::Blocks { from: authority(1), source: BlockSource::Streamed, blocks });
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Broadcast(block) if block.round() == Round::new(2)))
    };
    assert!(!proposes_at_once(&[]), "with nothing to order the proposal of round 2 waits");
    assert!(proposes_at_once(&[2]));
    assert!(!proposes_at_once(&[1]), "a hint for a round that is over changes nothing");
}
