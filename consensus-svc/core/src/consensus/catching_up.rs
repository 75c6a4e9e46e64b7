//! Catch-up: certified commits that others formed are formed again here, from their own blocks, and compared.

use std::collections::BTreeMap;

use super::Consensus;
use crate::{
    block::VerifiedBlock,
    catch_up::range::{CertifiedRange, ChainPoint},
    certifier::Fork,
    commit::CommittedSubDag,
    effect::Effect,
    outbox::Outbox,
    types::{AuthorityIndex, BlockRef, CommitIndex, Round, Timestamp},
};

impl Consensus {
    /// A verified block of `author` in `round` is somewhere on its way: it is not let in yet, for it is too far ahead.
    pub(super) fn see(&mut self, author: AuthorityIndex, round: Round) {
        if let Some(seen) = self.seen_rounds.get_mut(author.as_usize()) {
            *seen = round.max(*seen);
        }
    }

    /// Begins a catch-up if there is a reason, ends one that is over, and puts the question that is due.
    pub(super) fn catch_up(&mut self, now: Timestamp, outbox: &mut Outbox) {
        if self.certification.is_forked() {
            return;
        }
        let last = self.ordering.end();
        let committee = self.genesis.committee();
        self.catch_up.end_if_shown(now, committee, last.index);
        if self.catch_up.may_begin(now) && self.needs_commits() {
            self.catch_up.begin(now, committee);
            self.waiting.unstick();
        }
        if let Some(peer) = self.catch_up.due(now, committee, last.index) {
            outbox.immediate.push(Effect::FetchCommits { peer, after: last });
        }
    }

    /// When [`Consensus::catch_up`] has something to do, if nothing comes in before.
    pub(super) fn next_catch_up(&self) -> Option<Timestamp> {
        let is_due = !self.certification.is_forked() && (self.catch_up.is_running() || self.needs_commits());
        is_due.then(|| self.catch_up.next_deadline())
    }

    /// Whether own blocks would help nobody (L05): while this node catches up, or blocks of more than a third of the stake
    /// are seen far ahead of the clock, so that an honest authority is there.
    pub(super) fn lags(&self) -> bool {
        self.catch_up.is_running() || self.is_behind(self.genesis.parameters().gc_depth / 4)
    }

    /// Whether what is missing is, or soon may be, collected at its holders.
    fn needs_commits(&self) -> bool {
        self.waiting.is_stuck() || self.is_behind(self.genesis.parameters().gc_depth / 2)
    }

    fn is_behind(&self, rounds: u64) -> bool {
        self.credible_round() > self.clock.round().plus(rounds)
    }

    /// Takes an answer to [`Effect::FetchCommits`]: whole groups. Those that were formed meanwhile are compared and left out.
    pub(super) fn take_range(
        &mut self,
        now: Timestamp,
        from: AuthorityIndex,
        range: CertifiedRange,
        highest: CommitIndex,
        outbox: &mut Outbox,
    ) {
        let (commits, certificate) = range.into_parts();
        // Commits that were formed meanwhile are left out, and so is a range that nobody waits for any more. Not unseen: a quorum has
        // signed it.
        let contradiction = commits.iter().find_map(|certified| self.certification.compare(certified));
        if let Some(fork) = contradiction {
            self.certification.contradicted(fork);
            return;
        }
        if !self.catch_up.is_running() {
            return;
        }
        // It has shown at least what it sent, whatever it says.
        self.catch_up.answered(now, from, highest.max(certificate.index));
        let held = self.ordering.end();
        if certificate.index <= held.index {
            return;
        }
        self.ordering.abandon_open_group();
        let mut group = Vec::new();
        for sub_dag in commits.into_iter().filter(|sub_dag| sub_dag.commit.index > held.index) {
            let closing = sub_dag.commit.closing;
            group.push(sub_dag);
            if closing && let Err(fork) = self.follow(now, from, &std::mem::take(&mut group), outbox) {
                self.certification.contradicted(fork);
                return;
            }
        }
        // Only now: a certificate above the own last commit would keep the next life from voting for, and from comparing, what
        // it forms up to there.
        self.certification.received(certificate);
        self.catch_up.applied();
    }

    /// Forms one certified group again. The linearizer computes timestamp, order, pieces and duplicates from the blocks, so
    /// that a node which caught up holds what one that was there holds (F04), or finds out that it does not.
    fn follow(
        &mut self,
        now: Timestamp,
        from: AuthorityIndex,
        group: &[CommittedSubDag],
        outbox: &mut Outbox,
    ) -> Result<(), Fork> {
        let Some(first) = group.first() else { return Ok(()) };
        let end = self.ordering.end();
        let index = first.commit.index;
        if index != end.index.next() || first.commit.previous_digest != end.digest {
            return Err(Fork {
                index: end.index,
                own: Some(end.digest),
                certified: first.commit.previous_digest,
            });
        }
        let impossible = Fork { index, own: None, certified: first.digest };
        let blocks: BTreeMap<BlockRef, &VerifiedBlock> = group
            .iter()
            .flat_map(|sub_dag| &sub_dag.blocks)
            .map(|block| (block.reference(), block))
            .collect();
        // By round, so that ancestors come before their descendants. Never assumed to be there (F03).
        for (reference, block) in blocks {
            if self.dag.is_present(&reference) {
                continue;
            }
            if reference.author == self.own {
                self.signing.meet(&self.dag, from, reference, self.proposer.last().reference(), outbox);
            }
            if !block.ancestors().iter().all(|ancestor| self.dag.is_present(ancestor)) {
                return Err(impossible);
            }
            // One that waits was looked at when it came.
            if !self.waiting.contains(&reference) {
                self.note_twin(block, outbox);
            }
            self.accept(now, block.clone());
        }
        let formed = self.ordering.follow(&self.dag, &first.commit.leaders).ok_or(impossible)?;
        let mut pairs = formed.iter().zip(group);
        if let Some((own, certified)) = pairs.find(|(own, certified)| own.digest != certified.digest) {
            let index = certified.commit.index;
            return Err(Fork { index, own: Some(own.digest), certified: certified.digest });
        }
        if formed.len() != group.len() {
            return Err(impossible);
        }
        self.take_group(formed, outbox);
        if let Some(fork) = self.certification.fork() {
            return Err(fork);
        }
        self.collect(now, outbox);
        Ok(())
    }

    /// A peer has nothing certified above `after`.
    pub(super) fn hear_no_later(&mut self, now: Timestamp, from: AuthorityIndex, after: CommitIndex) {
        self.catch_up.answered(now, from, after);
    }

    /// A peer has not answered with a range. A range that is certified and does not follow this node's chain is a fork.
    pub(super) fn range_failed(&mut self, now: Timestamp, from: AuthorityIndex, fork: Option<Fork>) {
        self.catch_up.failed(now, from);
        let own: ChainPoint = self.ordering.end();
        // Own commits are never changed, so a contradiction of an earlier one still is one.
        if let Some(fork) = fork.filter(|fork| fork.index <= own.index) {
            self.certification.contradicted(fork);
        }
    }
}
