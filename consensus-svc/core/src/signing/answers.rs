//! What peers have answered to the question of the start.

use crate::{
    committee::{Committee, Tally},
    dag::Dag,
    types::{AuthorityIndex, BlockRef, Round},
};

/// An answer whose own last block is not accepted yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    own_last: BlockRef,
    shown: Round,
}

/// The answers of one life. Each was given after everything that earlier lives sent, so one a peer is enough; at most one a
/// peer is held.
#[derive(Debug)]
pub(super) struct Answers {
    /// Whoever has answered, this authority included.
    heard: Tally,
    /// Those of them whose own last block is accepted.
    counted: Tally,
    pending: Vec<Option<Pending>>,
    highest: Round,
}

impl Answers {
    pub(super) fn new(committee: &Committee, own: AuthorityIndex) -> Self {
        let mut own_stake = Tally::new(committee);
        own_stake.add(committee, own);
        Self {
            heard: own_stake.clone(),
            counted: own_stake,
            pending: vec![None; committee.size()],
            highest: Round::GENESIS,
        }
    }

    /// A peer has answered: its own last block, and the round of the highest block that it has of this authority. Nobody
    /// counts on the word of a block that is not its own, nor before that block is accepted: the rest of the network
    /// must have come as far, or a liar could name any round.
    pub(super) fn hear(
        &mut self,
        dag: &Dag,
        from: AuthorityIndex,
        own_last: Option<BlockRef>,
        shown: Option<Round>,
    ) {
        if own_last.is_some_and(|block| block.author != from) {
            return;
        }
        self.heard.add(dag.committee(), from);
        let shown = shown.unwrap_or_default();
        match own_last {
            Some(block) if !dag.is_present(&block) => {
                if let Some(pending) = self.pending.get_mut(from.as_usize()) {
                    // The first one stays: one that moves along with the peer might never be caught up with.
                    pending.get_or_insert(Pending { own_last: block, shown });
                }
            }
            _ => self.count(
                dag.committee(),
                from,
                own_last.map_or(Round::GENESIS, |block| block.round).max(shown),
            ),
        }
    }

    /// Counts the answers whose blocks were accepted meanwhile.
    pub(super) fn review(&mut self, dag: &Dag) {
        for authority in dag.committee().indexes() {
            let pending = self.pending.get(authority.as_usize()).copied().flatten();
            if let Some(Pending { own_last, shown }) =
                pending.filter(|pending| dag.is_present(&pending.own_last))
            {
                self.count(dag.committee(), authority, own_last.round.max(shown));
            }
        }
    }

    fn count(&mut self, committee: &Committee, from: AuthorityIndex, highest: Round) {
        if let Some(pending) = self.pending.get_mut(from.as_usize()) {
            *pending = None;
        }
        if !self.counted.has(from) {
            self.counted.add(committee, from);
            self.highest = self.highest.max(highest);
        }
    }

    /// Whoever has answered, or only those whose own last block is accepted.
    pub(super) const fn tally(&self, accepted: bool) -> &Tally {
        if accepted { &self.counted } else { &self.heard }
    }

    /// Whether a quorum has answered.
    pub(super) fn is_heard(&self, committee: &Committee) -> bool {
        self.heard.is_quorum(committee)
    }

    /// The highest round in the answers that count, once they are those of a quorum.
    pub(super) fn highest(&self, committee: &Committee) -> Option<Round> {
        self.counted.is_quorum(committee).then_some(self.highest)
    }

    /// Whose answers do not count yet.
    pub(super) fn awaited(&self, committee: &Committee) -> Vec<AuthorityIndex> {
        committee.indexes().filter(|authority| !self.counted.has(*authority)).collect()
    }
}
