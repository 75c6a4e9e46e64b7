//! The field's quantities, each a type of its own: a round is not an index, an index is not a count.
//!
//! None of them converts from an integer by itself; construction is always spelled out.

use std::{fmt, time::Duration};

/// Number of an epoch, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of the genesis file.
    pub const GENESIS: Self = Self(0);

    /// Names an epoch.
    pub const fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Round of the DAG within an epoch: 0 is genesis, proposals start at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(u64);

impl Round {
    /// The round of the genesis blocks.
    pub const GENESIS: Self = Self(0);
    /// The first round that is proposed in.
    pub const FIRST: Self = Self(1);

    /// Names a round.
    pub const fn new(round: u64) -> Self {
        Self(round)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The round `count` rounds later; the highest round where that would overflow.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The round `count` rounds earlier; genesis where that would be below it.
    #[must_use]
    pub const fn minus(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// The round after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The round before this one; genesis stays genesis.
    #[must_use]
    pub const fn previous(self) -> Self {
        self.minus(1)
    }
}

/// Place of an authority in the committee of its epoch, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityIndex(u16);

impl AuthorityIndex {
    /// Names a place.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number, to look into a table by authority.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Voting power. Sums saturate; a committee's total is checked to stay far below that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stake(u64);

impl Stake {
    /// No stake.
    pub const ZERO: Self = Self(0);

    /// Names an amount.
    pub const fn new(stake: u64) -> Self {
        Self(stake)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Global number of a commit, from 1, without holes, never reset; the executor's block number. 0 is "none yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitIndex(u64);

impl CommitIndex {
    /// Before the first commit.
    pub const NONE: Self = Self(0);

    /// Names a commit.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The index after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The index `count` later; the highest index where that would overflow.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The index `count` earlier; none where that would be below it.
    #[must_use]
    pub const fn minus(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }
}

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Names a point in time.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time `duration` later, in whole milliseconds.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`; zero where that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

display_number!(Epoch, Round, AuthorityIndex, Stake, CommitIndex, Timestamp);

macro_rules! bytes32 {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// All zero: stands where there is nothing to name yet.
            pub const ZERO: Self = Self([0; 32]);

            /// Names by 32 bytes.
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Reads 32 bytes; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    )*};
}

bytes32! {
    /// Names a chain: digest of its genesis.
    ChainId;
    /// Names a block: digest of its canonical bytes.
    BlockDigest;
    /// Names a commit, and through its predecessor the whole chain up to it.
    CommitDigest;
    /// Names a committee: digest of its canonical bytes.
    CommitteeDigest;
    /// Names a transaction: plain BLAKE3 of its bytes, so that any client can compute it.
    TransactionDigest;
    /// Root of an executor's state after a commit.
    StateRoot;
}

/// An authority at a round: where one honest block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The round.
    pub round: Round,
    /// The authority.
    pub authority: AuthorityIndex,
}

/// Names one block. Ordered by round, author, digest: the order in which commits list blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Round of the block.
    pub round: Round,
    /// Who signed it.
    pub author: AuthorityIndex,
    /// Digest of its canonical bytes.
    pub digest: BlockDigest,
}

impl BlockRef {
    /// The slot that the block stands in.
    pub const fn slot(&self) -> Slot {
        Slot { round: self.round, authority: self.author }
    }
}

impl fmt::Debug for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "B{}@{}({:?})", self.author, self.round, self.digest)
    }
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
