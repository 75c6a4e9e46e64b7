//! The commit rule as the protocol's text says it (section 4), with sets of authorities and no regard for speed: what the
//! committer is compared with.

use std::collections::{BTreeMap, BTreeSet};

use consensus_core::{
    AuthorityIndex, BlockRef, Dag, DecidedLeader, Decision, LeaderSchedule, LeaderSlot, Round, Slot, Stake,
    VerifiedBlock, Via,
};

type Judged = BTreeMap<LeaderSlot, Option<DecidedLeader>>;

/// The longest run of decided slots from the first of round 1 on.
pub(crate) fn decide(dag: &Dag, schedule: &LeaderSchedule) -> Vec<DecidedLeader> {
    let mut judged = Judged::new();
    for round in (1..=dag.highest_round().get()).rev().map(Round::new) {
        for slot in schedule.slots(round).rev() {
            let authority = schedule.leader(slot);
            let decided = judge(dag, slot, authority, &judged);
            let decided = decided.map(|(decision, via)| DecidedLeader { slot, authority, decision, via });
            judged.insert(slot, decided);
        }
    }
    judged.into_values().map_while(|decided| decided).collect()
}

fn judge(dag: &Dag, slot: LeaderSlot, authority: AuthorityIndex, judged: &Judged) -> Option<(Decision, Via)> {
    let candidates = dag.slot(Slot { round: slot.round, authority });
    let voters: Vec<_> = dag.round(slot.round.plus(1)).collect();
    let against = |candidate: &VerifiedBlock| {
        let lists = |voter: &&VerifiedBlock| voter.ancestors().contains(&candidate.reference());
        voters.iter().copied().filter(|voter| !lists(voter)).map(VerifiedBlock::author).collect()
    };
    let present = voters.iter().map(|voter| voter.author()).collect();
    if is_quorum(dag, &present) && candidates.iter().all(|candidate| is_quorum(dag, &against(candidate))) {
        return Some((Decision::Skip, Via::Direct));
    }
    let certificates = |candidate: &VerifiedBlock| -> Vec<&VerifiedBlock> {
        dag.round(slot.round.plus(2)).filter(|block| certifies(dag, block, &candidate.reference())).collect()
    };
    let certified = candidates.iter().find(|candidate| {
        is_quorum(dag, &certificates(candidate).into_iter().map(VerifiedBlock::author).collect())
    });
    if let Some(block) = certified {
        return Some((Decision::Commit(block.clone()), Via::Direct));
    }
    let earliest = LeaderSlot { round: slot.round.plus(3), offset: 0 };
    let is_anchor = |leader: &&Option<DecidedLeader>| {
        leader.as_ref().is_none_or(|leader| leader.decision != Decision::Skip)
    };
    let anchor = judged.range(earliest..).map(|(_, leader)| leader).find(is_anchor)?.as_ref()?;
    let Decision::Commit(anchor) = &anchor.decision else { return None };
    let history = history(dag, anchor);
    let committed = candidates.iter().find(|candidate| {
        certificates(candidate).iter().any(|certificate| history.contains(&certificate.reference()))
    });
    let decision = committed.map_or(Decision::Skip, |block| Decision::Commit(block.clone()));
    Some((decision, Via::Indirect))
}

fn certifies(dag: &Dag, block: &VerifiedBlock, candidate: &BlockRef) -> bool {
    let votes = |voter: &VerifiedBlock| {
        voter.round() == candidate.round.plus(1)
            && voter.ancestors().iter().find(|parent| parent.slot() == candidate.slot()) == Some(candidate)
    };
    let parents = block.ancestors().iter().filter_map(|parent| dag.get(parent));
    is_quorum(dag, &parents.filter(|parent| votes(parent)).map(VerifiedBlock::author).collect())
}

fn history(dag: &Dag, from: &VerifiedBlock) -> BTreeSet<BlockRef> {
    let mut seen = BTreeSet::from([from.reference()]);
    let mut unvisited = vec![from];
    while let Some(block) = unvisited.pop() {
        let parents = block.ancestors().iter().filter_map(|parent| dag.get(parent));
        unvisited.extend(parents.filter(|parent| seen.insert(parent.reference())));
    }
    seen
}

fn is_quorum(dag: &Dag, authorities: &BTreeSet<AuthorityIndex>) -> bool {
    let stake = authorities.iter().map(|authority| dag.committee().stake(*authority).get()).sum();
    dag.committee().is_quorum(Stake::new(stake))
}
