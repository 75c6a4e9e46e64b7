//! Streams of own blocks and questions for others' blocks, as the peer transport carries them.

use std::convert::Infallible;

use bytes::Bytes;
use consensus_core::{
    AnswerCheck, AnswerLimits, AuthorityIndex, BlockRef, BlockSource, Fetch, FetchEnd, Input, Round,
    VerifiedBlock, fetch_answer,
};

use super::{Event, Payload, World, setup::index};
use crate::{
    byzantine::{LastBlocks, Service},
    fault::Fault,
};

/// Blocks sent together when a stream resumes.
const RESUME_BATCH: usize = 50;
/// Bytes of blocks in one answer.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// How long an asker waits for an answer.
const CALL_DEADLINE_MS: u64 = 5_000;

impl World {
    /// Sends on a publisher's stream. Without a subscription nothing is sent: it resumes from the publisher's lane.
    pub(super) fn send(&mut self, from: usize, to: usize, payload: Payload) {
        if !self.network.stream(from, to).open {
            return;
        }
        if self.network.is_cut(from, to) || self.network.rng.chance(self.network.profile.break_chance) {
            self.fault(Fault::StreamBroken, Some(to));
            self.break_stream(from, to, None);
            return;
        }
        let mut delay_ms = self.network.delay(from, to);
        if self.network.rng.chance(self.network.profile.stall_chance) {
            delay_ms += self.network.rng.between(200, 1_000);
            self.fault(Fault::StreamStalled, Some(to));
        }
        let stream = self.network.stream_mut(from, to);
        stream.last_arrival_ms = stream.last_arrival_ms.max(self.now_ms + delay_ms);
        let (at_ms, generation) = (stream.last_arrival_ms, stream.generation);
        self.push(at_ms, Event::Arrive { from, to, generation, payload });
    }

    /// Ends a session; the subscriber comes back after a growing wait, or after a penalty.
    fn break_stream(&mut self, from: usize, to: usize, penalty_ms: Option<u64>) {
        let stream = self.network.stream_mut(from, to);
        stream.end();
        stream.attempts += 1;
        let (generation, attempts) = (stream.generation, stream.attempts);
        let wait_ms = penalty_ms.unwrap_or_else(|| self.network.reconnect_wait_ms(attempts));
        self.push(self.now_ms + wait_ms, Event::Connect { from, to, generation });
    }

    /// The publisher has sent what no honest authority sends.
    fn penalise(&mut self, from: usize, to: usize) {
        let penalty_ms = self.network.rng.between(500, 5_000);
        self.break_stream(from, to, Some(penalty_ms));
    }

    /// A subscriber tries to reach a publisher.
    pub(super) fn connect(&mut self, from: usize, to: usize, generation: u64) {
        let stream = self.network.stream(from, to);
        if stream.generation != generation || stream.open || !self.nodes[to].is_up() {
            return;
        }
        let reachable =
            self.nodes[from].is_up() && !self.network.is_cut(from, to) && !self.network.is_cut(to, from);
        if !reachable {
            self.break_stream(from, to, None);
            return;
        }
        let after = self.nodes[to].status.accepted_rounds.get(from).copied().unwrap_or_default();
        let delay_ms = self.network.delay(to, from);
        self.push(self.now_ms + delay_ms, Event::Subscribe { from, to, generation, after });
    }

    /// A subscription reaches the publisher, who sends what is above `after`.
    pub(super) fn subscribe(&mut self, from: usize, to: usize, generation: u64, after: Round) {
        let stream = self.network.stream(from, to);
        if stream.generation != generation || stream.open {
            return;
        }
        if !self.nodes[from].is_up() {
            self.break_stream(from, to, None);
            return;
        }
        let stream = self.network.stream_mut(from, to);
        stream.open = true;
        stream.attempts = 0;
        stream.last_round = after;
        stream.last_arrival_ms = self.now_ms;
        let asker = self.nodes[to].own;
        let answer = self.own_last(from, to, asker);
        self.send(from, to, Payload::OwnLast(Box::new(answer)));
        let lane = self.nodes[from].lane(to);
        let after = after.max(self.kept_above(from));
        let blocks: Vec<_> = lane.range(after.next()..).map(|(_, block)| block.clone()).collect();
        for batch in blocks.chunks(RESUME_BATCH) {
            self.send(from, to, Payload::Blocks(batch.to_vec()));
        }
    }

