//! Leader schedule: what honest nodes store with a closing commit is the same at each index, and is what follows from the
//! commits alone (protocol, Leader schedule; F04).
//!
//! It is computed here a second time, forward over the whole chain and never recovered.

use std::{collections::BTreeMap, sync::Arc};

use consensus_core::{CommitIndex, Genesis, Reputation, ScheduleState};

use super::{Invariant, Kind, Record};

/// The schedule after each commit of the chain, and what nodes have stored.
#[derive(Debug)]
pub(crate) struct Schedule {
    reputation: Reputation,
    /// After each commit, from index 1.
    computed: Vec<ScheduleState>,
    /// The first that was stored with each commit, and who did.
    stored: BTreeMap<CommitIndex, (ScheduleState, usize)>,
}

impl Schedule {
    pub(crate) fn new(genesis: Arc<Genesis>) -> Self {
        Self { reputation: Reputation::new(genesis), computed: Vec::new(), stored: BTreeMap::new() }
    }

    /// Compares what was stored with what was computed, once both are there.
    fn judge(&self, index: CommitIndex) -> Result<(), String> {
        let place = usize::try_from(index.get()).unwrap_or(0).wrapping_sub(1);
        match (self.computed.get(place), self.stored.get(&index)) {
            (Some(computed), Some((stored, node))) if computed != stored => {
                Err(format!("at commit {index} node {node} has {stored:?}, the commits make {computed:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for Schedule {
    fn name(&self) -> &'static str {
        "schedule"
    }

    fn kind(&self) -> Kind {
        Kind::Diverged
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Stored { node, progress, .. } if progress.last_commit > CommitIndex::NONE => {
                let index = progress.last_commit;
                let (first, by) =
                    self.stored.entry(index).or_insert_with(|| (progress.schedule.clone(), *node));
                if *first != progress.schedule {
                    let other = &progress.schedule;
                    return Err(format!("at commit {index} node {by} has {first:?}, node {node} {other:?}"));
                }
                self.judge(index)
            }
            Record::Delivered { sub_dag, .. }
                if sub_dag.commit.index.get() == self.computed.len() as u64 + 1 =>
            {
                self.reputation.note_commit(sub_dag);
                self.computed.push(self.reputation.state());
                self.judge(sub_dag.commit.index)
            }
            _ => Ok(()),
        }
    }
}
