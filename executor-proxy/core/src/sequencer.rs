//! The machine.

use thiserror::Error;

use crate::{
    names::{Authority, ChainId, Digest, Incarnation, StreamId},
    params::{Params, ParamsError},
    recent::Recent,
    refusal::Refusal,
    window::Window,
};

/// A commit by index and digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Commit index; 0 stands before the first.
    pub index: u64,
    /// Its digest; all zero at index 0.
    pub digest: Digest,
}

impl Position {
    /// Before the first commit.
    pub const GENESIS: Self = Self { index: 0, digest: Digest::ZERO };
}

/// What the shell read from its store.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The executor's chain.
    pub chain_id: ChainId,
    /// The recorded authority; `None` before the first opening.
    pub authority: Option<Authority>,
    /// The incarnation in force; 0 before the first opening.
    pub incarnation: Incarnation,
    /// The epoch in force.
    pub epoch: u64,
    /// Last commit executed. Digests of those before it are asked of the store.
    pub executed: Position,
}

/// What decides of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Commit index, from 1.
    pub index: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Digest of commit `index - 1`.
    pub previous_digest: Digest,
    /// Its digest.
    pub digest: Digest,
    /// Its size in memory, which counts against the window.
    pub size_bytes: u64,
}

/// What to do with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Execute it next. It counts as in flight from now on.
    Execute,
    /// Executed before: drop it, and acknowledge it as the first time.
    Duplicate,
    /// In flight already: drop it; the acknowledgement of the first comes.
    Pending,
    /// There is no room in the window: ask again after [`Sequencer::executed_one`].
    Wait,
}

/// The backend reported an execution that was not the oldest in flight; a bug of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("commit {index} was reported as executed, which is not the oldest in flight")]
pub struct ExecutedOutOfOrder {
    /// The index reported.
    pub index: u64,
}

/// Order and exactly-once.
#[derive(Clone, Debug)]
pub struct Sequencer {
    pub(crate) chain_id: ChainId,
    pub(crate) authority: Option<Authority>,
    pub(crate) incarnation: Incarnation,
    pub(crate) epoch: u64,
    pub(crate) stream: Option<StreamId>,
    pub(crate) last_stream: StreamId,
    recent: Recent,
    window: Window,
}

impl Sequencer {
    /// Starts from what is durable; no stream is open.
    ///
    /// # Errors
    /// [`ParamsError`] for a bound out of its range.
    pub fn recover(params: &Params, recovered: Recovered) -> Result<Self, ParamsError> {
        params.check()?;
        let capacity = usize::try_from(params.resend_window).unwrap_or(usize::MAX);
        let recent = Recent::new(capacity, recovered.executed);
        Ok(Self {
            chain_id: recovered.chain_id,
            authority: recovered.authority,
            incarnation: recovered.incarnation,
            epoch: recovered.epoch,
            stream: None,
            last_stream: StreamId(0),
            recent,
            window: Window::new(params),
        })
    }

    /// Decides of a commit. `stored` is the digest that the store holds at its index, where
    /// [`Sequencer::needs_stored`] asks for it.
    ///
    /// # Errors
    /// In this order: `Fenced` for a stream that is not the open one, `Malformed` for index 0; at an index that is known, `Fork`
    /// for another digest; `Gap` for an index that is not next, or so old that nobody knows its digest; `Fork` at the
    /// index before for another predecessor; `WrongEpoch`.
    pub fn commit(
        &mut self,
        stream: StreamId,
        header: &Header,
        stored: Option<Digest>,
    ) -> Result<Decision, Refusal> {
        if self.stream != Some(stream) {
            return Err(Refusal::Fenced { incarnation: self.incarnation });
        }
        if header.index == 0 {
            return Err(Refusal::Malformed { field: "commit.index", value: 0 });
        }
        let (executed, accepted) = (self.executed(), self.accepted());
        let expected = accepted.index.saturating_add(1);
        let gap = Refusal::Gap { expected, index: header.index };
        if header.index <= accepted.index {
            return match self.digest_at(header.index, stored) {
                None => Err(gap),
                Some(ours) if ours != header.digest => {
                    Err(Refusal::Fork { index: header.index, ours, theirs: header.digest })
                }
                Some(_) if header.index <= executed.index => Ok(Decision::Duplicate),
                Some(_) => Ok(Decision::Pending),
            };
        }
        if header.index != expected {
            return Err(gap);
        }
        if header.previous_digest != accepted.digest {
            let (ours, theirs) = (accepted.digest, header.previous_digest);
            return Err(Refusal::Fork { index: accepted.index, ours, theirs });
        }
        if header.epoch != self.epoch {
            return Err(Refusal::WrongEpoch { ours: self.epoch, theirs: header.epoch });
        }
        if !self.window.has_room_for(header.size_bytes) {
            return Ok(Decision::Wait);
        }
        self.window.push(header.digest, header.size_bytes);
        Ok(Decision::Execute)
    }

    /// The oldest commit in flight is executed, durably.
    ///
    /// # Errors
    /// [`ExecutedOutOfOrder`], with nothing changed, for any other commit.
    pub fn executed_one(&mut self, position: Position) -> Result<(), ExecutedOutOfOrder> {
        let next = self.executed().index.checked_add(1) == Some(position.index);
        if !next || self.window.front() != Some(position.digest) {
            return Err(ExecutedOutOfOrder { index: position.index });
        }
        self.window.pop();
        self.recent.push(position);
        Ok(())
    }

    /// A stream ended by itself. What it sent stays in flight.
    pub fn close(&mut self, stream: StreamId) {
        if self.stream == Some(stream) {
            self.stream = None;
        }
    }

    /// True where the digest at this index must be read from the store for a call that is about it.
    #[must_use]
    pub fn needs_stored(&self, index: u64) -> bool {
        index <= self.executed().index && self.recent.get(index).is_none()
    }

    /// Last commit executed, durably: the cursor.
    #[must_use]
    pub const fn executed(&self) -> Position {
        self.recent.newest()
    }

    /// Last commit let through.
    #[must_use]
    pub fn accepted(&self) -> Position {
        self.window.tip(self.executed())
    }

    /// Commits let through and not executed yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.window.count()
    }

    /// Their bytes.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> u64 {
        self.window.size_bytes()
    }

    /// The open stream.
    #[must_use]
    pub const fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// The incarnation in force; 0 before the first opening.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The epoch in force.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Digest at an index up to the accepted one, if anybody knows it.
    pub(crate) fn digest_at(&self, index: u64, stored: Option<Digest>) -> Option<Digest> {
        let executed = self.executed();
        if index > executed.index {
            return self.window.get(executed, index);
        }
        self.recent.get(index).or(stored)
    }
}
