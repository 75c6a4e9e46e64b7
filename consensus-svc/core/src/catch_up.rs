//! Catch-up by certified commits: when, whom to ask, and when it is over.
//!
//! Begins when blocks of the validity threshold are seen more than half of `gc_depth` above the own clock, or when nobody
//! serves an ancestor on which waiting blocks of that stake rest; never on a commit index, and never on one
//! author's word. One range is asked for at a time, of one peer after the other. Over when a quorum, own stake included,
//! has shown no certified commit above the own last one; what is left is fetched as ancestors.

pub mod range;
pub mod serving;

use std::time::Duration;

use crate::{
    committee::{Committee, Tally},
    types::{AuthorityIndex, CommitIndex, Timestamp},
};

/// One question for a range.
#[derive(Clone, Copy, Debug)]
struct Question {
    peer: AuthorityIndex,
    until: Timestamp,
}

/// A catch-up under way.
#[derive(Debug)]
struct Running {
    question: Option<Question>,
    /// When the next question may be put.
    ask_at: Timestamp,
    /// By authority, the highest certified commit that it has shown.
    shown: Vec<Option<CommitIndex>>,
}

/// Whether this node catches up, and how far it is.
#[derive(Debug)]
pub(crate) struct CatchUp {
    own: AuthorityIndex,
    timeout: Duration,
    running: Option<Running>,
    /// Place of the next peer to ask.
    next_place: usize,
    /// None begins before: what is left after one is fetched as ancestors, which takes a while.
    not_before: Timestamp,
    begun: u64,
    ranges: u64,
}

impl CatchUp {
    /// None under way. A range is larger than other answers: its peer has four times `fetch_timeout`.
    pub(crate) fn new(own: AuthorityIndex, fetch_timeout: Duration) -> Self {
        Self {
            own,
            timeout: fetch_timeout.saturating_mul(4),
            running: None,
            // The peer after this one first, so that not all ask the same.
            next_place: own.as_usize(),
            not_before: Timestamp::from_millis(0),
            begun: 0,
            ranges: 0,
        }
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Catch-ups begun since the start.
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// Ranges applied since the start.
    pub(crate) const fn ranges(&self) -> u64 {
        self.ranges
    }

    /// Whether one may begin, if there is a reason.
    pub(crate) fn may_begin(&self, now: Timestamp) -> bool {
        self.running.is_none() && now >= self.not_before
    }

    pub(crate) fn begin(&mut self, now: Timestamp, committee: &Committee) {
        self.begun = self.begun.saturating_add(1);
        self.running = Some(Running { question: None, ask_at: now, shown: vec![None; committee.size()] });
    }

    /// The peer to ask now for what follows `last`, if a question is due.
    pub(crate) fn due(
        &mut self,
        now: Timestamp,
        committee: &Committee,
        last: CommitIndex,
    ) -> Option<AuthorityIndex> {
        let timeout = self.timeout;
        let running = self.running.as_mut()?;
        let is_waiting = running.question.is_some_and(|question| now < question.until);
        if is_waiting || now < running.ask_at {
            return None;
        }
        let shown = |peer: AuthorityIndex| running.shown.get(peer.as_usize()).copied().flatten();
        let own = self.own;
        let start = self.next_place;
        let around = || committee.indexes().cycle().skip(start.saturating_add(1)).take(committee.size());
        let is_new = |peer: &AuthorityIndex| shown(*peer).is_none_or(|shown| shown > last);
        // Those that have nothing more are asked again only if nobody else is left.
        let others = || around().filter(|peer| *peer != own);
        let peer = others().find(is_new).or_else(|| others().next())?;
        self.next_place = peer.as_usize();
        running.question = Some(Question { peer, until: now.plus(timeout) });
        Some(peer)
    }

    /// A peer has answered: `highest` is the last certified commit that it says to have.
    pub(crate) fn answered(&mut self, now: Timestamp, from: AuthorityIndex, highest: CommitIndex) {
        let Some(running) = self.running.as_mut() else { return };
        if let Some(shown) = running.shown.get_mut(from.as_usize()) {
            *shown = Some(highest);
        }
        if running.question.is_some_and(|question| question.peer == from) {
            running.question = None;
            running.ask_at = now;
        }
    }

    /// A range was applied.
    pub(crate) const fn applied(&mut self) {
        self.ranges = self.ranges.saturating_add(1);
    }

    /// A peer has not answered, or has sent what is no range: another one is asked after a moment.
    pub(crate) fn failed(&mut self, now: Timestamp, from: AuthorityIndex) {
        let pause = self.pause();
        let Some(running) = self.running.as_mut() else { return };
        if running.question.is_some_and(|question| question.peer == from) {
            running.question = None;
            running.ask_at = now.plus(pause);
        }
    }

    /// Ends it if a quorum has shown nothing above `last`.
    pub(crate) fn end_if_shown(&mut self, now: Timestamp, committee: &Committee, last: CommitIndex) {
        let Some(running) = &self.running else { return };
        let mut behind = Tally::new(committee);
        behind.add(committee, self.own);
        for (authority, shown) in committee.indexes().zip(&running.shown) {
            if shown.is_some_and(|shown| shown <= last) {
                behind.add(committee, authority);
            }
        }
        if behind.is_quorum(committee) {
            self.running = None;
            self.not_before = now.plus(self.timeout);
        }
    }

    /// When the next question is due; without one under way, when the next may begin.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let running = self.running.as_ref();
        running.map_or(self.not_before, |running| {
            running.question.map_or(running.ask_at, |question| question.until)
        })
    }

    /// Never zero, so that a peer which refuses at once is not asked in the same moment for ever.
    fn pause(&self) -> Duration {
        self.timeout.checked_div(10).unwrap_or_default().max(Duration::from_millis(1))
    }
}
