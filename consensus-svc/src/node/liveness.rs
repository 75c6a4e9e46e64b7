//! Liveness judged by progress (L06). Pure. Two ways of not being well:
//!
//! - nothing is committed although there is something to do ([`StallReason::NoCommit`]): found by the clock alone;
//! - others commit, and nothing of this node is among it although its transactions wait ([`StallReason::OwnOnly`]): its blocks do
//!   not reach the others, while theirs reach it. Found at a commit, since only commits of others tell it from the first, and never
//!   while this node may not propose, which has reasons of its own.
//!
//! The first is told where both hold.

use std::time::Duration;

use consensus_core::{CommitIndex, CoreStatus, Round};
use tokio::time::Instant;

/// What there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Transactions in the pool.
    pub pooled_transactions: u64,
    /// Blocks with transactions that are held and not committed.
    pub uncommitted_blocks: u64,
    /// Rounds by which an honest authority is ahead.
    pub rounds_behind: u64,
}

impl Work {
    /// Of a machine.
    pub fn of(core: &CoreStatus) -> Self {
        Self {
            pooled_transactions: core.pooled_transactions as u64,
            uncommitted_blocks: core.uncommitted_blocks as u64,
            rounds_behind: core.credible_round.get().saturating_sub(core.round.get()),
        }
    }

    /// Whether there is nothing to do: then no commit need come, be it that heartbeats do.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What has become of this node's own part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Whether this node makes blocks, or would with something to order: it has not stopped, knows what it signed, and keeps up.
    pub(super) proposes: bool,
    /// Transactions in the pool, proposed ones included.
    pub(super) waiting: u64,
    /// Transactions that left the pool by being committed, in whoever's block. Never falls.
    pub(super) committed_total: u64,
    /// Highest round of own blocks that are committed. Never falls.
    pub(super) committed_round: Round,
}

impl Own {
    /// Of a machine.
    pub(super) const fn of(core: &CoreStatus) -> Self {
        Self {
            proposes: core.may_propose && core.amnesia.is_none() && !core.lags,
            waiting: core.pooled_transactions as u64,
            committed_total: core.pool_committed_total,
            committed_round: core.own_committed_round,
        }
    }
}

/// In which way a node is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallReason {
    /// No commit comes, though there is something to do.
    NoCommit,
    /// Commits come, and nothing of this node is in them, though its transactions wait.
    OwnOnly,
}

/// A wait that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// In which way.
    pub reason: StallReason,
    /// Since when.
    pub since: Instant,
}

/// What is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressView {
    /// When the newest commit of this process became durable; `None` before the first.
    pub last_commit: Option<Instant>,
    /// What is waited for, where that is too long; `None` while all is well.
    pub stalled: Option<Stalled>,
}

/// Watches for progress.
#[derive(Debug)]
pub(super) struct Liveness {
    stalled_after: Duration,
    commit: CommitIndex,
    last_commit: Option<Instant>,
    /// Since when there is something to do without a new commit.
    waiting_since: Option<Instant>,
    own: OwnProgress,
}

impl Liveness {
    /// A node with `commit` in its store starts, with this as its own part so far.
    pub(super) fn new(stalled_after: Duration, commit: CommitIndex, own: Own) -> Self {
        Self {
            stalled_after,
            commit,
            last_commit: None,
            waiting_since: None,
            own: OwnProgress::new(stalled_after, own),
        }
    }

    /// Takes note of the newest durable commit, of what there is to do, and of what became of the own part by then.
    pub(super) fn observe(&mut self, now: Instant, commit: CommitIndex, work: Work, own: Own) {
        self.own.note(own);
        if commit > self.commit {
            self.own.commit_came(now, self.last_commit);
            self.commit = commit;
            self.last_commit = Some(now);
            self.waiting_since = None;
        }
        self.waiting_since = (!work.is_none()).then(|| self.waiting_since.unwrap_or(now));
    }

    /// When the wait for a commit becomes too long, if none comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting_since.and_then(|since| since.checked_add(self.stalled_after))
    }

    /// How it stands.
    pub(super) fn view(&self, now: Instant) -> ProgressView {
        let is_late = self.deadline().is_some_and(|deadline| deadline <= now);
        let no_commit = self.waiting_since.filter(|_| is_late);
        let no_commit = no_commit.map(|since| Stalled { reason: StallReason::NoCommit, since });
        let own_only =
            || self.own.stalled_since().map(|since| Stalled { reason: StallReason::OwnOnly, since });
        ProgressView { last_commit: self.last_commit, stalled: no_commit.or_else(own_only) }
    }
}

/// Whether this node has its part in what is committed: an own block, and of the transactions that wait, one that leaves the pool.
///
/// The block is asked for as well since a client that sends everything to several authorities would hide that this one is not heard.
/// And transactions that are dropped are no sign of a block that was heard: with short lifetimes the pool of a node that is not heard
/// empties by itself, and health that came back with that would invite the next ones to be dropped. So an own block must be
/// committed again; with nothing to order that is in the next heartbeat.
#[derive(Debug)]
struct OwnProgress {
    stalled_after: Duration,
    /// As it was seen last.
    last: Own,
    /// For an own block among the committed ones.
    block: OwnWait,
    /// For a transaction that leaves the pool by a commit.
    transaction: OwnWait,
}

/// One wait, counted in commits of others.
#[derive(Clone, Copy, Debug, Default)]
struct OwnWait {
    /// The first commit that came without what is waited for.
    since: Option<Instant>,
    /// Whether one came when that was too long ago. It stays so until what is waited for has come.
    is_late: bool,
}

impl OwnProgress {
    fn new(stalled_after: Duration, own: Own) -> Self {
        Self { stalled_after, last: own, block: OwnWait::default(), transaction: OwnWait::default() }
    }

    /// Takes note of the own part. While none is due, nothing is waited for.
    fn note(&mut self, own: Own) {
        let last = std::mem::replace(&mut self.last, own);
        if !own.proposes || own.committed_round > last.committed_round {
            self.block = OwnWait::default();
        }
        if !own.proposes || own.waiting == 0 || own.committed_total > last.committed_total {
            self.transaction = OwnWait::default();
        }
    }

    /// A commit has come after the one at `before`; [`OwnProgress::note`] knows of the own part in it.
    fn commit_came(&mut self, now: Instant, before: Option<Instant>) {
        let is_too_long = |since: Instant| now.saturating_duration_since(since) >= self.stalled_after;
        // Nobody committed meanwhile: only what follows shows whether this node is heard.
        let was_quiet = before.is_some_and(is_too_long);
        let is_due = self.last.proposes && self.last.waiting > 0;
        for wait in [&mut self.block, &mut self.transaction].into_iter().filter(|wait| !wait.is_late) {
            if was_quiet {
                wait.since = None;
            }
            wait.is_late = wait.since.is_some_and(is_too_long);
            wait.since = wait.since.or(is_due.then_some(now));
        }
    }

    /// Since when it has been without its part, where that is too long.
    fn stalled_since(&self) -> Option<Instant> {
        [self.block, self.transaction]
            .into_iter()
            .filter(|wait| wait.is_late)
            .filter_map(|wait| wait.since)
            .min()
    }
}

#[cfg(test)]
mod tests;
