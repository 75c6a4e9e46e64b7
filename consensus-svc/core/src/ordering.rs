//! From the DAG to the chain of commits: the commit rule and the linearizer, run in turn.

use std::sync::Arc;

use crate::{
    commit::CommittedSubDag,
    committer::{Committer, Decision},
    dag::Dag,
    decisions::DecisionHistory,
    explain::{self, UndecidedSlot},
    genesis::Genesis,
    leader_schedule::{LeaderSchedule, LeaderSlot},
    linearizer::Linearizer,
    recovery::RecoveredLog,
    types::{BlockRef, CommitIndex, Round, TransactionDigest},
};

/// Decides leaders and turns them into commits: everything that follows from the DAG and the commits before.
#[derive(Debug)]
pub(crate) struct Ordering {
    committer: Committer,
    decided: Option<LeaderSlot>,
    linearizer: Linearizer,
    skipped_leaders: u64,
    history: DecisionHistory,
}

impl Ordering {
    /// Goes on after the commits of a store, which [`check_commits`](crate::recovery::check_commits) has accepted. Takes
    /// the window of duplicates out of `log`.
    pub(crate) fn recover(genesis: Arc<Genesis>, log: &mut RecoveredLog) -> Self {
        let duplicates = log.duplicates.take();
        let linearizer =
            Linearizer::recover(genesis.clone(), &log.commits, &log.last_committed_rounds, duplicates);
        let committer = Committer::new(genesis);
        let last_leader = log.commits.last().and_then(|(commit, _)| commit.leaders.last());
        let decided =
            last_leader.and_then(|leader| committer.schedule().slot_of(leader.round, leader.author));
        Self { committer, decided, linearizer, skipped_leaders: 0, history: DecisionHistory::default() }
    }

    /// Takes every leader that the DAG decides by now, and answers with the commits that they close.
    pub(crate) fn order(&mut self, dag: &Dag) -> Vec<CommittedSubDag> {
        let mut commits = Vec::new();
        let judged = self.committer.judge(dag, self.decided);
        for leader in judged.run() {
            self.decided = Some(leader.slot);
            self.history.note(dag, &judged, leader);
            match &leader.decision {
                Decision::Skip => self.skipped_leaders = self.skipped_leaders.saturating_add(1),
                Decision::Commit(block) => commits.extend(self.linearizer.commit_leader(dag, block)),
            }
        }
        commits
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

    /// Highest committed round by authority, over formed commits and the open group.
    pub(crate) fn committed_rounds(&self) -> &[Round] {
        self.linearizer.committed_rounds()
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
