//! The threshold clock: round r + 1 begins when blocks of round r by a quorum are held.

use crate::{
    dag::Dag,
    types::{Round, Timestamp},
};

/// The round that proposals are made in, and when it began here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThresholdClock {
    round: Round,
    since: Timestamp,
}

impl ThresholdClock {
    /// The clock of a DAG, as of `now`.
    pub(crate) fn new(dag: &Dag, now: Timestamp) -> Self {
        let mut clock = Self { round: Round::FIRST, since: now };
        let mut round = dag.highest_round();
        while round > dag.gc_round() && !dag.has_quorum(round) {
            round = round.previous();
        }
        clock.round = round.next();
        clock
    }

    /// The first round without a quorum.
    pub(crate) const fn round(self) -> Round {
        self.round
    }

    /// When the round began here.
    pub(crate) const fn since(self) -> Timestamp {
        self.since
    }

    /// Moves on if the accepted block completed a quorum. True if it did.
    pub(crate) fn observe(&mut self, dag: &Dag, accepted: Round, now: Timestamp) -> bool {
        let advanced = accepted >= self.round && dag.has_quorum(accepted);
        if advanced {
            *self = Self { round: accepted.next(), since: now };
        }
        advanced
    }
}
