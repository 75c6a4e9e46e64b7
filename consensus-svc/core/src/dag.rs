//! The DAG above the GC round: every block held here has all its ancestors here, or at or below the GC round.
//!
//! Blocks stand in ordered maps by round, then by author, twins by digest, so that every walk is the same on every node.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    block::VerifiedBlock,
    committee::{Committee, Tally},
    genesis::Genesis,
    types::{AuthorityIndex, BlockRef, Round, Slot},
};

#[derive(Debug)]
struct RoundBlocks {
    by_author: Vec<Vec<VerifiedBlock>>,
    authors: Tally,
}

/// Accepted blocks above the GC round, and the genesis blocks until that moves.
#[derive(Debug)]
pub struct Dag {
    genesis: Arc<Genesis>,
    rounds: BTreeMap<Round, RoundBlocks>,
    gc_round: Round,
    accepted_rounds: Vec<Round>,
    length: usize,
}

impl Dag {
    /// A DAG that holds the genesis blocks.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        let accepted_rounds = vec![Round::GENESIS; genesis.committee().size()];
        let mut dag =
            Self { genesis, rounds: BTreeMap::new(), gc_round: Round::GENESIS, accepted_rounds, length: 0 };
        for author in dag.genesis.committee().indexes() {
            dag.insert(VerifiedBlock::genesis(&dag.genesis, author));
        }
        dag
    }

    /// The committee that authors blocks here.
    pub fn committee(&self) -> &Committee {
        self.genesis.committee()
    }

    /// Blocks at or below this round are gone, and count as present.
    pub fn gc_round(&self) -> Round {
        self.gc_round
    }

    /// How many blocks are held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no block is held.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Highest round of any block; genesis where there is none.
    pub fn highest_round(&self) -> Round {
        self.rounds.last_key_value().map_or(Round::GENESIS, |(round, _)| *round)
    }

    /// Highest accepted round by authority, collected blocks included.
    pub fn accepted_rounds(&self) -> &[Round] {
        &self.accepted_rounds
    }

    /// Adds a block whose ancestors are all present. False if it was held already, or its author is no member.
    pub fn insert(&mut self, block: VerifiedBlock) -> bool {
        let committee = self.genesis.committee();
        if committee.authority(block.author()).is_none() {
            return false;
        }
        let round = self.rounds.entry(block.round()).or_insert_with(|| RoundBlocks {
            by_author: vec![Vec::new(); committee.size()],
            authors: Tally::new(committee),
        });
        let Some(slot) = round.by_author.get_mut(block.author().as_usize()) else { return false };
        let Err(place) = slot.binary_search_by_key(&block.reference(), VerifiedBlock::reference) else {
            return false;
        };
        round.authors.add(committee, block.author());
        if let Some(highest) = self.accepted_rounds.get_mut(block.author().as_usize()) {
            *highest = block.round().max(*highest);
        }
        slot.insert(place, block);
        self.length = self.length.saturating_add(1);
        true
    }

    /// Whether a block is held, or at or below the GC round.
    pub fn is_present(&self, reference: &BlockRef) -> bool {
        reference.round <= self.gc_round || self.get(reference).is_some()
    }

    /// Reads a block.
    pub fn get(&self, reference: &BlockRef) -> Option<&VerifiedBlock> {
        let slot = self.slot(reference.slot());
        slot.binary_search_by_key(reference, VerifiedBlock::reference).ok().and_then(|place| slot.get(place))
    }

    /// The blocks of a slot, by digest; more than one if the authority equivocated.
    pub fn slot(&self, slot: Slot) -> &[VerifiedBlock] {
        self.rounds
            .get(&slot.round)
            .and_then(|round| round.by_author.get(slot.authority.as_usize()))
            .map_or(&[], Vec::as_slice)
    }

    /// The blocks of a round, by author, then digest.
    pub fn round(&self, round: Round) -> impl Iterator<Item = &VerifiedBlock> {
        self.rounds.get(&round).into_iter().flat_map(|blocks| blocks.by_author.iter().flatten())
    }

    /// All blocks, by round, then author, then digest.
    pub fn blocks(&self) -> impl Iterator<Item = &VerifiedBlock> {
        self.rounds.values().flat_map(|blocks| blocks.by_author.iter().flatten())
    }

    /// Whether blocks of a quorum of authorities are held in a round.
    pub fn has_quorum(&self, round: Round) -> bool {
        self.rounds.get(&round).is_some_and(|blocks| blocks.authors.is_quorum(self.committee()))
    }

    /// The highest block of an author strictly between two rounds; of twins, the lowest digest.
    pub fn latest_between(
        &self,
        author: AuthorityIndex,
        above: Round,
        below: Round,
    ) -> Option<&VerifiedBlock> {
        let first = above.next();
        if first >= below {
            return None;
        }
        self.rounds
            .range(first..below)
            .rev()
            .find_map(|(_, blocks)| blocks.by_author.get(author.as_usize())?.first())
    }

    /// Forgets the blocks at or below `gc_round`. It never moves down.
    pub fn collect(&mut self, gc_round: Round) {
        if gc_round <= self.gc_round {
            return;
        }
        self.gc_round = gc_round;
        self.rounds = self.rounds.split_off(&gc_round.next());
        self.length = self.rounds.values().flat_map(|round| &round.by_author).map(Vec::len).sum();
    }
}
