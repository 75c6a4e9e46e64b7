//! Digests of the newest executed commits.

use std::collections::VecDeque;

use crate::{names::Digest, sequencer::Position};

/// Digests of consecutive commits that end at the executed position. Holds at most the resend window.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    capacity: usize,
    newest: Position,
    /// Oldest first; the last is that of `newest`.
    digests: VecDeque<Digest>,
}

impl Recent {
    pub(crate) fn new(capacity: usize, newest: Position) -> Self {
        Self { capacity, newest, digests: VecDeque::from([newest.digest]) }
    }

    pub(crate) fn push(&mut self, position: Position) {
        self.newest = position;
        self.digests.push_back(position.digest);
        while self.digests.len() > self.capacity {
            self.digests.pop_front();
        }
    }

    pub(crate) const fn newest(&self) -> Position {
        self.newest
    }

    /// Digest at an index, where it is held.
    pub(crate) fn get(&self, index: u64) -> Option<Digest> {
        if index == 0 {
            return Some(Digest::ZERO);
        }
        let offset = usize::try_from(index.checked_sub(self.earliest())?).ok()?;
        self.digests.get(offset).copied()
    }

    fn earliest(&self) -> u64 {
        let older = self.digests.len().saturating_sub(1);
        self.newest.index.saturating_sub(u64::try_from(older).unwrap_or(u64::MAX))
    }
}
