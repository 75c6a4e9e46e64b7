//! What the machine shows of itself.

use crate::{
    block::ExecutedRoot,
    certifier::Fork,
    fetch::FetchStatus,
    state_roots::RootContradiction,
    types::{AuthorityIndex, BlockRef, CommitIndex, Round},
};

/// What the machine shows of itself. Observed only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStatus {
    /// The threshold clock's round.
    pub round: Round,
    /// Highest round of own blocks.
    pub proposed_round: Round,
    /// Round of the last leader of the last commit formed, be it on a fork.
    pub last_committed_round: Round,
    /// Index of the last commit formed and taken: one that a quorum contradicts is not.
    pub last_commit: CommitIndex,
    /// Highest index that a quorum has voted for, or that came certified.
    pub certified_index: CommitIndex,
    /// Votes held for commits that are not certified.
    pub votes_held: usize,
    /// Proofs of equivocation kept in this epoch, over all lives; at most four an authority.
    pub evidence_held: usize,
    /// The newest state root that a quorum agrees on.
    pub agreed_root: Option<ExecutedRoot>,
    /// Set once a quorum contradicts the own executor in this life: it is heard no more.
    pub root_contradiction: Option<RootContradiction>,
    /// The last such contradiction, of whatever life: it is kept for good.
    pub root_evidence: Option<RootContradiction>,
    /// Votes for state roots that wait for a quorum, and own roots that wait for a block or for an agreed one. Bounded by 64 an
    /// authority, and 164 own ones.
    pub root_votes_held: usize,
    /// Votes for a state root, since the start, by authors that had voted for another one at the same commit.
    pub conflicting_root_votes_total: u64,
    /// Votes for another state root than the agreed one since the start.
    pub dissenting_root_votes_total: u64,
    /// Whether commits are being caught up by certified ranges.
    pub catching_up: bool,
    /// Catch-ups begun since the start.
    pub catch_ups_total: u64,
    /// Certified ranges applied since the start.
    pub ranges_total: u64,
    /// Blocks at or below this round are collected.
    pub gc_round: Round,
    /// Blocks in the DAG.
    pub dag_blocks: usize,
    /// Blocks in the waiting room.
    pub waiting_blocks: usize,
    /// Their signed bytes.
    pub waiting_bytes: u64,
    /// Ancestors that waiting blocks miss.
    pub missing_blocks: usize,
    /// How the questions for them go.
    pub fetches: FetchStatus,
    /// Accepted blocks that no batch holds yet.
    pub unpersisted_blocks: usize,
    /// Their signed bytes.
    pub unpersisted_bytes: u64,
    /// Transactions in the pool, proposed ones included.
    pub pooled_transactions: usize,
    /// Their counted bytes.
    pub pooled_bytes: u64,
    /// Transactions that left the pool by being committed since the start.
    pub pool_committed_total: u64,
    /// Highest round of own blocks that are committed; genesis before the first.
    pub own_committed_round: Round,
    /// Highest accepted round by authority.
    pub accepted_rounds: Vec<Round>,
    /// Own blocks that were made without a leader of the previous round.
    pub leader_timeouts_total: u64,
    /// Authorities whose leader slots others take in the schedule in force, for their votes came late or not at all in the window before.
    pub unseated: Vec<AuthorityIndex>,
    /// Leader slots skipped since the start.
    pub skipped_leaders_total: u64,
    /// Second blocks of a slot seen since the start.
    pub equivocations_total: u64,
    /// Blocks with transactions, own ones included, that are held and not committed.
    pub uncommitted_blocks: usize,
    /// The highest round at or above which blocks of more than a third of the stake are seen, accepted or not: an honest
    /// authority is there. Above `round`, this node is behind.
    pub credible_round: Round,
    /// Whether the machine has stopped proposing.
    pub halted: bool,
    /// Whether enough was answered to the question of the start, and the machine has not stopped.
    pub may_propose: bool,
    /// Whether own blocks would help nobody, so that none is made: this node catches up, or is far behind.
    pub lags: bool,
    /// Set while this authority does not remember all that it signed, until it has signed again.
    pub amnesia: Option<Amnesia>,
    /// The own block from a peer that made it stop: this node's store is older than what was signed, or its key is used
    /// elsewhere.
    pub unknown_own_block: Option<BlockRef>,
    /// Where a quorum holds another commit than this node: it has stopped for good, and nothing more is committed.
    pub fork: Option<Fork>,
}

/// How an authority that forgot what it signed comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amnesia {
    /// What first told it so.
    pub cause: AmnesiaCause,
    /// Authorities that have not answered the question of the start, or whose own last block is not accepted here yet; with
    /// this one, a quorum must have. Empty once that is decided.
    pub awaited: Vec<AuthorityIndex>,
    /// The lowest round that it may propose in, once that is decided.
    pub first_round: Option<Round>,
}

/// Why an authority takes it that it forgot what it signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmnesiaCause {
    /// The store ends below the signing guard, or was being refilled when it was closed.
    BelowGuard {
        /// Highest own round in the store.
        stored: Round,
        /// The guard.
        guard: Round,
    },
    /// A peer has an own block that the store lacks.
    UnknownOwnBlock {
        /// Who showed it.
        from: AuthorityIndex,
        /// The block.
        block: BlockRef,
    },
    /// The executor has commits that the store lacks.
    ExecutorAhead,
}
