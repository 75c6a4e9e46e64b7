//! When whom is asked for a missing block.
//!
//! A block may still come by itself for a tenth of the time-out; then the peer that named it is asked, then its author,
//! then the committee in turn, each after a time-out without an answer.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use crate::types::{AuthorityIndex, BlockRef, Timestamp};

/// Most references in one question.
const MAX_FETCH_BLOCKS: usize = 1000;
/// Most peers asked at one time.
const MAX_FETCHES_AT_ONCE: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Question {
    /// Who named the block first: that peer has it.
    holder: AuthorityIndex,
    attempts: u64,
    ask_at: Timestamp,
}

/// The questions for missing blocks, by when they are due. As many as there are missing blocks, which the waiting room
/// bounds.
#[derive(Debug)]
pub(crate) struct FetchSchedule {
    own: AuthorityIndex,
    authorities: u16,
    timeout: Duration,
    questions: BTreeMap<BlockRef, Question>,
    due: BTreeSet<(Timestamp, BlockRef)>,
}

impl FetchSchedule {
    /// An empty schedule of authority `own` in a committee of `authorities`.
    pub(crate) const fn new(own: AuthorityIndex, authorities: u16, timeout: Duration) -> Self {
        Self { own, authorities, timeout, questions: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Wants a block that `holder` has named; nothing changes where it is wanted already.
    pub(crate) fn want(&mut self, now: Timestamp, block: BlockRef, holder: AuthorityIndex) {
        let ask_at = now.plus(self.grace());
        if let Entry::Vacant(entry) = self.questions.entry(block) {
            entry.insert(Question { holder, attempts: 0, ask_at });
            self.due.insert((ask_at, block));
        }
    }

    /// No longer wants a block: it has come, or nobody needs it.
    pub(crate) fn forget(&mut self, block: &BlockRef) {
        if let Some(question) = self.questions.remove(block) {
            self.due.remove(&(question.ask_at, *block));
        }
    }

    /// The questions that are due, by peer; each is put again after the time-out.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<(AuthorityIndex, Vec<BlockRef>)> {
        let mut fetches: BTreeMap<AuthorityIndex, Vec<BlockRef>> = BTreeMap::new();
        while let Some((ask_at, block)) = self.due.first().copied().filter(|(ask_at, _)| *ask_at <= now) {
            self.due.remove(&(ask_at, block));
            let Some(question) = self.questions.get(&block).copied() else { continue };
            let peer = self.peer_to_ask(&block, &question);
            let has_room = peer.is_some_and(|peer| match fetches.get(&peer) {
                Some(blocks) => blocks.len() < MAX_FETCH_BLOCKS,
                None => fetches.len() < MAX_FETCHES_AT_ONCE,
            });
            let next = match peer {
                Some(peer) if has_room => {
                    fetches.entry(peer).or_default().push(block);
                    let attempts = question.attempts.saturating_add(1);
                    Question { attempts, ask_at: now.plus(self.timeout), ..question }
                }
                _ => Question { ask_at: now.plus(self.grace()), ..question },
            };
            self.questions.insert(block, next);
            self.due.insert((next.ask_at, block));
        }
        fetches.into_iter().collect()
    }

    /// Who was asked last for a block; nobody while it may still come by itself.
    pub(crate) fn asked(&self, block: &BlockRef) -> Vec<AuthorityIndex> {
        let last = self.questions.get(block).filter(|question| question.attempts > 0).and_then(|question| {
            let attempts = question.attempts.saturating_sub(1);
            self.peer_to_ask(block, &Question { attempts, ..*question })
        });
        last.into_iter().collect()
    }

    /// When the next question is due.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(ask_at, _)| *ask_at)
    }

    /// How long a block may still come by itself, and how long a question waits that found no place. Never zero, so that
    /// a question that is put off leaves the present.
    fn grace(&self) -> Duration {
        self.timeout.checked_div(10).unwrap_or_default().max(Duration::from_millis(1))
    }

    /// `None` in a committee of one.
    fn peer_to_ask(&self, block: &BlockRef, question: &Question) -> Option<AuthorityIndex> {
        let first = (question.attempts == 0).then_some(question.holder);
        let start = u64::from(block.author.get()).saturating_add(question.attempts.saturating_sub(1));
        let around = (0..u64::from(self.authorities)).filter_map(|step| {
            let place = start.saturating_add(step).checked_rem(u64::from(self.authorities))?;
            u16::try_from(place).ok().map(AuthorityIndex::new)
        });
        first.into_iter().chain(around).find(|peer| *peer != self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BlockDigest, Round};

    fn block(number: u64, author: u16) -> BlockRef {
        BlockRef {
            round: Round::new(number),
            author: AuthorityIndex::new(author),
            digest: BlockDigest::new([7; 32]),
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Authority 0 of 4 with a time-out of 500 ms.
    fn schedule() -> FetchSchedule {
        FetchSchedule::new(AuthorityIndex::new(0), 4, Duration::from_millis(500))
    }

    #[test]
    fn the_holder_is_asked_then_the_author_then_the_others_in_turn() {
        let mut schedule = schedule();
        schedule.want(at(0), block(5, 2), AuthorityIndex::new(1));
        assert_eq!(schedule.due(at(49)), []);
        let mut asked = Vec::new();
        let mut now = at(50);
        for _ in 0..5 {
            assert_eq!(schedule.next_deadline(), Some(now));
            let fetches = schedule.due(now);
            assert_eq!(fetches.len(), 1);
            asked.push(fetches[0].0.get());
            assert_eq!(schedule.due(now), [], "one question at a time");
            now = now.plus(Duration::from_millis(500));
        }
        assert_eq!(asked, [1, 2, 3, 1, 1], "never authority 0 itself");
    }

    #[test]
    fn what_is_forgotten_is_never_asked_for() {
        let mut schedule = schedule();
        schedule.want(at(0), block(5, 2), AuthorityIndex::new(1));
        schedule.forget(&block(5, 2));
        assert_eq!(schedule.next_deadline(), None);
        assert_eq!(schedule.due(at(10_000)), []);
    }

    #[test]
    fn a_question_has_at_most_a_thousand_blocks_and_the_rest_comes_soon() {
        let mut schedule = schedule();
        for number in 1..=1_001 {
            schedule.want(at(0), block(number, 2), AuthorityIndex::new(1));
        }
        let fetches = schedule.due(at(50));
        assert_eq!(
            fetches.iter().map(|(peer, blocks)| (peer.get(), blocks.len())).collect::<Vec<_>>(),
            [(1, 1_000)]
        );
        assert_eq!(schedule.next_deadline(), Some(at(100)), "never in the present: the driver would spin");
        assert_eq!(schedule.due(at(100)), [(AuthorityIndex::new(1), vec![block(1_001, 2)])]);
    }

    #[test]
    fn at_most_sixteen_peers_are_asked_at_a_time() {
        let mut schedule = FetchSchedule::new(AuthorityIndex::new(0), 40, Duration::from_millis(500));
        for author in 1..=17 {
            schedule.want(at(0), block(5, author), AuthorityIndex::new(author));
        }
        assert_eq!(schedule.due(at(50)).len(), 16);
        assert_eq!(schedule.due(at(100)), [(AuthorityIndex::new(17), vec![block(5, 17)])]);
    }

    #[test]
    fn a_committee_of_one_asks_nobody() {
        let mut schedule = FetchSchedule::new(AuthorityIndex::new(0), 1, Duration::from_millis(500));
        schedule.want(at(0), block(5, 0), AuthorityIndex::new(0));
        assert_eq!(schedule.due(at(1_000)), []);
    }
}
