//! Whether this authority may sign: one block a slot, over all lives of its key.

use std::sync::Arc;

use crate::{
    committee::Tally,
    effect::{Effect, PeerFault},
    genesis::Genesis,
    outbox::Outbox,
    types::{AuthorityIndex, BlockRef, Round},
};

/// What allows and forbids own blocks. It only forbids: when and on what to build is the proposer's.
#[derive(Debug)]
pub(crate) struct Signing {
    genesis: Arc<Genesis>,
    halted: bool,
    /// Who has answered the question of the start, this authority included.
    heard: Tally,
    unknown_own_block: Option<BlockRef>,
    /// Highest round that the guard was raised to for an unknown own block.
    forbidden: Round,
}

impl Signing {
    /// Nothing heard from anybody but this authority.
    pub(crate) fn new(genesis: Arc<Genesis>, own: AuthorityIndex) -> Self {
        let mut heard = Tally::new(genesis.committee());
        heard.add(genesis.committee(), own);
        Self { genesis, halted: false, heard, unknown_own_block: None, forbidden: Round::GENESIS }
    }

    /// Ends signing for this life.
    pub(crate) const fn halt(&mut self) {
        self.halted = true;
    }

    pub(crate) const fn is_halted(&self) -> bool {
        self.halted
    }

    /// Whether own blocks may be made.
    pub(crate) fn is_allowed(&self) -> bool {
        !self.halted && self.heard.is_quorum(self.genesis.committee())
    }

    /// Who has answered the question of the start.
    pub(crate) const fn heard(&self) -> &Tally {
        &self.heard
    }

    pub(crate) const fn unknown_own_block(&self) -> Option<BlockRef> {
        self.unknown_own_block
    }

    /// A peer has answered the question of the start.
    pub(crate) fn hear(&mut self, from: AuthorityIndex) {
        self.heard.add(self.genesis.committee(), from);
    }

    /// An own block that this store does not hold: any further block might be a second one for its slot. `last` is the
    /// round of the own last block.
    pub(crate) fn meet_unknown(
        &mut self,
        from: AuthorityIndex,
        unknown: BlockRef,
        last: Round,
        outbox: &mut Outbox,
    ) {
        self.halted = true;
        if self.unknown_own_block.is_none() {
            // Told once: a lost store meets all its blocks again.
            self.unknown_own_block = Some(unknown);
            outbox.report(PeerFault::UnknownOwnBlock { from, block: unknown });
        }
        outbox.immediate.extend(self.forbid(unknown, last));
    }

    /// Raises the guard above everything that this store knows of its own blocks, so that a restart does not sign either
    /// before an operator has looked.
    fn forbid(&mut self, unknown: BlockRef, last: Round) -> Option<Effect> {
        let round = unknown.round.max(last).next();
        let is_higher = round > self.forbidden;
        self.forbidden = round.max(self.forbidden);
        is_higher.then(|| Effect::Guard { epoch: self.genesis.committee().epoch(), round })
    }
}
