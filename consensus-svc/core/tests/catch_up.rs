//! Catch-up by certified commits, by real machines in a network whose members forget old blocks.

#![allow(missing_docs)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    AuthorityIndex, BlockSource, ChainPoint, CommitIndex, Consensus, Effect, FetchEnd, Genesis, Input,
    Params, ProtocolParameters, RecoveredLog, Round, Signer, Timestamp,
    testkit::{self, network::TestNetwork},
};

const LINK: Duration = Duration::from_millis(20);
const GC_DEPTH: u64 = 20;

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

fn parameters() -> ProtocolParameters {
    ProtocolParameters { gc_depth: GC_DEPTH, heartbeat_rounds: 10, ..ProtocolParameters::default() }
}

/// Four authorities that keep blocks for 20 rounds.
fn network(max_range_bytes: u64) -> TestNetwork {
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters());
    let mut network = TestNetwork::start(genesis, signers, Params::default(), LINK);
    network.prune(max_range_bytes);
    network
}

/// Submits to running authorities for so many tenths of a second.
fn load(network: &mut TestNetwork, from: u64, tenths: u64) {
    for number in from..from + tenths {
        let to = authority(u16::try_from(number % 3).expect("small"));
        network.submit(to, number, &number.to_be_bytes());
        network.run(Duration::from_millis(100));
    }
}

fn machine(network: &TestNetwork, index: u16) -> &Consensus {
    network.node(authority(index)).machine.as_ref().expect("running")
}

/// The node's commits are those of authority 0, from index 1, without a hole.
fn assert_same_chain(network: &TestNetwork, index: u16) {
    let (own, other) = (&network.node(authority(index)).delivered, &network.node(authority(0)).delivered);
    for (place, (own, other)) in own.iter().zip(other).enumerate() {
        assert_eq!(own.commit.index, CommitIndex::new(place as u64 + 1));
        assert_eq!(own.digest, other.digest, "commit {}", own.commit.index);
        assert_eq!(own.blocks, other.blocks);
    }
}

fn is_level(network: &TestNetwork, index: u16) -> bool {
    let last = |index| machine(network, index).status().last_commit.get();
    !machine(network, index).status().catching_up && last(index) + 10 > last(0)
}

/// They have later commits and cannot give them: one block of the next commit is not held. Were that "nothing later", the
/// catch-up would end, and what is missing would be asked for as ancestors that nobody keeps.
#[test]
fn l04_peers_that_cannot_give_what_they_have_certified_do_not_end_a_catch_up() {
    let mut network = network(8_000);
    load(&mut network, 0, 20);
    network.crash(authority(3));
    load(&mut network, 20, 300);
    let end = network.node(authority(3)).store.commits.len() as u64;
    let next = network.node(authority(0)).store.commits[usize::try_from(end).expect("small")].0.clone();
    let hidden = next.blocks[0];
    let block = network.node(authority(0)).store.blocks[&hidden].clone();
    for peer in 0..3 {
        network.node_mut(authority(peer)).store.blocks.remove(&hidden);
    }
    network.restart(authority(3)).expect("its own store");
    network.run(Duration::from_secs(10));
    let status = machine(&network, 3).status();
    assert_eq!((status.catching_up, status.catch_ups_total, status.ranges_total), (true, 1, 0));
    for peer in 0..3 {
        network.node_mut(authority(peer)).store.blocks.insert(hidden, block.clone());
    }
    assert!(network.run_until_within(Duration::from_secs(20), |network| is_level(network, 3)));
    assert_same_chain(&network, 3);
}

#[test]
fn l04_l05_a_node_away_for_far_longer_than_blocks_are_kept_follows_by_certified_commits() {
    // Many ranges: between any two it could propose.
    let mut network = network(8_000);
    load(&mut network, 0, 20);
    network.crash(authority(3));
    load(&mut network, 20, 300);
    let behind = network.node(authority(3)).delivered.len();
    let away = machine(&network, 0).status().round.get() - behind as u64;
    assert!(away > 5 * GC_DEPTH, "away for {away} rounds");
    let proposed =
        network.node(authority(3)).store.blocks.keys().rev().find(|own| own.author == authority(3));
    let proposed = proposed.expect("it took part").round;
    network.restart(authority(3)).expect("its own store");
    assert!(network.run_until_within(Duration::from_secs(20), |network| is_level(network, 3)));
    assert_same_chain(&network, 3);
    let status = machine(&network, 3).status();
    assert!(status.catch_ups_total > 0 && status.ranges_total > 0);
    // Not one own block at the rounds that it missed.
    load(&mut network, 400, 50);
    let own_rounds = network.node(authority(3)).store.blocks.keys().filter(|own| own.author == authority(3));
    let next = own_rounds.map(|own| own.round).find(|round| *round > proposed).expect("it proposes again");
    assert!(next.get() > proposed.get() + 5 * GC_DEPTH, "{proposed}, then {next}");
    assert!(is_level(&network, 3));
    assert_same_chain(&network, 3);
    assert_eq!(network.node(authority(3)).fork, None);
}

