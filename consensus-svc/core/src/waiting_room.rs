//! Blocks whose ancestors are missing.
//!
//! Bounded by author: each has an equal share of blocks and bytes. When a share is full, the author's highest block gives
//! way to a lower one, since lower ones free others; what is dropped is asked for when another block names it.
//!
//! An ancestor that nobody serves is given up, and with it all that waits for it, unless blocks of the validity threshold
//! of stake do: one of their authors is then honest and has it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    block::VerifiedBlock,
    committee::{Committee, Tally},
    dag::Dag,
    explain::MissingBlock,
    fetch::{Fetch, FetchEnd, FetchId, FetchStatus},
    fetch_schedule::FetchSchedule,
    input::BlockSource,
    params::Params,
    types::{AuthorityIndex, BlockDigest, BlockRef, Round, Slot, Timestamp},
};

#[derive(Debug)]
struct Waiting {
    block: VerifiedBlock,
    missing: BTreeSet<BlockRef>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    blocks: usize,
    bytes: u64,
}

impl Share {
    fn with(self, block: &VerifiedBlock) -> Self {
        Self {
            blocks: self.blocks.saturating_add(1),
            bytes: self.bytes.saturating_add(block.signed_bytes().len() as u64),
        }
    }

    fn without(self, block: &VerifiedBlock) -> Self {
        Self {
            blocks: self.blocks.saturating_sub(1),
            bytes: self.bytes.saturating_sub(block.signed_bytes().len() as u64),
        }
    }

    const fn fits(self, limit: Self) -> bool {
        self.blocks <= limit.blocks && self.bytes <= limit.bytes
    }
}

/// What is to be done about missing ancestors.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct DueFetches {
    /// Questions to put.
    pub(crate) fetches: Vec<Fetch>,
    /// Ancestors that were given up, each with the lowest block that was dropped for it.
    pub(crate) given_up: Vec<(BlockRef, BlockRef)>,
}

/// The waiting room.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    max_share: Share,
    shares: Vec<Share>,
    waiting: BTreeMap<BlockRef, Waiting>,
    /// By missing ancestor, waiting ones included, the blocks that wait for it.
    missing: BTreeMap<BlockRef, BTreeSet<BlockRef>>,
    fetches: FetchSchedule,
    stuck: bool,
}

