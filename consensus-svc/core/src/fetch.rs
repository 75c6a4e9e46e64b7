//! A question for missing blocks, and how it ends.

use crate::types::{AuthorityIndex, BlockRef, Round};

/// Names a question, so that its end finds the way back. Chosen by the machine, never used twice in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchId(pub u64);

/// A question for blocks by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back with the end.
    pub id: FetchId,
    /// Whom to ask.
    pub peer: AuthorityIndex,
    /// What to ask for; 1 to 1000, no two alike.
    pub blocks: Vec<BlockRef>,
    /// By authority, a round up to which the asker needs no ancestors: a hint, so that an answer can carry those above it.
    pub held: Vec<Round>,
}

/// How a question ended. What came of it stands in [`Input::Blocks`](crate::Input::Blocks) before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEnd {
    /// The peer has answered all of it: what has not come it does not hold.
    Answered,
    /// No connection, a refusal, an answer that was at fault, or none at all.
    Failed,
}

/// How the questions for blocks have gone since the start. Observed only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchStatus {
    /// Questions that peers still have time to answer.
    pub under_way: usize,
    /// Questions put.
    pub asked_total: u64,
    /// ... that brought at least one of the blocks.
    pub useful_total: u64,
    /// ... that brought none of them.
    pub empty_total: u64,
    /// ... that failed.
    pub failed_total: u64,
    /// ... that were not answered within the time-out. They may be answered still.
    pub overdue_total: u64,
    /// Blocks that a second peer was asked for while the question to the first was overdue.
    pub hedged_total: u64,
    /// Blocks that were given up, together with those that named them.
    pub given_up_total: u64,
}
