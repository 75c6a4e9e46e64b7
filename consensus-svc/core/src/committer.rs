//! The commit rule of Mysticeti-C: which leader slots are committed, which are skipped.
//!
//! A pure function of the DAG: nothing is remembered between calls. Every round starts a wave of three: the leader's
//! round r, the votes of r+1, the certificates of r+2. Slots are judged from the highest to the lowest, so that every slot
//! finds its anchor judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    block::VerifiedBlock,
    committee::{Committee, Tally},
    dag::Dag,
    genesis::Genesis,
    leader_schedule::{LeaderSchedule, LeaderSlot},
    types::{AuthorityIndex, BlockRef, Round, Slot, Stake},
};

/// Rounds from a leader to the blocks that certify it.
const DECISION_ROUNDS: u64 = 2;
/// Rounds from a leader to the first slot that can be its anchor.
const ANCHOR_ROUNDS: u64 = 3;

/// How a slot is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This block of the slot is committed.
    Commit(VerifiedBlock),
    /// No block of the slot is ever committed as a leader.
    Skip,
}

/// What decided a slot. Observed only: nothing that is computed alike depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The slot's own wave.
    Direct,
    /// A later committed leader.
    Indirect,
}

/// A decided slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedLeader {
    /// The slot.
    pub slot: LeaderSlot,
    /// Who leads it.
    pub authority: AuthorityIndex,
    /// The decision.
    pub decision: Decision,
    /// What decided it.
    pub via: Via,
}

/// Judges leader slots.
#[derive(Clone, Debug)]
pub struct Committer {
    genesis: Arc<Genesis>,
    schedule: LeaderSchedule,
}

impl Committer {
    /// A committer for the genesis committee and its plain round-robin schedule.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        let schedule = LeaderSchedule::new(genesis.committee(), genesis.parameters().leaders_per_round);
        Self { genesis, schedule }
    }

    /// The schedule in force.
    pub const fn schedule(&self) -> &LeaderSchedule {
        &self.schedule
    }

    /// Puts another schedule into force. What was decided under the one before, and not taken, is void.
    pub fn set_schedule(&mut self, schedule: LeaderSchedule) {
        self.schedule = schedule;
    }

    /// The longest run of decided slots that starts right after `after`, or at the first slot of round 1.
    ///
    /// Mysticeti, sections 3.2 and 4.2: slots are judged from the highest to the lowest; a slot that its own wave does not
    /// decide is decided by its anchor, the first slot at least three rounds later that is not skipped.
    pub fn decide(&self, dag: &Dag, after: Option<LeaderSlot>) -> Vec<DecidedLeader> {
        self.judge(dag, after).0.into_values().map_while(|decided| decided).collect()
    }

    /// Judges every slot after `after` that the DAG reaches.
    pub(crate) fn judge(&self, dag: &Dag, after: Option<LeaderSlot>) -> Judgement {
        let first =
            after.map_or(LeaderSlot { round: Round::FIRST, offset: 0 }, |slot| self.schedule.next(slot));
        let mut judged = Judgement::default();
        let mut round = dag.highest_round();
        while round >= first.round {
            for slot in self.schedule.slots(round).rev().filter(|slot| *slot >= first) {
                let decided = self.judge_slot(dag, slot, &judged);
                judged.0.insert(slot, decided);
            }
            if round == Round::GENESIS {
                break;
            }
            round = round.previous();
        }
        judged
    }

    fn judge_slot(&self, dag: &Dag, slot: LeaderSlot, later: &Judgement) -> Option<DecidedLeader> {
        let authority = self.schedule.leader(slot);
        let candidates = dag.slot(Slot { round: slot.round, authority });
        let (decision, via) = match self.judge_directly(dag, slot.round, candidates) {
            Some(decision) => (decision, Via::Direct),
            None => (self.judge_by_anchor(dag, slot, candidates, later)?, Via::Indirect),
        };
        Some(DecidedLeader { slot, authority, decision, via })
    }

    /// The direct rule: skipped when voters pass over every candidate, committed by a quorum of certificates.
    fn judge_directly(&self, dag: &Dag, round: Round, candidates: &[VerifiedBlock]) -> Option<Decision> {
        if self.is_passed_over(dag, round, candidates) {
            return Some(Decision::Skip);
        }
        let committee = self.genesis.committee();
        if !dag.has_quorum(round.plus(DECISION_ROUNDS)) {
            // Fewer cannot certify it, whatever they list.
            return None;
        }
        candidates.iter().find_map(|candidate| {
            let mut certifiers = Tally::new(committee);
            for certificate in certificates(dag, committee, candidate) {
                certifiers.add(committee, certificate.author);
            }
            certifiers.is_quorum(committee).then(|| Decision::Commit(candidate.clone()))
        })
    }

    /// The skip pattern: blocks of the voting round by a quorum are held, and for every candidate a quorum of authorities
    /// have a block there that does not list it. Safe for a candidate that arrives late: a block that votes for it forces
    /// it to be held.
    fn is_passed_over(&self, dag: &Dag, round: Round, candidates: &[VerifiedBlock]) -> bool {
        dag.has_quorum(round.next()) && candidates.iter().all(|candidate| is_quorum_against(dag, candidate))
    }

    /// The indirect rule: a committed anchor commits the candidate that one of the certificates in the anchor's causal
    /// history certifies, and skips the slot if there is none. Ties break by digest; the fault bound excludes them.
    fn judge_by_anchor(
        &self,
        dag: &Dag,
        slot: LeaderSlot,
        candidates: &[VerifiedBlock],
        later: &Judgement,
    ) -> Option<Decision> {
        let anchor = &later.anchor_of(slot)?.1?.decision;
        let Decision::Commit(anchor) = anchor else { return None };
        let linked = history_at(dag, anchor, slot.round.plus(DECISION_ROUNDS));
        let committee = self.genesis.committee();
        let committed = candidates.iter().find(|candidate| {
            certificates(dag, committee, candidate).iter().any(|certificate| linked.contains(certificate))
        });
        Some(committed.map_or(Decision::Skip, |block| Decision::Commit(block.clone())))
    }
}