impl WaitingRoom {
    pub(crate) fn new(own: AuthorityIndex, authorities: usize, params: &Params) -> Self {
        let authorities = u16::try_from(authorities).unwrap_or(u16::MAX).max(1);
        let blocks = params.max_waiting_blocks.checked_div(usize::from(authorities)).unwrap_or_default();
        let bytes = params.max_waiting_bytes.checked_div(u64::from(authorities)).unwrap_or_default();
        Self {
            max_share: Share { blocks, bytes },
            shares: vec![Share::default(); usize::from(authorities)],
            waiting: BTreeMap::new(),
            missing: BTreeMap::new(),
            fetches: FetchSchedule::new(own, authorities, params.fetch_timeout),
            stuck: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shares.iter().fold(0, |sum, share| sum.saturating_add(share.bytes))
    }

    pub(crate) fn missing_len(&self) -> usize {
        self.missing.len()
    }

    pub(crate) fn contains(&self, reference: &BlockRef) -> bool {
        self.waiting.contains_key(reference)
    }

    /// Whether a block that waits here names it as an ancestor.
    pub(crate) fn is_wanted(&self, reference: &BlockRef) -> bool {
        self.missing.contains_key(reference)
    }

    /// A block of the slot that waits here, other than `reference`.
    pub(crate) fn twin_of(&self, reference: &BlockRef) -> Option<&VerifiedBlock> {
        let Slot { round, authority } = reference.slot();
        let first = BlockRef { round, author: authority, digest: BlockDigest::ZERO };
        let last = BlockRef { round, author: authority, digest: BlockDigest::new([0xff; 32]) };
        self.waiting
            .range(first..=last)
            .find(|(twin, _)| *twin != reference)
            .map(|(_, waiting)| &waiting.block)
    }

    /// Lets a block wait for `missing`, which is not empty. Answers with the block that was dropped to keep the author's
    /// share, if any; it may be this one.
    pub(crate) fn add(
        &mut self,
        now: Timestamp,
        from: AuthorityIndex,
        source: BlockSource,
        block: VerifiedBlock,
        missing: BTreeSet<BlockRef>,
    ) -> Option<BlockRef> {
        let reference = block.reference();
        let share = self.share(reference.author);
        let mut dropped = None;
        if !share.with(&block).fits(self.max_share) {
            let highest =
                self.waiting.values().rev().find(|waiting| waiting.block.author() == reference.author);
            let highest = highest.map(|waiting| waiting.block.clone());
            let evicted = highest.filter(|highest| {
                highest.reference() > reference && share.without(highest).with(&block).fits(self.max_share)
            });
            let Some(evicted) = evicted else { return Some(reference) };
            self.evict(now, &evicted.reference());
            dropped = Some(evicted.reference());
        }
        self.fetches.forget(&reference);
        for ancestor in &missing {
            self.missing.entry(*ancestor).or_default().insert(reference);
            if !self.waiting.contains_key(ancestor) {
                // What a fetched block names was sent long ago, if it was sent here at all.
                let at_once = source == BlockSource::Fetched;
                self.fetches.want(now, *ancestor, reference.author, from, at_once);
            }
        }
        self.set_share(reference.author, self.share(reference.author).with(&block));
        self.waiting.insert(reference, Waiting { block, missing });
        dropped
    }

    /// An ancestor has come: answers with the blocks that miss nothing more, lowest first.
    pub(crate) fn resolve(&mut self, ancestor: &BlockRef) -> Vec<VerifiedBlock> {
        self.fetches.forget(ancestor);
        let mut ready = Vec::new();
        for child in self.missing.remove(ancestor).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&child) else { continue };
            waiting.missing.remove(ancestor);
            if waiting.missing.is_empty() {
                ready.extend(self.remove(&child));
            }
        }
        ready
    }

    /// Ancestors at or below `gc_round` count as present, and blocks there wait for nothing: answers with the blocks above
    /// it that miss nothing more.
    pub(crate) fn collect(&mut self, gc_round: Round) -> Vec<VerifiedBlock> {
        let collected: Vec<_> =
            self.waiting.keys().take_while(|reference| reference.round <= gc_round).copied().collect();
        for reference in collected {
            self.remove(&reference);
        }
        let present: Vec<_> =
            self.missing.keys().take_while(|reference| reference.round <= gc_round).copied().collect();
        present.iter().flat_map(|reference| self.resolve(reference)).collect()
    }

    /// The lowest missing blocks that do not wait here themselves, at most `limit`.
    pub(crate) fn missing(&self, limit: usize) -> Vec<MissingBlock> {
        let absent = self.missing.iter().filter(|(block, _)| !self.waiting.contains_key(block));
        let told = absent.map(|(block, needed_by)| MissingBlock {
            block: *block,
            needed_by: needed_by.len(),
            asked: self.fetches.asked(block),
        });
        told.take(limit).collect()
    }

    /// A question has ended.
    pub(crate) fn fetch_ended(&mut self, now: Timestamp, fetch: FetchId, end: FetchEnd) {
        self.fetches.ended(now, fetch, end);
    }

    /// The questions that are due, and what was asked for long enough.
    pub(crate) fn due_fetches(&mut self, now: Timestamp, dag: &Dag) -> DueFetches {
        self.fetches.expire(now);
        let given_up = self.give_up(now, dag.committee());
        let mut fetches = self.fetches.due(now);
        if !fetches.is_empty() {
            let held = self.held(dag);
            for fetch in &mut fetches {
                fetch.held.clone_from(&held);
            }
        }
        DueFetches { fetches, given_up }
    }

    pub(crate) fn fetch_status(&self) -> FetchStatus {
        self.fetches.status()
    }

    /// Whether nobody has served an ancestor on which blocks of more than the faulty stake rest: an honest authority had it,
    /// so it may be collected everywhere. Holds until it is taken up.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// The catch-up that it calls for has begun.
    pub(crate) const fn unstick(&mut self) {
        self.stuck = false;
    }

    /// When the next question is due.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.fetches.next_deadline()
    }

    /// Drops a block; if others wait for it, it is asked for again.
    fn evict(&mut self, now: Timestamp, reference: &BlockRef) {
        self.remove(reference);
        for child in self.missing.get(reference).into_iter().flatten() {
            self.fetches.want(now, *reference, child.author, reference.author, false);
        }
    }

    /// Drops what waits for ancestors that nobody serves, where no honest authority vouches for them.
    fn give_up(&mut self, now: Timestamp, committee: &Committee) -> Vec<(BlockRef, BlockRef)> {
        let mut given_up = Vec::new();
        for ancestor in self.fetches.take_exhausted() {
            let (waiting, stake) = self.waiting_for(&ancestor, committee);
            if stake.stake() >= committee.validity_threshold() {
                self.fetches.retry(now, ancestor);
                self.stuck = true;
                continue;
            }
            // Highest first, so that what is dropped is not asked for by what is dropped next.
            for block in waiting.iter().rev() {
                self.remove(block);
            }
            // Others may be gone with one before.
            if let Some(lowest) = waiting.first() {
                self.fetches.gave_up();
                given_up.push((ancestor, *lowest));
            }
        }
        given_up
    }

    /// All that waits for an ancestor, directly or not, and the stake of the authors.
    fn waiting_for(&self, ancestor: &BlockRef, committee: &Committee) -> (BTreeSet<BlockRef>, Tally) {
        let (mut waiting, mut authors) = (BTreeSet::new(), Tally::new(committee));
        let mut open = vec![*ancestor];
        while let Some(reference) = open.pop() {
            for child in self.missing.get(&reference).into_iter().flatten() {
                if waiting.insert(*child) {
                    authors.add(committee, child.author);
                    open.push(*child);
                }
            }
        }
        (waiting, authors)
    }

    /// By authority, up to where no ancestors are needed. Of an author none of whose blocks is missing everything up to its
    /// highest waiting block is here, for each block names the one before; else what is accepted counts.
    fn held(&self, dag: &Dag) -> Vec<Round> {
        let mut held: Vec<_> =
            dag.accepted_rounds().iter().map(|round| *round.max(&dag.gc_round())).collect();
        for reference in self.waiting.keys().filter(|reference| !self.fetches.wants_of(reference.author)) {
            if let Some(held) = held.get_mut(reference.author.as_usize()) {
                *held = reference.round.max(*held);
            }
        }
        held
    }

    fn remove(&mut self, reference: &BlockRef) -> Option<VerifiedBlock> {
        let waiting = self.waiting.remove(reference)?;
        for ancestor in &waiting.missing {
            if let Some(children) = self.missing.get_mut(ancestor) {
                children.remove(reference);
                if children.is_empty() {
                    self.missing.remove(ancestor);
                    self.fetches.forget(ancestor);
                } else if children.iter().all(|child| child.author != reference.author) {
                    self.fetches.unname(ancestor, reference.author);
                }
            }
        }
        self.set_share(reference.author, self.share(reference.author).without(&waiting.block));
        Some(waiting.block)
    }

    fn share(&self, author: AuthorityIndex) -> Share {
        self.shares.get(author.as_usize()).copied().unwrap_or_default()
    }

    fn set_share(&mut self, author: AuthorityIndex, share: Share) {
        if let Some(held) = self.shares.get_mut(author.as_usize()) {
            *held = share;
        }
    }
}

#[cfg(test)]
mod props;
#[cfg(test)]
mod tests;
