//! Every transaction that a machine accepts meets one fate there: committed, or dropped with a reason, behind every commit that
//! was formed before.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::time::Duration;

use consensus_core::{
    AuthorityIndex, CommittedSubDag, DropReason, Effect, Params, ProtocolParameters, SubmitOutcome, Ticket,
    Transaction, TransactionDigest,
    testkit::{self, network::TestNetwork},
};

const LINK: Duration = Duration::from_millis(10);
const ALONE: AuthorityIndex = AuthorityIndex::new(2);

fn network(authorities: u16, lifetime: Duration) -> TestNetwork {
    let parameters =
        ProtocolParameters { gc_depth: 10, heartbeat_rounds: 5, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(&vec![1; usize::from(authorities)], parameters);
    let params = Params {
        transaction_lifetime: lifetime,
        idle_delay: Duration::from_millis(100),
        ..Params::default()
    };
    TestNetwork::start(genesis, signers, params, LINK)
}

fn digest(bytes: &'static [u8]) -> TransactionDigest {
    Transaction::new(bytes::Bytes::from_static(bytes)).digest()
}

fn times_committed(network: &TestNetwork, at: AuthorityIndex, bytes: &[u8]) -> usize {
    let all = network.node(at).delivered.iter().flat_map(CommittedSubDag::transactions);
    all.filter(|transaction| transaction.bytes() == bytes).count()
}

fn isolate(network: &mut TestNetwork) {
    for other in [0, 1, 3].map(AuthorityIndex::new) {
        network.cut(ALONE, other);
    }
}

/// A cut-off authority with one transaction in an own block that nobody else has; the others go on until that is too old for
/// them.
fn left_behind(lifetime: Duration) -> TestNetwork {
    let mut network = network(4, lifetime);
    network.run(Duration::from_secs(1));
    isolate(&mut network);
    network.submit(ALONE, 1, b"left");
    network.run(Duration::from_secs(10));
    let machine = network.node(ALONE).machine.as_ref().expect("running");
    let own = machine.status().proposed_round;
    let held = network.node(ALONE).store.blocks.values().any(|block| {
        block.author() == ALONE && block.block().transactions.iter().any(|tx| tx.digest() == digest(b"left"))
    });
    let others = network.node(AuthorityIndex::new(0)).machine.as_ref().expect("running").status().gc_round;
    assert!(held && others > own, "proposed, and collected by the others: {own} and {others}");
    network
}

#[test]
fn t01_what_a_collected_block_held_is_proposed_again_and_committed_once() {
    let mut network = left_behind(Duration::from_secs(60));
    network.heal();
    network.run(Duration::from_secs(5));
    for authority in (0..4).map(AuthorityIndex::new) {
        assert_eq!(times_committed(&network, authority, b"left"), 1, "on {authority}");
    }
    assert_eq!(network.node(ALONE).dropped, []);
    assert_eq!(network.node(ALONE).machine.as_ref().expect("running").pooled().count(), 0);
}

#[test]
fn t01_past_its_lifetime_it_is_dropped_when_its_block_is_collected_and_not_while_it_may_be_committed() {
    let mut network = left_behind(Duration::from_secs(2));
    assert_eq!(network.node(ALONE).dropped, [], "its block may still be committed");
    network.heal();
    network.run(Duration::from_secs(5));
    assert_eq!(network.node(ALONE).dropped, [(digest(b"left"), DropReason::NotReproposed)]);
    assert_eq!(times_committed(&network, ALONE, b"left"), 0);
    assert_eq!(network.node(ALONE).machine.as_ref().expect("running").pooled().count(), 0);
    network.submit(ALONE, 2, b"left");
    network.run(Duration::from_secs(5));
    assert_eq!(times_committed(&network, ALONE, b"left"), 1, "it may be sent again");
}

/// The machine asks to be woken for it: nothing else comes in.
#[test]
fn what_no_block_can_take_expires_by_the_clock_alone() {
    let mut network = network(4, Duration::from_secs(2));
    network.run(Duration::from_secs(1));
    isolate(&mut network);
    network.submit(ALONE, 1, b"first");
    network.run(Duration::from_millis(500));
    network.submit(ALONE, 2, b"second");
    network.run(Duration::from_millis(1_999));
    assert_eq!(network.node(ALONE).dropped, []);
    network.run(Duration::from_millis(2));
    assert_eq!(network.node(ALONE).dropped, [(digest(b"second"), DropReason::Expired)]);
    assert_eq!(network.node(ALONE).answers[&Ticket(2)], SubmitOutcome::Accepted);
}

/// Cut off, it cannot propose the second submission: that one ends, and says what is true of the transaction.
#[test]
fn t01_what_is_committed_and_submitted_again_is_never_told_as_dropped() {
    let mut network = network(4, Duration::from_secs(2));
    network.run(Duration::from_secs(1));
    network.submit(AuthorityIndex::new(0), 1, b"once");
    network.run(Duration::from_secs(1));
    assert_eq!(times_committed(&network, ALONE, b"once"), 1);
    isolate(&mut network);
    network.submit(ALONE, 2, b"filler");
    network.run(Duration::from_millis(500));
    network.submit(ALONE, 3, b"once");
    network.submit(ALONE, 4, b"never");
    network.run(Duration::from_secs(3));
    assert_eq!(network.node(ALONE).answers[&Ticket(3)], SubmitOutcome::Accepted);
    assert_eq!(network.node(ALONE).dropped, [(digest(b"never"), DropReason::Expired)]);
    assert_eq!(network.node(ALONE).committed_before, [digest(b"once")]);
}

#[test]
fn t01_what_is_committed_and_stands_in_a_collected_block_again_is_never_told_as_dropped() {
    let mut network = network(4, Duration::from_secs(2));
    network.submit(AuthorityIndex::new(0), 1, b"once");
    network.run(Duration::from_secs(1));
    assert_eq!(times_committed(&network, ALONE, b"once"), 1);
    isolate(&mut network);
    network.submit(ALONE, 2, b"once");
    network.run(Duration::from_secs(10));
    assert_eq!(
        (&network.node(ALONE).dropped[..], &network.node(ALONE).committed_before[..]),
        (&[][..], &[][..])
    );
    network.heal();
    network.run(Duration::from_secs(5));
    assert_eq!(network.node(ALONE).dropped, []);
    assert_eq!(network.node(ALONE).committed_before, [digest(b"once")]);
    assert_eq!(times_committed(&network, ALONE, b"once"), 1);
}

/// A crash between the two must not leave a node that said "dropped" and holds the transaction in an own block again.
#[test]
fn what_a_commit_collects_is_told_behind_that_commit() {
    let mut network = left_behind(Duration::from_secs(2));
    network.heal();
    let told = |effect: &Effect| matches!(effect, Effect::Dropped { .. });
    assert!(network.run_until_within(Duration::from_secs(5), |network| {
        network.node(ALONE).last_effects.iter().any(told)
    }));
    let effects = &network.node(ALONE).last_effects;
    let place = effects.iter().position(told).expect("found");
    let last_commit = effects.iter().rposition(|effect| matches!(effect, Effect::Deliver(_)));
    assert!(last_commit.is_some_and(|last| last < place), "{effects:?}");
}

#[test]
fn a_restart_takes_up_what_own_uncommitted_blocks_hold_and_nothing_that_was_committed() {
    let mut network = network(4, Duration::from_secs(60));
    network.run(Duration::from_secs(1));
    isolate(&mut network);
    network.submit(ALONE, 1, b"left");
    network.submit(ALONE, 2, b"twice");
    network.submit(AuthorityIndex::new(0), 3, b"twice");
    network.run(Duration::from_millis(500));
    network.crash(ALONE);
    network.restart(ALONE).expect("its own store");
    let held = |network: &TestNetwork| {
        network.node(ALONE).machine.as_ref().expect("running").pooled().collect::<Vec<_>>()
    };
    let mut both = vec![digest(b"left"), digest(b"twice")];
    both.sort();
    assert_eq!(held(&network), both);
    // Its blocks stay unknown, what the others committed comes in: now one of the two is committed.
    network.heal();
    assert!(network.run_until_within(Duration::from_secs(5), |network| {
        times_committed(network, ALONE, b"twice") > 0
    }));
    network.crash(ALONE);
    network.restart(ALONE).expect("its own store");
    assert!(!held(&network).contains(&digest(b"twice")));
}
