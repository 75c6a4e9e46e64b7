//! DAGs drawn at random from one seed: authorities miss rounds, link weakly, leave others out, and one of them signs twins.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockRef, Dag, Genesis, ProtocolParameters, Round, Signer, Transaction,
    VerifiedBlock, testkit,
};
use proptest::prelude::*;

/// SplitMix64: drawn from one seed, so that a failure is replayed from what proptest prints.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).expect("small")
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.place(last + 1);
            items.swap(last, other);
        }
    }
}

#[derive(Clone, Debug)]
pub struct Case {
    pub stakes: Vec<u64>,
    pub leaders_per_round: u16,
    pub rounds: u64,
    pub seed: u64,
}

pub fn cases() -> impl Strategy<Value = Case> {
    let stakes = prop_oneof![
        Just(vec![1, 1, 1, 1]),
        Just(vec![1, 2, 3, 4]),
        Just(vec![2, 1, 1, 1, 1, 1]),
        Just(vec![1, 1, 1, 1, 1, 1, 1]),
    ];
    (stakes, 1u16..=2, 6u64..14, any::<u64>()).prop_map(|(stakes, leaders_per_round, rounds, seed)| Case {
        stakes,
        leaders_per_round,
        rounds,
        seed,
    })
}

pub struct Network {
    pub genesis: Arc<Genesis>,
    pub blocks: Vec<VerifiedBlock>,
}

impl Case {
    pub fn network(&self) -> Network {
        self.network_with(ProtocolParameters::default())
    }

    /// The network under these parameters, but for those that the case draws and what keeps it short.
    pub fn network_with(&self, parameters: ProtocolParameters) -> Network {
        let parameters = ProtocolParameters {
            leaders_per_round: self.leaders_per_round,
            gc_depth: 10,
            heartbeat_rounds: 3,
            ..parameters
        };
        let (genesis, signers) = testkit::genesis_with(&self.stakes, parameters);
        let mut network = Network { genesis: Arc::new(genesis), blocks: Vec::new() };
        let mut dice = Dice(self.seed);
        let mut dag = Dag::new(network.genesis.clone());
        for round in 1..=self.rounds {
            network.draw_round(Round::new(round), &mut dag, &signers, &mut dice);
        }
        network
    }
}

impl Network {
    /// Every authority may miss the round as long as a quorum does not. The first, which has no more than the faulty
    /// stake in every committee of [`cases`], may sign twins.
    pub fn draw_round(&mut self, round: Round, dag: &mut Dag, signers: &[Signer], dice: &mut Dice) {
        let mut authors: Vec<_> = self.genesis.committee().indexes().collect();
        dice.shuffle(&mut authors);
        for author in authors {
            if dag.has_quorum(round) && dice.one_in(2) {
                continue;
            }
            let twins = if author.get() == 0 && dice.one_in(3) { 2 } else { 1 };
            for twin in 0..twins {
                let block = self.block(round, author, twin, dag, dice).sign(&signers[author.as_usize()]);
                if dag.insert(block.clone()) {
                    self.blocks.push(block);
                }
            }
        }
    }

    pub fn block(
        &self,
        round: Round,
        author: AuthorityIndex,
        twin: u64,
        dag: &Dag,
        dice: &mut Dice,
    ) -> Block {
        let transaction = || Transaction::new(Bytes::from(format!("{author}/{round}/{twin}")));
        Block {
            chain_id: self.genesis.chain_id(),
            epoch: self.genesis.committee().epoch(),
            round,
            author,
            timestamp: self
                .genesis
                .timestamp()
                .plus(Duration::from_millis(round.get() * 100 + dice.roll(300))),
            ancestors: self.ancestors(round, author, dag, dice),
            transactions: if dice.one_in(6) || twin > 0 { vec![transaction()] } else { Vec::new() },
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        }
    }

    /// The own latest block, a quorum of the previous round and perhaps more, perhaps a weak link; of twins, either.
    pub fn ancestors(
        &self,
        round: Round,
        author: AuthorityIndex,
        dag: &Dag,
        dice: &mut Dice,
    ) -> Vec<BlockRef> {
        let committee = self.genesis.committee();
        let genesis = VerifiedBlock::genesis(&self.genesis, author);
        let own = dag.latest_between(author, Round::GENESIS, round).unwrap_or(&genesis);
        let mut ancestors = vec![own.reference()];
        let mut others: Vec<_> = committee.indexes().filter(|other| *other != author).collect();
        dice.shuffle(&mut others);
        let parent_stake = |ancestors: &[BlockRef]| {
            let parents = ancestors.iter().filter(|ancestor| ancestor.round.next() == round);
            parents.map(|parent| committee.stake(parent.author).get()).sum::<u64>()
        };
        for other in others {
            let slot = consensus_core::Slot { round: round.previous(), authority: other };
            let candidates = dag.slot(slot);
            let needed = parent_stake(&ancestors) < committee.quorum_threshold().get();
            if !candidates.is_empty() && (needed || dice.one_in(3)) {
                ancestors.push(candidates[dice.place(candidates.len())].reference());
            } else if dice.one_in(3) {
                let older = dag.latest_between(other, Round::GENESIS, round.previous());
                ancestors.extend(older.map(VerifiedBlock::reference));
            }
        }
        assert!(parent_stake(&ancestors) >= committee.quorum_threshold().get());
        ancestors
    }

    /// The blocks in an order of its own in which ancestors come first.
    pub fn shuffled(&self, dice: &mut Dice) -> Vec<VerifiedBlock> {
        let mut held: BTreeSet<BlockRef> = self
            .genesis
            .committee()
            .indexes()
            .map(|a| VerifiedBlock::genesis(&self.genesis, a).reference())
            .collect();
        let mut left = self.blocks.clone();
        let mut order = Vec::new();
        while !left.is_empty() {
            let ready: Vec<usize> = (0..left.len())
                .filter(|place| left[*place].ancestors().iter().all(|ancestor| held.contains(ancestor)))
                .collect();
            let block = left.swap_remove(ready[dice.place(ready.len())]);
            held.insert(block.reference());
            order.push(block);
        }
        order
    }
}
