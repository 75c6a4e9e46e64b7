//! Authorities that lie: at most f of the stake, each a real machine whose words are changed on their way out.
//!
//! What the machine broadcasts is only the raw material. Blocks are made anew under the authority's own key (another
//! timestamp, another twin, phantom parents), sent to some, late or never, mixed with garbage; questions are refused or
//! answered falsely. A chain of rewritten blocks goes on from its own last block, so that each twin chain is valid.

pub(crate) mod contents;
pub(crate) mod equivocation;
pub(crate) mod forks;
pub(crate) mod invalid;
pub(crate) mod last_block;
pub(crate) mod lies;
pub(crate) mod ranges;
pub(crate) mod roots;
pub(crate) mod twin_trees;
pub(crate) mod withholding;

pub(crate) use last_block::LastBlocks;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use consensus_core::{AuthorityIndex, Block, BlockRef, Genesis, Signer, VerifiedBlock};

use crate::{fault::Fault, rng::Rng};

/// Which kinds of lies are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habits {
    pub(crate) equivocates: bool,
    pub(crate) drags_twins: bool,
    pub(crate) withholds: bool,
    pub(crate) sends_invalid: bool,
    pub(crate) lies_about_time: bool,
    pub(crate) lies_about_last: bool,
    pub(crate) forges_commits: bool,
    pub(crate) lies_about_roots: bool,
}

impl Habits {
    const NONE: Self = Self {
        equivocates: false,
        drags_twins: false,
        withholds: false,
        sends_invalid: false,
        lies_about_time: false,
        lies_about_last: false,
        forges_commits: false,
        lies_about_roots: false,
    };
    pub(crate) const EQUIVOCATION: Self = Self { equivocates: true, drags_twins: true, ..Self::NONE };
    pub(crate) const WITHHOLDING: Self = Self { withholds: true, ..Self::NONE };
    pub(crate) const INVALID: Self = Self { sends_invalid: true, ..Self::NONE };
    pub(crate) const CLOCKS: Self = Self { lies_about_time: true, ..Self::NONE };
    pub(crate) const LAST: Self = Self {
        lies_about_last: true,
        equivocates: true,
        withholds: true,
        forges_commits: true,
        ..Self::NONE
    };
    pub(crate) const ROOTS: Self = Self { lies_about_roots: true, equivocates: true, ..Self::NONE };
    pub(crate) const FORGERY: Self = Self { forges_commits: true, ..Self::NONE };
    pub(crate) const ALL: Self = Self {
        equivocates: true,
        drags_twins: false,
        withholds: true,
        sends_invalid: true,
        lies_about_time: true,
        lies_about_last: true,
        forges_commits: true,
        lies_about_roots: true,
    };
}

/// What goes to one peer.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// A signed block that belongs to the peer's view of this authority, and is sent again after a reconnection.
    Block(VerifiedBlock),
    /// A signed block that is sent once.
    Stray(VerifiedBlock),
    /// Bytes.
    Raw(Bytes),
}

/// Something to send.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub(crate) to: usize,
    pub(crate) delay_ms: u64,
    pub(crate) wire: Wire,
}

/// How a question for blocks is answered.
#[derive(Clone, Debug)]
pub(crate) enum Service {
    /// As an honest node would.
    Honest,
    /// By a refusal.
    Refused,
    /// Not at all.
    Silent,
    /// By other blocks.
    False(Vec<VerifiedBlock>),
    /// By bytes that are not what the digest names, or not signed.
    Falsified(Bytes),
}

pub(crate) use ranges::{RangeMaterial, RangeService};

/// All that one own block becomes.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) dispatches: Vec<Dispatch>,
    /// Blocks that are sent to nobody, and served to whoever asks.
    pub(crate) kept: Vec<VerifiedBlock>,
    pub(crate) faults: Vec<Fault>,
}

impl Deeds {
    fn send(&mut self, to: impl IntoIterator<Item = usize>, delay_ms: u64, block: &VerifiedBlock) {
        self.dispatches.extend(to.into_iter().map(|to| Dispatch {
            to,
            delay_ms,
            wire: Wire::Block(block.clone()),
        }));
    }
}

