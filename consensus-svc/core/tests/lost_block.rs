//! An own block that is lost with the newest part of a store and its guard, and waits for an ancestor at every peer.

#![allow(missing_docs)]

use std::time::Duration;

use consensus_core::{
    Amnesia, AmnesiaCause, AuthorityIndex, BlockRef, Epoch, Params, ProtocolParameters,
    testkit::{self, network::TestNetwork},
};

const LINK: Duration = Duration::from_millis(10);
const A: AuthorityIndex = AuthorityIndex::new(0);
const B: AuthorityIndex = AuthorityIndex::new(1);
const C: AuthorityIndex = AuthorityIndex::new(2);
const D: AuthorityIndex = AuthorityIndex::new(3);

fn own_last(network: &TestNetwork) -> Option<BlockRef> {
    network.node(A).store.blocks.keys().rev().find(|block| block.author == A).copied()
}

/// The last block of A, if it is built on a block of D that neither B nor C has.
fn on_what_only_it_has(network: &TestNetwork) -> Option<BlockRef> {
    let last = own_last(network)?;
    let block = network.node(A).store.blocks.get(&last)?;
    let of_d = block.ancestors().iter().find(|ancestor| ancestor.author == D)?;
    let is_unknown = |peer| {
        let machine = network.node(peer).machine.as_ref();
        machine.is_some_and(|machine| machine.status().accepted_rounds[D.as_usize()] < of_d.round)
    };
    (is_unknown(B) && is_unknown(C)).then_some(last)
}

#[test]
fn s06_a_lost_block_that_waits_at_every_peer_is_shown_and_its_slot_is_not_signed_again() {
    let (genesis, signers) = testkit::genesis_with(&[1; 4], ProtocolParameters::default());
    let params = Params { idle_delay: Duration::from_millis(50), ..Params::default() };
    let mut network = TestNetwork::start(genesis, signers, params, LINK);
    network.run(Duration::from_secs(1));
    network.cut(D, B);
    network.cut(D, C);
    assert!(
        network.run_until_within(Duration::from_secs(5), |network| on_what_only_it_has(network).is_some())
    );
    let lost = on_what_only_it_has(&network).expect("found");
    // It arrives, and nobody is left who could be asked for its ancestor.
    network.run(LINK);
    network.crash(A);
    network.crash(D);
    for peer in [B, C] {
        let status = network.node(peer).machine.as_ref().expect("running").status();
        assert!(status.waiting_blocks > 0 && !network.node(peer).store.blocks.contains_key(&lost));
    }
    // Store and guard are restored from one copy.
    let store = &mut network.node_mut(A).store;
    store.blocks.remove(&lost);
    let last = own_last(&network).expect("an earlier one");
    let store = &mut network.node_mut(A).store;
    (store.own_round, store.guard) = (last.round, Some((Epoch::GENESIS, last.round)));

    network.restart(A).expect("a sound store");
    network.run(Duration::from_secs(1));
    let amnesia = network.node(A).machine.as_ref().expect("running").status().amnesia;
    assert!(
        matches!(amnesia, Some(Amnesia { cause: AmnesiaCause::UnknownOwnBlock { block, .. }, .. }) if block == lost),
        "{amnesia:?}"
    );
    network.restart(D).expect("its own store");
    network.heal();
    network.run(Duration::from_secs(5));
    let of_its_slot: Vec<_> =
        network.node(B).store.blocks.keys().filter(|block| block.slot() == lost.slot()).collect();
    assert_eq!(of_its_slot, [&lost]);
    assert!(own_last(&network).is_some_and(|last| last.round > lost.round.plus(1)), "it takes part again");
}