    /// A message arrives.
    pub(super) fn arrive(&mut self, from: usize, to: usize, generation: u64, payload: Payload) {
        if self.network.stream(from, to).generation != generation || !self.nodes[to].is_up() {
            return;
        }
        if self.network.is_cut(from, to) {
            self.fault(Fault::StreamBroken, Some(to));
            self.break_stream(from, to, None);
            return;
        }
        match payload {
            Payload::Blocks(blocks) => self.take(from, to, blocks),
            Payload::OwnLast(answer) => self.take_own_last(from, to, *answer),
            Payload::Wake(round) => self.feed(to, Input::Wake { from: index(from), round }),
            Payload::Raw(bytes) => self.take_raw(from, to, bytes),
        }
    }

    /// What a publisher says when it is asked for the last blocks: of its own those that may be sent, of the asker's also what is
    /// not durable.
    fn own_last(&mut self, from: usize, to: usize, asker: AuthorityIndex) -> LastBlocks {
        let node = &mut self.nodes[from];
        let own = node.lane(to).last_key_value().map(|(_, block)| block.clone());
        let seen = node.machine.as_ref().and_then(|machine| machine.latest_seen(asker));
        let known = node.disk.store.blocks_of(asker).last().into_iter().chain(seen);
        let truth = LastBlocks { askers: known.max_by_key(|block| block.round()).cloned(), own };
        let third = |block: &&VerifiedBlock| block.author() != asker && block.author() != node.own;
        let other = node.disk.store.blocks.values().rev().find(third).cloned();
        let early = node.disk.store.blocks_of(asker).next().cloned();
        let lie =
            node.byzantine.as_mut().and_then(|byzantine| byzantine.lie_about_last(&truth, early, other));
        let Some(lie) = lie else { return truth };
        self.fault(Fault::OwnLastLied, Some(from));
        lie
    }

    /// An answer with somebody else's blocks is none, and ends the session.
    fn take_own_last(&mut self, from: usize, to: usize, answer: LastBlocks) {
        let LastBlocks { askers, own } = answer;
        let is_of = |block: &Option<VerifiedBlock>, author: usize| {
            block.as_ref().is_none_or(|block| block.author() == index(author))
        };
        if !is_of(&askers, to) || !is_of(&own, from) {
            self.penalise(from, to);
            return;
        }
        // A liar's own twins are nothing new to it.
        let block = askers.filter(|_| self.nodes[to].is_honest());
        self.feed(to, Input::OwnLastBlock { from: index(from), block, peers_last: own });
    }

    fn take_raw(&mut self, from: usize, to: usize, bytes: Bytes) {
        match self.verifier.judge(bytes) {
            Ok(block) => self.take(from, to, vec![block]),
            Err(_) => {
                self.fault(Fault::GarbageRefused, Some(from));
                self.penalise(from, to);
            }
        }
    }

    /// Blocks of one session: of the publisher, in rising rounds, held back while they are too far above the clock.
    fn take(&mut self, from: usize, to: usize, blocks: Vec<VerifiedBlock>) {
        self.verifier.receive(&blocks);
        let limit = self.gate(to);
        let stream = self.network.stream_mut(from, to);
        let mut ready = Vec::new();
        let (mut broken, mut far, mut first_far) = (false, false, None);
        for block in blocks {
            if block.author().as_usize() != from || block.round() <= stream.last_round {
                broken = true;
                break;
            }
            stream.last_round = block.round();
            if !stream.held.is_empty() || block.round() > limit {
                far = true;
                first_far = first_far.or(Some(block.round()).filter(|_| stream.held.is_empty()));
                stream.held.push_back(block);
            } else {
                ready.push(block);
            }
        }
        if far && !self.nodes[from].is_honest() {
            self.fault(Fault::FutureRound, Some(from));
        }
        if !ready.is_empty() {
            let (from, source) = (index(from), BlockSource::Streamed);
            self.feed(to, Input::Blocks { from, source, blocks: ready });
        }
        if let Some(round) = first_far {
            self.feed(to, Input::SeenAhead { author: index(from), round });
        }
        if broken {
            if self.nodes[from].is_honest() {
                self.violate("stream-order", format!("node {from} streams out of order to {to}"));
            }
            self.penalise(from, to);
        }
    }

