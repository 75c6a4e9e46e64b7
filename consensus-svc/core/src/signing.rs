//! Whether this authority may sign: one block a slot, over all lives of its key (S06).
//!
//! Every life begins with a question to all peers: which is your own last block, and which is the highest block of mine that you
//! know? A life whose store is whole signs when a quorum has answered, own stake included. A life that does not remember all
//! that the authority signed is *amnesiac*. It is so if
//!
//! - the signing guard stands above the own last block of the store, or the store says that it was being refilled;
//! - a peer shows an own block that the store lacks;
//! - the shell says that the store lacks commits which the executor has ([`Input::StoreBehind`](crate::Input::StoreBehind)).
//!
//! An amnesiac counts an answer once the peer's own last block is accepted. When the answers that count make a quorum, m is
//! the highest round in them, and own blocks are made at rounds of at least m + 2 (and above the guard). Why: a block that
//! this authority sent at round r had parents of a quorum at r - 1. That quorum and the one that answers share stake of more
//! than f, and amnesiac and Byzantine stake together is at most f; so an honest authority that forgot nothing is in both, and
//! answers with at least r - 1. An own block that is shown was signed by this authority, and so adds nothing that is not true.
//!
//! A twin of a block of this authority's own stops a life that remembers: its key is used elsewhere. For an amnesiac, and below the
//! first round of a life that was one, it is old evidence, and stops nothing.
//!
//! Where own stake exceeds f, the rest has no quorum without this authority and the bound cannot hold: such a life
//! does not sign, and an operator decides.
//!
//! What a crash leaves: an amnesiac stores own blocks that it fetches, so the highest of them tells nothing. Until it has
//! signed again, [`Progress::own_round`](crate::Progress) is genesis, which makes the next life amnesiac too; and where no
//! guard stands higher, one is raised at once, in case that nothing is fetched before the crash. The decision itself
//! is not made durable: before the first block nothing depends on it, and that block brings its own record and guard.

mod answers;

use std::sync::Arc;

use crate::{
    committee::Tally,
    core_status::{Amnesia, AmnesiaCause},
    dag::Dag,
    effect::{Effect, PeerFault},
    genesis::Genesis,
    outbox::Outbox,
    recovery::RecoverError,
    types::{AuthorityIndex, BlockRef, Round, Stake},
};
use answers::Answers;

/// How far above the highest round in the answers an amnesiac begins.
const ROUNDS_ABOVE: u64 = 2;

/// What allows and forbids own blocks. It only forbids: when and on what to build is the proposer's.
#[derive(Debug)]
pub(crate) struct Signing {
    genesis: Arc<Genesis>,
    /// Whether the others are a quorum without this authority.
    may_forget: bool,
    halted: bool,
    /// Whether own blocks that come from peers change nothing: so only where somebody lies on purpose.
    heedless: bool,
    answers: Answers,
    amnesia: Option<Forgotten>,
    /// Whether this life has made a block.
    signed: bool,
    /// Own blocks below this round may come that the store lacks: they were lost in an earlier life.
    remembered: Round,
    /// From where an amnesiac came back in this life; genesis where it did not. Twins below it are of other lives.
    returned: Round,
    /// Where the guard stands, or was asked to stand.
    guard: Round,
    unknown_own_block: Option<BlockRef>,
}

/// What an amnesiac knows.
#[derive(Clone, Copy, Debug)]
struct Forgotten {
    cause: AmnesiaCause,
    /// Highest own block that was met.
    met: Round,
    /// From where own blocks may be made, once that is decided.
    first_round: Option<Round>,
}

/// What the store and the guard say of own blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Round of the own last block in the store.
    pub(crate) stored: Round,
    /// Where the guard stands; genesis where it was never raised.
    pub(crate) guard: Round,
    /// Whether own blocks in the store may have come from peers.
    pub(crate) refilled: bool,
}

impl Signing {
    /// Nothing heard from anybody but this authority.
    ///
    /// # Errors
    /// [`RecoverError::BelowGuard`] where the store is older than what was signed, and the others have no quorum without this
    /// authority.
    pub(crate) fn new(
        genesis: Arc<Genesis>,
        own: AuthorityIndex,
        memory: Memory,
    ) -> Result<Self, RecoverError> {
        let committee = genesis.committee();
        let others = committee.total_stake().get().saturating_sub(committee.stake(own).get());
        let may_forget = committee.is_quorum(Stake::new(others));
        let Memory { stored, guard, refilled } = memory;
        let forgot = refilled || guard > stored;
        if forgot && !may_forget {
            return Err(RecoverError::BelowGuard { stored, guard: guard.max(stored) });
        }
        let amnesia = forgot.then_some(Forgotten {
            cause: AmnesiaCause::BelowGuard { stored, guard },
            met: stored,
            first_round: None,
        });
        Ok(Self {
            may_forget,
            halted: false,
            heedless: false,
            answers: Answers::new(committee, own),
            amnesia,
            signed: false,
            remembered: stored.next(),
            returned: Round::GENESIS,
            guard,
            unknown_own_block: None,
            genesis,
        })
    }

    /// Ends signing for this life.
    pub(crate) const fn halt(&mut self) {
        self.halted = true;
    }

    /// Goes on whatever own blocks come from peers.
    #[cfg(feature = "testkit")]
    pub(crate) const fn make_heedless(&mut self) {
        self.heedless = true;
    }

    pub(crate) const fn is_halted(&self) -> bool {
        self.halted
    }

