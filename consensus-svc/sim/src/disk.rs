//! A node's disk: what is durable, and what a crash leaves of what is not.
//!
//! Written batches become durable by a sync; one sync takes all that is queued. The guard is a file of its own, synced after
//! the store. A crash keeps any prefix of the batches that were under way, each whole, and nothing of those behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use consensus_core::{
    AuthorityIndex, BlockRef, Certificate, Commit, CommitDigest, CommitIndex, CommittedSubDag,
    DuplicateWindow, Epoch, EquivocationProof, ProtocolParameters, RangeSource, RecoveredLog, RootRecords,
    Round, ScheduleState, Slot, Transaction, TransactionDigest, VerifiedBlock, WriteBatch,
};

/// The durable store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) blocks: BTreeMap<BlockRef, VerifiedBlock>,
    /// From index 1, without a hole.
    pub(crate) commits: Vec<(Commit, CommitDigest)>,
    pub(crate) certificates: BTreeMap<CommitIndex, Certificate>,
    last_committed_rounds: Vec<Round>,
    /// Highest own round that the newest batch vouches for.
    own_round: Round,
    pub(crate) evidence: BTreeMap<Slot, EquivocationProof>,
    pub(crate) roots: RootRecords,
    /// The leader schedule after the last commit.
    schedule: ScheduleState,
    /// The last commit, as the progress record names it.
    pub(crate) last_commit: CommitIndex,
}

impl Store {
    pub(crate) fn apply(&mut self, batch: &WriteBatch) {
        self.blocks.extend(batch.blocks.iter().map(|block| (block.reference(), block.clone())));
        self.commits.extend(batch.commits.iter().cloned());
        self.certificates.extend(batch.certificates.iter().map(|found| (found.index, found.clone())));
        self.evidence.extend(batch.evidence.iter().map(|found| (found.slot(), found.proof())));
        self.roots.apply(&batch.roots);
        self.last_committed_rounds.clone_from(&batch.progress.last_committed_rounds);
        self.schedule.clone_from(&batch.progress.schedule);
        self.own_round = batch.progress.own_round;
        self.last_commit = batch.progress.last_commit;
    }

    /// Whether a commit is held under this digest.
    pub(crate) fn holds_commit(&self, sub_dag: &CommittedSubDag) -> bool {
        let place = usize::try_from(sub_dag.commit.index.get()).unwrap_or(0);
        self.commits.get(place.wrapping_sub(1)).is_some_and(|(_, digest)| *digest == sub_dag.digest)
    }

    /// A commit with its blocks, as replay sends it; `None` if the store does not hold all of it.
    pub(crate) fn sub_dag(&self, index: u64) -> Option<CommittedSubDag> {
        let (commit, digest) = self.commits.get(usize::try_from(index).ok()?.checked_sub(1)?)?.clone();
        let blocks =
            commit.blocks.iter().map(|reference| self.read(reference)).collect::<Option<Vec<_>>>()?;
        Some(CommittedSubDag { commit, digest, blocks })
    }

    /// The GC round of the last certified commit.
    pub(crate) fn certified_gc_round(&self, gc_depth: u64) -> Round {
        let certified = self.certificates.keys().next_back().copied().unwrap_or_default();
        let place = usize::try_from(certified.get()).unwrap_or(0).checked_sub(1);
        let commit = place.and_then(|place| self.commits.get(place));
        commit.map_or(Round::GENESIS, |(commit, _)| commit.last_leader_round().minus(gc_depth))
    }

    /// Own blocks, rising by round.
    pub(crate) fn blocks_of(&self, author: AuthorityIndex) -> impl Iterator<Item = &VerifiedBlock> {
        self.blocks.values().filter(move |block| block.author() == author)
    }

    /// The transactions of own blocks above the GC round that are in no commit and not in the window of duplicates: what is
    /// there was committed by another block, and owes nothing even if this one is collected.
    pub(crate) fn open_transactions(
        &self,
        own: AuthorityIndex,
        parameters: &ProtocolParameters,
    ) -> Vec<TransactionDigest> {
        let last_leader =
            self.commits.last().map_or(Round::GENESIS, |(commit, _)| commit.last_leader_round());
        let gc_round = last_leader.minus(parameters.gc_depth);
        // A block above the GC round is in no commit whose leaders are all at or below it.
        let newest =
            self.commits.iter().rev().take_while(|(commit, _)| commit.last_leader_round() > gc_round);
        let window = self.duplicates(parameters);
        let committed: BTreeSet<_> = newest.flat_map(|(commit, _)| &commit.blocks).collect();
        self.blocks_of(own)
            .filter(|block| block.round() > gc_round && !committed.contains(&block.reference()))
            .flat_map(|block| block.block().transactions.iter().map(Transaction::digest))
            .filter(|digest| !window.contains(digest))
            .collect()
    }

