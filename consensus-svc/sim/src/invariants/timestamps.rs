//! Timestamps: a commit's time never falls, and lies between the lowest and the highest time that honest parents of its
//! last leader carry, whatever the others say (protocol, Timestamp; F02).

use std::{collections::BTreeMap, sync::Arc};

use consensus_core::{BlockRef, Genesis, Round, Timestamp};

use super::{Invariant, Record};

#[derive(Clone, Debug)]
struct Seen {
    honest: bool,
    timestamp: Timestamp,
    parents: Vec<BlockRef>,
}

/// All blocks that were ever sent, and the time of the last commit.
#[derive(Debug)]
pub(crate) struct Timestamps {
    genesis: Arc<Genesis>,
    max_skew_ms: u64,
    sent: BTreeMap<BlockRef, Seen>,
    last: (u64, Timestamp),
}

impl Timestamps {
    pub(crate) fn new(genesis: Arc<Genesis>, max_skew_ms: u64) -> Self {
        let last = (0, genesis.timestamp());
        Self { genesis, max_skew_ms, sent: BTreeMap::new(), last }
    }

    /// Least and greatest honest time among the parents of a leader.
    fn honest_range(&self, leader: &BlockRef) -> Option<(Timestamp, Timestamp)> {
        if leader.round == Round::FIRST {
            return Some((self.genesis.timestamp(), self.genesis.timestamp()));
        }
        let parents = &self.sent.get(leader)?.parents;
        let times = parents.iter().filter_map(|parent| self.sent.get(parent));
        let times: Vec<_> = times.filter(|seen| seen.honest).map(|seen| seen.timestamp).collect();
        Some((*times.iter().min()?, *times.iter().max()?))
    }
}

impl Invariant for Timestamps {
    fn name(&self) -> &'static str {
        "timestamps"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Sent { honest, block, .. } => {
                let parents = block.ancestors().iter().filter(|parent| parent.round.next() == block.round());
                let timestamp = block.block().timestamp;
                let seen = Seen { honest: *honest, timestamp, parents: parents.copied().collect() };
                self.sent.insert(block.reference(), seen);
            }
            Record::Delivered { at_ms, sub_dag, .. } if sub_dag.commit.index.get() == self.last.0 + 1 => {
                let (commit, previous) = (&sub_dag.commit, self.last.1);
                self.last = (commit.index.get(), commit.timestamp);
                if commit.timestamp < previous {
                    return Err(format!("the time of commit {} falls", commit.index));
                }
                let latest = self.genesis.timestamp().as_millis() + at_ms + self.max_skew_ms;
                if commit.timestamp.as_millis() > latest {
                    return Err(format!("commit {} is from the future", commit.index));
                }
                let Some((low, high)) = commit.leaders.last().and_then(|leader| self.honest_range(leader))
                else {
                    return Err(format!("the leader of commit {} has no honest parent", commit.index));
                };
                if commit.timestamp < previous.max(low) || commit.timestamp > previous.max(high) {
                    return Err(format!(
                        "commit {} has time {}, honest parents have {low} to {high}",
                        commit.index, commit.timestamp
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
