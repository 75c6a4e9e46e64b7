//! What passes between the peer network and the driver.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use consensus_core::{
    AuthorityIndex, BlockSource, CertifiedRange, CommitIndex, Committee, CoreStatus, FetchEnd, FetchId, Fork,
    Round, VerifiedBlock,
};
use tokio::sync::watch;

/// Labels of faults beside those of [`BlockError::label`](consensus_core::BlockError::label).
pub mod label {
    /// A message that is not what the contract says, such as an event without content.
    pub const MALFORMED: &str = "malformed";
    /// A message above the decode limit.
    pub const OVERSIZED: &str = "oversized";
    /// A streamed block that the peer has not signed itself.
    pub const WRONG_AUTHOR: &str = "wrong_author";
    /// A streamed block whose round does not rise.
    pub const STREAM_ORDER: &str = "stream_order";
    /// A block in answer to a fetch that was neither asked for nor is an ancestor that the answer may hold, or twice.
    pub const UNREQUESTED: &str = "unrequested";
}

/// What peers have to say to the driver.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    /// Verified blocks; those of a stream in the order of the stream. At least one.
    Blocks {
        /// Who sent them.
        from: AuthorityIndex,
        /// How they came.
        source: BlockSource,
        /// The blocks.
        blocks: Vec<VerifiedBlock>,
    },
    /// The peer has answered the question of the start.
    OwnLastBlock {
        /// The peer.
        from: AuthorityIndex,
        /// The highest block of this authority that it knows, verified; `None` if it knows none.
        block: Option<VerifiedBlock>,
        /// Its own last block, verified; `None` before its first.
        peers_last: Option<VerifiedBlock>,
    },
    /// A question for blocks has ended; the blocks came before.
    FetchEnded {
        /// The question.
        fetch: FetchId,
        /// How.
        end: FetchEnd,
    },
    /// A verified block of the peer's stream is held back, since it is too far above the clock. Told once for each wait.
    SeenAhead {
        /// The peer, who signed it.
        from: AuthorityIndex,
        /// Its round.
        round: Round,
    },
    /// A question for commits has ended.
    Commits {
        /// The peer that was asked.
        from: AuthorityIndex,
        /// How.
        answer: CommitsAnswer,
    },
    /// The peer has transactions and has proposed in `round`.
    Wake {
        /// The peer.
        from: AuthorityIndex,
        /// Its round.
        round: Round,
    },
    /// The peer broke a rule; its connection is closed.
    Invalid {
        /// The peer.
        from: AuthorityIndex,
        /// [`BlockError::label`](consensus_core::BlockError::label), or one of [`label`].
        label: &'static str,
    },
}

/// How a question for commits ended.
#[derive(Clone, Debug)]
pub enum CommitsAnswer {
    /// A verified range, and the highest certified commit that the peer says to have.
    Range {
        /// The range.
        range: Box<CertifiedRange>,
        /// The peer's word.
        highest: CommitIndex,
    },
    /// The peer has no certified commit above this one.
    NoLater {
        /// What it was asked about.
        after: CommitIndex,
    },
    /// There is no answer, or none that may be used.
    Failed {
        /// Where a quorum stands for a range that does not follow the own chain.
        fork: Option<Fork>,
    },
}

/// Highest accepted round of each authority: written by the driver, read when a stream is resumed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AcceptedRounds(Arc<[AtomicU64]>);

impl AcceptedRounds {
    /// Nothing accepted from anybody.
    pub fn new(committee: &Committee) -> Self {
        Self(committee.indexes().map(|_| AtomicU64::new(Round::GENESIS.get())).collect())
    }

    /// Notes that a block of `authority` in `round` is in the DAG, and with it all of its own blocks before. Lower rounds
    /// and unknown authorities change nothing.
    pub fn raise(&self, authority: AuthorityIndex, round: Round) {
        if let Some(accepted) = self.0.get(authority.as_usize()) {
            accepted.fetch_max(round.get(), Ordering::Relaxed);
        }
    }

    /// Notes where the machine stands. Blocks at or below the GC round are never asked for again, so an author that has
    /// been quiet since then is resumed there: its older blocks are not held any more, and would all be streamed.
    pub fn observe(&self, status: &CoreStatus) {
        for (authority, round) in (0u16..).map(AuthorityIndex::new).zip(&status.accepted_rounds) {
            self.raise(authority, (*round).max(status.gc_round));
        }
    }

    /// The round to resume after: the highest accepted one, but not below the GC round; genesis for none.
    pub fn get(&self, authority: AuthorityIndex) -> Round {
        let accepted = self.0.get(authority.as_usize());
        accepted.map_or(Round::GENESIS, |accepted| Round::new(accepted.load(Ordering::Relaxed)))
    }
}

/// What the network sees of the driver's state.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Where streams are resumed.
    pub accepted: AcceptedRounds,
    /// The threshold clock's round: how far ahead blocks are handed on.
    pub clock_round: watch::Receiver<Round>,
    /// Whether the machine may propose, or has stopped for good: until then peers are asked again and again.
    pub start_answered: watch::Receiver<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Consensus, Params, RecoveredLog, testkit};

    #[test]
    fn an_author_whose_last_block_is_at_or_below_the_gc_round_is_resumed_after_that_round() {
        let (genesis, mut signers) = testkit::genesis(4);
        let genesis = Arc::new(genesis);
        let now = genesis.timestamp();
        let accepted = AcceptedRounds::new(genesis.committee());
        let recovered =
            Consensus::recover(genesis, Params::default(), signers.remove(0), RecoveredLog::default(), now);
        let mut status = recovered.unwrap().0.status();
        status.gc_round = Round::new(50);
        status.accepted_rounds = [0, 50, 51, 90].map(Round::new).into();
        accepted.observe(&status);
        let resumed: Vec<_> = (0..4).map(|author| accepted.get(AuthorityIndex::new(author)).get()).collect();
        assert_eq!(resumed, [50, 50, 51, 90]);
    }
}
