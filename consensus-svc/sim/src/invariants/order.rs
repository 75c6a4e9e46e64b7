//! Order: a group of commits holds, leader by leader, the causal history of each that no earlier one holds and that lies above
//! the GC round, nothing else and nothing less; each history sorted by (round, authority, digest), histories never sorted
//! together (protocol, From leaders to commits; F03, F08). Computed anew from the blocks, without the core's linearizer.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{BlockRef, Round};

use super::{Invariant, Record};

/// The pieces of the open group, and what was committed before it. Looks at each index once: agreement covers the others.
#[derive(Debug)]
pub(crate) struct Order {
    gc_depth: u64,
    gc_round: Round,
    index: u64,
    /// Committed refs above the GC round.
    committed: BTreeSet<BlockRef>,
    leaders: Vec<BlockRef>,
    order: Vec<BlockRef>,
    ancestors: BTreeMap<BlockRef, Vec<BlockRef>>,
}

impl Order {
    pub(crate) const fn new(gc_depth: u64) -> Self {
        Self {
            gc_depth,
            gc_round: Round::GENESIS,
            index: 0,
            committed: BTreeSet::new(),
            leaders: Vec::new(),
            order: Vec::new(),
            ancestors: BTreeMap::new(),
        }
    }

    /// What the group must hold.
    fn expected(&self) -> Result<Vec<BlockRef>, String> {
        let mut expected = Vec::new();
        let mut seen = self.committed.clone();
        for leader in &self.leaders {
            let mut history = Vec::new();
            let mut unvisited: Vec<_> = seen.insert(*leader).then_some(*leader).into_iter().collect();
            while let Some(block) = unvisited.pop() {
                let Some(ancestors) = self.ancestors.get(&block) else {
                    return Err(format!("{block:?} belongs to commit {} and is not in it", self.index));
                };
                let above = ancestors.iter().filter(|ancestor| ancestor.round > self.gc_round);
                unvisited.extend(above.filter(|ancestor| seen.insert(**ancestor)));
                history.push(block);
            }
            history.sort_unstable();
            expected.extend(history);
        }
        Ok(expected)
    }

    fn close(&mut self, last_leader_round: Round) {
        self.gc_round = last_leader_round.minus(self.gc_depth);
        self.committed.extend(&self.order);
        let gc_round = self.gc_round;
        self.committed.retain(|block| block.round > gc_round);
        self.leaders.clear();
        self.order.clear();
        self.ancestors.clear();
    }
}

impl Invariant for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Delivered { sub_dag, .. } = record else { return Ok(()) };
        let commit = &sub_dag.commit;
        if commit.index.get() != self.index + 1 {
            return Ok(());
        }
        self.index += 1;
        if !self.leaders.is_empty() && self.leaders != commit.leaders {
            return Err(format!("commit {} names other leaders than the piece before it", self.index));
        }
        self.leaders.clone_from(&commit.leaders);
        self.order.extend(&commit.blocks);
        let blocks = sub_dag.blocks.iter();
        self.ancestors.extend(blocks.map(|block| (block.reference(), block.ancestors().to_vec())));
        if commit.closing {
            let expected = self.expected()?;
            if let Some(place) = (0..expected.len().max(self.order.len()))
                .find(|place| expected.get(*place) != self.order.get(*place))
            {
                let (found, wanted) = (self.order.get(place), expected.get(place));
                return Err(format!(
                    "the group of commit {} holds {found:?} at {place}, where {wanted:?} belongs",
                    self.index
                ));
            }
            self.close(commit.last_leader_round());
        }
        Ok(())
    }
}
