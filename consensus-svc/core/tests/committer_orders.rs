//! F01, F08: whatever the order in which blocks come, and whenever the rule is asked, the commits are the same bytes.
//!
//! DAGs are drawn at random: authorities miss rounds, link weakly, leave others out, and one of them signs twins. Each
//! DAG is taken in by many nodes in orders of their own, each running the rule after every block.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeSet, sync::Arc};

use consensus_core::{
    AuthorityIndex, Committer, Dag, DecidedLeader, Decision, Genesis, LeaderSlot, Linearizer, VerifiedBlock,
};
use proptest::prelude::*;

#[path = "support/plain_rule.rs"]
mod plain_rule;
#[path = "support/random_dag.rs"]
mod random_dag;

use random_dag::{Case, Dice, cases};

/// One node: decides after every block, or only when all are there.
struct Node {
    dag: Dag,
    committer: Committer,
    linearizer: Linearizer,
    decided: Vec<DecidedLeader>,
    commits: Vec<(Vec<u8>, Vec<VerifiedBlock>)>,
}

impl Node {
    fn run(genesis: &Arc<Genesis>, order: Vec<VerifiedBlock>, every_block: bool) -> Self {
        let mut node = Self {
            dag: Dag::new(genesis.clone()),
            committer: Committer::new(genesis.clone()),
            linearizer: Linearizer::new(genesis.clone()),
            decided: Vec::new(),
            commits: Vec::new(),
        };
        for block in order {
            assert!(node.dag.insert(block));
            if every_block {
                node.decide();
            }
        }
        node.decide();
        node
    }

    fn decide(&mut self) {
        let after: Option<LeaderSlot> = self.decided.last().map(|decided| decided.slot);
        for decided in self.committer.decide(&self.dag, after) {
            if let Decision::Commit(leader) = &decided.decision {
                let commits = self.linearizer.commit_leader(&self.dag, leader);
                self.commits.extend(commits.into_iter().map(|c| (c.commit.canonical_bytes(), c.blocks)));
            }
            self.decided.push(decided);
        }
    }

    fn outcomes(&self) -> Vec<(LeaderSlot, AuthorityIndex, &Decision)> {
        self.decided.iter().map(|decided| (decided.slot, decided.authority, &decided.decision)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn f08_the_order_of_insertion_changes_no_decision(case in cases()) {
        let network = case.network();
        let drawn = Node::run(&network.genesis, network.blocks.clone(), false);
        let mut dice = Dice(!case.seed);
        for _ in 0..4 {
            let other = Node::run(&network.genesis, network.shuffled(&mut dice), false);
            prop_assert_eq!(&other.decided, &drawn.decided);
        }
    }

    /// Whatever is held at any moment: the committer, which stops counting where the answer is known, says what the plain
    /// rule says, and by the same way.
    #[test]
    fn f08_the_committer_says_what_the_plain_rule_says(case in cases()) {
        let network = case.network();
        let committer = Committer::new(network.genesis.clone());
        let mut dag = Dag::new(network.genesis.clone());
        for block in network.shuffled(&mut Dice(!case.seed)) {
            prop_assert!(dag.insert(block));
            prop_assert_eq!(committer.decide(&dag, None), plain_rule::decide(&dag, committer.schedule()));
        }
    }

    /// A slot decided early by an anchor, elsewhere later by its own wave, is decided alike; and so are the commits.
    #[test]
    fn f01_any_order_and_any_moment_give_the_same_commits(case in cases()) {
        let network = case.network();
        let drawn = Node::run(&network.genesis, network.blocks.clone(), false);
        let mut dice = Dice(!case.seed);
        for _ in 0..4 {
            let other = Node::run(&network.genesis, network.shuffled(&mut dice), true);
            prop_assert_eq!(other.outcomes(), drawn.outcomes());
            prop_assert_eq!(&other.commits, &drawn.commits);
        }
    }
}

/// The cases above are worth their time: among the first of them are slots of every kind.
#[test]
fn drawn_networks_have_commits_skips_twins_and_anchored_decisions() {
    let (mut committed, mut skipped, mut anchored, mut twins, mut commits) = (0, 0, 0, 0, 0);
    for seed in 0..40 {
        let case = Case { stakes: vec![1; 4], leaders_per_round: 2, rounds: 12, seed };
        let network = case.network();
        let slots: BTreeSet<_> = network.blocks.iter().map(VerifiedBlock::slot).collect();
        twins += network.blocks.len() - slots.len();
        let node = Node::run(&network.genesis, network.blocks.clone(), true);
        commits += node.commits.len();
        for decided in &node.decided {
            match decided.decision {
                Decision::Commit(_) => committed += 1,
                Decision::Skip => skipped += 1,
            }
            anchored += usize::from(decided.via == consensus_core::Via::Indirect);
        }
    }
    let counts = [committed, skipped, anchored, twins, commits];
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}
