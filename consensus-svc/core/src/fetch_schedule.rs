//! Whom to ask for a missing block, when, and when to give up.
//!
//! A streamed block's ancestors may still come by themselves for a tenth of the time-out; a fetched one's are asked for at
//! once. First whoever named the block is asked, for it has accepted it; then its author; then the others by their record.
//! A peer that does not have it makes room for the next at once. A peer that is silent for a time-out is overdue: the block
//! is then asked of the next one too, so that at most two are under way for a block. After eight questions without it the
//! block is *exhausted*: the waiting room decides whether to go on.
//!
//! Bounds: 16 questions that are not overdue, two a peer, 1000 blocks a question; and each author's blocks have an
//! allowance of their own for what they name.

mod namers;
mod peers;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::{namers::Namers, peers::Peers};
use crate::{
    fetch::{Fetch, FetchEnd, FetchId, FetchStatus},
    types::{AuthorityIndex, BlockRef, Timestamp},
};

/// Most references in one question.
const MAX_FETCH_BLOCKS: usize = 1000;
/// Most questions that peers still have time to answer.
const MAX_FETCHES_AT_ONCE: usize = 16;
/// Most questions of which one peer has not told the end.
const MAX_FETCHES_PER_PEER: usize = 2;
/// Most peers remembered as having a block.
const MAX_HOLDERS: usize = 4;
/// So many different peers are asked before one is asked again.
const PEERS_A_CYCLE: usize = 4;
/// A block is exhausted after so many questions.
const EXHAUSTED_AFTER: u32 = 8;
/// How many blocks of one author are taken before it is the next author's turn.
const TURN: usize = 64;

#[derive(Debug)]
struct Wanted {
    /// Who sent a block that names it: an honest one of them has it. The first few.
    holders: Vec<AuthorityIndex>,
    /// Authors of the waiting blocks that name it.
    namers: BTreeSet<AuthorityIndex>,
    /// Peers asked in this cycle.
    asked: Vec<AuthorityIndex>,
    attempts: u32,
    /// When it is due; `None` while a question is under way, or when it is exhausted.
    ask_at: Option<Timestamp>,
    /// The question put last.
    last: Option<FetchId>,
}

#[derive(Debug)]
struct Ask {
    peer: AuthorityIndex,
    asked_at: Timestamp,
    is_overdue: bool,
    /// Blocks, and on whose account each is asked for.
    blocks: Vec<(BlockRef, AuthorityIndex)>,
}

/// Questions that are being put together, by peer.
type Batches = BTreeMap<AuthorityIndex, Vec<(BlockRef, AuthorityIndex)>>;

/// The questions for missing blocks. As many blocks as there are missing ones, which the waiting room bounds.
#[derive(Debug)]
pub(crate) struct FetchSchedule {
    own: AuthorityIndex,
    authorities: u16,
    timeout: Duration,
    wanted: BTreeMap<BlockRef, Wanted>,
    /// How many blocks of each author are wanted.
    wanted_of: Vec<usize>,
    namers: Namers,
    /// Whose turn it is.
    turn: u16,
    peers: Peers,
    asks: BTreeMap<FetchId, Ask>,
    next_id: u64,
    exhausted: BTreeSet<BlockRef>,
    status: FetchStatus,
}

impl FetchSchedule {
    /// An empty schedule of authority `own` in a committee of `authorities`.
    pub(crate) fn new(own: AuthorityIndex, authorities: u16, timeout: Duration) -> Self {
        Self {
            own,
            authorities,
            timeout,
            wanted: BTreeMap::new(),
            wanted_of: vec![0; usize::from(authorities)],
            namers: Namers::new(authorities, timeout, grace_of(timeout)),
            turn: 0,
            peers: Peers::new(authorities, timeout),
            asks: BTreeMap::new(),
            next_id: 0,
            exhausted: BTreeSet::new(),
            status: FetchStatus::default(),
        }
    }

