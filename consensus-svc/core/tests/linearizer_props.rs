//! Groups and their pieces over DAGs drawn at random, against the rule written a second time.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "support/random_dag.rs"]
mod random_dag;

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    BlockRef, CommittedSubDag, Committer, Dag, Decision, Linearizer, ProtocolParameters, Round, VerifiedBlock,
};
use proptest::prelude::*;
use random_dag::{Dice, Network, cases};

fn limits(max_commit_transactions: u32) -> ProtocolParameters {
    ProtocolParameters { max_commit_transactions, max_block_transactions: 1, ..ProtocolParameters::default() }
}

/// Committed leaders and commits of the whole network, blocks taken in this order.
fn commits(network: &Network, order: Vec<VerifiedBlock>) -> Vec<CommittedSubDag> {
    let mut dag = Dag::new(network.genesis.clone());
    assert!(order.into_iter().all(|block| dag.insert(block)));
    let mut linearizer = Linearizer::new(network.genesis.clone());
    let decided = Committer::new(network.genesis.clone()).decide(&dag, None);
    let leaders = decided.into_iter().filter_map(|decided| match decided.decision {
        Decision::Commit(leader) => Some(leader),
        Decision::Skip => None,
    });
    leaders.flat_map(|leader| linearizer.commit_leader(&dag, &leader)).collect()
}

/// What each leader in turn adds, sorted, after what was committed before and above the GC round: the rule as it is written.
fn group(
    blocks: &BTreeMap<BlockRef, VerifiedBlock>,
    leaders: &[BlockRef],
    gc_round: Round,
    committed: &mut BTreeSet<BlockRef>,
) -> Vec<BlockRef> {
    let mut all = Vec::new();
    for leader in leaders {
        let mut history = BTreeSet::from([*leader]);
        let mut unvisited = vec![*leader];
        while let Some(next) = unvisited.pop() {
            let ancestors = blocks[&next].ancestors().iter().copied();
            unvisited.extend(
                ancestors.filter(|a| a.round > gc_round && !committed.contains(a) && history.insert(*a)),
            );
        }
        committed.extend(&history);
        all.extend(history);
    }
    all
}

fn transactions(block: &VerifiedBlock) -> usize {
    block.block().transactions.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// No piece passes a limit, each is cut only where the next block would, and together they are the group.
    #[test]
    fn pieces_keep_the_limits_and_are_together_their_group(case in cases(), most in 1u32..4) {
        let network = case.network_with(limits(most));
        let most = usize::try_from(most).expect("small");
        let blocks: BTreeMap<_, _> = network.blocks.iter().map(|b| (b.reference(), b.clone())).collect();
        let (mut committed, mut gc_round, mut index) = (BTreeSet::new(), Round::GENESIS, 1);
        let commits = commits(&network, network.blocks.clone());
        for pieces in commits.chunk_by(|piece, _| !piece.commit.closing) {
            let (first, last) = (&pieces[0].commit, &pieces[pieces.len() - 1].commit);
            prop_assert!(last.closing);
            let expected = group(&blocks, &first.leaders, gc_round, &mut committed);
            let found: Vec<_> = pieces.iter().flat_map(|piece| &piece.commit.blocks).copied().collect();
            prop_assert_eq!(found, expected);
            for (place, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.commit.index.get(), index);
                prop_assert_eq!((&piece.commit.leaders, piece.commit.timestamp), (&first.leaders, first.timestamp));
                let held: usize = piece.blocks.iter().map(transactions).sum();
                prop_assert!(held <= most && !piece.blocks.is_empty());
                if let Some(next) = pieces.get(place + 1) {
                    prop_assert!(held + transactions(&next.blocks[0]) > most, "cut where there was room");
                }
                index += 1;
            }
            gc_round = gc_round.max(last.last_leader_round().minus(10));
        }
    }

    #[test]
    fn f08_pieces_do_not_depend_on_the_order_in_which_blocks_came(case in cases()) {
        let network = case.network_with(limits(2));
        let drawn = commits(&network, network.blocks.clone());
        let mut dice = Dice(!case.seed);
        for _ in 0..3 {
            prop_assert_eq!(&commits(&network, network.shuffled(&mut dice)), &drawn);
        }
    }

    /// Times rise, and each lies among those of the parents of its group's last leader, or is the one before.
    #[test]
    fn f02_a_commits_time_is_one_that_a_parent_said_or_the_one_before(case in cases()) {
        let network = case.network();
        let blocks: BTreeMap<_, _> = network.blocks.iter().map(|b| (b.reference(), b.clone())).collect();
        let mut before = network.genesis.timestamp();
        for sub_dag in commits(&network, network.blocks.clone()) {
            let (commit, now) = (&sub_dag.commit, sub_dag.commit.timestamp);
            let leader = &blocks[commit.leaders.last().expect("a leader")];
            let parents = leader.ancestors().iter().filter(|a| a.round.next() == leader.round());
            let said: BTreeSet<_> =
                parents.map(|a| blocks.get(a).map_or(network.genesis.timestamp(), |b| b.block().timestamp)).collect();
            prop_assert!(now >= before && (now == before || said.contains(&now)));
            before = now;
        }
    }
}
