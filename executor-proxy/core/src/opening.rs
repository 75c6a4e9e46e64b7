//! Who may send: leases, incarnations and streams.

use crate::{
    names::{Authority, ChainId, Digest, Incarnation, StreamId},
    refusal::Refusal,
    sequencer::{Position, Sequencer},
};

/// How far above the one in force a named incarnation may be. It is above at all where this executor was restored from an
/// older state; one that is far above was never issued, and would lock out all that come later.
pub const MAX_INCARNATION_LEAD: u64 = 1 << 20;

/// How a sender introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its chain.
    pub chain_id: ChainId,
    /// Its protocol key.
    pub authority: Authority,
    /// The incarnation that it was issued; 0 asks for a new one.
    pub incarnation: u64,
    /// Where it takes up: the position that the executor reported.
    pub after: Position,
}

/// What must be durable before the opening is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The authority that the executor belongs to.
    pub authority: Authority,
    /// The incarnation in force.
    pub incarnation: Incarnation,
}

/// The stream is open; every older one has ended.
///
/// The shell answers it when the lease is durable and nothing is in flight any more, so that whatever is sent on the new
/// stream is judged against what is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The new stream.
    pub stream: StreamId,
    /// The stream that it ended, if one was open.
    pub ended: Option<StreamId>,
    /// The incarnation in force.
    pub incarnation: Incarnation,
    /// What to make durable first; `None` where it is already.
    pub persist: Option<LeaseRecord>,
}

impl Sequencer {
    /// Decides of an opening. `stored` is the digest that the store holds at `opening.after`, where
    /// [`Sequencer::needs_stored`] asks for it.
    ///
    /// # Errors
    /// `WrongChain`, `WrongAuthority`, `Malformed` for an incarnation out of range, `Fenced` for one below that in force,
    /// `Fork` where the position holds another digest, `Gap` where it is ahead of what was let through, or so far behind that
    /// nobody knows its digest. The earlier stream then goes on.
    pub fn open(&mut self, opening: &Opening, stored: Option<Digest>) -> Result<Opened, Refusal> {
        self.check_sender(opening)?;
        let incarnation = self.lease(opening.incarnation)?;
        self.check_after(opening.after, stored)?;
        Ok(self.opened(opening.authority, incarnation))
    }

    /// What [`Sequencer::open`] decides but for the lease: for an executor that issues incarnations itself, before it is
    /// asked for one.
    ///
    /// # Errors
    /// As [`Sequencer::open`], without `Malformed` and `Fenced`.
    pub fn check_opening(&self, opening: &Opening, stored: Option<Digest>) -> Result<(), Refusal> {
        self.check_sender(opening)?;
        self.check_after(opening.after, stored)
    }

    /// Opens under an incarnation that the executor issued, once [`Sequencer::check_opening`] has let the opening pass.
    /// Nothing is left to be made durable here.
    pub fn open_issued(&mut self, opening: &Opening, incarnation: Incarnation) -> Opened {
        Opened { persist: None, ..self.opened(opening.authority, incarnation) }
    }

    fn opened(&mut self, authority: Authority, incarnation: Incarnation) -> Opened {
        let changed = self.incarnation != incarnation || self.authority.is_none();
        let record = LeaseRecord { authority, incarnation };
        self.incarnation = incarnation;
        self.authority = Some(authority);
        self.last_stream = StreamId(self.last_stream.0.saturating_add(1));
        let stream = self.last_stream;
        let ended = self.stream.replace(stream);
        Opened { stream, ended, incarnation, persist: changed.then_some(record) }
    }

    fn check_sender(&self, opening: &Opening) -> Result<(), Refusal> {
        let (ours, theirs) = (self.chain_id, opening.chain_id);
        if ours != theirs {
            return Err(Refusal::WrongChain { ours, theirs });
        }
        match self.authority {
            Some(ours) if ours != opening.authority => {
                Err(Refusal::WrongAuthority { ours, theirs: opening.authority })
            }
            _ => Ok(()),
        }
    }

    /// Order is by incarnation alone: 0 is issued the next, the one in force and higher ones pass.
    fn lease(&self, asked: u64) -> Result<Incarnation, Refusal> {
        let malformed = |value| Refusal::Malformed { field: "lease.incarnation", value };
        match asked {
            0 => self.incarnation.0.checked_add(1).map(Incarnation).ok_or(malformed(asked)),
            asked if asked > self.incarnation.0.saturating_add(MAX_INCARNATION_LEAD) => Err(malformed(asked)),
            asked if asked < self.incarnation.0 => Err(Refusal::Fenced { incarnation: self.incarnation }),
            asked => Ok(Incarnation(asked)),
        }
    }

    fn check_after(&self, after: Position, stored: Option<Digest>) -> Result<(), Refusal> {
        let gap = |expected: u64| Refusal::Gap { expected, index: after.index.saturating_add(1) };
        let accepted = self.accepted();
        if after.index > accepted.index {
            return Err(gap(accepted.index.saturating_add(1)));
        }
        match self.digest_at(after.index, stored) {
            None => Err(gap(self.executed().index.saturating_add(1))),
            Some(ours) if ours != after.digest => {
                Err(Refusal::Fork { index: after.index, ours, theirs: after.digest })
            }
            Some(_) => Ok(()),
        }
    }
}
