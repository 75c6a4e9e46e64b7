//! What the node waits for, as the contract tells it.

use std::time::Duration;

use consensus_core::{
    AuthorityIndex, DecidedSlot, DecisionReason, Explanation, LeaderSlot, Round, Timestamp,
    explain::{MissingBlock, ProposalReason, ProposalWait, SlotReason, Support, UndecidedSlot},
};
use metanode_proto::consensus::v1;
use tokio::time::Instant;

use super::NodeView;
use crate::{driver::questions::Answer, peer::PeerStatus, wire};

impl NodeView {
    /// What this node waits for. Without an answer of the machine, everything else is told all the same: that is when it is
    /// needed most.
    pub(super) fn explain(&self, answer: Option<&Answer>) -> v1::ExplainResponse {
        let now = Instant::now();
        let mut explained = v1::ExplainResponse {
            peers: self.explain_peers(answer.map(|answer| &answer.explanation), now),
            executor: Some(self.explain_executor(now)),
            stall: self.stall(now),
            machine_silent: answer.is_none(),
            ..v1::ExplainResponse::default()
        };
        if let Some(Answer { explanation, at }) = answer {
            explained.slots = explanation.undecided.iter().map(slot).collect();
            explained.decisions = explanation.decided.iter().map(decision).collect();
            explained.proposal = Some(proposal(&explanation.proposal, *at));
            explained.missing = explanation.missing.iter().map(missing).collect();
        }
        explained
    }

    fn explain_peers(&self, machine: Option<&Explanation>, now: Instant) -> Vec<v1::PeerExplanation> {
        let accepted = self.core.borrow().accepted_rounds.clone();
        let round_of = |rounds: &[Round], authority: AuthorityIndex| {
            rounds.get(authority.as_usize()).map_or(0, |round| round.get())
        };
        let seen = machine.map(|explanation| explanation.seen_rounds.as_slice()).unwrap_or_default();
        let explain = |peer: PeerStatus| v1::PeerExplanation {
            authority: u32::from(peer.authority.get()),
            highest_round: round_of(&accepted, peer.authority),
            connected: peer.connected,
            seen_round: round_of(seen, peer.authority).max(round_of(&accepted, peer.authority)),
            heard_ms_ago: peer.heard.map(|heard| millis(now.saturating_duration_since(heard))),
            faults: peer
                .faults
                .into_iter()
                .map(|(label, count)| v1::FaultCount { label: label.to_owned(), count })
                .collect(),
            last_loss: peer.last_loss.unwrap_or_default(),
        };
        self.peers.statuses().into_iter().map(explain).collect()
    }

