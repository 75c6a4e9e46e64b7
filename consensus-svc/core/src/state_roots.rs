//! State roots: own ones out as votes, what all votes agree on, and whether the own executor contradicts it (X07).
//!
//! The executor's roots come with its acknowledgements and ride on the next own block, whenever that is made: a vote makes no
//! block due. Votes are counted over committed blocks (`tally`). The order of commits depends on none of it, and goes on when the own
//! executor is found wrong; that executor is then heard no more in this life.
//!
//! A restart takes up the agreed roots of its store, the open votes in the committed blocks above the GC round, and the own
//! votes in own blocks. Those are compared once the executor has been heard again, as far as it still stands behind them, and
//! unless it was contradicted before: then it has been set back, and what it said earlier says nothing of it.

mod records;
mod tally;

use std::{collections::BTreeMap, sync::Arc};

pub use self::records::{MAX_AGREED_ROOTS, RootAgreement, RootContradiction, RootRecords};
pub(crate) use self::tally::MAX_OPEN_VOTES;
use self::tally::RootTally;
use crate::{
    block::{ExecutedRoot, MAX_EXECUTED_ROOTS, VerifiedBlock},
    commit::{Commit, CommittedSubDag},
    dag::Dag,
    genesis::Genesis,
    types::{AuthorityIndex, CommitDigest, CommitIndex, StateRoot},
};

/// Most own roots that wait for an agreed one to be compared with; when full, the lowest leaves: what is wrong there is wrong
/// at the next one too.
const MAX_OWN_ROOTS: usize = MAX_OPEN_VOTES;

/// Own roots, votes, and what they show.
#[derive(Debug)]
pub(crate) struct StateRoots {
    tally: RootTally,
    /// Own roots that were not compared yet, at most [`MAX_OWN_ROOTS`].
    own: BTreeMap<CommitIndex, StateRoot>,
    /// Those that no own block carries yet: at most as many as a block takes; when full, the lowest leaves.
    pending: BTreeMap<CommitIndex, StateRoot>,
    /// The highest index that an own block has voted for. Votes rise, so that none is cast twice in one life. A start knows only
    /// of own blocks above the GC round: an executor that is set back further may have older votes cast again. Whoever still holds the
    /// first counts that one.
    voted: CommitIndex,
    /// Where the executor stands, by its last word in this life.
    executor: Option<CommitIndex>,
    verified: CommitIndex,
    /// The contradiction of an earlier life, until the executor is verified behind it.
    open: Option<CommitIndex>,
    /// The last contradiction of any life.
    contradiction: Option<RootContradiction>,
    /// Whether it was found in this life: the executor is heard no more.
    stopped: bool,
    /// What no batch holds yet.
    fresh: RootRecords,
    /// Whether that makes a batch due.
    due: bool,
}

impl StateRoots {
    /// Goes on from the store. `dag` holds its blocks above the GC round, `commits` are its newest.
    pub(crate) fn recover(
        genesis: Arc<Genesis>,
        own: AuthorityIndex,
        records: RootRecords,
        commits: &[(Commit, CommitDigest)],
        dag: &Dag,
    ) -> Self {
        let open = records.open_contradiction().map(RootContradiction::index);
        // Votes of an executor that was wrong, and was set back since, say nothing of it any more.
        let compares = records.contradiction.is_none();
        let contradiction = records.contradiction;
        let last = commits.last().map_or(CommitIndex::NONE, |(commit, _)| commit.index);
        let mut roots = Self {
            tally: RootTally::new(genesis, records.agreed),
            own: BTreeMap::new(),
            pending: BTreeMap::new(),
            voted: CommitIndex::NONE,
            executor: None,
            verified: records.verified.map_or(CommitIndex::NONE, |verified| verified.index),
            open,
            contradiction,
            stopped: false,
            fresh: RootRecords::default(),
            due: false,
        };
        for (commit, _) in commits {
            for block in commit.blocks.iter().filter_map(|reference| dag.get(reference)) {
                roots.observe(commit.index, block);
            }
        }
        for block in dag.blocks().filter(|block| block.author() == own) {
            for vote in &block.block().executed_roots {
                roots.voted = roots.voted.max(vote.index);
                let is_open = vote.index > roots.verified && vote.index <= last;
                if compares && is_open && roots.tally.is_voted(vote.index) {
                    keep(&mut roots.own, *vote, MAX_OWN_ROOTS);
                }
            }
        }
        roots
    }

