//! Losses of what a node signed: its store wiped or an old copy restored, with its guard or without.
//!
//! A node comes back from a loss by itself only within bounds, and outside of them nothing is lost here: the node then
//! restarts from its newest store, and that is counted as [`Fault::LossOutsideBound`]. The bounds:
//!
//! - amnesiac and Byzantine stake together is at most f. A node counts as amnesiac until it has sent a block above all that it
//!   signed before;
//! - where the guard is lost too, only others can tell of the loss. So every quorum that may answer the question of the start
//!   must hold an honest node whose durable store has an own block above what is left. What remains open by design is
//!   the rest: blocks that were sent, and lost together with the guard, and stored by nobody in a quorum. No other
//!   store is lost in the meantime.

use consensus_core::{RecoverError, Round, Stake};

use super::{Event, World, lives::own_round, setup::index};
use crate::{
    disk::Store,
    fault::Fault,
    happening::Loss,
    invariants::Record,
    node::{Forgotten, Start},
};

/// How long a node is down that is refused, before it starts from its newest store.
const REFUSED_MS: u64 = 200;

impl World {
    /// A node dies now and comes back without some of what it had, if the bounds allow it.
    pub(super) fn lose(&mut self, place: usize, loss: Loss, down_ms: u64) {
        if !self.nodes[place].is_up() || !self.nodes[place].is_honest() {
            return;
        }
        let how = match self.loss_bounds(place, loss) {
            None => {
                self.fault(Fault::LossOutsideBound, Some(place));
                Start::Newest
            }
            Some(forgotten) => {
                if let Some(forgotten) = forgotten {
                    self.nodes[place].forgotten = Some(forgotten);
                    if forgotten.guard_lost && self.nodes[place].sent > self.heard(place).next() {
                        self.fault(Fault::UnheardLost, Some(place));
                    }
                }
                Start::After(loss)
            }
        };
        self.crash_planned(place, how, down_ms);
    }

    /// The highest round of a node's blocks that any other one has.
    fn heard(&self, place: usize) -> Round {
        let own = self.nodes[place].own;
        let heard = self.others(place).map(|other| own_round(&self.nodes[other].disk.store, own));
        heard.max().unwrap_or_default()
    }

    /// What a node forgets by a loss, if anything; `None` if that would be outside the bounds.
    fn loss_bounds(&self, place: usize, loss: Loss) -> Option<Option<Forgotten>> {
        let node = &self.nodes[place];
        let (left, guard) = match (&node.disk.copy, loss.is_copy()) {
            (Some((copy, guard)), true) => (own_round(copy, node.own), *guard),
            (None, true) => return None,
            (_, false) => (Round::GENESIS, None),
        };
        let guard = if loss.takes_guard() { guard } else { node.disk.guard };
        // A block that was not sent yet may be under the guard already: then it is missed as well.
        let signed = node.sent.max(own_round(&node.disk.store, node.own));
        let guard = guard.map_or(Round::GENESIS, |(_, round)| round);
        if signed.max(guard) <= left && node.forgotten.is_none() {
            return Some(None);
        }
        let guard_lost = guard < node.sent;
        let committee = self.genesis.committee();
        let own_stake = committee.stake(node.own);
        let is_out = |(other, node): (usize, &crate::node::Node)| {
            other != place && (!node.is_honest() || node.forgotten.is_some())
        };
        let stake_of = |places: &mut dyn Iterator<Item = usize>| {
            places.fold(Stake::ZERO, |sum, other| sum.plus(committee.stake(index(other))))
        };
        let out = stake_of(
            &mut self.nodes.iter().enumerate().filter(|entry| is_out(*entry)).map(|(other, _)| other),
        );
        let f = committee.total_stake().get().saturating_sub(1) / 3;
        // Own stake above f alone: refused by name, as long as the guard is there to tell.
        let alone = own_stake.get() > f;
        if (guard_lost || !alone) && out.plus(own_stake).get() > f {
            return None;
        }
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != place);
        if others.clone().filter_map(|(_, node)| node.forgotten).any(|other| guard_lost || other.guard_lost) {
            return None;
        }
        if guard_lost {
            let shows = |node: &crate::node::Node, store: &Store| {
                node.is_honest() && own_round(store, self.nodes[place].own) > left
            };
            let showing = stake_of(
                &mut others.filter(|(_, node)| shows(node, &node.disk.store)).map(|(other, _)| other),
            );
            let silent = committee.total_stake().get().saturating_sub(showing.get());
            if committee.is_quorum(Stake::new(silent)) {
                return None;
            }
        }
        Some((!alone).then_some(Forgotten { signed: signed.max(guard), guard_lost }))
    }

    /// Starts a node from what a loss has left it.
    pub(super) fn start_after(&mut self, place: usize, loss: Loss) {
        let node = &mut self.nodes[place];
        let (store, guard) = match (loss.is_copy(), node.disk.copy.take()) {
            (true, Some(copy)) => copy,
            (true, None) => return self.start_node(place, Start::Newest),
            (false, _) => (Store::default(), None),
        };
        let had_signed = node.disk.guard.is_some();
        if loss.takes_guard() {
            if node.disk.guard > guard {
                self.fault(Fault::GuardLost, Some(place));
            }
            self.nodes[place].disk.guard = guard;
        }
        let stored = own_round(&store, self.nodes[place].own);
        let guard = self.nodes[place].disk.guard.map_or(Round::GENESIS, |(_, round)| round);
        match self.recover(place, &store) {
            Err(RecoverError::BelowGuard { .. }) if guard > stored && !self.may_forget(place) => {
                self.fault(Fault::OldStoreRefused, Some(place));
                let life = self.nodes[place].life;
                self.push(self.now_ms + REFUSED_MS, Event::Restart { node: place, life, how: Start::Newest });
            }
            Err(error) => {
                self.violate("recovery", format!("node {place} refuses what a loss has left: {error}"));
            }
            Ok((machine, _)) if guard > stored && machine.status().amnesia.is_none() => {
                let detail = format!("node {place} starts at round {stored}, unaware of its guard {guard}");
                self.violate("recovery", detail);
            }
            Ok(started) => {
                if !loss.is_copy() && !had_signed {
                    self.fault(Fault::RestartEmpty, Some(place));
                }
                let node = &mut self.nodes[place];
                node.behind_reader = node.delivered.len() > store.commits.len();
                node.disk.store = store;
                self.record(&Record::StoreReplaced { node: place });
                self.begin(place, started);
            }
        }
    }

    /// Whether the others have a quorum without a node.
    fn may_forget(&self, place: usize) -> bool {
        let committee = self.genesis.committee();
        let others = committee.total_stake().get().saturating_sub(committee.stake(index(place)).get());
        committee.is_quorum(Stake::new(others))
    }
}
