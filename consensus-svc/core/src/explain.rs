//! What the machine waits for, in types that a person or a program can act on (L06, L08).
//!
//! Built from the state as it stands, by the same functions that decide; asking changes nothing. Costs about one run of the
//! commit rule.

use crate::{
    block::VerifiedBlock,
    certifier::Fork,
    committee::Tally,
    committer::{Committer, Decision, Via, certificates, supports},
    dag::Dag,
    decisions::DecidedSlot,
    leader_schedule::LeaderSlot,
    types::{AuthorityIndex, BlockRef, CommitIndex, Round, Slot, Stake, Timestamp},
};

/// Most slots that are explained.
pub const MAX_EXPLAINED_SLOTS: usize = 100;
/// Most missing blocks that are named.
pub const MAX_EXPLAINED_MISSING: usize = 20;

/// What the machine waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The slots that are not decided yet as far as the DAG reaches, lowest first; at most [`MAX_EXPLAINED_SLOTS`].
    pub undecided: Vec<UndecidedSlot>,
    /// The newest decisions since the start, oldest first.
    pub decided: Vec<DecidedSlot>,
    /// What the next own block waits for.
    pub proposal: ProposalWait,
    /// The lowest blocks that waiting ones miss; at most [`MAX_EXPLAINED_MISSING`].
    pub missing: Vec<MissingBlock>,
    /// Highest round by authority that a verified block was seen of, accepted or not.
    pub seen_rounds: Vec<Round>,
}

/// Who has spoken for something, and who has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// Stake of those who have.
    pub stake: Stake,
    /// What is needed.
    pub quorum: Stake,
    /// Those without a block in the round in question.
    pub silent: Vec<AuthorityIndex>,
    /// Those whose blocks there say something else.
    pub against: Vec<AuthorityIndex>,
}

/// A slot that is not decided, or not in order yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecidedSlot {
    /// The slot.
    pub slot: LeaderSlot,
    /// Who leads it.
    pub authority: AuthorityIndex,
    /// What its own wave lacks.
    pub reason: SlotReason,
    /// The slot that decides it, if its own wave does not: the first of three rounds later that is not skipped. `None` while no block
    /// of so high a round is held.
    pub anchor: Option<LeaderSlot>,
}

/// Why a slot is not decided. Of twins, that with the most votes is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotReason {
    /// No block of the slot is held, nor a quorum of the voting round, which would skip it.
    NoBlock {
        /// Who has a block of the voting round.
        voting: Support,
    },
    /// The voting round has no quorum.
    VotingRound {
        /// The block of the slot.
        block: BlockRef,
        /// Who has a block of the voting round.
        voting: Support,
    },
    /// The block lacks votes.
    Votes {
        /// The block of the slot.
        block: BlockRef,
        /// Who votes for it.
        votes: Support,
    },
    /// The block has a quorum of votes, and lacks certificates.
    Certificates {
        /// The block of the slot.
        block: BlockRef,
        /// Who certifies it.
        certificates: Support,
    },
    /// It can be decided, and an earlier slot cannot.
    Earlier {
        /// Whether it would be committed.
        commit: bool,
        /// By which rule.
        via: Via,
    },
}

/// What the next own block waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalWait {
    /// Round of the next own block.
    pub round: Round,
    /// What it waits for.
    pub reason: ProposalReason,
}

/// Why no own block is made now. A time that has passed means that it is made with the next input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposalReason {
    /// Nothing is signed any more in this life.
    Halted {
        /// The own block that the store did not hold; `None` where the shell has stopped the machine.
        unknown_own_block: Option<BlockRef>,
    },
    /// A quorum holds another commit than this node: nothing is signed any more, in this life or in another.
    Forked {
        /// Where, and both digests.
        fork: Fork,
    },
    /// This authority does not remember all that it signed.
    Amnesia {
        /// Whose answers to the question of the start count; nobody is against.
        answers: Support,
        /// The lowest round that it may propose in, once a quorum of them counts.
        first_round: Option<Round>,
    },
    /// The question of the start is not answered by a quorum.
    StartQuestion {
        /// Who has answered; nobody is against.
        answers: Support,
    },
    /// Certified commits are fetched first.
    CatchingUp {
        /// The own last commit.
        last_commit: CommitIndex,
    },
    /// Peers are far ahead: their blocks are fetched first.
    Behind {
        /// The own clock.
        clock: Round,
        /// Those of whom far higher blocks are seen, and their rounds.
        ahead: Vec<(AuthorityIndex, Round)>,
    },
    /// This round is proposed in; the next begins with a quorum of its blocks.
    Quorum {
        /// The round.
        round: Round,
        /// Who has a block there.
        blocks: Support,
    },
    /// The least time between own blocks is not over.
    MinInterval {
        /// When it is.
        until: Timestamp,
    },
    /// There is nothing to order.
    Idle {
        /// When a block is made all the same.
        until: Timestamp,
    },
    /// Leaders of the previous round are missing.
    Leaders {
        /// When they are not waited for any more.
        until: Timestamp,
        /// Who they are.
        missing: Vec<AuthorityIndex>,
    },
}

