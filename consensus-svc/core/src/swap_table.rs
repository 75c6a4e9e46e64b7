//! Who gives leader slots away, and who takes them.

use crate::{
    committee::Committee,
    types::{AuthorityIndex, Stake},
};

/// Authorities that give their leader slots away for a window, and those that take them in turn.
///
/// HammerHead (arXiv 2309.12713), schedule change: the lowest scores, at most f by stake, are replaced by the best ones,
/// round-robin. Two points differ. There f are always replaced; here only those with less than half of what a quorum has, so
/// that a network in which all do about as well keeps its leaders. And there as many are best as are replaced; here all that
/// reach the quorum's score take turns, so that no authority gathers seats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwapTable {
    unseated: Vec<AuthorityIndex>,
    substitutes: Vec<AuthorityIndex>,
}

impl SwapTable {
    /// The table that scores by authority make.
    ///
    /// The *quorum's score* is the highest that authorities with a quorum of stake reach. Who has less than half of it is
    /// unseated, and who reaches it is a substitute. So ties need no breaking, and the unseated have at most f stake, since the
    /// others are a quorum. While faulty stake is below a third, the quorum's score lies between the lowest and the highest of honest
    /// authorities, whatever the others do.
    pub fn new(committee: &Committee, scores: &[u128]) -> Self {
        let quorum_score = quorum_score(committee, scores);
        let those = |is_one: &dyn Fn(u128) -> bool| -> Vec<_> {
            let scored = scores.iter().zip(committee.indexes());
            scored.filter(|(score, _)| is_one(**score)).map(|(_, authority)| authority).collect()
        };
        let unseated = those(&|score| score.saturating_mul(2) < quorum_score);
        if unseated.is_empty() {
            return Self::default();
        }
        Self { unseated, substitutes: those(&|score| score >= quorum_score) }
    }

    /// A table from its parts, as they were stored; whether it fits a committee is checked at recovery.
    pub const fn from_parts(unseated: Vec<AuthorityIndex>, substitutes: Vec<AuthorityIndex>) -> Self {
        Self { unseated, substitutes }
    }

    /// Whether scores of this committee can have made it: both lists rise strictly, share nobody, and are both empty or both
    /// not.
    pub(crate) fn fits(&self, committee: &Committee) -> bool {
        let is_list = |list: &[AuthorityIndex]| {
            list.is_sorted_by(|one, next| one < next)
                && list.iter().all(|authority| committee.authority(*authority).is_some())
        };
        is_list(&self.unseated)
            && is_list(&self.substitutes)
            && self.unseated.is_empty() == self.substitutes.is_empty()
            && self.unseated.iter().all(|authority| !self.substitutes.contains(authority))
    }

    /// Who gives slots away, rising.
    pub fn unseated(&self) -> &[AuthorityIndex] {
        &self.unseated
    }

    /// Who takes them, rising.
    pub fn substitutes(&self) -> &[AuthorityIndex] {
        &self.substitutes
    }

    /// An unseated authority's place among the unseated.
    pub(crate) fn place_of(&self, authority: AuthorityIndex) -> Option<usize> {
        self.unseated.binary_search(&authority).ok()
    }
}

/// The highest score that authorities with a quorum of stake reach.
fn quorum_score(committee: &Committee, scores: &[u128]) -> u128 {
    let mut falling: Vec<_> = scores.iter().zip(committee.indexes()).collect();
    falling.sort_unstable_by(|one, other| other.cmp(one));
    let mut stake = Stake::ZERO;
    let reached = falling.into_iter().find(|(_, authority)| {
        stake = stake.plus(committee.stake(*authority));
        committee.is_quorum(stake)
    });
    reached.map_or(0, |(score, _)| *score)
}