    /// Wants a block which a waiting block of `namer` names, that came from `holder`. With `at_once` it is not waited for.
    pub(crate) fn want(
        &mut self,
        now: Timestamp,
        block: BlockRef,
        namer: AuthorityIndex,
        holder: AuthorityIndex,
        at_once: bool,
    ) {
        let due_at = if at_once { now } else { now.plus(self.grace()) };
        let mut is_new = false;
        let wanted = self.wanted.entry(block).or_insert_with(|| {
            is_new = true;
            Wanted {
                holders: Vec::new(),
                namers: BTreeSet::new(),
                asked: Vec::new(),
                attempts: 0,
                ask_at: Some(due_at),
                last: None,
            }
        });
        if wanted.holders.len() < MAX_HOLDERS && !wanted.holders.contains(&holder) {
            wanted.holders.push(holder);
        }
        if wanted.namers.insert(namer)
            && let Some(ask_at) = wanted.ask_at
        {
            self.namers.enqueue(namer, ask_at, block);
        }
        if is_new {
            self.count(block.author, |count| count.saturating_add(1));
        }
    }

    /// No waiting block of `namer` names the block any more.
    pub(crate) fn unname(&mut self, block: &BlockRef, namer: AuthorityIndex) {
        let Some(wanted) = self.wanted.get_mut(block) else { return };
        wanted.namers.remove(&namer);
        if let Some(ask_at) = wanted.ask_at {
            self.namers.dequeue(namer, ask_at, *block);
        }
    }

    /// No longer wants a block: it has come, or nobody needs it.
    pub(crate) fn forget(&mut self, block: &BlockRef) {
        self.unqueue(block);
        self.exhausted.remove(block);
        if self.wanted.remove(block).is_some() {
            self.count(block.author, |count| count.saturating_sub(1));
        }
    }

    /// Whether any block of an author is wanted.
    pub(crate) fn wants_of(&self, author: AuthorityIndex) -> bool {
        self.wanted_of.get(author.as_usize()).is_some_and(|count| *count > 0)
    }

    /// Who is being asked for a block: an overdue peer, and the one that was asked after it.
    pub(crate) fn asked(&self, block: &BlockRef) -> Vec<AuthorityIndex> {
        let asks = self.asks.values().filter(|ask| ask.blocks.iter().any(|(asked, _)| asked == block));
        asks.map(|ask| ask.peer).collect()
    }

    /// A question has ended. Ends of questions that nobody waits for any more change nothing.
    pub(crate) fn ended(&mut self, now: Timestamp, id: FetchId, end: FetchEnd) {
        let Some(ask) = self.asks.remove(&id) else { return };
        self.peers.over(ask.peer);
        self.namers.wake();
        if ask.is_overdue {
            // It was judged then.
            return;
        }
        self.peers.settle(now);
        let named = self.named_any(&ask);
        let missed = self.close(now, id, &ask);
        match end {
            FetchEnd::Failed => {
                self.status.failed_total = self.status.failed_total.saturating_add(1);
                self.peers.has_failed(ask.peer);
            }
            FetchEnd::Answered if missed < ask.blocks.len() => {
                self.status.useful_total = self.status.useful_total.saturating_add(1);
                self.peers.was_useful(ask.peer);
            }
            FetchEnd::Answered => {
                self.status.empty_total = self.status.empty_total.saturating_add(1);
                self.peers.was_empty(ask.peer, named);
            }
        }
    }

    /// Blocks that enough peers were asked for in vain; each is to be [retried](Self::retry) or
    /// [forgotten](Self::forget).
    pub(crate) fn take_exhausted(&mut self) -> BTreeSet<BlockRef> {
        std::mem::take(&mut self.exhausted)
    }

    /// Asks for an exhausted block again, later.
    pub(crate) fn retry(&mut self, now: Timestamp, block: BlockRef) {
        if let Some(wanted) = self.wanted.get_mut(&block) {
            wanted.attempts = 0;
            wanted.asked.clear();
        }
        self.queue(block, now.plus(self.timeout).plus(self.timeout));
    }

    /// An exhausted block was given up.
    pub(crate) fn gave_up(&mut self) {
        self.status.given_up_total = self.status.given_up_total.saturating_add(1);
    }