/// Slots judged from one on, as far as the DAG reaches; `None` where a slot is not decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judgement(BTreeMap<LeaderSlot, Option<DecidedLeader>>);

impl Judgement {
    /// All of them, lowest first.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (LeaderSlot, Option<&DecidedLeader>)> {
        self.0.iter().map(|(slot, judged)| (*slot, judged.as_ref()))
    }

    /// Takes the first slot out, if it is decided.
    pub(crate) fn take_decided(&mut self) -> Option<DecidedLeader> {
        self.0.first_entry().filter(|first| first.get().is_some())?.remove()
    }

    /// What decides a slot that its own wave does not: the first slot at least three rounds later that is not skipped.
    pub(crate) fn anchor_of(&self, slot: LeaderSlot) -> Option<(LeaderSlot, Option<&DecidedLeader>)> {
        let earliest = LeaderSlot { round: slot.round.plus(ANCHOR_ROUNDS), offset: 0 };
        let later = self.0.range(earliest..).map(|(slot, judged)| (*slot, judged.as_ref()));
        later.into_iter().find(|(_, judged)| judged.is_none_or(|leader| leader.decision != Decision::Skip))
    }
}

/// The authorities with a block of the voting round that does not list `candidate`.
pub(crate) fn voters_against(dag: &Dag, candidate: &VerifiedBlock) -> Tally {
    let (committee, candidate) = (dag.committee(), candidate.reference());
    let mut against = Tally::new(committee);
    for voter in dag.round(candidate.round.next()) {
        if !voter.ancestors().contains(&candidate) {
            against.add(committee, voter.author());
        }
    }
    against
}

/// Whether [`voters_against`] hold a quorum: asked at every input, so it stops where the rest cannot change the answer.
fn is_quorum_against(dag: &Dag, candidate: &VerifiedBlock) -> bool {
    let (committee, candidate) = (dag.committee(), candidate.reference());
    let round = candidate.round.next();
    // Who is found to be against, and who may be: authorities not looked at, and those.
    let (mut against, mut perhaps) = (Stake::ZERO, committee.total_stake());
    for authority in committee.indexes() {
        let voters = dag.slot(Slot { round, authority });
        let stake = committee.stake(authority);
        if voters.iter().any(|voter| !voter.ancestors().contains(&candidate)) {
            against = against.plus(stake);
        } else {
            perhaps = Stake::new(perhaps.get().saturating_sub(stake.get()));
        }
        if committee.is_quorum(against) || !committee.is_quorum(perhaps) {
            break;
        }
    }
    committee.is_quorum(against)
}

/// Whether `voter` supports `candidate`: it is the first of the voter's ancestors that stands in the candidate's slot.
pub(crate) fn supports(voter: &VerifiedBlock, candidate: &BlockRef) -> bool {
    voter.ancestors().iter().find(|ancestor| ancestor.slot() == candidate.slot()) == Some(candidate)
}

/// The blocks two rounds up among whose ancestors a quorum supports `candidate`.
pub(crate) fn certificates(dag: &Dag, committee: &Committee, candidate: &VerifiedBlock) -> Vec<BlockRef> {
    let candidate = candidate.reference();
    // By author, then digest, as the DAG holds a round: in order.
    let votes: Vec<BlockRef> = dag
        .round(candidate.round.next())
        .filter(|voter| supports(voter, &candidate))
        .map(VerifiedBlock::reference)
        .collect();
    dag.round(candidate.round.plus(DECISION_ROUNDS))
        .filter(|certificate| {
            let mut voters = Tally::new(committee);
            certificate.ancestors().iter().any(|ancestor| {
                if votes.binary_search(ancestor).is_ok() {
                    voters.add(committee, ancestor.author);
                }
                voters.is_quorum(committee)
            })
        })
        .map(VerifiedBlock::reference)
        .collect()
}

/// The blocks of one round in the causal history of `from`, weak links included.
fn history_at(dag: &Dag, from: &VerifiedBlock, round: Round) -> BTreeSet<BlockRef> {
    let mut seen = BTreeSet::from([from.reference()]);
    let mut found = BTreeSet::new();
    let mut unvisited = vec![from];
    while let Some(block) = unvisited.pop() {
        if block.round() == round {
            found.insert(block.reference());
            continue;
        }
        for ancestor in block.ancestors().iter().filter(|ancestor| ancestor.round >= round) {
            if seen.insert(*ancestor) {
                unvisited.extend(dag.get(ancestor));
            }
        }
    }
    found
}