    fn gate(&self, to: usize) -> Round {
        self.nodes[to].status.round.plus(self.params.max_rounds_ahead)
    }

    /// The clock has moved: held blocks may go on.
    pub(super) fn flush_all(&mut self, to: usize) {
        for from in self.others(to) {
            let stream = self.network.stream(from, to);
            if !stream.held.is_empty() {
                let generation = stream.generation;
                self.push(self.now_ms, Event::Flush { from, to, generation });
            }
        }
    }

    pub(super) fn flush(&mut self, from: usize, to: usize, generation: u64) {
        let limit = self.gate(to);
        let stream = self.network.stream_mut(from, to);
        if stream.generation != generation {
            return;
        }
        let near = stream.held.partition_point(|block| block.round() <= limit);
        let blocks: Vec<_> = stream.held.drain(..near).collect();
        if !blocks.is_empty() {
            let (from, source) = (index(from), BlockSource::Streamed);
            self.feed(to, Input::Blocks { from, source, blocks });
        }
    }

    /// Asks a peer for blocks; without a session there is no connection to ask on, which shows at once.
    pub(super) fn ask(&mut self, asker: usize, fetch: Fetch) {
        let (asked, life) = (fetch.peer.as_usize(), self.nodes[asker].life);
        if self.knows_its_lies(asker, &fetch) {
            let blocks = Some(self.serve(asker, &fetch));
            self.push(self.now_ms, Event::Answer { asker, life, fetch, blocks });
            return;
        }
        if !self.network.stream(asked, asker).open {
            self.push(self.now_ms, Event::Answer { asker, life, fetch, blocks: None });
            return;
        }
        // Whatever else happens, the asker's patience ends.
        let patience = Event::Answer { asker, life, fetch: fetch.clone(), blocks: None };
        self.push(self.now_ms + CALL_DEADLINE_MS, patience);
        if self.network.is_cut(asker, asked) {
            return;
        }
        if self.network.rng.chance(self.network.profile.fetch_lost_chance) {
            self.fault(Fault::FetchLost, Some(asker));
            return;
        }
        let delay_ms = self.network.delay(asker, asked);
        self.push(self.now_ms + delay_ms, Event::Question { asker, life, fetch });
    }

    /// Whether a liar asks only for what it has made itself behind its machine's back.
    fn knows_its_lies(&self, asker: usize, fetch: &Fetch) -> bool {
        let node = &self.nodes[asker];
        !node.is_honest() && fetch.blocks.iter().all(|wanted| node.disk.store.blocks.contains_key(wanted))
    }

    /// A question arrives: answered from the durable store.
    pub(super) fn question(&mut self, asker: usize, life: u64, fetch: Fetch) {
        let asked = fetch.peer.as_usize();
        let node = &mut self.nodes[asked];
        if !node.is_up() || self.network.is_cut(asked, asker) {
            return;
        }
        let store = &node.disk.store.blocks;
        let wanted = fetch.blocks.iter().find_map(|wanted| store.get(wanted));
        let service = node.byzantine.as_mut().map_or(Service::Honest, |byzantine| byzantine.serve(wanted));
        let blocks = match service {
            Service::Honest => Some(self.serve(asked, &fetch)),
            Service::Falsified(bytes) => {
                self.fault(Fault::FalseContent, Some(asked));
                let delay_ms = self.network.delay(asked, asker);
                self.push(self.now_ms + delay_ms, Event::FalseAnswer { asker, life, fetch, bytes });
                return;
            }
            Service::Refused => {
                self.fault(Fault::FetchRefused, Some(asked));
                None
            }
            Service::Silent => {
                self.fault(Fault::FetchRefused, Some(asked));
                return;
            }
            Service::False(blocks) => Some(blocks),
        };
        let profile = self.network.profile;
        let copies = 1 + u64::from(self.network.rng.chance(profile.fetch_duplicated_chance));
        if copies > 1 {
            self.fault(Fault::FetchDuplicated, Some(asker));
        }
        for _ in 0..copies {
            let mut delay_ms = self.network.delay(asked, asker);
            if self.network.rng.chance(profile.fetch_late_chance) {
                delay_ms += self.network.rng.between(500, 3_000);
                self.fault(Fault::FetchLate, Some(asker));
            }
            let (fetch, blocks) = (fetch.clone(), blocks.clone());
            self.push(self.now_ms + delay_ms, Event::Answer { asker, life, fetch, blocks });
        }
    }

