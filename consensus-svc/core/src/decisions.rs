//! Recent decisions on leader slots, and why: remembered for people only, nothing is decided by them (L08).

use std::collections::VecDeque;

use crate::{
    committee::Tally,
    committer::{DecidedLeader, Decision, Judgement, Via, certificates, voters_against},
    dag::Dag,
    leader_schedule::LeaderSlot,
    types::{AuthorityIndex, BlockRef, Slot, Stake},
};

/// Decisions that are remembered; older ones are forgotten.
pub const MAX_REMEMBERED_DECISIONS: usize = 64;

/// What decided a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionReason {
    /// Committed directly: authorities of this stake certify the block.
    Certified {
        /// Their stake; a quorum.
        stake: Stake,
    },
    /// Committed by its anchor, in whose history a certificate of the block stands.
    CertifiedInAnchor {
        /// The anchor.
        anchor: LeaderSlot,
    },
    /// Skipped directly: a quorum had blocks of the voting round, and no block of the slot was held.
    NoBlock,
    /// Skipped directly: authorities of this stake have a block of the voting round that passes over the block (of twins, over
    /// each).
    PassedOver {
        /// Their stake, of twins the least; a quorum.
        stake: Stake,
    },
    /// Skipped by its anchor, in whose history no certificate of a block of the slot stands.
    NotInAnchor {
        /// The anchor.
        anchor: LeaderSlot,
    },
}

impl DecisionReason {
    /// What kind of rule decided.
    pub const fn via(&self) -> Via {
        match self {
            Self::Certified { .. } | Self::NoBlock | Self::PassedOver { .. } => Via::Direct,
            Self::CertifiedInAnchor { .. } | Self::NotInAnchor { .. } => Via::Indirect,
        }
    }

    /// The slot that decided, where it was not the own wave.
    pub const fn anchor(&self) -> Option<LeaderSlot> {
        match self {
            Self::CertifiedInAnchor { anchor } | Self::NotInAnchor { anchor } => Some(*anchor),
            Self::Certified { .. } | Self::NoBlock | Self::PassedOver { .. } => None,
        }
    }

    /// A short stable word for events.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Certified { .. } => "certified",
            Self::CertifiedInAnchor { .. } => "certified_in_anchor",
            Self::NoBlock => "no_block",
            Self::PassedOver { .. } => "passed_over",
            Self::NotInAnchor { .. } => "not_in_anchor",
        }
    }
}

/// A decided slot, and why it was decided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedSlot {
    /// The slot.
    pub slot: LeaderSlot,
    /// Who leads it.
    pub authority: AuthorityIndex,
    /// The committed block; `None` where the slot is skipped.
    pub block: Option<BlockRef>,
    /// What decided it.
    pub reason: DecisionReason,
}

impl DecidedSlot {
    /// Tells a decision from the DAG that it was made on.
    fn new(dag: &Dag, judged: &Judgement, leader: &DecidedLeader) -> Self {
        let DecidedLeader { slot, authority, decision, via } = leader;
        // What is decided by an anchor has one.
        let anchor = judged.anchor_of(*slot).map_or(*slot, |(anchor, _)| anchor);
        let (block, reason) = match (decision, via) {
            (Decision::Commit(block), Via::Direct) => {
                let mut certifiers = Tally::new(dag.committee());
                for certificate in certificates(dag, dag.committee(), block) {
                    certifiers.add(dag.committee(), certificate.author);
                }
                (Some(block.reference()), DecisionReason::Certified { stake: certifiers.stake() })
            }
            (Decision::Commit(block), Via::Indirect) => {
                (Some(block.reference()), DecisionReason::CertifiedInAnchor { anchor })
            }
            (Decision::Skip, Via::Direct) => {
                let candidates = dag.slot(Slot { round: slot.round, authority: *authority });
                let against = candidates.iter().map(|candidate| voters_against(dag, candidate).stake()).min();
                (None, against.map_or(DecisionReason::NoBlock, |stake| DecisionReason::PassedOver { stake }))
            }
            (Decision::Skip, Via::Indirect) => (None, DecisionReason::NotInAnchor { anchor }),
        };
        Self { slot: *slot, authority: *authority, block, reason }
    }
}

/// The newest decisions since the start.
#[derive(Clone, Debug, Default)]
pub struct DecisionHistory {
    newest: VecDeque<DecidedSlot>,
    total: u64,
}

impl DecisionHistory {
    pub(crate) fn note(&mut self, dag: &Dag, judged: &Judgement, leader: &DecidedLeader) {
        if self.newest.len() >= MAX_REMEMBERED_DECISIONS {
            self.newest.pop_front();
        }
        self.newest.push_back(DecidedSlot::new(dag, judged, leader));
        self.total = self.total.saturating_add(1);
    }

    /// Decisions since the start, forgotten ones included.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The remembered decisions, oldest first.
    pub fn newest(&self) -> impl ExactSizeIterator<Item = &DecidedSlot> {
        self.newest.iter()
    }

    /// The remembered decisions made after the first `total`, oldest first.
    pub fn since(&self, total: u64) -> impl Iterator<Item = &DecidedSlot> {
        let wanted = usize::try_from(self.total.saturating_sub(total)).unwrap_or(usize::MAX);
        self.newest.iter().skip(self.newest.len().saturating_sub(wanted))
    }
}
