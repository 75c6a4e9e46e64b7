//! Who leads which slot.
//!
//! Slots go round the committee. From the second window on, authorities with few points have given their slots to others
//! ([`SwapTable`]); who has how many points follows from the commits alone, so that every authority, and whoever catches
//! up by commits, seats the same leaders.

use crate::{
    committee::Committee,
    swap_table::SwapTable,
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

/// Round-robin over slots, whatever the stakes: slot `(round, i)` is that of authority `(round + i) mod n`, which leads it
/// unless the table of that round unseats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSchedule {
    authorities: u16,
    leaders_per_round: u16,
    /// First round under `table`; a window starts there.
    since: Round,
    table: SwapTable,
    /// The table of the rounds before: slots of the last of them may still be open.
    previous: SwapTable,
}

impl LeaderSchedule {
    /// The plain schedule of a committee, from round 1 on; `leaders_per_round` counts at most as many as there are
    /// authorities.
    pub fn new(committee: &Committee, leaders_per_round: u16) -> Self {
        // A committee holds 1 to 1000 authorities.
        let authorities = u16::try_from(committee.size()).unwrap_or(u16::MAX).max(1);
        Self {
            authorities,
            leaders_per_round: leaders_per_round.clamp(1, authorities),
            since: Round::FIRST,
            table: SwapTable::default(),
            previous: SwapTable::default(),
        }
    }

    /// The same schedule with another pair of tables: `previous` below round `since`, `table` from it on.
    #[must_use]
    pub fn with_tables(self, since: Round, table: SwapTable, previous: SwapTable) -> Self {
        Self { since, table, previous, ..self }
    }

    /// Puts a table into force from round `since` on. All rounds below, whatever table they had, are from now on under
    /// the one that ends: only slots of the round right below `since` are ever asked for again.
    pub fn switch(&mut self, since: Round, table: SwapTable) {
        self.since = since;
        self.previous = std::mem::replace(&mut self.table, table);
    }

    /// First round of the window: the first one under [`LeaderSchedule::table`].
    pub const fn since(&self) -> Round {
        self.since
    }

    /// The table in force.
    pub const fn table(&self) -> &SwapTable {
        &self.table
    }

    /// The table of the rounds before.
    pub const fn previous(&self) -> &SwapTable {
        &self.previous
    }

    /// Who leads a slot.
    ///
    /// No authority is seated twice in a round: a substitute that sits there in its own right, or for an earlier slot, is
    /// passed over for the next one, and if none is left the slot stays with the authority whose turn it is.
    pub fn leader(&self, slot: LeaderSlot) -> AuthorityIndex {
        let table = if slot.round < self.since { &self.previous } else { &self.table };
        let in_turn = self.in_turn(slot);
        if table.place_of(in_turn).is_none() {
            return in_turn;
        }
        // In slot order, since each substitute depends on those before.
        let mut seated = Vec::new();
        for offset in 0..=slot.offset {
            let in_turn = self.in_turn(LeaderSlot { offset, ..slot });
            if let Some(place) = table.place_of(in_turn) {
                seated.push(self.substitute(table, slot.round, place, &seated).unwrap_or(in_turn));
            }
        }
        seated.pop().unwrap_or(in_turn)
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

    /// Whose turn a slot is.
    fn in_turn(&self, slot: LeaderSlot) -> AuthorityIndex {
        let authorities = u64::from(self.authorities);
        let start = slot.round.get().checked_rem(authorities).unwrap_or(0);
        let place = start.saturating_add(u64::from(slot.offset)).checked_rem(authorities).unwrap_or(0);
        AuthorityIndex::new(u16::try_from(place).unwrap_or(0))
    }

    /// Who takes the slot of the unseated authority at `place`: substitutes take turns, one step each time that the round
    /// has gone once around the committee.
    fn substitute(
        &self,
        table: &SwapTable,
        round: Round,
        place: usize,
        seated: &[AuthorityIndex],
    ) -> Option<AuthorityIndex> {
        let substitutes = table.substitutes();
        let turns = round.get().checked_div(u64::from(self.authorities)).unwrap_or(0);
        let turn = turns.saturating_add(place as u64).checked_rem(substitutes.len() as u64)?;
        let (before, after) = substitutes.split_at_checked(usize::try_from(turn).ok()?)?;
        let is_free = |substitute: &&AuthorityIndex| {
            !seated.contains(*substitute) && !self.slots(round).any(|slot| self.in_turn(slot) == **substitute)
        };
        after.iter().chain(before).find(is_free).copied()
    }
}
