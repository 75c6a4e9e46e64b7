//! Who answers, who does not: the order in which peers are asked.
//!
//! A peer's record is a penalty from 0 to 64 that halves with every useful answer and with time. It orders peers and
//! excludes nobody.

use std::time::Duration;

use crate::types::{AuthorityIndex, Timestamp};

/// Highest penalty.
const MAX_PENALTY: u32 = 64;
/// From here on a peer is asked after all others, even for what it has itself named.
const LAST_FROM: u32 = 16;
/// Not to hold what somebody else named is no fault: it never makes a peer one that is asked last.
const MAX_FOR_UNKNOWN: u32 = 8;
/// A penalty halves after so many time-outs.
const HALVES_AFTER: u32 = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    penalty: u32,
    /// Since when the penalty was not halved for its age.
    since: Timestamp,
    /// Questions that it may still answer.
    under_way: usize,
}

/// The records of all authorities.
#[derive(Debug)]
pub(super) struct Peers {
    records: Vec<Record>,
    halves_after: Duration,
}

impl Peers {
    pub(super) fn new(authorities: u16, timeout: Duration) -> Self {
        let halves_after = timeout.saturating_mul(HALVES_AFTER).max(Duration::from_millis(1));
        Self { records: vec![Record::default(); usize::from(authorities)], halves_after }
    }

    /// Questions to a peer that it may still answer.
    pub(super) fn under_way(&self, peer: AuthorityIndex) -> usize {
        self.records.get(peer.as_usize()).map_or(0, |record| record.under_way)
    }

    /// Whether it is asked after all others, and its penalty.
    pub(super) fn standing(&self, peer: AuthorityIndex) -> (bool, u32) {
        let penalty = self.records.get(peer.as_usize()).map_or(MAX_PENALTY, |record| record.penalty);
        (penalty >= LAST_FROM, penalty)
    }

    /// Lets penalties fade.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for record in &mut self.records {
            if record.penalty == 0 {
                record.since = now;
            }
            while record.penalty > 0 && now.since(record.since) >= self.halves_after {
                record.penalty = halved(record.penalty);
                record.since = record.since.plus(self.halves_after);
            }
        }
    }

    pub(super) fn asked(&mut self, peer: AuthorityIndex) {
        self.change(peer, |record| record.under_way = record.under_way.saturating_add(1));
    }

    /// A question is over, or nobody waits for its end any more.
    pub(super) fn over(&mut self, peer: AuthorityIndex) {
        self.change(peer, |record| record.under_way = record.under_way.saturating_sub(1));
    }

    /// It brought something that was asked for.
    pub(super) fn was_useful(&mut self, peer: AuthorityIndex) {
        self.change(peer, |record| record.penalty = halved(record.penalty));
    }

    /// It has nothing of what it was asked for; `named` tells whether it had named some of it.
    pub(super) fn was_empty(&mut self, peer: AuthorityIndex, named: bool) {
        if named {
            self.add(peer, 16);
        } else {
            self.change(peer, |record| {
                record.penalty = record.penalty.max(record.penalty.saturating_add(1).min(MAX_FOR_UNKNOWN));
            });
        }
    }

    /// It could not be asked, or refused.
    pub(super) fn has_failed(&mut self, peer: AuthorityIndex) {
        self.add(peer, 8);
    }

    /// It has not answered in time.
    pub(super) fn is_overdue(&mut self, peer: AuthorityIndex) {
        self.add(peer, 16);
    }

    fn add(&mut self, peer: AuthorityIndex, penalty: u32) {
        self.change(peer, |record| record.penalty = record.penalty.saturating_add(penalty).min(MAX_PENALTY));
    }

    fn change(&mut self, peer: AuthorityIndex, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(peer.as_usize()) {
            change(record);
        }
    }
}

fn halved(penalty: u32) -> u32 {
    penalty.checked_div(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: AuthorityIndex = AuthorityIndex::new(2);

    fn peers() -> Peers {
        Peers::new(4, Duration::from_millis(500))
    }

    #[test]
    fn a_useful_answer_halves_the_penalty_and_so_does_time() {
        let mut peers = peers();
        peers.is_overdue(PEER);
        peers.is_overdue(PEER);
        assert_eq!(peers.standing(PEER), (true, 32));
        peers.was_useful(PEER);
        peers.settle(Timestamp::from_millis(7_999));
        assert_eq!(peers.standing(PEER), (true, 16));
        peers.settle(Timestamp::from_millis(8_000));
        assert_eq!(peers.standing(PEER), (false, 8));
        peers.settle(Timestamp::from_millis(u64::MAX));
        assert_eq!(peers.standing(PEER), (false, 0));
    }

    #[test]
    fn the_penalty_is_bounded() {
        let mut peers = peers();
        (0..100).for_each(|_| peers.is_overdue(PEER));
        assert_eq!(peers.standing(PEER), (true, MAX_PENALTY));
    }

    #[test]
    fn t07_nobody_is_asked_last_for_not_holding_what_others_invented() {
        let mut peers = peers();
        (0..100).for_each(|_| peers.was_empty(PEER, false));
        assert_eq!(peers.standing(PEER), (false, MAX_FOR_UNKNOWN));
        peers.was_empty(PEER, true);
        assert!(peers.standing(PEER).0, "it has named the block, so it must hold it");
    }
}
