//! One node: a machine in one of its lives, its disk, its effects on their way out, and its reader's cursor.

use std::collections::{BTreeMap, VecDeque};

use consensus_core::{
    AuthorityIndex, CommitDigest, Consensus, CoreStatus, Effect, Round, Timestamp, VerifiedBlock,
};

use crate::{byzantine::Byzantine, disk::Disk, executor::Executor, happening::Loss};

/// How a node comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// From its newest store.
    Newest,
    /// From what a loss has left; if that is refused, from its newest store.
    After(Loss),
}

/// What a node does not remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// Highest own round that it had signed, sent or not.
    pub(crate) signed: Round,
    /// Whether its guard is below what it had sent, so that only others can tell.
    pub(crate) guard_lost: bool,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) own: AuthorityIndex,
    /// Running, or `None` while it is down.
    pub(crate) machine: Option<Consensus>,
    /// Counts its starts; what was meant for an earlier life is void.
    pub(crate) life: u64,
    /// How far its clock is ahead, in milliseconds; less than zero is behind.
    pub(crate) skew_ms: i64,
    /// Highest time it was told: its clock never goes back within a life.
    pub(crate) told: Timestamp,
    pub(crate) disk: Disk,
    /// Effects in order; those behind one that must be durable wait.
    pub(crate) effects: VecDeque<Effect>,
    /// The machine's next deadline, in world time, as it is in the event queue.
    pub(crate) timer_ms: Option<u64>,
    pub(crate) status: CoreStatus,
    /// First round of the leader schedule that it stored last.
    pub(crate) schedule_since: Round,
    /// Own blocks that may be sent, by peer where they differ (for liars), else all under the own place.
    pub(crate) lanes: Vec<BTreeMap<Round, VerifiedBlock>>,
    /// Digests of the commits that its reader has, from index 1: over all lives.
    pub(crate) delivered: Vec<CommitDigest>,
    /// What executes them; it outlives the node.
    pub(crate) executor: Executor,
    /// Whether the store was replaced by an older one: its reader is then ahead of it.
    pub(crate) behind_reader: bool,
    /// Effects until it crashes, and how long it is down then.
    pub(crate) fuse: Option<(u32, u64)>,
    /// What it loses right after its next own block has gone out, and how long it is down then.
    pub(crate) doom: Option<(Loss, u64)>,
    /// Highest own round that went out, over all lives.
    pub(crate) sent: Round,
    /// Set from a loss until it has sent a block above all that it sent before.
    pub(crate) forgotten: Option<Forgotten>,
    pub(crate) byzantine: Option<Byzantine>,
    /// By peer, when the last thing that a liar sends late goes out: streams keep their order.
    pub(crate) late_until_ms: Vec<u64>,
}

impl Node {
    pub(crate) fn new(own: AuthorityIndex, nodes: usize, byzantine: Option<Byzantine>) -> Self {
        let lanes = if byzantine.is_some() { nodes } else { 1 };
        Self {
            own,
            machine: None,
            life: 0,
            skew_ms: 0,
            told: Timestamp::default(),
            disk: Disk::default(),
            effects: VecDeque::new(),
            timer_ms: None,
            status: CoreStatus::default(),
            schedule_since: Round::FIRST,
            lanes: vec![BTreeMap::new(); lanes],
            delivered: Vec::new(),
            executor: Executor::default(),
            behind_reader: false,
            fuse: None,
            doom: None,
            sent: Round::GENESIS,
            forgotten: None,
            byzantine,
            late_until_ms: vec![0; nodes],
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    pub(crate) const fn is_honest(&self) -> bool {
        self.byzantine.is_none()
    }

    /// What its clock shows at a world time.
    pub(crate) fn clock(&mut self, genesis: Timestamp, now_ms: u64) -> Timestamp {
        let shown = genesis.as_millis().saturating_add(now_ms).saturating_add_signed(self.skew_ms);
        self.told = self.told.max(Timestamp::from_millis(shown));
        self.told
    }

    /// The world time at which its clock shows `deadline`.
    pub(crate) fn world_ms(&self, genesis: Timestamp, deadline: Timestamp) -> u64 {
        deadline.as_millis().saturating_add_signed(-self.skew_ms).saturating_sub(genesis.as_millis())
    }

    /// The blocks that a peer is shown.
    pub(crate) fn lane(&self, peer: usize) -> &BTreeMap<Round, VerifiedBlock> {
        self.lanes.get(peer).filter(|_| !self.is_honest()).unwrap_or(&self.lanes[0])
    }

    pub(crate) fn lane_mut(&mut self, peer: usize) -> &mut BTreeMap<Round, VerifiedBlock> {
        let place = if self.is_honest() { 0 } else { peer };
        &mut self.lanes[place]
    }
}
