//! What can go wrong in a world, and how often it did.

/// A kind of fault. Each is counted when it happens, not when it is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A stream broke; what was on its way is sent again after the next subscription.
    StreamBroken,
    /// A stream stalled for a retransmission; what follows it stalls too.
    StreamStalled,
    /// A block came before one of its ancestors.
    Reordered,
    /// A question for blocks, or its answer, was lost.
    FetchLost,
    /// An answer came late.
    FetchLate,
    /// An answer came twice.
    FetchDuplicated,
    /// Two groups could not reach each other.
    PartitionTwoWay,
    /// One group could not reach the other, which could reach it.
    PartitionOneWay,
    /// A link became slow.
    SlowLink,
    /// A node crashed.
    Crash,
    /// A node crashed after exactly so many effects.
    CrashBetweenEffects,
    /// All nodes were down at once.
    Blackout,
    /// A node started again from its store.
    Restart,
    /// A node that had never signed started from an empty store.
    RestartEmpty,
    /// A crash lost batches that were written and not flushed.
    TornTail,
    /// A crash fell between the store's sync and the guard's.
    UnguardedBlock,
    /// A sync took over 50 ms.
    SlowSync,
    /// A store older than the guard was refused, own stake being above f.
    OldStoreRefused,
    /// A guard was lost, or replaced by an older one.
    GuardLost,
    /// A node lost, with its guard, own blocks of two rounds or more that no other node has.
    UnheardLost,
    /// A node noticed that it had forgotten what it signed.
    AmnesiaEntered,
    /// Such a node signed again.
    AmnesiaLeft,
    /// A loss that was planned would have been outside the bounds of the rule, and was a crash instead.
    LossOutsideBound,
    /// The question of a start for the own last block was answered falsely.
    OwnLastLied,
    /// A clock was wrong.
    ClockSkew,
    /// Twins were sent to two groups.
    TwinSplit,
    /// Twins were sent to everybody.
    TwinAll,
    /// A twin was sent long after the other.
    TwinLate,
    /// A liar's block brings a chain of its twins.
    TwinChain,
    /// A liar's block would bring a tree of its twins.
    TwinTree,
    /// A block was kept from everybody for a while.
    Withheld,
    /// A block was sent to some only.
    Selective,
    /// Bytes that are no valid block were refused.
    GarbageRefused,
    /// A block named ancestors that nobody has.
    PhantomParents,
    /// So many such blocks that they do not fit their author's share of the waiting room.
    Flood,
    /// A machine dropped a block because its author's share of the waiting room was full.
    WaitingRoomFull,
    /// A block came from far above the clock.
    FutureRound,
    /// A block carried a false time.
    LyingTimestamp,
    /// Old blocks were sent again.
    Replayed,
    /// A question for blocks was not answered by will.
    FetchRefused,
    /// A question was answered by blocks that nobody asked for.
    FetchLied,
    /// An honest machine saw a second block of a slot and reported it.
    EquivocationSeen,
    /// An answer carried ancestors of what was asked for.
    AncestorsAppended,
    /// A machine got none of the blocks that it had asked a peer for.
    FetchEmpty,
    /// A peer did not answer a machine in time.
    FetchOverdue,
    /// A machine asked a second peer while the question to the first was overdue.
    FetchHedged,
    /// A machine gave up an ancestor, and dropped what waited for it.
    AncestorGivenUp,
    /// An authority lost its leader slots to others for a window, by the schedule of one node.
    LeadersReplaced,
    /// A machine began to catch up by certified commits.
    CatchUp,
    /// A machine applied a range of certified commits.
    RangeApplied,
    /// A range of commits was refused.
    RangeRefused,
    /// A block voted for commits that nobody has.
    FalseVote,
    /// A block or a commit was sent whose content is not that which its digest names.
    FalseContent,
    /// A certificate of over a third of the stake, and less than a quorum, was sent.
    ThinCertificate,
    /// Commits that never were were sent, under votes that liars had made for them.
    ForkShown,
    /// An executor computes wrongly from now on.
    ExecutorBroken,
    /// An executor that was wrong got its earlier state back.
    ExecutorRepaired,
    /// A machine found its executor contradicted by a quorum.
    RootContradicted,
    /// A block voted for roots that no executor has reached.
    FalseRoot,
}

