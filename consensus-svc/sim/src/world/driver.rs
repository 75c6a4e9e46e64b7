//! A node's driver: inputs in, effects out in strict order, those behind a write held back until it is durable, while inputs
//! go on being handled.

use consensus_core::{
    BlockSource, CommitIndex, CommittedSubDag, CoreStatus, Effect, FetchStatus, Input, PeerFault,
    TransactionDigest, VerifiedBlock, WriteBatch,
};

use super::{Event, Payload, World, commits};
use crate::{
    byzantine::Wire,
    disk::{Phase, Sync},
    fault::Fault,
    invariants::Record,
};

impl World {
    /// Gives a machine an input, and lets out what may go.
    pub(super) fn feed(&mut self, place: usize, input: Input) {
        let genesis_time = self.genesis.timestamp();
        let node = &mut self.nodes[place];
        let now = node.clock(genesis_time, self.now_ms);
        let Some(machine) = node.machine.as_mut() else { return };
        let is_stream = matches!(input, Input::Blocks { source: BlockSource::Streamed, .. });
        let (round, waiting, fetches) = (node.status.round, node.status.waiting_blocks, node.status.fetches);
        let catch_ups = commits::catch_ups(&node.status);
        let effects = machine.handle(now, input);
        self.inputs += 1;
        let status = machine.status();
        node.effects.extend(effects);
        self.observe(place, status);
        let node = &self.nodes[place];
        let advanced = node.status.round > round;
        let reordered = is_stream && node.status.waiting_blocks > waiting;
        self.count_fetches(place, &fetches);
        self.count_catch_ups(place, catch_ups);
        if reordered {
            self.fault(Fault::Reordered, Some(place));
        }
        self.release(place);
        if advanced {
            self.flush_all(place);
        }
        self.arm(place);
    }

    /// Counts what an input has shown of a machine's questions for blocks.
    fn count_fetches(&mut self, place: usize, before: &FetchStatus) {
        let after = self.nodes[place].status.fetches;
        let happened = [
            (Fault::FetchEmpty, after.empty_total > before.empty_total),
            (Fault::FetchOverdue, after.overdue_total > before.overdue_total),
            (Fault::FetchHedged, after.hedged_total > before.hedged_total),
            (Fault::AncestorGivenUp, after.given_up_total > before.given_up_total),
        ];
        for (fault, _) in happened.into_iter().filter(|(_, happened)| *happened) {
            self.fault(fault, Some(place));
        }
    }

    /// Takes note of what a machine shows of itself.
    pub(super) fn observe(&mut self, place: usize, status: CoreStatus) {
        let node = &mut self.nodes[place];
        let was = std::mem::replace(&mut node.status, status).amnesia.is_some();
        let changed = (node.status.amnesia.is_some() != was).then_some(was).filter(|_| node.is_honest());
        match changed {
            Some(false) => self.fault(Fault::AmnesiaEntered, Some(place)),
            Some(true) => self.fault(Fault::AmnesiaLeft, Some(place)),
            None => {}
        }
    }

    /// Enters the machine's next deadline, if no earlier one is entered.
    pub(super) fn arm(&mut self, place: usize) {
        let genesis_time = self.genesis.timestamp();
        let node = &mut self.nodes[place];
        let Some(deadline) = node.machine.as_ref().and_then(|machine| machine.next_deadline()) else {
            return;
        };
        // A machine that could act at once still takes a millisecond: time always moves.
        let at_ms = node.world_ms(genesis_time, deadline).max(self.now_ms + 1);
        if node.timer_ms.is_none_or(|entered| entered > at_ms) {
            node.timer_ms = Some(at_ms);
            let life = node.life;
            self.push(at_ms, Event::Timer { node: place, life });
        }
    }

    pub(super) fn timer(&mut self, place: usize, life: u64) {
        let node = &mut self.nodes[place];
        if node.life == life && node.timer_ms == Some(self.now_ms) {
            node.timer_ms = None;
            self.feed(place, Input::Tick);
        }
    }

    /// Lets effects out up to the next write; a write starts a sync that takes all that is queued.
    pub(super) fn release(&mut self, place: usize) {
        while self.nodes[place].disk.sync.is_none() {
            let node = &mut self.nodes[place];
            match node.effects.front() {
                None => return,
                Some(Effect::Persist(_) | Effect::Guard { .. }) => {
                    node.disk.sync = Some(Sync { effects: node.effects.len(), phase: Phase::Store });
                    self.await_disk(place);
                    return;
                }
                Some(_) => {
                    let effect = node.effects.pop_front();
                    if !effect.is_some_and(|effect| self.perform(place, effect)) {
                        return;
                    }
                }
            }
        }
    }

    fn await_disk(&mut self, place: usize) {
        let mut latency_ms = self.disk_rng.between(self.sync_ms.0, self.sync_ms.1);
        if self.disk_rng.chance(self.slow_sync_chance) {
            latency_ms = latency_ms * 10 + 50;
            self.fault(Fault::SlowSync, Some(place));
        }
        let life = self.nodes[place].life;
        self.push(self.now_ms + latency_ms, Event::Disk { node: place, life });
    }

