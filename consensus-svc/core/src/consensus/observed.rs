//! What the machine shows of itself: nothing here changes anything.

use super::Consensus;
use crate::{
    block::VerifiedBlock,
    core_status::{Amnesia, CoreStatus},
    decisions::DecisionHistory,
    explain::{self, Explanation, MAX_EXPLAINED_MISSING, ProposalReason, ProposalWait},
    proposer::Wait,
    types::{AuthorityIndex, Round, Stake},
};

impl Consensus {
    /// What the machine shows of itself.
    pub fn status(&self) -> CoreStatus {
        CoreStatus {
            round: self.clock.round(),
            proposed_round: self.proposer.last().round(),
            last_committed_round: self.ordering.last_leader_round(),
            last_commit: self.progress.last_commit,
            certified_index: self.certification.certified(),
            votes_held: self.certification.votes_len(),
            evidence_held: self.unpersisted.evidence.len(),
            agreed_root: self.roots.agreed(),
            root_contradiction: self.roots.contradiction().cloned(),
            root_evidence: self.roots.evidence().cloned(),
            root_votes_held: self.roots.held(),
            conflicting_root_votes_total: self.roots.conflicting(),
            dissenting_root_votes_total: self.roots.dissenting(),
            catching_up: self.catch_up.is_running(),
            catch_ups_total: self.catch_up.begun(),
            ranges_total: self.catch_up.ranges(),
            gc_round: self.dag.gc_round(),
            dag_blocks: self.dag.len(),
            waiting_blocks: self.waiting.len(),
            waiting_bytes: self.waiting.bytes(),
            missing_blocks: self.waiting.missing_len(),
            fetches: self.waiting.fetch_status(),
            unpersisted_blocks: self.unpersisted.len(),
            unpersisted_bytes: self.unpersisted.bytes(),
            pooled_transactions: self.pool.len(),
            pooled_bytes: self.pool.bytes(),
            pool_committed_total: self.pool.committed_total(),
            own_committed_round: self.ordering.committed_round(self.own),
            accepted_rounds: self.dag.accepted_rounds().to_vec(),
            leader_timeouts_total: self.proposer.leader_timeouts(),
            unseated: self.ordering.schedule().table().unseated().to_vec(),
            skipped_leaders_total: self.ordering.skipped_leaders(),
            equivocations_total: self.equivocations,
            uncommitted_blocks: self.uncommitted_work.len(),
            credible_round: self.credible_round(),
            halted: self.signing.is_halted(),
            may_propose: self.signing.is_allowed(),
            lags: self.lags(),
            amnesia: self.signing.amnesia(),
            unknown_own_block: self.signing.unknown_own_block(),
            fork: self.certification.fork(),
        }
    }

    /// The highest block of an author that this life has verified, also one that is not accepted or not durable yet: with what the
    /// store holds, the answer to its question of the start (S06).
    pub fn latest_seen(&self, author: AuthorityIndex) -> Option<&VerifiedBlock> {
        self.seen_blocks.get(author)
    }

    /// The newest decisions on leader slots, and why (L08).
    pub const fn decisions(&self) -> &DecisionHistory {
        self.ordering.history()
    }

    /// What the machine waits for: by slot, for its next own block, and of missing blocks (L06, L08). Costs about one run of
    /// the commit rule.
    pub fn explain(&self) -> Explanation {
        Explanation {
            undecided: self.ordering.undecided(&self.dag),
            decided: self.decisions().newest().copied().collect(),
            proposal: self.proposal_wait(),
            missing: self.waiting.missing(MAX_EXPLAINED_MISSING),
            seen_rounds: self.seen_rounds.clone(),
        }
    }

    /// In the order in which [`Consensus::readiness`] asks.
    fn proposal_wait(&self) -> ProposalWait {
        let (clock, schedule) = (self.clock.round(), self.ordering.schedule());
        let (round, wait) = self.proposer.wait(&self.dag, self.clock, schedule);
        let reason = if let Some(fork) = self.certification.fork() {
            ProposalReason::Forked { fork }
        } else if self.signing.is_halted() {
            ProposalReason::Halted { unknown_own_block: self.signing.unknown_own_block() }
        } else if let Some(Amnesia { first_round, .. }) = self.signing.amnesia() {
            let answers = explain::answers(&self.dag, self.signing.heard());
            ProposalReason::Amnesia { answers, first_round }
        } else if !self.signing.is_allowed() {
            ProposalReason::StartQuestion { answers: explain::answers(&self.dag, self.signing.heard()) }
        } else if self.catch_up.is_running() {
            ProposalReason::CatchingUp { last_commit: self.ordering.last_commit() }
        } else if self.lags() {
            let seen = self.genesis.committee().indexes().zip(self.seen_rounds.iter().copied());
            ProposalReason::Behind { clock, ahead: seen.filter(|(_, round)| *round > clock).collect() }
        } else {
            match wait {
                Wait::Quorum => {
                    ProposalReason::Quorum { round, blocks: explain::round_support(&self.dag, round) }
                }
                Wait::MinInterval(until) => ProposalReason::MinInterval { until },
                Wait::Idle(until) => ProposalReason::Idle { until },
                Wait::Leaders(until) => {
                    let missing = self.proposer.missing_leaders(round.previous(), &self.dag, schedule);
                    ProposalReason::Leaders { until, missing }
                }
            }
        };
        // A round that was proposed in is over for this authority.
        let round = if wait == Wait::Quorum { round.next() } else { round };
        ProposalWait { round, reason }
    }

    /// The highest round at or above which blocks of more than a third of the stake are seen: an honest authority is there.
    pub(super) fn credible_round(&self) -> Round {
        let committee = self.genesis.committee();
        let mut seen: Vec<_> = self.seen_rounds.iter().copied().zip(committee.indexes()).collect();
        seen.sort_unstable_by(|one, other| other.cmp(one));
        let mut stake = Stake::ZERO;
        let reached = seen.into_iter().find(|(_, authority)| {
            stake = stake.plus(committee.stake(*authority));
            stake >= committee.validity_threshold()
        });
        reached.map_or(Round::GENESIS, |(round, _)| round)
    }
}
