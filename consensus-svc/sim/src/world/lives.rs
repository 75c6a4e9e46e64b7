//! Starts, crashes, what is planned, and what clients do.

use consensus_core::{AuthorityIndex, Consensus, Effect, Input, RecoverError, Round, Timestamp, Transaction};

use super::{Event, World};
use crate::{
    disk::{Phase, Store},
    fault::Fault,
    happening::Happening,
    invariants::Record,
    node::Start,
};

impl World {
    /// Something planned happens.
    pub(super) fn happen(&mut self, happening: Happening) {
        if self.healed_ms.is_some() {
            return;
        }
        match happening {
            Happening::Crash { node, down_ms } => self.crash_planned(node, Start::Newest, down_ms),
            Happening::CrashAfterEffects { node, effects, down_ms } => {
                if self.nodes[node].is_up() && self.nodes[node].is_honest() {
                    self.nodes[node].fuse = Some((effects, down_ms));
                }
            }
            Happening::Blackout { down_ms } => {
                self.fault(Fault::Blackout, None);
                for node in 0..self.nodes.len() {
                    self.crash_planned(node, Start::Newest, down_ms);
                }
            }
            Happening::Copy { node } => {
                let disk = &mut self.nodes[node].disk;
                disk.copy = Some((disk.store.clone(), disk.guard));
            }
            Happening::Lose { node, loss, after_sending: false, down_ms } => self.lose(node, loss, down_ms),
            Happening::Lose { node, loss, after_sending: true, down_ms } => {
                if self.nodes[node].is_up() && self.nodes[node].is_honest() {
                    self.nodes[node].doom = Some((loss, down_ms));
                }
            }
            Happening::Partition { group, one_way } => self.partition(&group, one_way),
            Happening::SlowLink { from, to, extra_ms } => {
                self.fault(Fault::SlowLink, Some(to));
                self.network.slow_down(from, to, extra_ms);
            }
            Happening::BreakExecutor { node } => self.break_executor(node),
            Happening::RepairExecutor { node, down_ms } => self.repair_executor(node, down_ms),
            Happening::Mend => self.network.mend(),
        }
    }

    fn partition(&mut self, group: &[usize], one_way: bool) {
        let rest: Vec<usize> = (0..self.nodes.len()).filter(|node| !group.contains(node)).collect();
        let kind = if one_way { Fault::PartitionOneWay } else { Fault::PartitionTwoWay };
        self.fault(kind, group.first().copied());
        for inside in group {
            for outside in &rest {
                self.network.cut(*inside, *outside);
                if !one_way {
                    self.network.cut(*outside, *inside);
                }
            }
        }
    }

    pub(super) fn crash_planned(&mut self, place: usize, how: Start, down_ms: u64) {
        if self.nodes[place].is_up() && self.nodes[place].is_honest() {
            self.fault(Fault::Crash, Some(place));
            self.die(place);
            let life = self.nodes[place].life;
            self.push(self.now_ms + down_ms.max(1), Event::Restart { node: place, life, how });
        }
    }

    /// Kills a node that comes back from its store.
    pub(super) fn crash(&mut self, place: usize, down_ms: u64) {
        self.die(place);
        let life = self.nodes[place].life;
        self.push(self.now_ms + down_ms.max(1), Event::Restart { node: place, life, how: Start::Newest });
    }

    /// Ends a life: any prefix of the batches under way survives, each whole, and nothing of those behind.
    fn die(&mut self, place: usize) {
        if self.nodes[place].is_honest() {
            self.downstream.borrow_mut().dies(self.now_ms, place);
        }
        let node = &mut self.nodes[place];
        let (mut torn, mut unguarded) = (false, false);
        let mut behind = 0;
        if let Some(sync) = node.disk.sync.take() {
            behind = sync.effects;
            let under_way = node.effects.iter().take(sync.effects);
            match sync.phase {
                Phase::Store => {
                    let batches: Vec<_> = under_way
                        .filter_map(
                            |effect| if let Effect::Persist(batch) = effect { Some(batch) } else { None },
                        )
                        .collect();
                    let kept = self.disk_rng.place(batches.len() + 1);
                    torn = kept < batches.len();
                    batches.into_iter().take(kept).for_each(|batch| node.disk.store.apply(batch));
                }
                Phase::Guard => {
                    unguarded = self.disk_rng.chance(50_000);
                    for effect in under_way.filter(|_| !unguarded) {
                        if let Effect::Guard { epoch, round } = effect {
                            node.disk.raise_guard(*epoch, *round);
                        }
                    }
                }
            }
        }
        torn |= node.effects.iter().skip(behind).any(|effect| matches!(effect, Effect::Persist(_)));
        node.machine = None;
        node.life += 1;
        node.effects.clear();
        node.timer_ms = None;
        node.fuse = None;
        node.doom = None;
        node.told = Timestamp::default();
        self.record(&Record::Crashed { node: place });
        if self.markers.values().any(|node| *node == place) {
            self.markers.retain(|_, node| *node != place);
            self.unmarked.insert(place);
        }
        for peer in self.others(place) {
            self.network.stream_mut(place, peer).end();
            self.network.stream_mut(peer, place).end();
            // The peer's transport notices and comes back by itself.
            let generation = self.network.stream(place, peer).generation;
            let wait_ms = self.network.reconnect_wait_ms(0);
            self.push(self.now_ms + wait_ms, Event::Connect { from: place, to: peer, generation });
        }
        if torn {
            self.fault(Fault::TornTail, Some(place));
        }
        if unguarded {
            self.fault(Fault::UnguardedBlock, Some(place));
        }
    }