#[test]
fn a_node_that_has_nothing_follows_from_the_first_commit_on() {
    let mut network = network(20_000);
    network.crash(authority(3));
    load(&mut network, 0, 300);
    network.restart(authority(3)).expect("an empty store");
    assert!(network.run_until_within(Duration::from_secs(30), |network| is_level(network, 3)));
    assert!(machine(&network, 3).status().ranges_total > 3);
    load(&mut network, 400, 30);
    assert!(is_level(&network, 3));
    assert_same_chain(&network, 3);
}

#[test]
fn f04_whoever_caught_up_votes_for_what_comes_later_and_only_for_that() {
    let mut network = network(20_000);
    load(&mut network, 0, 20);
    network.crash(authority(3));
    load(&mut network, 20, 200);
    network.restart(authority(3)).expect("its own store");
    assert!(network.run_until_within(Duration::from_secs(20), |network| is_level(network, 3)));
    load(&mut network, 300, 50);
    assert_same_chain(&network, 3);
    let store = &network.node(authority(3)).store;
    let own_blocks = store.blocks.values().filter(|block| block.author() == authority(3));
    let votes: Vec<_> = own_blocks.flat_map(|block| &block.block().commit_votes).collect();
    assert!(votes.iter().all(|vote| {
        let place = usize::try_from(vote.index.get() - 1).expect("small");
        store.commits[place].1 == vote.digest && store.commits[place].0.closing
    }));
    let indexes: Vec<_> = votes.iter().map(|vote| vote.index.get()).collect();
    assert!(indexes.is_sorted_by(|one, other| one < other), "each once: {indexes:?}");
    let hole = indexes.windows(2).map(|pair| pair[1] - pair[0]).max().expect("it voted");
    assert!(hole > 50, "what came certified is not voted for: {indexes:?}");
}

/// Killed again and again, it goes on from what is durable, and hands on every commit once.
#[test]
fn a_restart_at_any_moment_of_a_catch_up_loses_nothing() {
    let mut network = network(8_000);
    load(&mut network, 0, 20);
    network.crash(authority(3));
    load(&mut network, 20, 300);
    for life in 0..25 {
        network.restart(authority(3)).expect("its own store");
        network.run(Duration::from_millis(30 + 7 * life));
        let store = &network.node(authority(3)).store;
        assert_eq!(store.commits.len(), network.node(authority(3)).delivered.len());
        network.crash(authority(3));
    }
    network.restart(authority(3)).expect("its own store");
    assert!(network.run_until_within(Duration::from_secs(30), |network| is_level(network, 3)));
    assert_same_chain(&network, 3);
}

struct Alone {
    machine: Consensus,
    now: Timestamp,
}

/// Authority 0 of committees with these stakes, just started; a quorum has answered the question of the start.
fn alone(stakes: &[u64]) -> Alone {
    let (genesis, signers) = testkit::genesis_with(stakes, parameters());
    let (genesis, now): (Arc<Genesis>, _) = (Arc::new(genesis), testkit::GENESIS_TIMESTAMP);
    let signer: Signer = signers[0].clone();
    let (machine, _) =
        Consensus::recover(genesis, Params::default(), signer, RecoveredLog::default(), now).expect("empty");
    Alone { machine, now }
}

impl Alone {
    fn questions(&mut self, input: Input) -> Vec<(u16, u64)> {
        let effects = self.machine.handle(self.now, input);
        let questions = effects.into_iter().filter_map(|effect| match effect {
            Effect::FetchCommits { peer, after } => {
                assert_eq!(after, ChainPoint::default());
                Some((peer.get(), after.index.get()))
            }
            _ => None,
        });
        questions.collect()
    }

    fn sees(&mut self, author: u16, round: u64) -> Vec<u16> {
        let seen = Input::SeenAhead { author: authority(author), round: Round::new(round) };
        self.questions(seen).into_iter().map(|(peer, _)| peer).collect()
    }
}

