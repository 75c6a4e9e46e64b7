//! Points by authority, windows, and that whoever has the commits has the schedule (F04).

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    AuthorityIndex, BlockSource, CommittedSubDag, Committer, Consensus, Decision, Effect, Genesis, Input,
    Linearizer, Params, ProtocolParameters, RecoverError, Reputation, Round, ScheduleState, Signer,
    SwapTable, WriteBatch,
    testkit::{
        self,
        drawing::{Drawing, draw},
        network::{TestNetwork, TestStore},
    },
};

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

/// Small enough that a run of some seconds has many windows.
fn parameters(leaders_per_round: u16) -> ProtocolParameters {
    ProtocolParameters {
        leaders_per_round,
        gc_depth: 12,
        heartbeat_rounds: 4,
        schedule_window_rounds: 10,
        ..ProtocolParameters::default()
    }
}

/// Every leader that a drawing decides under the plain schedule, as commits.
fn commits(genesis: &Arc<Genesis>, drawing: &Drawing) -> Vec<CommittedSubDag> {
    let mut linearizer = Linearizer::new(genesis.clone());
    let decided = Committer::new(genesis.clone()).decide(drawing.dag(), None);
    decided
        .into_iter()
        .filter_map(|leader| match leader.decision {
            Decision::Commit(block) => Some(block),
            Decision::Skip => None,
        })
        .flat_map(|block| linearizer.commit_leader(drawing.dag(), &block))
        .collect()
}

/// Points after the commits of a drawing in which every block of A has a transaction, so that each group is short.
fn points(stakes: &[u64], leaders_per_round: u16, text: &str) -> Vec<u128> {
    let (genesis, signers) = testkit::genesis_with(
        stakes,
        ProtocolParameters { leaders_per_round, ..ProtocolParameters::default() },
    );
    let genesis = Arc::new(genesis);
    let drawing = draw(&genesis, &signers, text);
    let mut reputation = Reputation::new(genesis.clone());
    for sub_dag in commits(&genesis, &drawing) {
        reputation.note_commit(&sub_dag);
    }
    reputation.state().scores
}

#[test]
fn a_vote_earns_the_stake_of_those_that_build_on_it_in_time() {
    // Leaders: B1, C2, D3, A4, ... D's blocks of every round come too late to be listed by the others in the next.
    let text = "ABCD1:[*]; ABC2:[*-D]; D2:[D1,ABC1]; ABC3:[*-D]; D3:[D2,ABC2]; ABC4:[*-D] tx; D4:[D3,ABC3]; ABC5:[*-D]; \
                D5:[D4,ABC4]; ABC6:[*-D,D4]; ABC7:[*-D]";
    let scores = points(&[1, 2, 3, 1], 1, text);
    // Committed last is B5: with A4 B4 C4, A3 B3 C3, ... and D's blocks nowhere, for nobody lists them.
    // B1's votes A2 B2 C2 are listed by A3 B3 C3 (6 each), C2's votes A3 B3 C3 by A4 B4 C4 (6 each); B5 (2) lists A4 B4 C4,
    // which have nobody to vote for: D3 was skipped.
    assert_eq!(scores, [12, 12, 12, 0]);
}

#[test]
fn a_late_vote_that_is_ordered_through_a_weak_link_earns_nothing() {
    // D2 votes for B1 and is listed by A4 only, two rounds up.
    let in_time = "ABCD1:[*]; ABCD2:[*]; ABC3:[*]; ABC4:[*]; ABC5:[*]; ABC6:[*]; ABC7:[*]";
    let late = "ABCD1:[*]; ABCD2:[*]; ABC3:[*-D]; A4:[ABC3,D2]; BC4:[*]; ABC5:[*]; ABC6:[*]; ABC7:[*]";
    let with_transactions = |text: &str| text.replace("ABC5:[*]", "ABC5:[*] tx");
    let (in_time, late) =
        (points(&[1; 4], 1, &with_transactions(in_time)), points(&[1; 4], 1, &with_transactions(late)));
    assert_eq!(in_time[3], 3, "listed by A3 B3 C3");
    assert_eq!(late[3], 0);
    assert_eq!(in_time[..3], late[..3]);
}

#[test]
fn of_twins_only_the_first_in_commit_order_counts() {
    let one = "ABCD1:[*]; ABCD2:[*]; ABC3:[*]; D3:[D2,ABC2]; ABCD4:[*]; ABCD5:[*] tx; ABCD6..8:[*]";
    // D signs twins of rounds 2 and 3; A lists the one of round 2, B and C the other; both twins of round 3 list votes.
    let two = "ABCD1:[*]; ABCD2:[*]; D2b:[D1,ABC1]; A3:[A2,BCD2]; B3:[B2,AC2,D2b]; C3:[C2,AB2,D2b]; D3:[D2,ABC2]; \
               D3b:[D2,ABC2] t=+9ms; A4:[A3,BCD3]; B4:[B3,AC3,D3b]; C4:[C3,ABD3]; D4:[D3,ABC3]; ABCD5:[*] tx; ABCD6..8:[*]";
    let (one, two) = (points(&[1; 4], 1, one), points(&[1; 4], 1, two));
    for index in 0..3 {
        assert!(two[index] <= one[index], "the second twin gives nothing: {two:?}, {one:?}");
    }
    assert!(two[3] < one[3], "what lists the second twin gives nothing: {two:?}, {one:?}");
}

