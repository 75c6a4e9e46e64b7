//! Faults that are planned for a time, rather than drawn for each message.

/// Something that happens to the world. Nodes are named by their place in the committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A node dies now and comes back from its store.
    Crash {
        /// Which.
        node: usize,
        /// How long it is down.
        down_ms: u64,
    },
    /// A node dies right after so many more effects, and comes back from its store.
    CrashAfterEffects {
        /// Which.
        node: usize,
        /// How many effects it still releases.
        effects: u32,
        /// How long it is down.
        down_ms: u64,
    },
    /// All nodes die at once and come back at once.
    Blackout {
        /// How long they are down.
        down_ms: u64,
    },
    /// A copy of the store and of the guard is made.
    Copy {
        /// Of which node.
        node: usize,
    },
    /// A node dies and comes back without some of what it had. If own stake is above f and it is refused, it gets all back.
    Lose {
        /// Which.
        node: usize,
        /// What it loses.
        loss: Loss,
        /// Whether it dies right after its next own block has gone out, so that nobody gets that, rather than now.
        after_sending: bool,
        /// How long it is down.
        down_ms: u64,
    },
    /// One group can reach the other no more, and the reverse unless `one_way`.
    Partition {
        /// The group; the others are the other one.
        group: Vec<usize>,
        /// Whether the other group still reaches this one.
        one_way: bool,
    },
    /// Messages from one node to another take longer.
    SlowLink {
        /// From.
        from: usize,
        /// To.
        to: usize,
        /// How much longer, in milliseconds.
        extra_ms: u64,
    },
    /// A node's executor computes wrongly from now on, if such executors and liars have at most f of the stake with it.
    BreakExecutor {
        /// Which.
        node: usize,
    },
    /// A node's executor that is wrong gets its state of before that, and the node starts anew.
    RepairExecutor {
        /// Which.
        node: usize,
        /// How long it is down.
        down_ms: u64,
    },
    /// All partitions and slow links end.
    Mend,
}

/// What a node loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its store: it starts with an empty one and its guard.
    Store,
    /// Its store and its guard.
    All,
    /// What came after the copy of the store; the guard stays.
    SinceCopy,
    /// What came after the copy of store and guard.
    AllSinceCopy,
}

impl Loss {
    pub(crate) const fn is_copy(self) -> bool {
        matches!(self, Self::SinceCopy | Self::AllSinceCopy)
    }

    pub(crate) const fn takes_guard(self) -> bool {
        matches!(self, Self::All | Self::AllSinceCopy)
    }
}

/// A happening and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripted {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// What happens.
    pub what: Happening,
}