/// The clock stands at round 1; half of the depth is 10 rounds.
#[test]
fn l05_more_than_the_faulty_stake_beyond_half_the_depth_begins_a_catch_up_and_nothing_else_does() {
    let mut node = alone(&[1; 4]);
    assert_eq!(node.sees(1, 1_000_000), [], "one author's word");
    assert_eq!(node.sees(2, 11), [], "half of the depth");
    assert!(!node.machine.status().catching_up);
    assert_eq!(node.sees(2, 12), [1], "beyond it");
    assert!(node.machine.status().catching_up);

    let mut heavy = alone(&[1, 2, 2, 2]);
    assert_eq!(heavy.sees(1, 12), [], "two of seven may lie");
    assert_eq!(heavy.sees(3, 12), [1], "four of seven do not");
}

#[test]
fn one_peer_after_the_other_is_asked_and_a_quorum_that_has_nothing_later_ends_it() {
    let mut node = alone(&[1; 4]);
    node.sees(1, 30);
    assert_eq!(node.sees(2, 30), [1]);
    assert_eq!(node.questions(Input::Tick), [], "one question at a time");
    node.now = node.now.plus(Duration::from_millis(1_999));
    assert_eq!(node.questions(Input::Tick), []);
    node.now = node.now.plus(Duration::from_millis(1));
    assert_eq!(node.machine.next_deadline(), Some(node.now));
    assert_eq!(node.questions(Input::Tick), [(2, 0)], "authority 1 has not answered in time");
    let failed = Input::CommitsNotFetched { from: authority(2), fork: None };
    assert_eq!(node.questions(failed), [], "not in the same moment");
    node.now = node.now.plus(Duration::from_millis(200));
    assert_eq!(node.questions(Input::Tick), [(3, 0)]);
    let after = CommitIndex::NONE;
    assert_eq!(node.questions(Input::NoLaterCommit { from: authority(3), after }), [(1, 0)]);
    assert!(node.machine.status().catching_up, "two of four");
    assert_eq!(node.questions(Input::NoLaterCommit { from: authority(3), after }), [], "it counts once");
    assert_eq!(node.questions(Input::NoLaterCommit { from: authority(1), after }), []);
    assert!(!node.machine.status().catching_up);
    // The lag is still there: it begins again, after a pause.
    node.now = node.now.plus(Duration::from_millis(1_999));
    assert_eq!(node.questions(Input::Tick), []);
    node.now = node.now.plus(Duration::from_millis(1));
    assert_eq!(node.machine.next_deadline(), Some(node.now));
    assert_eq!(node.questions(Input::Tick).len(), 1);
    assert_eq!(node.machine.status().catch_ups_total, 2);
}

/// What a peer says of itself ends nothing: a liar that claims more than it has is one of f.
#[test]
fn a_fork_that_a_peer_reports_of_a_later_commit_is_not_believed() {
    let mut node = alone(&[1; 4]);
    node.sees(1, 30);
    node.sees(2, 30);
    let digest = |byte| consensus_core::CommitDigest::new([byte; 32]);
    let later =
        consensus_core::Fork { index: CommitIndex::new(9), own: Some(digest(1)), certified: digest(2) };
    let effects =
        node.machine.handle(node.now, Input::CommitsNotFetched { from: authority(1), fork: Some(later) });
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Forked(_))));
    assert!(!node.machine.status().halted);
}

/// Waiting blocks of these authors name D1, and whoever is asked for it has nothing. Whether that begins a catch-up, within a
/// virtual minute.
fn catches_up_for_want_of_an_ancestor(authors: &[&str]) -> bool {
    let mut node = alone(&[1; 4]);
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters());
    let drawing = testkit::drawing::draw(&Arc::new(genesis), &signers, "BCD1:[*]; BCD2:[*]");
    let names = ["B1", "C1"].iter().chain(authors);
    let mut effects = Vec::new();
    for name in names {
        let block = drawing.block(name).clone();
        let (from, source) = (block.author(), BlockSource::Streamed);
        effects.extend(node.machine.handle(node.now, Input::Blocks { from, source, blocks: vec![block] }));
    }
    for _ in 0..600 {
        let asked = std::mem::take(&mut effects);
        if asked.iter().any(|effect| matches!(effect, Effect::FetchCommits { .. })) {
            return true;
        }
        for effect in asked {
            if let Effect::Fetch(fetch) = effect {
                let ended = Input::FetchEnded { fetch: fetch.id, end: FetchEnd::Answered };
                effects.extend(node.machine.handle(node.now, ended));
            }
        }
        node.now = node.now.plus(Duration::from_millis(100));
        effects.extend(node.machine.handle(node.now, Input::Tick));
    }
    false
}

#[test]
fn f03_an_ancestor_that_nobody_serves_begins_a_catch_up_if_more_than_the_faulty_stake_rests_on_it() {
    assert!(!catches_up_for_want_of_an_ancestor(&["B2"]), "one of four may have made it up");
    assert!(catches_up_for_want_of_an_ancestor(&["B2", "C2"]));
}
