//! From what the DAG decides to commits that are made durable and handed on; and where that ends, at a fork.
//!
//! A fork may be found while a commit is formed: the quorum's votes usually come first. The linearizer has moved by then, so the
//! chain is told of as it stood after the last group that was taken, group by group, and never as the linearizer stands.

use super::Consensus;
use crate::{
    certifier::Fork,
    commit::CommittedSubDag,
    effect::{DropReason, Effect, Progress},
    input::Input,
    outbox::{FormedGroup, Outbox},
    types::Timestamp,
};

impl Consensus {
    /// Runs the commit rule until it decides nothing more: a closing commit collects blocks, which frees waiting ones,
    /// which may decide further slots. Nothing is signed any more once a fork is found.
    pub(super) fn commit(&mut self, now: Timestamp, outbox: &mut Outbox) {
        while !self.certification.is_forked() && std::mem::take(&mut self.undecided) {
            let mut judged = self.ordering.judge(&self.dag);
            while let Some(group) = self.ordering.next_group(&self.dag, &mut judged) {
                self.take_group(group, outbox);
                if self.certification.is_forked() {
                    break;
                }
            }
            if !self.certification.is_forked() {
                self.collect(now, outbox);
            }
        }
        if self.certification.is_forked() {
            self.signing.halt();
        }
    }

    /// Takes a formed group in, unless a fork is found by then: nothing is built on a fork, and nothing of it handed on.
    pub(super) fn take_group(&mut self, group: Vec<CommittedSubDag>, outbox: &mut Outbox) {
        self.certification.formed(&group);
        if self.certification.is_forked() {
            return;
        }
        for sub_dag in &group {
            for reference in &sub_dag.commit.blocks {
                self.uncommitted_work.remove(reference);
            }
            self.pool.all_committed(sub_dag.transactions());
            self.roots.committed(sub_dag);
        }
        outbox.groups.push(FormedGroup { commits: group, progress: self.ordering.progress() });
    }

    /// Forgets everything at or below the linearizer's GC round.
    pub(super) fn collect(&mut self, now: Timestamp, outbox: &mut Outbox) {
        let gc_round = self.ordering.gc_round();
        if gc_round <= self.dag.gc_round() {
            return;
        }
        self.dag.collect(gc_round);
        outbox.drop_transactions(DropReason::NotReproposed, self.pool.collect(now, gc_round));
        self.uncommitted_work.retain(|reference| reference.round > gc_round);
        for block in self.waiting.collect(gc_round) {
            self.accept(now, block);
        }
    }

    /// What a machine that has found a fork does with an input: it answers whoever submits, and takes nothing in. Nothing is
    /// collected any more, so every block would stay.
    pub(super) fn decline(&mut self, now: Timestamp, input: Input, outbox: &mut Outbox) {
        if let Input::Transactions { ticket, transactions } = input {
            self.submit(now, ticket, transactions, outbox);
        }
        outbox.drop_transactions(DropReason::Expired, self.pool.expire(now));
    }

    /// All effects of an input, in order.
    pub(super) fn release(&mut self, mut outbox: Outbox) -> Vec<Effect> {
        self.unpersisted.certificates.extend(self.certification.take_certificates());
        self.unpersisted.add_roots(self.roots.take_records());
        outbox.settle(|digest| self.ordering.is_in_window(digest));
        if let Some(fork) = self.certification.fork() {
            self.give_up(fork, &mut outbox);
        } else {
            self.progress.own_round = self.signing.own_round(self.proposer.last().round());
        }
        self.progress.follow(&outbox.groups);
        outbox.release(&mut self.unpersisted, &self.progress)
    }

    /// Takes back what this turn has made on a fork: an own block, and the commits from the contradicted one on. What was formed before
    /// stays. A last batch holds the blocks that show the fork, so that the next start finds it again.
    fn give_up(&mut self, fork: Fork, outbox: &mut Outbox) {
        if let Some(own) = outbox.own_block.take() {
            self.unpersisted.withdraw(&own.reference());
        }
        // The window holds what the contradicted group holds: whether these were handed on is not known.
        outbox.committed_before.clear();
        outbox.groups.retain(|group| group.commits.iter().all(|formed| formed.commit.index < fork.index));
        if let Some(fork) = self.certification.take_fork() {
            self.unpersisted.end();
            outbox.immediate.push(Effect::Forked(fork));
        }
    }
}

impl Progress {
    /// Goes on to the end of the last of these groups.
    fn follow(&mut self, groups: &[FormedGroup]) {
        if let Some(FormedGroup { progress, .. }) = groups.last() {
            let (epoch, own_round) = (self.epoch, self.own_round);
            *self = Self { epoch, own_round, ..progress.clone() };
        }
    }
}