    /// Starts a node.
    pub(super) fn start_node(&mut self, place: usize, how: Start) {
        if let Start::After(loss) = how {
            return self.start_after(place, loss);
        }
        if self.nodes[place].life > 0 {
            self.draw_skew(place);
        }
        let store = std::mem::take(&mut self.nodes[place].disk.store);
        let started = self.recover(place, &store);
        self.nodes[place].disk.store = store;
        match started {
            Ok(started) => self.begin(place, started),
            Err(error) => self.violate("recovery", format!("node {place} refuses its own store: {error}")),
        }
    }

    pub(super) fn recover(
        &mut self,
        place: usize,
        store: &Store,
    ) -> Result<(Consensus, Vec<Effect>), RecoverError> {
        let node = &mut self.nodes[place];
        let parameters = self.genesis.parameters();
        let log = store.recovered(node.own, parameters, node.disk.guard);
        let now = node.clock(self.genesis.timestamp(), self.now_ms);
        let signer = self.signers[place].clone();
        Consensus::recover(self.genesis.clone(), self.params.clone(), signer, log, now)
    }

    /// A life begins: own blocks of the store come under the guard and may be sent, the reader gets what the store has and it
    /// has not, and streams resume both ways.
    pub(super) fn begin(&mut self, place: usize, (mut machine, effects): (Consensus, Vec<Effect>)) {
        if self.nodes[place].life > 0 {
            self.fault(Fault::Restart, Some(place));
        }
        if !self.nodes[place].is_honest() {
            // Its twins come back to it, which it does not mind.
            machine.ignore_own_blocks_of_peers();
        }
        let node = &mut self.nodes[place];
        let status = machine.status();
        node.machine = Some(machine);
        self.observe(place, status);
        let node = &mut self.nodes[place];
        node.effects.extend(effects);
        if node.is_honest() {
            let own_round = own_round(&node.disk.store, node.own);
            if own_round > Round::GENESIS {
                let epoch = self.genesis.committee().epoch();
                node.disk.raise_guard(epoch, own_round);
            }
            let own_blocks: Vec<_> = node.disk.store.blocks_of(node.own).cloned().collect();
            let lane = own_blocks.iter().map(|block| (block.round(), block.clone())).collect();
            *node.lane_mut(place) = lane;
            for block in own_blocks {
                self.announce(place, &block);
            }
            let node = &self.nodes[place];
            let log_end = node.delivered.len().min(node.disk.store.commits.len()) as u64;
            self.downstream.borrow_mut().begins(self.now_ms, place, log_end);
            for index in node.delivered.len() + 1..=node.disk.store.commits.len() {
                let Some(sub_dag) = self.nodes[place].disk.store.sub_dag(index as u64) else {
                    self.violate("recovery", format!("commit {index} of node {place} lacks blocks"));
                    return;
                };
                self.deliver(place, &sub_dag);
            }
            let node = &self.nodes[place];
            let open = node.disk.store.open_transactions(node.own, self.genesis.parameters());
            let commits = node.disk.store.commits.len();
            self.record(&Record::Recovered { node: place, commits, transactions: &open });
            self.greet_executor(place);
        }
        self.release(place);
        self.arm(place);
        for peer in self.others(place) {
            for (from, to) in [(place, peer), (peer, place)] {
                let (generation, wait_ms) =
                    (self.network.stream(from, to).generation, self.network.rng.between(1, 20));
                self.push(self.now_ms + wait_ms, Event::Connect { from, to, generation });
            }
        }
    }

    /// A client submits a batch, and comes again.
    pub(super) fn submit(&mut self, place: usize) {
        if self.healed_ms.is_some() {
            return;
        }
        let nodes = self.nodes.len() as u64;
        let per_node = self.workload.load.per_second.max(1);
        let interval_ms = (1_000 * nodes / per_node).clamp(50, 5_000);
        self.push(self.now_ms + interval_ms, Event::Submit { node: place });
        // Steady, in bursts, or rarely.
        let quiet = match self.load_pattern {
            0 => false,
            1 => (self.now_ms / 2_500) % 2 == 1,
            _ => !(self.now_ms / 1_000).is_multiple_of(8),
        };
        if quiet || !self.nodes[place].is_up() {
            return;
        }
        let count = (per_node * interval_ms / 1_000 / nodes).max(1);
        let (ticket, transactions) = self.workload.batch(count);
        let made: Vec<_> = transactions.iter().map(Transaction::digest).collect();
        self.record(&Record::Made { transactions: &made });
        self.feed(place, Input::Transactions { ticket, transactions });
    }

    /// One last transaction a node, again until it is accepted.
    pub(super) fn submit_markers(&mut self) {
        let waiting: Vec<usize> =
            self.unmarked.iter().copied().filter(|node| self.nodes[*node].is_up()).collect();
        for node in waiting {
            self.unmarked.remove(&node);
            let (ticket, transactions) = self.workload.fresh();
            let made: Vec<_> = transactions.iter().map(Transaction::digest).collect();
            self.record(&Record::Made { transactions: &made });
            self.marked.extend(made.into_iter().map(|digest| (digest, node)));
            self.markers.insert(ticket, node);
            self.feed(node, Input::Transactions { ticket, transactions });
        }
    }
}

pub(super) fn own_round(store: &Store, own: AuthorityIndex) -> Round {
    store
        .blocks
        .keys()
        .rev()
        .find(|reference| reference.author == own)
        .map_or(Round::GENESIS, |found| found.round)
}
