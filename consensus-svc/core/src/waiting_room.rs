//! Blocks whose ancestors are missing, and the questions for those ancestors.
//!
//! Bounded by author: each has an equal share of blocks and bytes. When a share is full, the author's highest block gives
//! way to a lower one, since lower ones free others; what is dropped is asked for when another block names it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    block::VerifiedBlock,
    params::Params,
    types::{AuthorityIndex, BlockDigest, BlockRef, Round, Slot, Timestamp},
};

/// Most references in one question.
pub(crate) const MAX_FETCH_BLOCKS: usize = 1000;
/// Most questions put at one time.
const MAX_FETCHES_AT_ONCE: usize = 16;

#[derive(Debug)]
struct Waiting {
    block: VerifiedBlock,
    missing: BTreeSet<BlockRef>,
}

#[derive(Debug)]
struct Missing {
    children: BTreeSet<BlockRef>,
    /// Who sent the first block that named it: that peer has it.
    holder: AuthorityIndex,
    attempts: u64,
    ask_at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    blocks: usize,
    bytes: u64,
}

/// The waiting room.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    own: AuthorityIndex,
    authorities: u16,
    max_share: Share,
    fetch_timeout: Duration,
    waiting: BTreeMap<BlockRef, Waiting>,
    missing: BTreeMap<BlockRef, Missing>,
    shares: Vec<Share>,
}

impl WaitingRoom {
    pub(crate) fn new(own: AuthorityIndex, authorities: usize, params: &Params) -> Self {
        let authorities = u16::try_from(authorities).unwrap_or(u16::MAX).max(1);
        let blocks = params.max_waiting_blocks.checked_div(usize::from(authorities)).unwrap_or_default();
        let bytes = params.max_waiting_bytes.checked_div(u64::from(authorities)).unwrap_or_default();
        Self {
            own,
            authorities,
            max_share: Share { blocks, bytes },
            fetch_timeout: params.fetch_timeout,
            waiting: BTreeMap::new(),
            missing: BTreeMap::new(),
            shares: vec![Share::default(); usize::from(authorities)],
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
    pub(crate) fn twin_of(&self, reference: &BlockRef) -> Option<BlockRef> {
        let Slot { round, authority } = reference.slot();
        let first = BlockRef { round, author: authority, digest: BlockDigest::ZERO };
        let last = BlockRef { round, author: authority, digest: BlockDigest::new([0xff; 32]) };
        self.waiting.range(first..=last).map(|(twin, _)| *twin).find(|twin| twin != reference)
    }

    /// Lets a block wait for `missing`, which is not empty. Answers with the block that was dropped to keep the author's
    /// share, if any; it may be this one.
    pub(crate) fn add(
        &mut self,
        now: Timestamp,
        from: AuthorityIndex,
        block: VerifiedBlock,
        missing: BTreeSet<BlockRef>,
    ) -> Option<BlockRef> {
        let reference = block.reference();
        let mut dropped = None;
        if !self.fits(&block) {
            let highest =
                self.waiting.keys().rev().find(|waiting| waiting.author == reference.author).copied();
            match highest {
                Some(highest) if highest > reference => {
                    self.remove(&highest);
                    dropped = Some(highest);
                }
                _ => return Some(reference),
            }
            if !self.fits(&block) {
                return Some(reference);
            }
        }
        let ask_at = now.plus(self.grace());
        for ancestor in &missing {
            self.missing
                .entry(*ancestor)
                .or_insert_with(|| Missing { children: BTreeSet::new(), holder: from, attempts: 0, ask_at })
                .children
                .insert(reference);
        }
        if let Some(share) = self.shares.get_mut(reference.author.as_usize()) {
            share.blocks = share.blocks.saturating_add(1);
            share.bytes = share.bytes.saturating_add(block.signed_bytes().len() as u64);
        }
        self.waiting.insert(reference, Waiting { block, missing });
        dropped
    }

    /// An ancestor has come: answers with the blocks that miss nothing more, lowest first.
    pub(crate) fn resolve(&mut self, ancestor: &BlockRef) -> Vec<VerifiedBlock> {
        let Some(missing) = self.missing.remove(ancestor) else { return Vec::new() };
        let mut ready = Vec::new();
        for child in missing.children {
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

    /// The questions that are due: whom to ask for what. The first goes to who named the ancestor, the next to its
    /// author, then around the committee.
    pub(crate) fn due_fetches(&mut self, now: Timestamp) -> Vec<(AuthorityIndex, Vec<BlockRef>)> {
        let mut fetches: BTreeMap<AuthorityIndex, Vec<BlockRef>> = BTreeMap::new();
        let put_off = now.plus(self.grace());
        for (reference, missing) in &mut self.missing {
            if missing.ask_at > now || self.waiting.contains_key(reference) {
                continue;
            }
            let Some(peer) = holder(self.own, self.authorities, reference, missing) else { continue };
            let is_new_peer = !fetches.contains_key(&peer);
            if is_new_peer && fetches.len() >= MAX_FETCHES_AT_ONCE {
                missing.ask_at = put_off;
                continue;
            }
            let blocks = fetches.entry(peer).or_default();
            if blocks.len() < MAX_FETCH_BLOCKS {
                blocks.push(*reference);
                missing.attempts = missing.attempts.saturating_add(1);
                missing.ask_at = now.plus(self.fetch_timeout);
            } else {
                missing.ask_at = put_off;
            }
        }
        fetches.into_iter().collect()
    }

    /// When the next question is due.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.missing
            .iter()
            .filter(|(reference, _)| !self.waiting.contains_key(reference))
            .map(|(_, missing)| missing.ask_at)
            .min()
    }

    /// How long an ancestor may still come by itself before it is asked for, and how long a question that found no place
    /// waits for the next.
    fn grace(&self) -> Duration {
        self.fetch_timeout.checked_div(10).unwrap_or_default()
    }

    fn fits(&self, block: &VerifiedBlock) -> bool {
        let share = self.shares.get(block.author().as_usize()).copied().unwrap_or_default();
        share.blocks < self.max_share.blocks
            && share.bytes.saturating_add(block.signed_bytes().len() as u64) <= self.max_share.bytes
    }

    fn remove(&mut self, reference: &BlockRef) -> Option<VerifiedBlock> {
        let waiting = self.waiting.remove(reference)?;
        for ancestor in &waiting.missing {
            if let Some(missing) = self.missing.get_mut(ancestor) {
                missing.children.remove(reference);
                if missing.children.is_empty() {
                    self.missing.remove(ancestor);
                }
            }
        }
        if let Some(share) = self.shares.get_mut(reference.author.as_usize()) {
            share.blocks = share.blocks.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(waiting.block.signed_bytes().len() as u64);
        }
        Some(waiting.block)
    }
}

/// Whom to ask next for a missing block; `None` in a committee of one.
fn holder(
    own: AuthorityIndex,
    authorities: u16,
    reference: &BlockRef,
    missing: &Missing,
) -> Option<AuthorityIndex> {
    let first = (missing.attempts == 0).then_some(missing.holder);
    let start = u64::from(reference.author.get()).saturating_add(missing.attempts.saturating_sub(1));
    let around = (0..u64::from(authorities)).filter_map(|step| {
        let place = start.saturating_add(step).checked_rem(u64::from(authorities))?;
        u16::try_from(place).ok().map(AuthorityIndex::new)
    });
    first.into_iter().chain(around).find(|peer| *peer != own)
}
