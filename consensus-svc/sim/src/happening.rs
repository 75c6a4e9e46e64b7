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
    /// A copy of the store is made.
    Copy {
        /// Of which node.
        node: usize,
    },
    /// A node dies and is started from the copy; if that is refused, from its newest store.
    RestoreCopy {
        /// Which.
        node: usize,
        /// How long it is down, before each of the two attempts.
        down_ms: u64,
    },
    /// A node dies, loses its store (never its guard) and is started; if that is refused, it gets the store back.
    Wipe {
        /// Which.
        node: usize,
        /// How long it is down, before each of the two attempts.
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
    /// All partitions and slow links end.
    Mend,
}

/// A happening and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripted {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// What happens.
    pub what: Happening,
}