/// One lying authority.
#[derive(Debug)]
pub(crate) struct Byzantine {
    signer: Signer,
    /// The keys of all liars, its own included: they are of one mind.
    allies: BTreeMap<AuthorityIndex, Signer>,
    genesis: Arc<Genesis>,
    habits: Habits,
    rng: Rng,
    others: Vec<usize>,
    /// Whether a liar that forges commits votes falsely too; where it does, hardly anything is certified while somebody is away.
    votes_falsely: bool,
    /// The last block of the chain that everybody is shown, and of the twin chain while there is one.
    last: [Option<BlockRef>; 2],
    /// Recent blocks, to replay.
    recent: Vec<VerifiedBlock>,
    made: u64,
    /// How long the next own blocks bring no twins with them, and what draws that.
    sated: u64,
    twin_rng: Rng,
    /// The highest commit that its machine has voted for, and what draws its votes for roots.
    formed: u64,
    root_rng: Rng,
}

impl Byzantine {
    /// The liar at place `own`, one of `allies`.
    pub(crate) fn new(
        own: AuthorityIndex,
        genesis: Arc<Genesis>,
        allies: BTreeMap<AuthorityIndex, Signer>,
        habits: Habits,
        mut rng: Rng,
    ) -> Self {
        let others = (0..genesis.committee().size()).filter(|node| *node != own.as_usize()).collect();
        let (twin_rng, root_rng) = (rng.clone(), rng.clone());
        let signer = allies[&own].clone();
        let votes_falsely = habits.forges_commits && rng.chance(20_000);
        Self {
            signer,
            allies,
            genesis,
            habits,
            rng,
            others,
            votes_falsely,
            last: [None, None],
            recent: Vec::new(),
            made: 0,
            sated: 0,
            twin_rng,
            formed: 0,
            root_rng,
        }
    }

    /// What becomes of a block that the machine wants broadcast.
    pub(crate) fn act(&mut self, block: &VerifiedBlock) -> Deeds {
        let mut deeds = Deeds::default();
        let shown = self.compose(block, 0, |_| ());
        let shown = if self.habits.lies_about_time { self.lie_about_time(&shown, &mut deeds) } else { shown };
        let shown = if self.votes_falsely { self.vote_falsely(&shown, &mut deeds) } else { shown };
        let shown =
            if self.habits.lies_about_roots { self.vote_for_false_roots(&shown, &mut deeds) } else { shown };
        if self.habits.drags_twins {
            self.drag_twins(&shown, &mut deeds);
        }
        let equivocates = self.habits.equivocates && self.rng.chance(60_000);
        let withholds = self.habits.withholds && self.rng.chance(60_000);
        if equivocates {
            self.equivocate(block, &shown, &mut deeds);
        } else if withholds {
            self.withhold(&shown, &mut deeds);
        } else {
            self.last[1] = None;
            deeds.send(self.others.clone(), 0, &shown);
        }
        self.last[0] = Some(shown.reference());
        if self.habits.sends_invalid {
            self.send_invalid(&shown, &mut deeds);
        }
        self.recent.push(shown);
        if self.recent.len() > 40 {
            self.recent.remove(0);
        }
        deeds
    }

    /// The block's content on another chain, changed and signed.
    fn compose(&self, block: &VerifiedBlock, chain: usize, change: impl FnOnce(&mut Block)) -> VerifiedBlock {
        let mut content = block.block().clone();
        if let (Some(last), Some(first)) = (self.last[chain], content.ancestors.first_mut()) {
            *first = last;
        }
        change(&mut content);
        if content == *block.block() { block.clone() } else { content.sign(&self.signer) }
    }

    /// Some of the others, at least one and not all if there are two.
    fn some_others(&mut self) -> (Vec<usize>, Vec<usize>) {
        let order = self.rng.shuffled(self.others.len());
        let size = 1 + self.rng.place(self.others.len().saturating_sub(1).max(1));
        let (mut chosen, mut rest) = (Vec::new(), Vec::new());
        for (position, place) in order.into_iter().enumerate() {
            if position < size { &mut chosen } else { &mut rest }.push(self.others[place]);
        }
        (chosen, rest)
    }
}