    /// Whether own blocks may be made, from [`Signing::first_round`] on.
    pub(crate) fn is_allowed(&self) -> bool {
        let decided = match self.amnesia {
            None => self.answers.is_heard(self.genesis.committee()),
            Some(forgotten) => forgotten.first_round.is_some(),
        };
        decided && !self.halted
    }

    /// The lowest round that an own block may be made in.
    pub(crate) fn first_round(&self) -> Round {
        self.amnesia.and_then(|forgotten| forgotten.first_round).unwrap_or_default()
    }

    /// Who has answered the question of the start; of an amnesiac, whose answers count.
    pub(crate) const fn heard(&self) -> &Tally {
        self.answers.tally(self.amnesia.is_some())
    }

    pub(crate) const fn unknown_own_block(&self) -> Option<BlockRef> {
        self.unknown_own_block
    }

    /// What an amnesiac waits for; `None` for others.
    pub(crate) fn amnesia(&self) -> Option<Amnesia> {
        let Forgotten { cause, first_round, .. } = self.amnesia?;
        let awaited = match first_round {
            None => self.answers.awaited(self.genesis.committee()),
            Some(_) => Vec::new(),
        };
        Some(Amnesia { cause, awaited, first_round })
    }

    /// The own round that a store may say it holds everything up to, where own blocks end at `last`.
    pub(crate) fn own_round(&self, last: Round) -> Round {
        let forgot = self.amnesia.is_some() || self.unknown_own_block.is_some();
        if forgot { Round::GENESIS } else { last }
    }

    /// A peer has answered the question of the start; see [`Answers::hear`].
    pub(crate) fn hear(
        &mut self,
        dag: &Dag,
        from: AuthorityIndex,
        own_last: Option<BlockRef>,
        shown: Option<Round>,
    ) {
        self.answers.hear(dag, from, own_last, shown);
    }

    /// Decides from where an amnesiac may sign, if enough is known by now.
    pub(crate) fn review(&mut self, dag: &Dag) {
        if self.signed {
            return;
        }
        self.answers.review(dag);
        let Some(Forgotten { met, first_round: first_round @ None, .. }) = &mut self.amnesia else { return };
        *first_round = self
            .answers
            .highest(self.genesis.committee())
            .map(|highest| highest.max(*met).plus(ROUNDS_ABOVE).max(self.guard.next()));
    }

    /// An own block came from a peer. `last` is the own last block that is known; one that is held, or older than all
    /// that is remembered, changes nothing.
    pub(crate) fn meet(
        &mut self,
        dag: &Dag,
        from: AuthorityIndex,
        met: BlockRef,
        last: BlockRef,
        outbox: &mut Outbox,
    ) {
        if self.heedless {
            return;
        }
        let held = dag.slot(met.slot()).iter().any(|held| held.reference() == met);
        let is_twin =
            !held && (!dag.slot(met.slot()).is_empty() || (met.slot() == last.slot() && met != last));
        let is_collected = met.round <= last.round.min(dag.gc_round());
        if !is_twin && (held || met == last || is_collected || met.round < self.remembered) {
            return;
        }
        if is_twin && met.round < self.returned {
            return;
        }
        // An amnesiac meets what other lives of it signed, twins included, and signs above all of it.
        let is_misused = is_twin && self.amnesia.is_none();
        if is_misused || self.signed || !self.may_forget {
            self.stop(from, met, last.round, outbox);
        } else {
            self.forget(AmnesiaCause::UnknownOwnBlock { from, block: met }, met.round, outbox);
        }
    }

    /// The shell says that this store lacks commits which were delivered from it.
    pub(crate) fn store_is_behind(&mut self, last: Round, outbox: &mut Outbox) {
        if self.signed || !self.may_forget {
            self.halted = true;
        } else {
            self.forget(AmnesiaCause::ExecutorAhead, last, outbox);
        }
    }

    /// This life has made a block: from here on its store is whole again.
    pub(crate) fn signed(&mut self) {
        self.signed = true;
        if let Some(Forgotten { first_round: Some(first_round), .. }) = self.amnesia.take() {
            self.remembered = first_round;
            self.returned = first_round;
        }
    }

    /// Begins amnesia, or goes on with it: `met` is the round of an own block that exists.
    fn forget(&mut self, cause: AmnesiaCause, met: Round, outbox: &mut Outbox) {
        if let Some(forgotten) = &mut self.amnesia {
            forgotten.met = forgotten.met.max(met);
            if let Some(first_round) = &mut forgotten.first_round {
                *first_round = met.plus(ROUNDS_ABOVE).max(*first_round);
            }
            return;
        }
        self.amnesia = Some(Forgotten { cause, met, first_round: None });
        // Above the store also where nothing was met: that is what the next life would notice.
        self.raise_guard(met.max(self.remembered), outbox);
    }

    /// Any further block might be a second one for its slot: somebody else signs with this key, or the loss was
    /// noticed too late. The guard is raised above everything that is known of own blocks, so that the next life knows.
    fn stop(&mut self, from: AuthorityIndex, met: BlockRef, last: Round, outbox: &mut Outbox) {
        self.halted = true;
        if self.unknown_own_block.is_none() {
            // Told once: more of them may follow.
            self.unknown_own_block = Some(met);
            outbox.report(PeerFault::UnknownOwnBlock { from, block: met });
        }
        self.raise_guard(met.round.max(last).next(), outbox);
    }

    fn raise_guard(&mut self, round: Round, outbox: &mut Outbox) {
        if round > self.guard {
            self.guard = round;
            outbox.immediate.push(Effect::Guard { epoch: self.genesis.committee().epoch(), round });
        }
    }
}
