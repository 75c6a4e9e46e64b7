//! Where the leader schedule stands after a closing commit.

use crate::{committee::Committee, swap_table::SwapTable, types::Round};

/// Where the leader schedule stands after a closing commit: stored with it, and the same at every authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// First round of the window, and the first under `table`; 1 before the first switch.
    pub since: Round,
    /// The table in force.
    pub table: SwapTable,
    /// The table of the rounds before: further slots of the commit's last round may still be open under it.
    pub previous: SwapTable,
    /// Points of the window by authority; empty before the first commit.
    pub scores: Vec<u128>,
}

impl Default for ScheduleState {
    fn default() -> Self {
        let (table, previous) = (SwapTable::default(), SwapTable::default());
        Self { since: Round::FIRST, table, previous, scores: Vec::new() }
    }
}

impl ScheduleState {
    /// Whether it can stand after a commit of this committee whose last leader is of `last_leader_round`.
    pub(crate) fn fits(&self, committee: &Committee, last_leader_round: Round) -> bool {
        (Round::FIRST..=last_leader_round.next()).contains(&self.since)
            && self.table.fits(committee)
            && self.previous.fits(committee)
            && self.scores.len() == committee.size()
    }
}
