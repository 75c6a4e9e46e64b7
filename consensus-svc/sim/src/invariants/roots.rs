//! State roots: a root is agreed on by a quorum's votes, is the one that the commits make, and is the same for all; an executor
//! is found wrong only if it is, and if it is and that can be seen, it is found; what shows it is durable (X07).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use consensus_core::{
    BlockRef, CommitIndex, ExecutedRoot, Genesis, RootAgreement, RootContradiction, Stake, StateRoot,
};

use super::{Invariant, Kind, Record};
use crate::executor::right_root;

/// What the commits make, what was voted, and what is known of whom.
#[derive(Debug)]
pub(crate) struct Roots {
    genesis: Arc<Genesis>,
    /// After each commit of the chain, from index 1.
    right: Vec<StateRoot>,
    votes: BTreeMap<BlockRef, Vec<ExecutedRoot>>,
    /// What a node's executor said wrongly in this life.
    wrong: BTreeSet<(usize, CommitIndex)>,
    /// Where a node knows an agreed root, over all lives.
    agreed: BTreeSet<(usize, CommitIndex)>,
    /// Nodes that have found their executor wrong in this life.
    contradicted: BTreeSet<usize>,
}

impl Roots {
    pub(crate) const fn new(genesis: Arc<Genesis>) -> Self {
        Self {
            genesis,
            right: Vec::new(),
            votes: BTreeMap::new(),
            wrong: BTreeSet::new(),
            agreed: BTreeSet::new(),
            contradicted: BTreeSet::new(),
        }
    }

    fn right(&self, index: CommitIndex) -> Option<StateRoot> {
        let place = usize::try_from(index.get()).ok()?.checked_sub(1)?;
        self.right.get(place).copied()
    }

    /// Judges an agreement by what was sent.
    fn judge(&self, agreement: &RootAgreement) -> Result<(), String> {
        let RootAgreement { index, root, blocks } = agreement;
        if self.right(*index) != Some(*root) {
            return Err(format!("a false root {root} is agreed on at commit {index}"));
        }
        let authors: BTreeSet<_> = blocks.iter().map(|block| block.author).collect();
        let vote = agreement.executed();
        let unheard =
            blocks.iter().find(|block| !self.votes.get(block).is_some_and(|votes| votes.contains(&vote)));
        if let Some(block) = unheard {
            return Err(format!("{block} counts for a root at commit {index} and has no vote for it"));
        }
        let committee = self.genesis.committee();
        let stake = authors.iter().fold(Stake::ZERO, |sum, author| sum.plus(committee.stake(*author)));
        if authors.len() != blocks.len() || !committee.is_quorum(stake) {
            return Err(format!("the root at commit {index} is agreed on by stake {stake}"));
        }
        Ok(())
    }

    fn contradicts(&self, contradiction: &RootContradiction) -> Result<(), String> {
        self.judge(&contradiction.agreed)?;
        if self.right(contradiction.index()) == Some(contradiction.own) {
            return Err(format!("an executor that is right is stopped at commit {}", contradiction.index()));
        }
        Ok(())
    }
}

impl Invariant for Roots {
    fn name(&self) -> &'static str {
        "roots"
    }

    fn kind(&self) -> Kind {
        Kind::Diverged
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Sent { block, .. } if !block.block().executed_roots.is_empty() => {
                self.votes.insert(block.reference(), block.block().executed_roots.clone());
            }
            Record::Delivered { sub_dag, .. }
                if sub_dag.commit.index.get() == self.right.len() as u64 + 1 =>
            {
                let before = self.right.last().copied().unwrap_or_default();
                self.right.push(right_root(before, sub_dag.digest));
            }
            Record::Executed { node, index, root } if self.right(*index) != Some(*root) => {
                self.wrong.insert((*node, *index));
            }
            Record::RootAgreed { node, agreement, kept } => {
                let index = agreement.index;
                if !kept {
                    return Err(format!("node {node} tells of a root at commit {index} and keeps none"));
                }
                self.judge(agreement).map_err(|error| format!("node {node}: {error}"))?;
                self.agreed.insert((*node, index));
            }
            Record::RootContradicted { node, contradiction, kept } => {
                self.contradicts(contradiction).map_err(|error| format!("node {node}: {error}"))?;
                if !kept {
                    return Err(format!("node {node} keeps no evidence against its executor"));
                }
                self.contradicted.insert(*node);
            }
            Record::Crashed { node } => {
                self.wrong.retain(|(by, _)| by != node);
                self.contradicted.remove(node);
            }
            Record::StoreReplaced { node } => self.agreed.retain(|(by, _)| by != node),
            Record::Ended { .. } => {
                let missed =
                    self.wrong.intersection(&self.agreed).find(|(node, _)| !self.contradicted.contains(node));
                if let Some((node, index)) = missed {
                    return Err(format!("node {node} trusts an executor that is wrong at commit {index}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
