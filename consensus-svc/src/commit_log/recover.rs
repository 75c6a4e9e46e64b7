//! What a restart takes from the log: the newest commits, the blocks above the GC round, the
//! own last block.
//!
//! The cost follows `gc_depth` and the window of duplicates, not history. The refs committed above the GC round, the timestamp and the last leader
//! are not stored beside the commits, since they follow from them.

use consensus_core::{
    AuthorityIndex, Commit, CommitDigest, CommitIndex, CommittedSubDag, DuplicateWindow, Epoch, Progress,
    ProtocolParameters, RecoveredLog, Round, VerifiedBlock,
};

use super::{
    error::{Entry, LogError},
    keys,
    log::{self, CommitLog},
};

impl CommitLog {
    /// Reads what the machine is recovered from. `own` is this authority's place, `parameters` those of the genesis,
    /// `guard` what the signing guard holds.
    ///
    /// The commits reach back from the last one to the first whose last leader's round is at or below the GC round,
    /// inclusive, within the epoch; the blocks are all those above the GC round.
    ///
    /// # Errors
    /// [`LogError`]: nothing is recovered from a log that cannot be read whole.
    pub fn recover(
        &self,
        own: AuthorityIndex,
        parameters: &ProtocolParameters,
        guard: Option<(Epoch, Round)>,
    ) -> Result<RecoveredLog, LogError> {
        self.recover_with(own, parameters, guard, |_| {})
    }

    /// As [`Self::recover`], and shows each commit of the window of duplicates to `inside`, newest first: they are read only once.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub fn recover_with(
        &self,
        own: AuthorityIndex,
        parameters: &ProtocolParameters,
        guard: Option<(Epoch, Round)>,
        inside: impl FnMut(&CommittedSubDag),
    ) -> Result<RecoveredLog, LogError> {
        let gc_depth = parameters.gc_depth;
        let progress = self.progress()?;
        self.check_last(progress.as_ref())?;
        let Some(progress) = progress else {
            return Ok(RecoveredLog { guard, ..RecoveredLog::default() });
        };
        let duplicates = self.duplicates(progress.last_commit, parameters, inside)?;
        let commits = self.newest_commits(progress.last_commit, gc_depth)?;
        let last_leader = commits.last().map_or(Round::GENESIS, |(commit, _)| commit.last_leader_round());
        let blocks = self.blocks_above(progress.epoch, last_leader.minus(gc_depth))?;
        let own_last = self.latest_block_by(progress.epoch, own, Round::new(u64::MAX))?;
        let own_round = own_last.as_ref().map_or(Round::GENESIS, VerifiedBlock::round);
        if own_round < progress.own_round {
            let reason = format!("own ones end at round {own_round}, the record says {}", progress.own_round);
            return Err(Entry::Blocks.damaged(reason));
        }
        let Progress { last_committed_rounds, schedule, .. } = progress;
        let duplicates = Some(duplicates);
        let evidence = self.equivocation_slots(progress.epoch)?;
        let certified = self.last_certified()?;
        // Own blocks above what the record vouches for came from peers, and higher ones may be missing.
        let refilled = own_round > progress.own_round;
        Ok(RecoveredLog {
            commits,
            blocks,
            own_last,
            duplicates,
            schedule,
            last_committed_rounds,
            evidence,
            roots: self.roots()?,
            certified,
            guard,
            refilled,
        })
    }

    /// The window of duplicates as it was after the last commit.
    fn duplicates(
        &self,
        last: CommitIndex,
        parameters: &ProtocolParameters,
        mut inside: impl FnMut(&CommittedSubDag),
    ) -> Result<DuplicateWindow, LogError> {
        let mut window = DuplicateWindow::new(parameters);
        for index in (self.earliest_index().get()..=last.get()).rev().map(CommitIndex::new) {
            let sub_dag = self.sub_dag(index)?.ok_or(LogError::MissingCommit { index, last })?;
            if !window.rebuild(&sub_dag) {
                break;
            }
            inside(&sub_dag);
        }
        Ok(window)
    }

    /// Progress and commits are written together, so they end at the same index.
    fn check_last(&self, progress: Option<&Progress>) -> Result<(), LogError> {
        let stored = self.store.last_with_prefix(keys::COMMITS).map_err(Entry::Commits.unreadable())?;
        let stored = match stored {
            None => CommitIndex::NONE,
            Some((key, _)) => {
                keys::parse_commit(&key).ok_or_else(|| Entry::Commits.damaged("a key is malformed"))?
            }
        };
        let recorded = progress.map_or(CommitIndex::NONE, |progress| progress.last_commit);
        if stored != recorded {
            let reason = format!("they end at {stored}, the progress record at {recorded}");
            return Err(Entry::Commits.damaged(reason));
        }
        Ok(())
    }

    fn newest_commits(
        &self,
        last: CommitIndex,
        gc_depth: u64,
    ) -> Result<Vec<(Commit, CommitDigest)>, LogError> {
        let mut newest = Vec::new();
        let mut end: Option<(Epoch, Round)> = None;
        let mut index = last.get();
        while index >= self.earliest_index().get() {
            let index_now = CommitIndex::new(index);
            let commit = self.commit(index_now)?.ok_or(LogError::MissingCommit { index: index_now, last })?;
            let (epoch, gc_round) =
                *end.get_or_insert((commit.epoch, commit.last_leader_round().minus(gc_depth)));
            if commit.epoch != epoch {
                break;
            }
            let reached = commit.last_leader_round() <= gc_round;
            let digest = commit.digest();
            newest.push((commit, digest));
            if reached {
                break;
            }
            index -= 1;
        }
        newest.reverse();
        Ok(newest)
    }

    fn blocks_above(&self, epoch: Epoch, gc_round: Round) -> Result<Vec<VerifiedBlock>, LogError> {
        let from = keys::blocks_from(epoch, gc_round.next());
        let entries = self.store.scan_prefix(&keys::blocks_of(epoch), &from);
        entries
            .map(|entry| {
                let (key, bytes) = entry.map_err(Entry::Blocks.unreadable())?;
                let reference = keys::parse_block(&key)
                    .ok_or_else(|| Entry::Blocks.damaged("a key of a block is malformed"))?;
                log::decode_block(epoch, &reference, bytes)
            })
            .collect()
    }
}