    /// Judges what is overdue.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let late = self.asks.iter().filter(|(_, ask)| self.expires_at(ask) <= now).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            self.expire_one(now, id);
        }
    }

    /// The questions that are due; without a hint of what is held.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<Fetch> {
        self.namers.settle(now);
        self.peers.settle(now);
        let mut batches = Batches::new();
        let order: Vec<_> = (self.turn..self.authorities).chain(0..self.turn).collect();
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for namer in order.iter().copied().map(AuthorityIndex::new) {
                goes_on |= (0..TURN).take_while(|_| self.take_one(now, namer, &mut batches)).count() == TURN;
            }
        }
        if !batches.is_empty() {
            self.turn = self.turn.saturating_add(1).checked_rem(self.authorities).unwrap_or_default();
        }
        batches.into_iter().map(|(peer, blocks)| self.put(now, peer, blocks)).collect()
    }

    /// When something is due, if no question ends before.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let expiry = self.asks.values().map(|ask| self.expires_at(ask)).min();
        let question = if self.has_place(0) { self.namers.next_deadline() } else { None };
        expiry.into_iter().chain(question).min()
    }

    pub(crate) fn status(&self) -> FetchStatus {
        FetchStatus { under_way: self.under_way(), ..self.status }
    }

    /// How long a block may still come by itself, and how long a question waits that found no place. Never zero, so that
    /// a question that is put off leaves the present.
    fn grace(&self) -> Duration {
        grace_of(self.timeout)
    }

    fn count(&mut self, author: AuthorityIndex, change: impl FnOnce(usize) -> usize) {
        if let Some(count) = self.wanted_of.get_mut(author.as_usize()) {
            *count = change(*count);
        }
    }

    fn queue(&mut self, block: BlockRef, at: Timestamp) {
        let Some(wanted) = self.wanted.get_mut(&block) else { return };
        wanted.ask_at = Some(at);
        for namer in &wanted.namers {
            self.namers.enqueue(*namer, at, block);
        }
    }

    fn unqueue(&mut self, block: &BlockRef) {
        let Some(wanted) = self.wanted.get_mut(block) else { return };
        let Some(at) = wanted.ask_at.take() else { return };
        for namer in &wanted.namers {
            self.namers.dequeue(*namer, at, *block);
        }
    }

    fn under_way(&self) -> usize {
        self.asks.values().filter(|ask| !ask.is_overdue).count()
    }

    fn has_place(&self, begun: usize) -> bool {
        self.under_way().saturating_add(begun) < MAX_FETCHES_AT_ONCE
    }

    /// When an answer is overdue; when it is, when nobody waits for it any more.
    fn expires_at(&self, ask: &Ask) -> Timestamp {
        let overdue_at = ask.asked_at.plus(self.timeout);
        if ask.is_overdue { overdue_at.plus(self.timeout) } else { overdue_at }
    }

    fn expire_one(&mut self, now: Timestamp, id: FetchId) {
        let Some(mut ask) = self.asks.remove(&id) else { return };
        self.namers.wake();
        if !ask.is_overdue {
            self.status.overdue_total = self.status.overdue_total.saturating_add(1);
            self.close(now, id, &ask);
            self.peers.is_overdue(ask.peer);
            ask.is_overdue = true;
            if self.expires_at(&ask) > now {
                self.asks.insert(id, ask);
                return;
            }
        }
        self.peers.over(ask.peer);
    }

    fn named_any(&self, ask: &Ask) -> bool {
        let wanted = ask.blocks.iter().filter_map(|(block, _)| self.wanted.get(block));
        wanted.into_iter().any(|wanted| wanted.holders.contains(&ask.peer))
    }

    /// Settles the accounts of a question, and puts what has not come back into the queue. How many that are.
    fn close(&mut self, now: Timestamp, id: FetchId, ask: &Ask) -> usize {
        self.namers.settle(now);
        let mut missed = 0usize;
        for (block, account) in &ask.blocks {
            let waits = self.wanted.get(block).is_some_and(|wanted| wanted.last == Some(id));
            self.namers.ended(*account, now, !waits);
            if waits {
                missed = missed.saturating_add(1);
                self.put_back(now, *block);
            }
        }
        missed
    }

    /// A question did not bring the block: the next one comes at once at first, then later and later.
    fn put_back(&mut self, now: Timestamp, block: BlockRef) {
        let Some(wanted) = self.wanted.get_mut(&block) else { return };
        wanted.attempts = wanted.attempts.saturating_add(1);
        if wanted.attempts >= EXHAUSTED_AFTER {
            self.exhausted.insert(block);
            return;
        }
        let half = self.timeout.checked_div(2).unwrap_or_default();
        let wait = match wanted.attempts {
            0..=2 => Duration::ZERO,
            3 | 4 => half,
            5 => self.timeout,
            _ => self.timeout.saturating_mul(2),
        };
        self.queue(block, now.plus(wait));
    }

    /// Takes one due block of an author into a question; false if there is none, or no place for it.
    fn take_one(&mut self, now: Timestamp, namer: AuthorityIndex, batches: &mut Batches) -> bool {
        let Some(block) = self.namers.first_due(namer, now) else { return false };
        let Some(peer) = self.peer_for(&block, batches) else {
            self.namers.wait(namer, now.plus(self.grace()));
            return false;
        };
        self.unqueue(&block);
        self.namers.asked(namer);
        if let Some(wanted) = self.wanted.get_mut(&block) {
            if wanted.asked.len() >= PEERS_A_CYCLE || wanted.asked.contains(&peer) {
                wanted.asked.clear();
            }
            wanted.asked.push(peer);
            if wanted.last.is_some_and(|last| self.asks.contains_key(&last)) {
                self.status.hedged_total = self.status.hedged_total.saturating_add(1);
            }
        }
        batches.entry(peer).or_default().push((block, namer));
        true
    }

    /// The best peer for a block, or the second best if that one has no time; `None` if both have none.
    fn peer_for(&self, block: &BlockRef, batches: &Batches) -> Option<AuthorityIndex> {
        let wanted = self.wanted.get(block)?;
        let (mut best, mut second) = (None, None);
        for peer in (0..self.authorities).map(AuthorityIndex::new).filter(|peer| *peer != self.own) {
            let ranked = Some((self.rank(block, wanted, peer), peer));
            if best.is_none() || ranked < best {
                (best, second) = (ranked, best);
            } else if second.is_none() || ranked < second {
                second = ranked;
            }
        }
        let has_time = |peer: &AuthorityIndex| match batches.get(peer) {
            Some(blocks) => blocks.len() < MAX_FETCH_BLOCKS,
            None => self.has_place(batches.len()) && self.peers.under_way(*peer) < MAX_FETCHES_PER_PEER,
        };
        best.into_iter().chain(second).map(|(_, peer)| peer).find(has_time)
    }

    /// The lowest is asked first: whoever was not asked in this cycle, answers at all, has named the block, is its author,
    /// has the better record; and for the rest around the committee, from the author on.
    fn rank(
        &self,
        block: &BlockRef,
        wanted: &Wanted,
        peer: AuthorityIndex,
    ) -> (bool, bool, bool, bool, u32, u16) {
        let (is_last, penalty) = self.peers.standing(peer);
        let is_asked = wanted.asked.len() < PEERS_A_CYCLE && wanted.asked.contains(&peer);
        let ahead = u32::from(peer.get()).saturating_add(u32::from(self.authorities));
        let around = ahead.saturating_sub(u32::from(block.author.get()).min(ahead));
        let around = around.checked_rem(u32::from(self.authorities)).unwrap_or_default();
        let is_other = !wanted.holders.contains(&peer);
        let around = u16::try_from(around).unwrap_or_default();
        (is_asked, is_last, is_other, peer != block.author, penalty, around)
    }

    fn put(
        &mut self,
        now: Timestamp,
        peer: AuthorityIndex,
        blocks: Vec<(BlockRef, AuthorityIndex)>,
    ) -> Fetch {
        let id = FetchId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        self.status.asked_total = self.status.asked_total.saturating_add(1);
        self.peers.asked(peer);
        let names: Vec<_> = blocks.iter().map(|(block, _)| *block).collect();
        for block in &names {
            if let Some(wanted) = self.wanted.get_mut(block) {
                wanted.last = Some(id);
            }
        }
        self.asks.insert(id, Ask { peer, asked_at: now, is_overdue: false, blocks });
        Fetch { id, peer, blocks: names, held: Vec::new() }
    }
}

fn grace_of(timeout: Duration) -> Duration {
    timeout.checked_div(10).unwrap_or_default().max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests;
