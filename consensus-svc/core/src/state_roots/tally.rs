//! Which roots a quorum has voted for, in committed blocks.
//!
//! Roots decide nothing in the order, and still all authorities count them alike: votes are read from committed blocks, in
//! commit order, and of an author the first one for an index counts. Two quorums share an honest authority, and an honest
//! authority votes once for an index, so that no two roots are agreed on at one index while faulty stake is below a third.
//!
//! Bounded whatever authors invent: a vote counts only for a commit before the one that carries it, at a multiple of the
//! interval, and of each author at most [`MAX_OPEN_VOTES`] wait for a quorum; the lowest leaves.

use std::{collections::BTreeMap, sync::Arc};

use super::records::{MAX_AGREED_ROOTS, RootAgreement};
use crate::{
    block::{ExecutedRoot, VerifiedBlock},
    committee::Tally,
    genesis::Genesis,
    types::{BlockRef, CommitIndex, StateRoot},
};

/// Most votes of an author for indexes without an agreed root. Authors whose executors are further apart than so many voted
/// commits agree again when they have come closer.
pub(crate) const MAX_OPEN_VOTES: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Vote {
    root: StateRoot,
    block: BlockRef,
}

/// Counts the votes.
#[derive(Debug)]
pub(super) struct RootTally {
    genesis: Arc<Genesis>,
    /// By author, then index.
    open: Vec<BTreeMap<CommitIndex, Vote>>,
    /// The newest [`MAX_AGREED_ROOTS`].
    agreed: BTreeMap<CommitIndex, RootAgreement>,
    conflicting: u64,
    dissenting: u64,
}

impl RootTally {
    /// A tally without open votes.
    pub(super) fn new(genesis: Arc<Genesis>, agreed: Vec<RootAgreement>) -> Self {
        Self {
            open: vec![BTreeMap::new(); genesis.committee().size()],
            agreed: agreed.into_iter().map(|agreement| (agreement.index, agreement)).collect(),
            conflicting: 0,
            dissenting: 0,
            genesis,
        }
    }

    /// Whether roots are voted for at this commit.
    pub(super) fn is_voted(&self, index: CommitIndex) -> bool {
        index > CommitIndex::NONE && index.get().is_multiple_of(self.genesis.parameters().root_interval)
    }

    /// The root agreed on at an index, if it is remembered.
    pub(super) fn agreed(&self, index: CommitIndex) -> Option<&RootAgreement> {
        self.agreed.get(&index)
    }

    /// The root agreed on at the highest index.
    pub(super) fn newest(&self) -> Option<ExecutedRoot> {
        self.agreed.last_key_value().map(|(_, agreement)| agreement.executed())
    }

    /// Votes that wait for a quorum.
    pub(super) fn open_len(&self) -> usize {
        self.open.iter().map(BTreeMap::len).sum()
    }

    /// Votes by an author that had voted for another root at the same index; they do not count.
    pub(super) const fn conflicting(&self) -> u64 {
        self.conflicting
    }

    /// Votes for another root than the agreed one.
    pub(super) const fn dissenting(&self) -> u64 {
        self.dissenting
    }

    /// Takes the votes of a block that the commit `carrier` holds. The roots agreed on with them.
    pub(super) fn observe(&mut self, carrier: CommitIndex, block: &VerifiedBlock) -> Vec<RootAgreement> {
        let mut agreements = Vec::new();
        for vote in &block.block().executed_roots {
            if vote.index < carrier && vote.index > self.floor() && self.is_voted(vote.index) {
                agreements.extend(self.count(*vote, block.reference()));
            }
        }
        agreements
    }

    fn count(&mut self, vote: ExecutedRoot, block: BlockRef) -> Option<RootAgreement> {
        let ExecutedRoot { index, root } = vote;
        if let Some(agreement) = self.agreed.get(&index) {
            self.dissenting = self.dissenting.saturating_add(u64::from(agreement.root != root));
            return None;
        }
        let open = self.open.get_mut(block.author.as_usize())?;
        if let Some(first) = open.get(&index) {
            self.conflicting = self.conflicting.saturating_add(u64::from(first.root != root));
            return None;
        }
        open.insert(index, Vote { root, block });
        if open.len() > MAX_OPEN_VOTES {
            open.pop_first();
        }
        self.judge(index, root)
    }

    /// Agrees on a root if a quorum has voted for exactly it.
    fn judge(&mut self, index: CommitIndex, root: StateRoot) -> Option<RootAgreement> {
        let committee = self.genesis.committee();
        let votes = self.open.iter().filter_map(|open| open.get(&index));
        let mut voters = Tally::new(committee);
        let mut blocks = Vec::new();
        for vote in votes.filter(|vote| vote.root == root) {
            voters.add(committee, vote.block.author);
            blocks.push(vote.block);
        }
        if !voters.is_quorum(committee) {
            return None;
        }
        let votes = self.open.iter_mut().filter_map(|open| open.remove(&index));
        let dissenting = votes.filter(|vote| vote.root != root).count() as u64;
        self.dissenting = self.dissenting.saturating_add(dissenting);
        let agreement = RootAgreement { index, root, blocks };
        self.agreed.insert(index, agreement.clone());
        if self.agreed.len() > MAX_AGREED_ROOTS {
            self.agreed.pop_first();
        }
        Some(agreement)
    }

    /// At or below it votes are of no use: newer roots are agreed on, and this one could not be remembered.
    fn floor(&self) -> CommitIndex {
        let is_full = self.agreed.len() >= MAX_AGREED_ROOTS;
        let lowest = self.agreed.first_key_value().filter(|_| is_full);
        lowest.map_or(CommitIndex::NONE, |(index, _)| index.minus(1))
    }
}
