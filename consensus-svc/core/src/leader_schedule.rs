//! Who leads which slot.

use crate::{
    committee::Committee,
    types::{AuthorityIndex, Round},
};

/// A leader slot: one of the `leaders_per_round` places of a round. Ordered by round, then offset: the order in which
/// leaders are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderSlot {
    /// The round, from 1.
    pub round: Round,
    /// Place within the round, from 0.
    pub offset: u16,
}

/// Round-robin over slots, whatever the stakes: the leader of slot `(round, i)` is authority `(round + i) mod n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSchedule {
    authorities: u16,
    leaders_per_round: u16,
}

impl LeaderSchedule {
    /// The schedule of a committee; `leaders_per_round` counts at most as many as there are authorities.
    pub fn new(committee: &Committee, leaders_per_round: u16) -> Self {
        // A committee holds 1 to 1000 authorities.
        let authorities = u16::try_from(committee.size()).unwrap_or(u16::MAX).max(1);
        Self { authorities, leaders_per_round: leaders_per_round.clamp(1, authorities) }
    }

    /// Who leads a slot.
    pub fn leader(&self, slot: LeaderSlot) -> AuthorityIndex {
        let authorities = u64::from(self.authorities);
        let start = slot.round.get().checked_rem(authorities).unwrap_or(0);
        let place = start.saturating_add(u64::from(slot.offset)).checked_rem(authorities).unwrap_or(0);
        AuthorityIndex::new(u16::try_from(place).unwrap_or(0))
    }

    /// The slots of a round, in order.
    pub fn slots(&self, round: Round) -> impl DoubleEndedIterator<Item = LeaderSlot> + use<> {
        (0..self.leaders_per_round).map(move |offset| LeaderSlot { round, offset })
    }

    /// The slot that an authority leads in a round, if any.
    pub fn slot_of(&self, round: Round, authority: AuthorityIndex) -> Option<LeaderSlot> {
        self.slots(round).find(|slot| self.leader(*slot) == authority)
    }

    /// The slot after another one.
    pub fn next(&self, slot: LeaderSlot) -> LeaderSlot {
        let offset = slot.offset.saturating_add(1);
        if offset < self.leaders_per_round {
            LeaderSlot { round: slot.round, offset }
        } else {
            LeaderSlot { round: slot.round.next(), offset: 0 }
        }
    }
}