    fn explain_executor(&self, now: Instant) -> v1::ExecutorExplanation {
        let executor = self.executor.borrow();
        v1::ExecutorExplanation {
            state: executor.executor_state().into(),
            step: executor.step.into(),
            step_ms: millis(now.saturating_duration_since(executor.step_since)),
            commit_index: self.feed.last_index().get(),
            executed_index: executor.executed_index.get(),
            failure: executor.failure.clone().unwrap_or_default(),
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn slot(undecided: &UndecidedSlot) -> v1::SlotExplanation {
    let (reason, block, support) = match &undecided.reason {
        SlotReason::NoBlock { voting } => (v1::SlotReason::NoBlock, None, Some(voting)),
        SlotReason::VotingRound { block, voting } => (v1::SlotReason::VotingRound, Some(block), Some(voting)),
        SlotReason::Votes { block, votes } => (v1::SlotReason::Votes, Some(block), Some(votes)),
        SlotReason::Certificates { block, certificates } => {
            (v1::SlotReason::Certificates, Some(block), Some(certificates))
        }
        SlotReason::Earlier { commit: true, .. } => (v1::SlotReason::EarlierWillCommit, None, None),
        SlotReason::Earlier { commit: false, .. } => (v1::SlotReason::EarlierWillSkip, None, None),
    };
    v1::SlotExplanation {
        slot: Some(leader_slot(undecided.slot)),
        authority: u32::from(undecided.authority.get()),
        reason: reason.into(),
        block: block.map(wire::block_ref_to_proto),
        support: support.map(support_to_proto),
        anchor: undecided.anchor.map(leader_slot),
    }
}

fn decision(decided: &DecidedSlot) -> v1::DecisionExplanation {
    let (reason, stake) = match decided.reason {
        DecisionReason::Certified { stake } => (v1::DecisionReason::Certified, stake.get()),
        DecisionReason::CertifiedInAnchor { .. } => (v1::DecisionReason::CertifiedInAnchor, 0),
        DecisionReason::NoBlock => (v1::DecisionReason::NoBlock, 0),
        DecisionReason::PassedOver { stake } => (v1::DecisionReason::PassedOver, stake.get()),
        DecisionReason::NotInAnchor { .. } => (v1::DecisionReason::NotInAnchor, 0),
    };
    v1::DecisionExplanation {
        slot: Some(leader_slot(decided.slot)),
        authority: u32::from(decided.authority.get()),
        reason: reason.into(),
        block: decided.block.as_ref().map(wire::block_ref_to_proto),
        stake,
        anchor: decided.reason.anchor().map(leader_slot),
    }
}

fn proposal(wait: &ProposalWait, now: Timestamp) -> v1::ProposalExplanation {
    let mut explained =
        v1::ProposalExplanation { round: wait.round.get(), ..v1::ProposalExplanation::default() };
    let mut until = |until: Timestamp| explained.remaining_ms = millis(until.since(now));
    let reason = match &wait.reason {
        ProposalReason::Halted { unknown_own_block } => {
            explained.unknown_own_block = unknown_own_block.as_ref().map(wire::block_ref_to_proto);
            v1::ProposalReason::Halted
        }
        ProposalReason::Forked { fork } => {
            explained.fork = Some(v1::Fork {
                index: fork.index.get(),
                own_digest: fork.own.map(|own| own.as_bytes().to_vec().into()).unwrap_or_default(),
                certified_digest: fork.certified.as_bytes().to_vec().into(),
            });
            v1::ProposalReason::Forked
        }
        ProposalReason::Amnesia { answers, first_round } => {
            // With the round known, no answer is waited for any more.
            explained.support = first_round.is_none().then(|| support_to_proto(answers));
            explained.round = first_round.unwrap_or(wait.round).get();
            v1::ProposalReason::Amnesia
        }
        ProposalReason::StartQuestion { answers } => {
            explained.support = Some(support_to_proto(answers));
            v1::ProposalReason::StartQuestion
        }
        ProposalReason::CatchingUp { .. } => v1::ProposalReason::CatchingUp,
        ProposalReason::Behind { ahead, .. } => {
            explained.ahead = ahead.iter().map(|(authority, _)| u32::from(authority.get())).collect();
            v1::ProposalReason::Behind
        }
        ProposalReason::Quorum { blocks, .. } => {
            explained.support = Some(support_to_proto(blocks));
            v1::ProposalReason::Quorum
        }
        ProposalReason::MinInterval { until: at } => {
            until(*at);
            v1::ProposalReason::MinInterval
        }
        ProposalReason::Idle { until: at } => {
            until(*at);
            v1::ProposalReason::Idle
        }
        ProposalReason::Leaders { until: at, missing } => {
            until(*at);
            explained.missing_leaders = indexes(missing);
            v1::ProposalReason::Leaders
        }
    };
    explained.set_reason(reason);
    explained
}

fn missing(missing: &MissingBlock) -> v1::MissingBlock {
    v1::MissingBlock {
        block: Some(wire::block_ref_to_proto(&missing.block)),
        needed_by: u32::try_from(missing.needed_by).unwrap_or(u32::MAX),
        asked: indexes(&missing.asked),
    }
}

fn leader_slot(slot: LeaderSlot) -> v1::LeaderSlot {
    v1::LeaderSlot { round: slot.round.get(), offset: u32::from(slot.offset) }
}

fn support_to_proto(support: &Support) -> v1::Support {
    v1::Support {
        stake: support.stake.get(),
        quorum: support.quorum.get(),
        silent: indexes(&support.silent),
        against: indexes(&support.against),
    }
}

fn indexes(authorities: &[AuthorityIndex]) -> Vec<u32> {
    authorities.iter().map(|authority| u32::from(authority.get())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Stake;

    #[test]
    fn l06_an_amnesiac_waits_for_answers_and_then_for_a_round() {
        let answers =
            Support { stake: Stake::new(4), quorum: Stake::new(3), silent: Vec::new(), against: Vec::new() };
        let told = |first_round| {
            let reason = ProposalReason::Amnesia { answers: answers.clone(), first_round };
            proposal(&ProposalWait { round: Round::new(3), reason }, Timestamp::default())
        };
        let asking = told(None);
        assert_eq!((asking.round, asking.support.map(|support| support.stake)), (3, Some(4)));
        let waiting = told(Some(Round::new(9)));
        assert_eq!((waiting.round, waiting.support.as_ref()), (9, None));
        assert_eq!(waiting.reason(), v1::ProposalReason::Amnesia);
    }
}