    /// A phase of a sync has ended: batches are durable, then the guard is, then what waited goes out.
    pub(super) fn disk(&mut self, place: usize, life: u64) {
        let node = &mut self.nodes[place];
        if node.life != life {
            return;
        }
        if let Some((0, down_ms)) = node.fuse {
            // Just before the phase is done: the next effect would have been the write itself.
            self.fault(Fault::CrashBetweenEffects, Some(place));
            self.crash(place, down_ms);
            return;
        }
        let Some(Sync { effects, phase }) = node.disk.sync else { return };
        let synced = node.effects.iter().take(effects);
        match phase {
            Phase::Store => {
                let mut guarded = false;
                for effect in synced {
                    match effect {
                        Effect::Persist(batch) => node.disk.store.apply(batch),
                        Effect::Guard { .. } => guarded = true,
                        _ => {}
                    }
                }
                if guarded {
                    node.disk.sync = Some(Sync { effects, phase: Phase::Guard });
                    self.await_disk(place);
                    return;
                }
            }
            Phase::Guard => {
                for effect in synced {
                    if let Effect::Guard { epoch, round } = effect {
                        node.disk.raise_guard(*epoch, *round);
                    }
                }
            }
        }
        node.disk.sync = None;
        for _ in 0..effects {
            let effect = self.nodes[place].effects.pop_front();
            if !effect.is_some_and(|effect| self.perform(place, effect)) {
                return;
            }
        }
        self.release(place);
    }

    /// Runs an effect that may go out; false if the node crashed instead.
    fn perform(&mut self, place: usize, effect: Effect) -> bool {
        if let Some((left, down_ms)) = self.nodes[place].fuse {
            if left == 0 {
                self.fault(Fault::CrashBetweenEffects, Some(place));
                self.crash(place, down_ms);
                return false;
            }
            self.nodes[place].fuse = Some((left - 1, down_ms));
        }
        match effect {
            Effect::Persist(batch) => self.stored(place, &batch),
            Effect::Guard { .. } => {}
            Effect::Broadcast(block) => {
                self.broadcast(place, block);
                if let Some((loss, down_ms)) = self.nodes[place].doom.take() {
                    self.lose(place, loss, down_ms);
                    return self.nodes[place].is_up();
                }
            }
            Effect::SendWake { round } => {
                for peer in self.others(place) {
                    self.send(place, peer, Payload::Wake(round));
                }
            }
            Effect::Fetch(fetch) => self.ask(place, fetch),
            Effect::FetchCommits { peer, after } => self.ask_commits(place, peer.as_usize(), after),
            Effect::Deliver(sub_dag) => self.deliver(place, &sub_dag),
            Effect::Answer { ticket, outcome } => {
                let accepted = self.workload.answer(ticket, outcome);
                self.record(&Record::Accepted { node: place, transactions: &accepted });
                if let Some(node) = self.markers.remove(&ticket)
                    && outcome != consensus_core::SubmitOutcome::Accepted
                {
                    self.unmarked.insert(node);
                }
            }
            Effect::Dropped { transactions, .. } if self.nodes[place].is_honest() => {
                self.dropped(place, &transactions);
            }
            Effect::Report(PeerFault::Equivocation { slot, .. }) => {
                if self.nodes[place].is_honest() {
                    self.fault(Fault::EquivocationSeen, Some(place));
                    self.record(&Record::MetEquivocation { node: place, slot });
                }
            }
            Effect::Report(PeerFault::WaitingRoomFull { .. }) => {
                self.fault(Fault::WaitingRoomFull, Some(place));
            }
            Effect::Forked(fork) => {
                if self.nodes[place].is_honest() {
                    self.violate("agreement", format!("node {place} finds a fork: {fork:?}"));
                }
            }
            Effect::RootAgreed(agreed) => self.agreed(place, &agreed),
            Effect::RootContradicted(contradiction) => self.contradicted(place, &contradiction),
            Effect::CommittedBefore { transactions } if self.nodes[place].is_honest() => {
                self.record(&Record::CommittedBefore { node: place, transactions: &transactions });
            }
            Effect::Dropped { .. } | Effect::CommittedBefore { .. } | Effect::Report(_) => {}
        }
        true
    }

    /// Tells clients that their transactions were given up; one of the last of the run is then sent again.
    fn dropped(&mut self, place: usize, transactions: &[TransactionDigest]) {
        self.workload.dropped += transactions.len() as u64;
        self.unmarked.extend(transactions.iter().filter_map(|digest| self.marked.get(digest)));
        self.record(&Record::Dropped { node: place, transactions });
    }