    /// Rounds at or below this are served no more, block by block: an honest node forgets what is collected by a certified
    /// commit. What only an uncertified one collects must be kept: those who still need it may be those whose votes are
    /// missing, and nobody would go on.
    fn kept_above(&self, place: usize) -> Round {
        let node = &self.nodes[place];
        let gc_depth = self.genesis.parameters().gc_depth;
        if node.is_honest() { node.disk.store.certified_gc_round(gc_depth) } else { Round::GENESIS }
    }

    /// What an honest node answers.
    fn serve(&mut self, asked: usize, fetch: &Fetch) -> Vec<VerifiedBlock> {
        let (store, kept_above) = (&self.nodes[asked].disk.store.blocks, self.kept_above(asked));
        let read = |reference: &BlockRef| {
            let block = store.get(reference).filter(|_| reference.round > kept_above);
            Ok::<_, Infallible>(block.cloned())
        };
        let limits = AnswerLimits::new(MAX_ANSWER_BYTES.min(self.genesis.parameters().max_commit_bytes));
        let Ok(answer) = fetch_answer::compose(&fetch.blocks, &fetch.held, limits, read);
        if answer.appended > 0 {
            self.fault(Fault::AncestorsAppended, Some(asked));
        }
        answer.blocks
    }

    /// An answer arrives that a liar has put together by hand.
    pub(super) fn falsely_fetched(&mut self, asker: usize, life: u64, fetch: &Fetch, bytes: Bytes) {
        if self.nodes[asker].life != life || self.network.is_cut(fetch.peer.as_usize(), asker) {
            return;
        }
        if let Ok(block) = self.verifier.judge(bytes) {
            return self.fetched(asker, life, fetch, Some(vec![block]));
        }
        self.fault(Fault::GarbageRefused, Some(fetch.peer.as_usize()));
        self.penalise(fetch.peer.as_usize(), asker);
        self.feed(asker, Input::FetchEnded { fetch: fetch.id, end: FetchEnd::Failed });
    }

    /// An answer arrives: what does not belong to it ends the session.
    pub(super) fn fetched(
        &mut self,
        asker: usize,
        life: u64,
        fetch: &Fetch,
        blocks: Option<Vec<VerifiedBlock>>,
    ) {
        let asked = fetch.peer.as_usize();
        if self.nodes[asker].life != life {
            return;
        }
        let mut end = FetchEnd::Failed;
        if let Some(mut blocks) = blocks {
            if self.network.is_cut(asked, asker) {
                return;
            }
            self.verifier.receive(&blocks);
            let mut check = AnswerCheck::new(fetch.blocks.iter().copied(), fetch.held.clone());
            let belong = blocks.iter().take_while(|block| check.admit(block)).count();
            let is_fault = belong < blocks.len();
            blocks.truncate(belong);
            if !blocks.is_empty() {
                let (from, source) = (fetch.peer, BlockSource::Fetched);
                self.feed(asker, Input::Blocks { from, source, blocks });
            }
            if is_fault {
                self.fault(Fault::FetchLied, Some(asked));
                if self.nodes[asked].is_honest() {
                    self.violate(
                        "honest-answers",
                        format!("node {asker} takes the answer of {asked} for a lie"),
                    );
                }
                self.penalise(asked, asker);
            } else {
                end = FetchEnd::Answered;
            }
        }
        self.feed(asker, Input::FetchEnded { fetch: fetch.id, end });
    }
}
