//! What each author's blocks may cost in questions.
//!
//! An author whose blocks name ancestors that nobody holds costs all others' questions. So each has an allowance of its
//! own: what is asked for on its account and did not come is a debt that fades with time, and who is deep in debt waits,
//! behind nobody else. What comes costs nothing.

use std::{collections::BTreeSet, time::Duration};

use crate::types::{AuthorityIndex, BlockRef, Timestamp};

/// Blocks that may be under way or owed on one author's account.
pub(super) const ALLOWANCE: u64 = 1000;
/// How much of a debt fades in one time-out.
const FADES: u64 = 250;
/// From this debt on an author's questions are gathered, so that they are few.
const GATHERED_FROM: u64 = 125;

#[derive(Debug, Default)]
struct Namer {
    /// What is to be asked for on its account, by when.
    queue: BTreeSet<(Timestamp, BlockRef)>,
    under_way: u64,
    debt: u64,
    /// Up to when the debt has faded.
    settled: Timestamp,
    /// No question before, for those that are owed.
    not_before: Timestamp,
    /// No question before: whoever could be asked is busy.
    busy_until: Timestamp,
}

/// The accounts of all authorities.
#[derive(Debug)]
pub(super) struct Namers {
    namers: Vec<Namer>,
    timeout_ms: u64,
    grace: Duration,
}

impl Namers {
    pub(super) fn new(authorities: u16, timeout: Duration, grace: Duration) -> Self {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { namers: (0..authorities).map(|_| Namer::default()).collect(), timeout_ms, grace }
    }

    pub(super) fn enqueue(&mut self, namer: AuthorityIndex, at: Timestamp, block: BlockRef) {
        if let Some(namer) = self.get(namer) {
            namer.queue.insert((at, block));
        }
    }

    pub(super) fn dequeue(&mut self, namer: AuthorityIndex, at: Timestamp, block: BlockRef) {
        if let Some(namer) = self.get(namer) {
            namer.queue.remove(&(at, block));
        }
    }

    /// Lets debts fade.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for namer in &mut self.namers {
            let elapsed_ms = u64::try_from(now.since(namer.settled).as_millis()).unwrap_or(u64::MAX);
            let faded = elapsed_ms.saturating_mul(FADES).checked_div(self.timeout_ms).unwrap_or_default();
            if faded > 0 || namer.debt == 0 {
                namer.debt = namer.debt.saturating_sub(faded);
                namer.settled = now;
            }
        }
    }

    /// The first block that may be asked for now on this author's account.
    pub(super) fn first_due(&self, namer: AuthorityIndex, now: Timestamp) -> Option<BlockRef> {
        let namer = self.namers.get(namer.as_usize())?;
        let is_free = namer.has_allowance() && namer.not_before.max(namer.busy_until) <= now;
        namer.queue.first().filter(|(at, _)| is_free && *at <= now).map(|(_, block)| *block)
    }

    /// A block is asked for on this author's account.
    pub(super) fn asked(&mut self, namer: AuthorityIndex) {
        if let Some(namer) = self.get(namer) {
            namer.under_way = namer.under_way.saturating_add(1);
        }
    }

    /// A question for a block has ended, or is overdue.
    pub(super) fn ended(&mut self, namer: AuthorityIndex, now: Timestamp, came: bool) {
        let gathered_until = now.plus(self.grace);
        if let Some(namer) = self.get(namer) {
            namer.under_way = namer.under_way.saturating_sub(1);
            if !came {
                namer.debt = namer.debt.saturating_add(1);
                if namer.debt >= GATHERED_FROM {
                    namer.not_before = gathered_until;
                }
            }
        }
    }

    /// Nobody can take this author's next question.
    pub(super) fn wait(&mut self, namer: AuthorityIndex, until: Timestamp) {
        if let Some(namer) = self.get(namer) {
            namer.busy_until = until;
        }
    }

    /// Somebody can take a question again.
    pub(super) fn wake(&mut self) {
        for namer in &mut self.namers {
            namer.busy_until = Timestamp::default();
        }
    }

    /// When the next question may be put. After a look at all that was due it is never in the past.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.namers.iter().filter_map(|namer| namer.next_deadline(self.grace)).min()
    }

    fn get(&mut self, namer: AuthorityIndex) -> Option<&mut Namer> {
        self.namers.get_mut(namer.as_usize())
    }
}

impl Namer {
    const fn has_allowance(&self) -> bool {
        self.debt.saturating_add(self.under_way) < ALLOWANCE
    }

    fn next_deadline(&self, grace: Duration) -> Option<Timestamp> {
        let (at, _) = self.queue.first()?;
        let at = (*at).max(self.not_before).max(self.busy_until);
        match (self.has_allowance(), self.debt) {
            (true, _) => Some(at),
            // The end of a question is what it waits for.
            (false, 0) => None,
            (false, _) => Some(at.max(self.settled.plus(grace))),
        }
    }
}