    fn broadcast(&mut self, place: usize, block: VerifiedBlock) {
        if self.nodes[place].is_honest() {
            let Some(block) = self.announce(place, &block) else { return };
            self.nodes[place].lane_mut(place).insert(block.round(), block.clone());
            for peer in self.others(place) {
                self.send(place, peer, Payload::Blocks(vec![block.clone()]));
            }
            return;
        }
        let Some(byzantine) = self.nodes[place].byzantine.as_mut() else { return };
        let deeds = byzantine.act(&block);
        for fault in deeds.faults {
            self.fault(fault, Some(place));
        }
        for kept in deeds.kept {
            self.admit_lie(place, Wire::Stray(kept));
        }
        for dispatch in deeds.dispatches {
            let wire = self.admit_lie(place, dispatch.wire);
            let late_until = &mut self.nodes[place].late_until_ms[dispatch.to];
            let at_ms = (self.now_ms + dispatch.delay_ms).max(*late_until);
            *late_until = at_ms;
            self.push(at_ms, Event::Lie { from: place, to: dispatch.to, wire });
        }
    }

    /// Judges a liar's signed block before it goes out; what is invalid goes out as bytes.
    fn admit_lie(&mut self, place: usize, wire: Wire) -> Wire {
        let (Wire::Block(block) | Wire::Stray(block)) = &wire else { return wire };
        let Some(admitted) = self.announce(place, block) else {
            return Wire::Raw(block.signed_bytes().clone());
        };
        self.nodes[place].disk.store.blocks.insert(admitted.reference(), admitted.clone());
        if matches!(wire, Wire::Block(_)) { Wire::Block(admitted) } else { Wire::Stray(admitted) }
    }

    /// Something that a liar kept back goes out.
    pub(super) fn lie(&mut self, from: usize, to: usize, wire: Wire) {
        match wire {
            Wire::Block(block) => {
                self.nodes[from].lane_mut(to).entry(block.round()).or_insert_with(|| block.clone());
                self.send(from, to, Payload::Blocks(vec![block]));
            }
            Wire::Stray(block) => self.send(from, to, Payload::Blocks(vec![block])),
            Wire::Raw(bytes) => self.send(from, to, Payload::Raw(bytes)),
        }
    }

    /// Judges an own block and shows it to the invariants, the first time that it goes out. `None` if it is invalid, which
    /// an honest node's never is.
    pub(super) fn announce(&mut self, place: usize, block: &VerifiedBlock) -> Option<VerifiedBlock> {
        let honest = self.nodes[place].is_honest();
        let admitted = match self.verifier.admit(block, honest) {
            Ok(admitted) => admitted,
            Err(error) => {
                if honest {
                    self.violate(
                        "validity",
                        format!("node {place} makes {block:?}, which is invalid: {error}"),
                    );
                }
                return None;
            }
        };
        if self.announced.insert(admitted.reference()) {
            let node = &mut self.nodes[place];
            node.sent = node.sent.max(admitted.round());
            node.forgotten = node.forgotten.filter(|forgotten| forgotten.signed >= node.sent);
            let disk = &node.disk;
            let (stored, guard) = (disk.store.blocks.contains_key(&admitted.reference()), disk.guard);
            if let Some(chronicle) = &mut self.chronicle {
                chronicle.sent(self.now_ms, &admitted);
            }
            self.record(&Record::Sent { node: place, honest, block: &admitted, stored, guard });
        }
        Some(admitted)
    }

    /// A batch is durable.
    fn stored(&mut self, place: usize, batch: &WriteBatch) {
        let WriteBatch { progress, certificates, .. } = batch;
        let node = &mut self.nodes[place];
        if !node.is_honest() {
            return;
        }
        let since = std::mem::replace(&mut node.schedule_since, progress.schedule.since);
        if since < progress.schedule.since && !progress.schedule.table.unseated().is_empty() {
            self.fault(Fault::LeadersReplaced, Some(place));
        }
        let store = &self.nodes[place].disk.store;
        let ends = (CommitIndex::new(store.commits.len() as u64), store.last_commit);
        self.record(&Record::Stored { node: place, progress, certificates, ends });
    }

    /// Hands a commit to the node's reader.
    pub(super) fn deliver(&mut self, place: usize, sub_dag: &CommittedSubDag) {
        let node = &self.nodes[place];
        if !node.is_honest() {
            return;
        }
        let stored = node.disk.store.holds_commit(sub_dag);
        let position = usize::try_from(sub_dag.commit.index.get()).unwrap_or(0);
        let again = node.behind_reader && position <= node.delivered.len();
        self.trace.event(self.now_ms, 20, place as u64, position as u64);
        self.trace.digest(sub_dag.digest.as_bytes());
        let at_ms = self.now_ms;
        self.record(&Record::Delivered { node: place, at_ms, sub_dag, stored, again });
        self.downstream.borrow_mut().delivered(at_ms, place, sub_dag);
        let node = &mut self.nodes[place];
        if position == node.delivered.len() + 1 {
            node.delivered.push(sub_dag.digest);
            node.behind_reader = false;
            self.wake_executor(place);
        }
        if position == self.chain_length + 1 {
            self.chain_length = position;
            self.workload.commit(sub_dag);
            if let Some(chronicle) = &mut self.chronicle {
                chronicle.commit(sub_dag);
            }
        }
    }
}