impl Fault {
    /// All kinds, in order.
    pub const ALL: [Self; 59] = [
        Self::StreamBroken,
        Self::StreamStalled,
        Self::Reordered,
        Self::FetchLost,
        Self::FetchLate,
        Self::FetchDuplicated,
        Self::PartitionTwoWay,
        Self::PartitionOneWay,
        Self::SlowLink,
        Self::Crash,
        Self::CrashBetweenEffects,
        Self::Blackout,
        Self::Restart,
        Self::RestartEmpty,
        Self::TornTail,
        Self::UnguardedBlock,
        Self::SlowSync,
        Self::OldStoreRefused,
        Self::GuardLost,
        Self::UnheardLost,
        Self::AmnesiaEntered,
        Self::AmnesiaLeft,
        Self::LossOutsideBound,
        Self::OwnLastLied,
        Self::ClockSkew,
        Self::TwinSplit,
        Self::TwinAll,
        Self::TwinLate,
        Self::TwinChain,
        Self::TwinTree,
        Self::Withheld,
        Self::Selective,
        Self::GarbageRefused,
        Self::PhantomParents,
        Self::Flood,
        Self::WaitingRoomFull,
        Self::FutureRound,
        Self::LyingTimestamp,
        Self::Replayed,
        Self::FetchRefused,
        Self::FetchLied,
        Self::EquivocationSeen,
        Self::AncestorsAppended,
        Self::FetchEmpty,
        Self::FetchOverdue,
        Self::FetchHedged,
        Self::AncestorGivenUp,
        Self::LeadersReplaced,
        Self::CatchUp,
        Self::RangeApplied,
        Self::RangeRefused,
        Self::FalseVote,
        Self::FalseContent,
        Self::ThinCertificate,
        Self::ForkShown,
        Self::ExecutorBroken,
        Self::ExecutorRepaired,
        Self::RootContradicted,
        Self::FalseRoot,
    ];

    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StreamBroken => "stream-broken",
            Self::StreamStalled => "stream-stalled",
            Self::Reordered => "reordered",
            Self::FetchLost => "fetch-lost",
            Self::FetchLate => "fetch-late",
            Self::FetchDuplicated => "fetch-duplicated",
            Self::PartitionTwoWay => "partition",
            Self::PartitionOneWay => "one-way-partition",
            Self::SlowLink => "slow-link",
            Self::Crash => "crash",
            Self::CrashBetweenEffects => "crash-between-effects",
            Self::Blackout => "blackout",
            Self::Restart => "restart",
            Self::RestartEmpty => "restart-empty",
            Self::TornTail => "torn-tail",
            Self::UnguardedBlock => "unguarded-block",
            Self::SlowSync => "slow-sync",
            Self::OldStoreRefused => "old-store-refused",
            Self::GuardLost => "guard-lost",
            Self::UnheardLost => "unheard-lost",
            Self::AmnesiaEntered => "amnesia-entered",
            Self::AmnesiaLeft => "amnesia-left",
            Self::LossOutsideBound => "loss-outside-bound",
            Self::OwnLastLied => "own-last-lied",
            Self::ClockSkew => "clock-skew",
            Self::TwinSplit => "twin-split",
            Self::TwinAll => "twin-all",
            Self::TwinLate => "twin-late",
            Self::TwinChain => "twin-chain",
            Self::TwinTree => "twin-tree",
            Self::Withheld => "withheld",
            Self::Selective => "selective",
            Self::GarbageRefused => "garbage-refused",
            Self::PhantomParents => "phantom-parents",
            Self::Flood => "flood",
            Self::WaitingRoomFull => "waiting-room-full",
            Self::FutureRound => "future-round",
            Self::LyingTimestamp => "lying-timestamp",
            Self::Replayed => "replayed",
            Self::FetchRefused => "fetch-refused",
            Self::FetchLied => "fetch-lied",
            Self::EquivocationSeen => "equivocation-seen",
            Self::LeadersReplaced => "leaders-replaced",
            Self::AncestorsAppended => "ancestors-appended",
            Self::FetchEmpty => "fetch-empty",
            Self::FetchOverdue => "fetch-overdue",
            Self::FetchHedged => "fetch-hedged",
            Self::AncestorGivenUp => "ancestor-given-up",
            Self::CatchUp => "catch-up",
            Self::RangeApplied => "range-applied",
            Self::RangeRefused => "range-refused",
            Self::FalseVote => "false-vote",
            Self::FalseContent => "false-content",
            Self::ThinCertificate => "thin-certificate",
            Self::ForkShown => "fork-shown",
            Self::ExecutorBroken => "executor-broken",
            Self::ExecutorRepaired => "executor-repaired",
            Self::RootContradicted => "root-contradicted",
            Self::FalseRoot => "false-root",
        }
    }
}

/// How often each kind happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl Default for FaultCounts {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl FaultCounts {
    /// Counts one.
    pub(crate) fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often it happened.
    pub fn get(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}
