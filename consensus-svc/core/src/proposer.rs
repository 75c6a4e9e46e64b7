//! When the next own block may be made, and on what it builds.

use std::time::Duration;

use crate::{
    block::VerifiedBlock,
    dag::Dag,
    leader_schedule::LeaderSchedule,
    params::Params,
    threshold_clock::ThresholdClock,
    types::{AuthorityIndex, BlockRef, Round, Slot, Timestamp},
};

/// Whether an own block may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// In this round, now.
    Now(Round),
    /// Not before this time, unless something comes in.
    At(Timestamp),
    /// Not before something comes in.
    Blocked,
}

/// What the next own block waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A quorum of the round that was proposed in.
    Quorum,
    /// The least time between own blocks.
    MinInterval(Timestamp),
    /// Something to order, or this time.
    Idle(Timestamp),
    /// Leaders of the previous round, or this time.
    Leaders(Timestamp),
}

/// Paces own blocks: one a round at most, never two for one slot.
#[derive(Debug)]
pub(crate) struct Proposer {
    own: AuthorityIndex,
    leader_timeout: Duration,
    min_round_interval: Duration,
    idle_delay: Duration,
    last: VerifiedBlock,
    last_at: Option<Timestamp>,
    /// Nothing is made below it.
    first_round: Round,
    /// The round whose idle delay has ended, and when.
    awake: Option<(Round, Timestamp)>,
    /// Highest round by author that own blocks already build on.
    covered: Vec<Round>,
    leader_timeouts: u64,
}

impl Proposer {
    /// A proposer that goes on after its own last block (its genesis block where there is none).
    pub(crate) fn new(params: &Params, last: VerifiedBlock, authorities: usize) -> Self {
        let mut proposer = Self {
            own: last.author(),
            leader_timeout: params.leader_timeout,
            min_round_interval: params.min_round_interval,
            idle_delay: params.idle_delay,
            last: last.clone(),
            last_at: None,
            first_round: Round::GENESIS,
            awake: None,
            covered: vec![Round::GENESIS; authorities],
            leader_timeouts: 0,
        };
        proposer.cover(&last);
        proposer
    }

    pub(crate) fn last(&self) -> &VerifiedBlock {
        &self.last
    }

    pub(crate) const fn leader_timeouts(&self) -> u64 {
        self.leader_timeouts
    }

    /// Ends the idle delay of the clock's round if it is over, or if there is something to order.
    pub(crate) fn update_idle(&mut self, now: Timestamp, clock: ThresholdClock, has_work: bool) {
        if self.awake.is_some_and(|(round, _)| round == clock.round()) {
            return;
        }
        let delay_ends = clock.since().plus(self.idle_delay);
        if has_work {
            self.awake = Some((clock.round(), now.min(delay_ends).max(clock.since())));
        } else if now >= delay_ends {
            self.awake = Some((clock.round(), delay_ends));
        }
    }

    /// Whether, and in which round, an own block may be made.
    pub(crate) fn readiness(
        &self,
        now: Timestamp,
        dag: &Dag,
        clock: ThresholdClock,
        schedule: &LeaderSchedule,
    ) -> Readiness {
        let (round, wait) = self.wait(dag, clock, schedule);
        match wait {
            Wait::Quorum => Readiness::Blocked,
            Wait::MinInterval(until) | Wait::Idle(until) | Wait::Leaders(until) if until > now => {
                Readiness::At(until)
            }
            _ => Readiness::Now(round),
        }
    }

    /// The round of the next own block, and what it waits for.
    pub(crate) fn wait(&self, dag: &Dag, clock: ThresholdClock, schedule: &LeaderSchedule) -> (Round, Wait) {
        let paced = self.last_at.map_or(Timestamp::default(), |last| last.plus(self.min_round_interval));
        let missed = clock.round().previous();
        let round = if self.must_lead(missed, dag, schedule) { missed } else { clock.round() };
        let wait = if round < self.lowest_round() {
            Wait::Quorum
        } else if round < clock.round() {
            Wait::MinInterval(paced)
        } else {
            match self.awake {
                Some((awake, since)) if awake == round => {
                    let leader_deadline = since.plus(self.leader_timeout);
                    if self.has_leaders(round.previous(), dag, schedule) {
                        Wait::MinInterval(paced.max(since))
                    } else if leader_deadline > paced {
                        Wait::Leaders(leader_deadline)
                    } else {
                        Wait::MinInterval(paced)
                    }
                }
                _ => Wait::Idle(clock.since().plus(self.idle_delay)),
            }
        };
        (round, wait)
    }