#[test]
fn with_several_leaders_a_round_a_vote_earns_for_each() {
    let text = "ABCD1..4:[*]; ABCD5:[*] tx; ABCD6..9:[*]";
    let (one, two) = (points(&[1; 4], 1, text), points(&[1; 4], 2, text));
    assert!(one[0] > 0 && two[0] > one[0] * 3 / 2, "{one:?} {two:?}");
}

struct Run {
    network: TestNetwork,
    signers: Vec<Signer>,
    /// The first authority's store after each step.
    stores: Vec<TestStore>,
}

/// Four authorities; the last one dies, is missed for some windows, and comes back.
fn long_run(leaders_per_round: u16) -> Run {
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters(leaders_per_round));
    let params = Params { idle_delay: Duration::from_millis(200), ..Params::default() };
    let mut network = TestNetwork::start(genesis, signers.clone(), params, Duration::from_millis(10));
    let mut stores = Vec::new();
    let mut load = |network: &mut TestNetwork, numbers: std::ops::Range<u64>| {
        for number in numbers {
            let to = authority(u16::try_from(number % 3).expect("small"));
            network.submit(to, number, &number.to_be_bytes());
            network.run(Duration::from_millis(37));
            stores.push(network.node(authority(0)).store.clone());
        }
    };
    load(&mut network, 0..40);
    network.crash(authority(3));
    load(&mut network, 40..160);
    network.restart(authority(3)).expect("its own store");
    load(&mut network, 160..260);
    network.run(Duration::from_secs(2));
    Run { network, signers, stores }
}

fn unseated(state: &ScheduleState) -> Vec<u16> {
    state.table.unseated().iter().map(|authority| authority.get()).collect()
}

/// What one who was given the commits computes, after each of them.
fn by_commits(genesis: &Arc<Genesis>, commits: &[CommittedSubDag]) -> Vec<ScheduleState> {
    let mut reputation = Reputation::new(genesis.clone());
    let mut note = |sub_dag| {
        reputation.note_commit(sub_dag);
        reputation.state()
    };
    commits.iter().map(&mut note).collect()
}

#[test]
fn an_authority_that_is_down_loses_its_slots_after_a_window_and_has_them_again_after_it_is_back() {
    let Run { network, .. } = long_run(1);
    let states = by_commits(network.genesis(), &network.node(authority(0)).delivered);
    let mut tables: Vec<(u64, Vec<u16>)> =
        states.iter().map(|state| (state.since.get(), unseated(state))).collect();
    tables.dedup();
    let (first, last) = (&tables[0], &tables[tables.len() - 1]);
    assert_eq!((first, &last.1), (&(1, vec![]), &vec![]), "{tables:?}");
    let out = tables.iter().filter(|(_, unseated)| *unseated == [3]).count();
    assert!(
        out >= 3 && tables.iter().all(|(_, unseated)| unseated.is_empty() || *unseated == [3]),
        "{tables:?}"
    );
    for pair in tables.windows(2) {
        let rounds = pair[1].0 - pair[0].0;
        assert!((10..=10 + 4).contains(&rounds), "a window of {rounds} rounds: {tables:?}");
    }
}

/// A node that synced had another schedule than one that was there when reputation was counted from what each had seen.
#[test]
fn f04_whoever_is_given_the_commits_has_the_schedule_of_one_that_was_there() {
    for leaders_per_round in [1, 2, 4] {
        let Run { network, .. } = long_run(leaders_per_round);
        for index in 0..4 {
            let node = network.node(authority(index));
            let states = by_commits(network.genesis(), &node.delivered);
            let mut compared = 0;
            for (sub_dag, state) in node.delivered.iter().zip(&states) {
                let Some(stored) = node.store.schedules.get(&sub_dag.commit.index) else { continue };
                assert_eq!(stored, state, "authority {index} at commit {}", sub_dag.commit.index);
                compared += 1;
            }
            assert!(compared > 60, "{compared}");
        }
    }
}

/// Starts from a store and is shown the blocks that came later: commits formed at each step, and the schedule after them.
fn go_on(run: &Run, store: &TestStore) -> Vec<(Vec<consensus_core::CommitDigest>, ScheduleState)> {
    const ROUNDS: u64 = 45;
    let network = &run.network;
    let log = store.recovered(authority(0), network.genesis().parameters());
    let (signer, now) = (run.signers[0].clone(), network.now());
    let (mut machine, mut effects) =
        Consensus::recover(network.genesis().clone(), Params::default(), signer, log, now)
            .expect("a sound store");
    let last = store.blocks.keys().map(|reference| reference.round).max().expect("blocks").plus(ROUNDS);
    let later = network.node(authority(0)).store.blocks.values();
    for block in later.filter(|block| !store.blocks.contains_key(&block.reference()) && block.round() <= last)
    {
        let (from, blocks) = (block.author(), vec![block.clone()]);
        effects.extend(machine.handle(now, Input::Blocks { from, source: BlockSource::Streamed, blocks }));
    }
    let batches = effects.into_iter().filter_map(|effect| match effect {
        Effect::Persist(batch) if !batch.commits.is_empty() => Some(batch),
        _ => None,
    });
    let digests = |batch: &WriteBatch| batch.commits.iter().map(|(_, digest)| *digest).collect();
    batches.map(|batch| (digests(&batch), batch.progress.schedule)).collect()
}

