//! What is kept of a run to be drawn.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{AuthorityIndex, BlockRef, CommittedSubDag, Round, VerifiedBlock};

use crate::fault::Fault;

/// A fault at a place in the drawing.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at_ms: u64,
    pub(crate) node: Option<usize>,
    pub(crate) round: Round,
    pub(crate) fault: Fault,
}

/// A block that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) at_ms: u64,
    pub(crate) ancestors: Vec<BlockRef>,
    pub(crate) transactions: usize,
}

/// What is kept of a run to be drawn; see [`crate::explain`].
#[derive(Clone, Debug, Default)]
pub struct Chronicle {
    pub(crate) blocks: BTreeMap<BlockRef, Drawn>,
    /// Committed leaders, and the index of the commit that each belongs to first.
    pub(crate) leaders: BTreeMap<BlockRef, u64>,
    pub(crate) committed: BTreeSet<BlockRef>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) liars: BTreeSet<usize>,
    pub(crate) nodes: usize,
    pub(crate) leaders_per_round: u16,
    pub(crate) healed_at: Round,
}

impl Chronicle {
    /// The own blocks that an authority has sent, by rising round: when first, in milliseconds, and the round.
    pub fn sent_by(&self, authority: AuthorityIndex) -> impl Iterator<Item = (u64, Round)> {
        let own = self.blocks.iter().filter(move |(block, _)| block.author == authority);
        own.map(|(block, drawn)| (drawn.at_ms, block.round))
    }

    pub(crate) fn sent(&mut self, at_ms: u64, block: &VerifiedBlock) {
        let drawn = Drawn {
            at_ms,
            ancestors: block.ancestors().to_vec(),
            transactions: block.block().transactions.len(),
        };
        self.blocks.entry(block.reference()).or_insert(drawn);
    }

    pub(crate) fn commit(&mut self, sub_dag: &CommittedSubDag) {
        let commit = &sub_dag.commit;
        for leader in &commit.leaders {
            self.leaders.entry(*leader).or_insert(commit.index.get());
        }
        self.committed.extend(&commit.blocks);
    }
}