    /// The leaders of a round that are not held, as far as they are others.
    pub(crate) fn missing_leaders(
        &self,
        round: Round,
        dag: &Dag,
        schedule: &LeaderSchedule,
    ) -> Vec<AuthorityIndex> {
        let leaders = schedule.slots(round).map(|slot| schedule.leader(slot));
        let missing = |authority: &AuthorityIndex| {
            *authority != self.own && dag.slot(Slot { round, authority: *authority }).is_empty()
        };
        leaders.filter(|_| round > Round::GENESIS).filter(missing).collect()
    }

    /// An own leader slot of the round just left is still filled: others wait for it.
    fn must_lead(&self, round: Round, dag: &Dag, schedule: &LeaderSchedule) -> bool {
        round >= self.lowest_round()
            && schedule.slot_of(round, self.own).is_some()
            && dag.has_quorum(round.previous())
    }

    /// Whether the leaders of a round are held, as far as they are others.
    fn has_leaders(&self, round: Round, dag: &Dag, schedule: &LeaderSchedule) -> bool {
        self.missing_leaders(round, dag, schedule).is_empty()
    }

    /// What an own block of `round` builds on: the own last block first, then of each other author the highest block
    /// below `round` that is not covered yet.
    pub(crate) fn ancestors(&self, round: Round, dag: &Dag) -> Vec<BlockRef> {
        let others = dag.committee().indexes().filter(|author| *author != self.own).filter_map(|author| {
            let covered = self.covered.get(author.as_usize()).copied().unwrap_or_default();
            // Parents of the previous round always count toward the quorum, whether covered or not.
            let above = covered.min(round.minus(2)).max(dag.gc_round());
            let latest = dag.latest_between(author, above, round)?;
            (latest.round() > covered || latest.round().next() == round).then(|| latest.reference())
        });
        std::iter::once(self.last.reference()).chain(self.genesis_parents(round, dag)).chain(others).collect()
    }

    /// Genesis blocks stand at the GC round from the start, where the DAG is not searched.
    fn genesis_parents(&self, round: Round, dag: &Dag) -> Vec<BlockRef> {
        if round != Round::FIRST {
            return Vec::new();
        }
        let genesis = dag.round(Round::GENESIS).map(VerifiedBlock::reference);
        genesis.filter(|reference| reference.author != self.own).collect()
    }

    /// Goes on after a new own block.
    pub(crate) fn proposed(
        &mut self,
        now: Timestamp,
        block: &VerifiedBlock,
        dag: &Dag,
        schedule: &LeaderSchedule,
    ) {
        if !self.has_leaders(block.round().previous(), dag, schedule) {
            self.leader_timeouts = self.leader_timeouts.saturating_add(1);
        }
        self.last = block.clone();
        self.last_at = Some(now);
        self.cover(block);
    }

    /// Makes nothing below `round` from now on.
    pub(crate) fn begin_at(&mut self, round: Round) {
        self.first_round = round.max(self.first_round);
    }

    /// The lowest round that an own block may be made in.
    fn lowest_round(&self) -> Round {
        self.last.round().next().max(self.first_round)
    }

    /// Goes on from an own block that came from a peer, if it is higher than what was known.
    pub(crate) fn adopt(&mut self, block: &VerifiedBlock) {
        if block.round() > self.last.round() {
            self.last = block.clone();
            self.cover(block);
        }
    }

    fn cover(&mut self, block: &VerifiedBlock) {
        for ancestor in block.ancestors() {
            if let Some(covered) = self.covered.get_mut(ancestor.author.as_usize()) {
                *covered = ancestor.round.max(*covered);
            }
        }
    }
}