#[test]
fn f04_a_restart_at_any_commit_goes_on_with_the_same_schedule_and_commits() {
    for leaders_per_round in [1, 2] {
        let run = long_run(leaders_per_round);
        let node = run.network.node(authority(0));
        let expected = by_commits(run.network.genesis(), &node.delivered);
        let digests: Vec<_> = node.delivered.iter().map(|sub_dag| sub_dag.digest).collect();
        let (mut restarts, mut switches) = (0, 0);
        let mut stores: Vec<_> = run.stores.iter().filter(|store| !store.commits.is_empty()).collect();
        stores.dedup_by_key(|store| store.commits.len());
        for store in stores {
            let mut commits = store.commits.len();
            let since = expected[commits - 1].since;
            for (again, state) in go_on(&run, store) {
                assert_eq!(again, digests[commits..commits + again.len()], "after commit {commits}");
                commits += again.len();
                assert_eq!(state, expected[commits - 1], "after commit {commits}");
                switches += usize::from(state.since > since);
            }
            restarts += 1;
        }
        assert!(restarts > 100 && switches > 1_000, "{restarts} {switches}");
    }
}

/// With two leaders a round a switch may fall between them.
#[test]
fn f04_a_switch_between_two_slots_of_a_round_happens_and_is_recovered_from() {
    let run = long_run(2);
    let node = run.network.node(authority(0));
    let states = by_commits(run.network.genesis(), &node.delivered);
    let between = node.delivered.windows(2).zip(&states).filter(|(pair, state)| {
        let [commit, next] = pair else { return false };
        let last = commit.commit.last_leader_round();
        state.since == last.next() && next.commit.leaders.iter().any(|leader| leader.round == last)
    });
    assert!(between.count() > 0, "the run has none");
}

#[test]
fn a_stored_schedule_that_cannot_be_is_refused() {
    let run = long_run(1);
    let network = &run.network;
    let sound = network.node(authority(0)).store.recovered(authority(0), network.genesis().parameters());
    let recover = |schedule: ScheduleState| {
        let log = consensus_core::RecoveredLog { schedule, ..sound.clone() };
        let signer = run.signers[0].clone();
        Consensus::recover(network.genesis().clone(), Params::default(), signer, log, network.now())
            .map(|_| ())
    };
    let index = sound.commits.last().expect("commits").0.index;
    let last_round = sound.commits.last().expect("commits").0.last_leader_round();
    let state = sound.schedule.clone();
    let table = |unseated: &[u16], substitutes: &[u16]| {
        let list = |list: &[u16]| list.iter().copied().map(authority).collect();
        SwapTable::from_parts(list(unseated), list(substitutes))
    };
    assert_eq!(recover(state.clone()), Ok(()));
    assert_eq!(recover(ScheduleState { since: last_round.next(), ..state.clone() }), Ok(()));
    let last_leader = sound.commits.last().expect("commits").0.leaders.last().expect("one").author.get();
    let others: Vec<u16> = (0..4).filter(|index| *index != last_leader).collect();
    let refused = [
        ScheduleState { since: last_round, table: table(&[last_leader], &others), ..state.clone() },
        ScheduleState::default(),
        ScheduleState { since: last_round.plus(2), ..state.clone() },
        ScheduleState { since: Round::GENESIS, ..state.clone() },
        ScheduleState { table: table(&[3], &[0, 4]), ..state.clone() },
        ScheduleState { table: table(&[3], &[]), ..state.clone() },
        ScheduleState { table: table(&[], &[3]), ..state.clone() },
        ScheduleState { previous: table(&[1], &[0, 1]), ..state.clone() },
        ScheduleState { previous: table(&[1], &[2, 0]), ..state.clone() },
        ScheduleState { scores: vec![0; 5], ..state },
    ];
    for schedule in refused {
        assert_eq!(recover(schedule.clone()), Err(RecoverError::Schedule { index }), "{schedule:?}");
    }
    let mut log = sound.clone();
    let committed = log.commits.last().expect("commits").0.leaders[0];
    let highest = log.blocks.iter().map(consensus_core::VerifiedBlock::round).max();
    log.blocks.retain(|block| block.round() < committed.round);
    assert!(highest > Some(committed.round));
    log.own_last =
        log.blocks.iter().filter(|block| block.author() == authority(0)).max_by_key(|b| b.round()).cloned();
    log.guard = None;
    let signer = run.signers[0].clone();
    let error = Consensus::recover(network.genesis().clone(), Params::default(), signer, log, network.now());
    assert!(matches!(error.map(|_| ()), Err(RecoverError::MissingCommitted { .. })));
}
