//! Links, streams and partitions.
//!
//! A stream carries the publisher's own blocks to one subscriber, as the peer transport does: in order, never losing a
//! message while it lives. Loss shows as a stall (a retransmission) or as the stream's end, after which the subscriber
//! comes back and resumes after the round that it had accepted. Order holds within a stream only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use consensus_core::{Round, VerifiedBlock};

use crate::rng::Rng;

/// How long messages take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delay {
    /// Every value alike.
    Uniform {
        /// Least.
        low: u64,
        /// Most.
        high: u64,
    },
    /// Around the middle mostly: the mean of four uniform draws.
    Bell {
        /// Least.
        low: u64,
        /// Most.
        high: u64,
    },
    /// Mostly near `low`, sometimes far above: one in x takes x times `scale` longer, up to `cap`.
    HeavyTail {
        /// Least.
        low: u64,
        /// Stretch of the tail.
        scale: u64,
        /// Most.
        cap: u64,
    },
}

impl Delay {
    pub(crate) fn sample(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Uniform { low, high } => rng.between(low, high),
            Self::Bell { low, high } => (0..4).map(|_| rng.between(low, high)).sum::<u64>() / 4,
            Self::HeavyTail { low, scale, cap } => {
                (low + scale * 1000 / (1 + rng.below(1000)) - scale.min(low)).min(cap)
            }
        }
    }
}

/// What the links do to messages; chances in parts of 100000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) delay: Delay,
    pub(crate) break_chance: u64,
    pub(crate) stall_chance: u64,
    pub(crate) fetch_lost_chance: u64,
    pub(crate) fetch_late_chance: u64,
    pub(crate) fetch_duplicated_chance: u64,
}

impl Profile {
    /// Links that only take time.
    pub(crate) const fn calm(delay: Delay) -> Self {
        Self {
            delay,
            break_chance: 0,
            stall_chance: 0,
            fetch_lost_chance: 0,
            fetch_late_chance: 0,
            fetch_duplicated_chance: 0,
        }
    }
}

/// One publisher's stream to one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Counts sessions: what was sent in an earlier one never arrives.
    pub(crate) generation: u64,
    /// Whether the subscription has reached the publisher.
    pub(crate) open: bool,
    /// When what was sent last arrives.
    pub(crate) last_arrival_ms: u64,
    /// Highest round that arrived, or that the subscriber had.
    pub(crate) last_round: Round,
    /// Arrived, and too far above the subscriber's clock to be handed on.
    pub(crate) held: VecDeque<VerifiedBlock>,
    /// Failed sessions in a row.
    pub(crate) attempts: u32,
}

impl Stream {
    /// Ends the session.
    pub(crate) fn end(&mut self) {
        self.generation += 1;
        self.open = false;
        self.held.clear();
    }
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) profile: Profile,
    pub(crate) rng: Rng,
    streams: Vec<Vec<Stream>>,
    /// Pairs (from, to) that carry nothing.
    cut: BTreeSet<(usize, usize)>,
    /// Additional delay by (from, to).
    slow: BTreeMap<(usize, usize), u64>,
}

impl Network {
    pub(crate) fn new(nodes: usize, profile: Profile, rng: Rng) -> Self {
        let streams = (0..nodes).map(|_| (0..nodes).map(|_| Stream::default()).collect()).collect();
        Self { profile, rng, streams, cut: BTreeSet::new(), slow: BTreeMap::new() }
    }

    pub(crate) fn stream(&self, from: usize, to: usize) -> &Stream {
        &self.streams[from][to]
    }

    pub(crate) fn stream_mut(&mut self, from: usize, to: usize) -> &mut Stream {
        &mut self.streams[from][to]
    }

    /// One message's time on the way.
    pub(crate) fn delay(&mut self, from: usize, to: usize) -> u64 {
        let extra = self.slow.get(&(from, to)).copied().unwrap_or_default();
        self.profile.delay.sample(&mut self.rng).max(1) + extra
    }

    /// Whether nothing goes from one to the other.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    pub(crate) fn slow_down(&mut self, from: usize, to: usize, extra_ms: u64) {
        self.slow.insert((from, to), extra_ms);
    }

    /// Mends every cut and every slow link.
    pub(crate) fn mend(&mut self) {
        self.cut.clear();
        self.slow.clear();
    }

    /// How long a subscriber waits before it tries again: growing, with jitter, capped.
    pub(crate) fn reconnect_wait_ms(&mut self, attempts: u32) -> u64 {
        let bound = (50u64 << attempts.min(6)).min(2_000);
        self.rng.between(bound / 2, bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_within_their_bounds_and_heavy_tails_are_heavy() {
        let mut rng = Rng::new(1, "delays");
        let mut sample = |delay: Delay| (0..4000).map(|_| delay.sample(&mut rng)).collect::<Vec<_>>();
        assert!(sample(Delay::Uniform { low: 5, high: 9 }).iter().all(|ms| (5..=9).contains(ms)));
        assert!(sample(Delay::Bell { low: 5, high: 90 }).iter().all(|ms| (5..=90).contains(ms)));
        let heavy = sample(Delay::HeavyTail { low: 20, scale: 10, cap: 3_000 });
        assert!(heavy.iter().all(|ms| *ms <= 3_000));
        let (near, far) =
            (heavy.iter().filter(|ms| **ms < 50).count(), heavy.iter().filter(|ms| **ms > 1_000).count());
        assert!(near > 2_500 && far > 5, "{near} near, {far} far");
    }
}