    /// What a restart reads: the same window as the service reads, decoded from bytes.
    pub(crate) fn recovered(
        &self,
        own: AuthorityIndex,
        parameters: &ProtocolParameters,
        guard: Option<(Epoch, Round)>,
    ) -> RecoveredLog {
        let last_leader =
            self.commits.last().map_or(Round::GENESIS, |(commit, _)| commit.last_leader_round());
        let gc_round = last_leader.minus(parameters.gc_depth);
        let reached = self.commits.iter().rposition(|(commit, _)| commit.last_leader_round() <= gc_round);
        let commits = self.commits[reached.unwrap_or(0)..].to_vec();
        let first =
            BlockRef { round: gc_round.next(), author: Default::default(), digest: Default::default() };
        let blocks = self.blocks.range(first..).filter_map(|(reference, _)| self.read(reference)).collect();
        let own_last = self.blocks.values().rev().find(|block| block.author() == own).cloned();
        let refilled = own_last.as_ref().is_some_and(|own_last| own_last.round() > self.own_round);
        let duplicates = Some(self.duplicates(parameters));
        let last_committed_rounds = self.last_committed_rounds.clone();
        let schedule = self.schedule.clone();
        let evidence = self.evidence.keys().copied().collect();
        let roots = self.roots.clone();
        let certified = self.certificates.keys().next_back().copied().unwrap_or_default();
        RecoveredLog {
            commits,
            blocks,
            own_last,
            duplicates,
            schedule,
            last_committed_rounds,
            evidence,
            roots,
            certified,
            guard,
            refilled,
        }
    }

    fn duplicates(&self, parameters: &ProtocolParameters) -> DuplicateWindow {
        let mut window = DuplicateWindow::new(parameters);
        let newest_first = (1..=self.commits.len() as u64).rev();
        let _ = newest_first.map_while(|index| self.sub_dag(index)).find(|sub_dag| !window.rebuild(sub_dag));
        window
    }

    fn read(&self, reference: &BlockRef) -> Option<VerifiedBlock> {
        let block = self.blocks.get(reference)?;
        VerifiedBlock::from_store(block.signed_bytes().clone()).ok()
    }
}

/// What of a store may be shown in ranges: an own block above what was released is durable, and the guard may not cover it yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownCommits<'a> {
    pub(crate) store: &'a Store,
    pub(crate) own: AuthorityIndex,
    pub(crate) released: Round,
}

impl ShownCommits<'_> {
    fn may_show(&self, reference: &BlockRef) -> bool {
        reference.author != self.own || reference.round <= self.released
    }
}

impl RangeSource for ShownCommits<'_> {
    type Error = Infallible;

    fn last_certified(&self) -> Result<CommitIndex, Infallible> {
        Ok(self.store.certificates.keys().next_back().copied().unwrap_or_default())
    }

    fn next_certified(&self, first: CommitIndex) -> Result<Option<CommitIndex>, Infallible> {
        Ok(self.store.certificates.range(first..).next().map(|(index, _)| *index))
    }

    fn sub_dag(&self, index: CommitIndex) -> Result<Option<CommittedSubDag>, Infallible> {
        let sub_dag = self.store.sub_dag(index.get());
        Ok(sub_dag.filter(|sub_dag| sub_dag.commit.blocks.iter().all(|block| self.may_show(block))))
    }

    fn certifiers(&self, index: CommitIndex) -> Result<Option<Vec<VerifiedBlock>>, Infallible> {
        let shown = |reference: &BlockRef| {
            self.store.blocks.get(reference).filter(|_| self.may_show(reference)).cloned()
        };
        let certificate = self.store.certificates.get(&index);
        Ok(certificate.and_then(|found| found.blocks.iter().map(shown).collect()))
    }
}

/// Where a sync is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Batches are on their way to the platter.
    Store,
    /// Batches are durable, the guard is on its way.
    Guard,
}

/// A sync under way, over the first `effects` of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sync {
    pub(crate) effects: usize,
    pub(crate) phase: Phase,
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) store: Store,
    pub(crate) guard: Option<(Epoch, Round)>,
    /// A copy made earlier, of the store and of the guard, that somebody may restore.
    pub(crate) copy: Option<(Store, Option<(Epoch, Round)>)>,
    pub(crate) sync: Option<Sync>,
}

impl Disk {
    /// Raises the guard; it never falls.
    pub(crate) fn raise_guard(&mut self, epoch: Epoch, round: Round) {
        self.guard = self.guard.max(Some((epoch, round)));
    }
}
