//! From the DAG to the chain of commits: the commit rule, the linearizer and the leader schedule, run in turn.
//!
//! The schedule changes at a closing commit, so what was decided behind that commit under the old one is thrown away and
//! decided again. Nobody can have acted on it: commits are formed in slot order, and every authority finds the same closing
//! commit before it takes any later slot.

use std::sync::Arc;

use crate::{
    catch_up::range::ChainPoint,
    commit::{Commit, CommittedSubDag},
    committer::{Committer, Decision, Judgement},
    dag::Dag,
    decisions::DecisionHistory,
    effect::Progress,
    explain::{self, UndecidedSlot},
    genesis::Genesis,
    leader_schedule::{LeaderSchedule, LeaderSlot},
    linearizer::Linearizer,
    recovery::{RecoverError, RecoveredLog},
    reputation::Reputation,
    types::{AuthorityIndex, BlockRef, CommitIndex, Round, TransactionDigest},
};

/// Decides leaders and turns them into commits: everything that follows from the DAG and the commits before.
#[derive(Debug)]
pub(crate) struct Ordering {
    committer: Committer,
    decided: Option<LeaderSlot>,
    linearizer: Linearizer,
    reputation: Reputation,
    skipped_leaders: u64,
    history: DecisionHistory,
}

impl Ordering {
    /// Goes on after the commits of a store, which [`check_commits`](crate::recovery::check_commits) has accepted. `dag`
    /// holds the store's blocks above the GC round. Takes the window of duplicates and the schedule out of `log`.
    ///
    /// # Errors
    /// If the stored schedule does not fit, or a committed block above the GC round is missing.
    pub(crate) fn recover(
        genesis: Arc<Genesis>,
        dag: &Dag,
        log: &mut RecoveredLog,
    ) -> Result<Self, RecoverError> {
        let (duplicates, schedule) = (log.duplicates.take(), std::mem::take(&mut log.schedule));
        let reputation = Reputation::recover(genesis.clone(), &log.commits, dag, schedule)?;
        let linearizer =
            Linearizer::recover(genesis.clone(), &log.commits, &log.last_committed_rounds, duplicates);
        let decided =
            log.commits.last().map(|(last, _)| last_slot(last, reputation.schedule())).transpose()?;
        let mut committer = Committer::new(genesis);
        committer.set_schedule(reputation.schedule().clone());
        let history = DecisionHistory::default();
        Ok(Self { committer, decided, linearizer, reputation, skipped_leaders: 0, history })
    }

    /// Judges every slot that is not taken yet, as far as the DAG reaches.
    pub(crate) fn judge(&self, dag: &Dag) -> Judgement {
        self.committer.judge(dag, self.decided)
    }

    /// Takes the leaders that `judged` has decided, up to the next one that closes its group, and answers with the commits of that
    /// group; `None` once all are taken. One group at a time, so that whoever finds it contradicted still knows where the chain
    /// stood before it. Where the schedule changes, what was decided behind the group is judged again.
    pub(crate) fn next_group(&mut self, dag: &Dag, judged: &mut Judgement) -> Option<Vec<CommittedSubDag>> {
        while let Some(leader) = judged.take_decided() {
            self.decided = Some(leader.slot);
            self.history.note(dag, judged, &leader);
            let Decision::Commit(block) = &leader.decision else {
                self.skipped_leaders = self.skipped_leaders.saturating_add(1);
                continue;
            };
            let group = self.linearizer.commit_leader(dag, block);
            if group.is_empty() {
                continue;
            }
            if group.iter().fold(false, |before, sub_dag| self.note_commit(sub_dag) | before) {
                *judged = self.judge(dag);
            }
            return Some(group);
        }
        None
    }

    /// Counts the next commit in the chain, whoever formed it, and puts the new schedule into force where it closes a window.
    /// Whether it does.
    pub(crate) fn note_commit(&mut self, sub_dag: &CommittedSubDag) -> bool {
        let switched = self.reputation.note_commit(sub_dag);
        if switched {
            self.committer.set_schedule(self.reputation.schedule().clone());
        }
        switched
    }

    /// Takes the leaders of a group that others decided, and answers with the commits that they close. `None` if one of them is
    /// not held, or leads no slot.
    pub(crate) fn follow(&mut self, dag: &Dag, leaders: &[BlockRef]) -> Option<Vec<CommittedSubDag>> {
        let mut commits = Vec::new();
        for reference in leaders {
            let leader = dag.get(reference)?;
            self.decided = Some(self.schedule().slot_of(reference.round, reference.author)?);
            let formed = self.linearizer.commit_leader(dag, leader);
            for sub_dag in &formed {
                self.note_commit(sub_dag);
            }
            commits.extend(formed);
        }
        Some(commits)
    }

    /// Forgets the leaders of the open group: the certified group that comes instead names them again.
    pub(crate) fn abandon_open_group(&mut self) {
        self.linearizer.abandon_group();
    }

    /// The end of the chain of commits.
    pub(crate) const fn end(&self) -> ChainPoint {
        ChainPoint { index: self.linearizer.last_commit(), digest: self.linearizer.last_digest() }
    }

    /// The slots that are not decided yet, and why.
    pub(crate) fn undecided(&self, dag: &Dag) -> Vec<UndecidedSlot> {
        explain::undecided(&self.committer, dag, self.decided)
    }

    /// The newest decisions.
    pub(crate) const fn history(&self) -> &DecisionHistory {
        &self.history
    }

    /// The schedule in force.
    pub(crate) const fn schedule(&self) -> &LeaderSchedule {
        self.committer.schedule()
    }

    /// Where the chain stands after the last commit formed. Epoch and own round are not known here.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            last_commit: self.last_commit(),
            gc_round: self.gc_round(),
            last_committed_rounds: self.linearizer.committed_rounds().to_vec(),
            schedule: self.reputation.state(),
            ..Progress::default()
        }
    }

    /// Blocks at or below this round are never committed any more.
    pub(crate) const fn gc_round(&self) -> Round {
        self.linearizer.gc_round()
    }

    /// Index of the last commit formed.
    pub(crate) const fn last_commit(&self) -> CommitIndex {
        self.linearizer.last_commit()
    }

    /// Round of the last leader of the last commit formed; genesis before the first.
    pub(crate) const fn last_leader_round(&self) -> Round {
        self.linearizer.last_leader_round()
    }

    /// Highest round of an authority's blocks that are committed; genesis before the first.
    pub(crate) fn committed_round(&self, authority: AuthorityIndex) -> Round {
        self.linearizer.committed_rounds().get(authority.as_usize()).copied().unwrap_or_default()
    }

    /// Whether a block above the GC round is committed, or in the open group.
    pub(crate) fn is_committed(&self, reference: &BlockRef) -> bool {
        self.linearizer.is_committed(reference)
    }

    /// Whether a transaction was committed within the window of duplicates.
    pub(crate) fn is_in_window(&self, digest: &TransactionDigest) -> bool {
        self.linearizer.is_in_window(digest)
    }

    /// Leader slots skipped since the start.
    pub(crate) const fn skipped_leaders(&self) -> u64 {
        self.skipped_leaders
    }
}

/// The slot of a commit's last leader: a schedule under which it leads none is not that of the commit.
fn last_slot(commit: &Commit, schedule: &LeaderSchedule) -> Result<LeaderSlot, RecoverError> {
    let leader = commit.leaders.last();
    let slot = leader.and_then(|leader| schedule.slot_of(leader.round, leader.author));
    slot.ok_or(RecoverError::Schedule { index: commit.index })
}