    /// The own executor has executed up to `index`, where its state has this root, if it told one. `last` is the last commit.
    pub(crate) fn executed(&mut self, index: CommitIndex, root: Option<StateRoot>, last: CommitIndex) {
        // An executor that is ahead of the chain is the shell's matter.
        if self.stopped || index > last {
            return;
        }
        // One that went back makes later roots anew.
        self.own.retain(|held, _| *held <= index);
        self.pending.retain(|held, _| *held <= index);
        self.executor = Some(index);
        if let Some(root) = root.filter(|_| self.tally.is_voted(index)) {
            let executed = ExecutedRoot { index, root };
            keep(&mut self.own, executed, MAX_OWN_ROOTS);
            if index > self.voted && self.tally.agreed(index).is_none() {
                keep(&mut self.pending, executed, usize::try_from(MAX_EXECUTED_ROOTS).unwrap_or(usize::MAX));
            }
        }
        self.compare();
    }

    /// Takes the votes of a commit that was formed.
    pub(crate) fn committed(&mut self, sub_dag: &CommittedSubDag) {
        for block in &sub_dag.blocks {
            self.observe(sub_dag.commit.index, block);
        }
        self.compare();
    }

    /// The votes of the next own block, rising by index.
    pub(crate) fn take_votes(&mut self) -> Vec<ExecutedRoot> {
        let pending = std::mem::take(&mut self.pending);
        self.voted = pending.last_key_value().map_or(self.voted, |(index, _)| *index);
        pending.into_iter().map(|(index, root)| ExecutedRoot { index, root }).collect()
    }

    /// What the next batch adds to the store, and whether that makes one due.
    pub(crate) fn take_records(&mut self) -> (RootRecords, bool) {
        (std::mem::take(&mut self.fresh), std::mem::take(&mut self.due))
    }

    /// The root agreed on at the highest index.
    pub(crate) fn agreed(&self) -> Option<ExecutedRoot> {
        self.tally.newest()
    }

    /// Why the executor is heard no more.
    pub(crate) fn contradiction(&self) -> Option<&RootContradiction> {
        self.evidence().filter(|_| self.stopped)
    }

    /// The last contradiction, of whatever life.
    pub(crate) const fn evidence(&self) -> Option<&RootContradiction> {
        self.contradiction.as_ref()
    }

    /// Votes that wait for a quorum, and own roots that wait for a block or for an agreed one.
    pub(crate) fn held(&self) -> usize {
        self.tally.open_len().saturating_add(self.own.len()).saturating_add(self.pending.len())
    }

    /// Votes by authors that had voted for another root at the same index.
    pub(crate) const fn conflicting(&self) -> u64 {
        self.tally.conflicting()
    }

    /// Votes for another root than the agreed one.
    pub(crate) const fn dissenting(&self) -> u64 {
        self.tally.dissenting()
    }

    fn observe(&mut self, carrier: CommitIndex, block: &VerifiedBlock) {
        let agreements = self.tally.observe(carrier, block);
        for agreement in agreements {
            // What is agreed on needs no more votes.
            self.pending.remove(&agreement.index);
            self.fresh.agreed.push(agreement);
        }
    }

    /// Compares own roots with those agreed on, whichever came first. What an earlier life voted for is compared once the
    /// executor has said that it still stands behind it.
    fn compare(&mut self) {
        if self.executor.is_none() || self.stopped {
            return;
        }
        let decided: Vec<_> = self
            .own
            .iter()
            .filter_map(|(index, root)| Some((*root, self.tally.agreed(*index)?.clone())))
            .collect();
        for (own, agreed) in decided {
            self.own.remove(&agreed.index);
            if own != agreed.root {
                self.contradict(RootContradiction { own, agreed });
                return;
            }
            if agreed.index > self.verified {
                self.verified = agreed.index;
                self.fresh.verified = Some(agreed.executed());
                // The next start must find that a contradiction is over.
                self.due |= self.open.take_if(|open| *open <= agreed.index).is_some();
            }
        }
    }

    fn contradict(&mut self, contradiction: RootContradiction) {
        self.own.clear();
        self.pending.clear();
        self.verified = CommitIndex::NONE;
        self.fresh.verified = None;
        self.fresh.contradiction = Some(contradiction.clone());
        self.contradiction = Some(contradiction);
        self.stopped = true;
        self.due = true;
    }
}

/// Keeps a root, and of all at most the `limit` highest.
fn keep(roots: &mut BTreeMap<CommitIndex, StateRoot>, executed: ExecutedRoot, limit: usize) {
    roots.insert(executed.index, executed.root);
    if roots.len() > limit {
        roots.pop_first();
    }
}

#[cfg(test)]
mod tests;
