//! From one epoch to the next.

use crate::{
    names::Digest,
    refusal::Refusal,
    sequencer::{Position, Sequencer},
};

/// The boundary that consensus decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The epoch that begins.
    pub new_epoch: u64,
    /// Last commit of the epoch that ends.
    pub last: Position,
}

/// What a boundary asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochStep {
    /// The epoch is in force already.
    InForce,
    /// Make it durable, then call [`Sequencer::epoch_advanced`].
    Advance,
}

impl Sequencer {
    /// Decides of a boundary. `stored` as for a commit at its index.
    ///
    /// # Errors
    /// `WrongEpoch` unless the new epoch is the current one or the next, `Gap` before the boundary is executed,
    /// `Fork` where another commit stands there, `BeyondBoundary` where commits after it were let through.
    pub fn advance_epoch(&self, boundary: &Boundary, stored: Option<Digest>) -> Result<EpochStep, Refusal> {
        let (ours, theirs) = (self.epoch, boundary.new_epoch);
        if ours == theirs {
            return Ok(EpochStep::InForce);
        }
        if ours.checked_add(1) != Some(theirs) {
            return Err(Refusal::WrongEpoch { ours, theirs });
        }
        let (executed, last) = (self.executed(), boundary.last);
        if last.index > executed.index {
            return Err(Refusal::Gap { expected: executed.index.saturating_add(1), index: last.index });
        }
        if let Some(ours) = self.digest_at(last.index, stored)
            && ours != last.digest
        {
            return Err(Refusal::Fork { index: last.index, ours, theirs: last.digest });
        }
        let accepted = self.accepted().index;
        if last.index < accepted {
            return Err(Refusal::BeyondBoundary { boundary: last.index, accepted });
        }
        Ok(EpochStep::Advance)
    }

    /// The next epoch is durable.
    pub const fn epoch_advanced(&mut self, epoch: u64) {
        self.epoch = epoch;
    }
}
