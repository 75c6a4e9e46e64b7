//! The leader schedule, counted from commits alone.
//!
//! **Points.** A committed block of round r+2 that lists a committed block of round r+1, which votes for a committed leader of
//! round r, gives the author of the vote as many points as its own author has stake, for each such leader. So a point is
//! for a vote that came in time to be built on: an authority that is down earns nothing, and one whose blocks all come
//! late, which would hold the others up as a leader, earns only what it lists itself. (HammerHead, arXiv 2309.12713, counts
//! votes alone; in an uncertified DAG a late vote is ordered all the same, through a weak link.) Of twins only the
//! first in commit order counts, as a vote and as what lists votes.
//!
//! **Windows.** The points of the commits of a window, whenever what they name was made, are judged at the first closing
//! commit whose last leader is at or past the window's last round; [`SwapTable`] says how. The new table holds from the
//! round after that leader on, and a new window starts there.
//!
//! What is remembered besides the points reaches no further back than the GC round, so a restart finds it in the newest
//! commits and their blocks; the points and the tables are stored with each closing commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    block::VerifiedBlock,
    commit::{Commit, CommittedSubDag},
    committer::supports,
    dag::Dag,
    genesis::Genesis,
    leader_schedule::LeaderSchedule,
    recovery::RecoverError,
    schedule_state::ScheduleState,
    swap_table::SwapTable,
    types::{BlockRef, CommitDigest, Round, Slot},
};

/// The leader schedule and the points of its window. Whoever is shown the same commits has the same. Bounded: for each round
/// above the GC round an entry a leader, a slot and a vote.
#[derive(Debug)]
pub struct Reputation {
    genesis: Arc<Genesis>,
    schedule: LeaderSchedule,
    scores: Vec<u128>,
    /// Committed leaders above the GC round.
    leaders: BTreeSet<BlockRef>,
    /// Committed blocks that vote for committed leaders above the GC round, and for how many.
    votes: BTreeMap<BlockRef, u32>,
    /// Slots above the GC round of which a block is committed.
    counted: BTreeSet<Slot>,
}

impl Reputation {
    /// Before the first commit.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        Self {
            schedule: LeaderSchedule::new(genesis.committee(), genesis.parameters().leaders_per_round),
            scores: vec![0; genesis.committee().size()],
            genesis,
            leaders: BTreeSet::new(),
            votes: BTreeMap::new(),
            counted: BTreeSet::new(),
        }
    }

    /// What stood after the last of `newest`, which reach back to the GC round: `state` was stored with it, `dag` holds the
    /// blocks above that round.
    ///
    /// # Errors
    /// If the state does not fit the committee and that commit, or a committed block is missing.
    pub(crate) fn recover(
        genesis: Arc<Genesis>,
        newest: &[(Commit, CommitDigest)],
        dag: &Dag,
        state: ScheduleState,
    ) -> Result<Self, RecoverError> {
        let mut reputation = Self::new(genesis);
        let Some((last, _)) = newest.last() else { return Ok(reputation) };
        if !state.fits(reputation.genesis.committee(), last.last_leader_round()) {
            return Err(RecoverError::Schedule { index: last.index });
        }
        for (commit, _) in newest {
            let above_gc = commit.blocks.iter().filter(|block| block.round > dag.gc_round());
            let blocks: Vec<_> = above_gc
                .map(|block| {
                    let (index, block) = (commit.index, *block);
                    dag.get(&block).ok_or(RecoverError::MissingCommitted { index, block })
                })
                .collect::<Result<_, _>>()?;
            reputation.count(commit, blocks.into_iter());
        }
        let ScheduleState { since, table, previous, scores } = state;
        reputation.schedule = reputation.schedule.with_tables(since, table, previous);
        reputation.scores = scores;
        Ok(reputation)
    }

    /// Takes the next commit in order, whoever formed it. Whether it closes the window: if so, the schedule is another one
    /// from the round after its last leader on.
    pub fn note_commit(&mut self, sub_dag: &CommittedSubDag) -> bool {
        let commit = &sub_dag.commit;
        self.count(commit, sub_dag.blocks.iter());
        let next = commit.last_leader_round().next();
        let window_end = self.schedule.since().plus(self.genesis.parameters().schedule_window_rounds);
        if !commit.closing || next < window_end {
            return false;
        }
        self.schedule.switch(next, SwapTable::new(self.genesis.committee(), &self.scores));
        self.scores.fill(0);
        true
    }

    /// The schedule after the last commit.
    pub const fn schedule(&self) -> &LeaderSchedule {
        &self.schedule
    }

    /// What is stored with the last commit, if that is a closing one.
    pub fn state(&self) -> ScheduleState {
        ScheduleState {
            since: self.schedule.since(),
            table: self.schedule.table().clone(),
            previous: self.schedule.previous().clone(),
            scores: self.scores.clone(),
        }
    }

    fn count<'a>(&mut self, commit: &Commit, blocks: impl Iterator<Item = &'a VerifiedBlock>) {
        self.leaders.extend(&commit.leaders);
        for block in blocks {
            if self.counted.insert(block.reference().slot()) {
                self.note_listed_votes(block);
                self.note_vote(block);
            }
        }
        if commit.closing {
            self.collect(commit.last_leader_round().minus(self.genesis.parameters().gc_depth));
        }
    }

    fn note_listed_votes(&mut self, block: &VerifiedBlock) {
        let stake = u128::from(self.genesis.committee().stake(block.author()).get());
        for listed in block.ancestors() {
            let Some(leaders) = self.votes.get(listed).filter(|_| listed.round.next() == block.round())
            else {
                continue;
            };
            if let Some(score) = self.scores.get_mut(listed.author.as_usize()) {
                *score = score.saturating_add(stake.saturating_mul(u128::from(*leaders)));
            }
        }
    }

    /// Leaders of a round are all decided before any block above it is committed, so the vote is complete.
    fn note_vote(&mut self, block: &VerifiedBlock) {
        let leaders = self.leaders.range(first_of(block.round().previous())..first_of(block.round()));
        let supported = leaders.filter(|leader| supports(block, leader)).count();
        if supported > 0 {
            self.votes.insert(block.reference(), u32::try_from(supported).unwrap_or(u32::MAX));
        }
    }

    /// Forgets what a restart would not find again: leaders at or below the GC round, and with them the votes of the round
    /// above it.
    fn collect(&mut self, gc_round: Round) {
        let first_kept = first_of(gc_round.next());
        self.leaders = self.leaders.split_off(&first_kept);
        self.votes = self.votes.split_off(&first_of(gc_round.plus(2)));
        self.counted = self.counted.split_off(&first_kept.slot());
    }
}

/// The lowest ref of a round.
fn first_of(round: Round) -> BlockRef {
    BlockRef { round, author: Default::default(), digest: Default::default() }
}
