//! F01, F02, F08: whole machines that get the same blocks in any order, in any portions and under any clock make the same
//! commits, byte for byte.
//!
//! One may be some commits ahead of another: of twins in the last rounds, which nobody names yet, each holds the one that came
//! first, and so not the same votes for the last leaders.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "support/random_dag.rs"]
mod random_dag;

use std::time::Duration;

use consensus_core::{
    AuthorityIndex, BlockSource, Consensus, Effect, Input, Params, RecoveredLog, Timestamp, VerifiedBlock,
    testkit,
};
use proptest::prelude::*;
use random_dag::{Case, Dice, Network, cases};

/// The commits of a machine that only looks on, as canonical bytes. Blocks come in this order, wherever their ancestors are;
/// each portion with a clock of its own, which only never goes back. Of twins, the second is let in once somebody names it,
/// and what waits for too long is given up, so all are brought again, while no time passes, until a whole pass changes nothing.
fn commits(case: &Case, network: &Network, blocks: &[VerifiedBlock], dice: &mut Dice) -> Vec<Vec<u8>> {
    let (_, signers) = testkit::genesis_with(&case.stakes, network.genesis.parameters().clone());
    let signer = signers[dice.place(signers.len())].clone();
    let mut now = Timestamp::from_millis(dice.roll(4_000_000_000_000));
    let log = RecoveredLog::default();
    let started = Consensus::recover(network.genesis.clone(), Params::default(), signer, log, now);
    let (mut machine, mut effects) = started.expect("an empty store");
    effects.extend(machine.handle(now, Input::Halt));
    let source = BlockSource::Streamed;
    let (mut held, mut longest_pause_ms) = (None, 10_000);
    loop {
        let status = machine.status();
        let now_held = (status.last_commit, status.dag_blocks, status.waiting_blocks);
        if held.replace(now_held) == Some(now_held) {
            assert_eq!(status.waiting_blocks, 0, "all ancestors were brought");
            break;
        }
        let mut left = blocks;
        while !left.is_empty() {
            let (portion, rest) = left.split_at(1 + dice.place(left.len().min(7)));
            left = rest;
            now = now.plus(Duration::from_millis(dice.roll(longest_pause_ms)));
            let (from, blocks) = (AuthorityIndex::new(0), portion.to_vec());
            effects.extend(machine.handle(now, Input::Blocks { from, source, blocks }));
        }
        longest_pause_ms = 1;
    }
    let delivered = effects.into_iter().filter_map(|effect| match effect {
        Effect::Deliver(sub_dag) => Some(sub_dag.commit.canonical_bytes()),
        _ => None,
    });
    delivered.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn f01_f02_f08_any_order_of_arrival_and_any_clock_give_the_same_commits(case in cases()) {
        let network = case.network();
        let mut dice = Dice(!case.seed);
        let drawn = commits(&case, &network, &network.blocks, &mut dice);
        for _ in 0..4 {
            let mut order = network.blocks.clone();
            dice.shuffle(&mut order);
            let made = commits(&case, &network, &order, &mut dice);
            let same = made.iter().zip(&drawn).take_while(|(one, other)| one == other).count();
            let all = made.len().min(drawn.len());
            prop_assert!(same == all, "commit {} differs, of {} and {}", same + 1, made.len(), drawn.len());
        }
    }
}

/// The cases above are worth their time: they make commits.
#[test]
fn drawn_networks_make_machines_commit() {
    let made = (0..10).map(|seed| {
        let case = Case { stakes: vec![1; 4], leaders_per_round: 1, rounds: 12, seed };
        let network = case.network();
        commits(&case, &network, &network.blocks, &mut Dice(seed)).len()
    });
    let made: usize = made.sum();
    assert!(made > 20, "{made}");
}
