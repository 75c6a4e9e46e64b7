//! What a weather must bring: a fault that is promised and never happens is a trial that tries nothing.

use super::Weather;
use crate::fault::Fault;

impl Weather {
    /// The faults that must have happened over a campaign's runs in this weather.
    pub const fn promised(self) -> &'static [Fault] {
        use Fault as F;
        match self {
            Self::Calm => &[],
            Self::Jitter => &[F::Reordered],
            Self::Lossy => &[
                F::StreamBroken,
                F::StreamStalled,
                F::Reordered,
                F::FetchLost,
                F::FetchLate,
                F::FetchDuplicated,
            ],
            Self::Partitions => &[F::PartitionTwoWay, F::PartitionOneWay, F::SlowLink, F::StreamBroken],
            Self::Crashes => &[F::Crash, F::CrashBetweenEffects, F::Restart, F::TornTail],
            Self::Restarts => &[F::Blackout, F::Restart, F::RestartEmpty],
            Self::Disks => &[F::SlowSync, F::TornTail, F::UnguardedBlock, F::AmnesiaEntered, F::AmnesiaLeft],
            Self::Clocks => &[F::ClockSkew],
            Self::ByzantineEquivocation => {
                &[F::TwinSplit, F::TwinAll, F::TwinLate, F::TwinChain, F::TwinTree, F::EquivocationSeen]
            }
            Self::ByzantineWithholding => &[
                F::Withheld,
                F::Selective,
                F::FetchRefused,
                F::FetchLied,
                F::FalseContent,
                F::AncestorsAppended,
                F::FetchOverdue,
                F::FetchHedged,
            ],
            Self::ByzantineInvalid => &[
                F::GarbageRefused,
                F::PhantomParents,
                F::Flood,
                F::WaitingRoomFull,
                F::FutureRound,
                F::Replayed,
                F::FetchEmpty,
                F::AncestorGivenUp,
            ],
            Self::ByzantineClocks => &[F::LyingTimestamp],
            Self::Amnesia => &[F::AmnesiaEntered, F::AmnesiaLeft, F::GuardLost, F::UnheardLost],
            Self::ByzantineAmnesia => &[F::AmnesiaEntered, F::AmnesiaLeft, F::UnheardLost, F::OwnLastLied],
            Self::OneDown => &[F::Crash, F::Restart, F::LeadersReplaced],
            Self::WrongRoots => {
                &[F::ExecutorBroken, F::ExecutorRepaired, F::RootContradicted, F::FalseRoot, F::Restart]
            }
            Self::Absences => &[
                F::CatchUp,
                F::RangeApplied,
                F::RangeRefused,
                F::FalseVote,
                F::FalseContent,
                F::ThinCertificate,
                F::ForkShown,
            ],
            Self::Mixed => &[
                F::StreamBroken,
                F::StreamStalled,
                F::Reordered,
                F::PartitionTwoWay,
                F::Crash,
                F::Restart,
                F::TornTail,
                F::ClockSkew,
                F::TwinSplit,
                F::Withheld,
                F::GarbageRefused,
                F::PhantomParents,
                F::LyingTimestamp,
                F::FalseRoot,
            ],
        }
    }
}