/// A block that waiting ones need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingBlock {
    /// The block.
    pub block: BlockRef,
    /// Blocks that name it as an ancestor and wait.
    pub needed_by: usize,
    /// Who was asked last; empty while it may still come by itself.
    pub asked: Vec<AuthorityIndex>,
}

/// The slots after `after` that are not decided, lowest first.
pub(crate) fn undecided(committer: &Committer, dag: &Dag, after: Option<LeaderSlot>) -> Vec<UndecidedSlot> {
    let judged = committer.judge(dag, after);
    let explained = judged.slots().map(|(slot, leader)| {
        let authority = committer.schedule().leader(slot);
        let reason = match leader {
            Some(leader) => {
                SlotReason::Earlier { commit: leader.decision != Decision::Skip, via: leader.via }
            }
            None => slot_reason(dag, Slot { round: slot.round, authority }),
        };
        let anchor = judged.anchor_of(slot).map(|(anchor, _)| anchor);
        UndecidedSlot { slot, authority, reason, anchor }
    });
    // What is decided up to the first that is not has been taken.
    explained
        .skip_while(|slot| matches!(slot.reason, SlotReason::Earlier { .. }))
        .take(MAX_EXPLAINED_SLOTS)
        .collect()
}

/// Who has a block of a round.
pub(crate) fn round_support(dag: &Dag, round: Round) -> Support {
    support(dag, round, |_| true)
}

/// Who has answered, out of a tally; the rest is silent.
pub(crate) fn answers(dag: &Dag, heard: &Tally) -> Support {
    let committee = dag.committee();
    Support {
        stake: heard.stake(),
        quorum: committee.quorum_threshold(),
        silent: committee.indexes().filter(|authority| !heard.has(*authority)).collect(),
        against: Vec::new(),
    }
}

fn slot_reason(dag: &Dag, slot: Slot) -> SlotReason {
    let voting = slot.round.next();
    let votes_for = |candidate: &VerifiedBlock| {
        let reference = candidate.reference();
        support(dag, voting, |voter| supports(voter, &reference))
    };
    let candidates = dag.slot(slot).iter().map(|candidate| (candidate, votes_for(candidate)));
    // Of equal ones the last, which has the highest digest.
    let Some((candidate, votes)) = candidates.max_by_key(|(_, votes)| votes.stake) else {
        return SlotReason::NoBlock { voting: round_support(dag, voting) };
    };
    let block = candidate.reference();
    if votes.stake >= votes.quorum {
        let certifying = certificates(dag, dag.committee(), candidate);
        let certificates = support(dag, voting.next(), |block| certifying.contains(&block.reference()));
        SlotReason::Certificates { block, certificates }
    } else if dag.has_quorum(voting) {
        SlotReason::Votes { block, votes }
    } else {
        SlotReason::VotingRound { block, voting: round_support(dag, voting) }
    }
}

/// Who has a block of `round` that speaks for something. An authority with twins counts once, and for it if one of them does.
fn support(dag: &Dag, round: Round, speaks_for: impl Fn(&VerifiedBlock) -> bool) -> Support {
    let committee = dag.committee();
    let mut speakers = Tally::new(committee);
    let (mut silent, mut against) = (Vec::new(), Vec::new());
    for authority in committee.indexes() {
        let blocks = dag.slot(Slot { round, authority });
        if blocks.is_empty() {
            silent.push(authority);
        } else if blocks.iter().any(&speaks_for) {
            speakers.add(committee, authority);
        } else {
            against.push(authority);
        }
    }
    Support { stake: speakers.stake(), quorum: committee.quorum_threshold(), silent, against }
}
