//! What happens in a soak, and when: a function of the seed alone.

use localnet::process::Role;
use std::time::Duration;

/// How long a killed process stays away.
const AWAY_MS: (u64, u64) = (0, 3_000);

/// Times of a plan, in milliseconds, at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Between the beginning of one fault and of the next; one that takes longer to come back makes the next one wait.
    pub every_ms: (u64, u64),
    /// How long a frozen process stands still. A proxy gives its executor 30 s, and consensus its proxy.
    pub frozen_ms: (u64, u64),
}

impl Default for Times {
    /// A fault every 5 to 15 s; frozen for 1 to 8 s.
    fn default() -> Self {
        Self { every_ms: (5_000, 15_000), frozen_ms: (1_000, 8_000) }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How long after the beginning of the one before it.
    pub after: Duration,
    /// Index of the authority.
    pub authority: usize,
    /// Which of its processes.
    pub part: Role,
    /// What is done to it.
    pub manner: Manner,
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// kill -9, and started again.
    Kill {
        /// Whether the executor is held still before it, until commits are on their way to it.
        held: bool,
        /// Time until it is started again.
        away: Duration,
    },
    /// SIGSTOP, and SIGCONT.
    Freeze {
        /// Time between the two.
        still: Duration,
    },
}

/// All faults, without end.
#[derive(Clone, Debug)]
pub struct Plan {
    random: Random,
    authorities: usize,
    parts: Vec<Role>,
    times: Times,
}

impl Plan {
    /// The plan of a seed, over these processes of so many authorities.
    ///
    /// # Panics
    /// Where there are none, or times are not in order.
    pub fn new(seed: u64, authorities: usize, parts: &[Role], times: Times) -> Self {
        assert!(authorities > 0 && !parts.is_empty(), "a soak has somebody to hurt");
        let is_ordered = |(least, most)| least <= most;
        assert!(is_ordered(times.every_ms) && is_ordered(times.frozen_ms), "{times:?} are not in order");
        Self { random: Random(seed), authorities, parts: parts.to_vec(), times }
    }
}

impl Iterator for Plan {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        let Self { random, authorities, parts, times } = self;
        let after = random.between(times.every_ms);
        let authority = random.index(*authorities);
        let part = *parts.get(random.index(parts.len()))?;
        let manner = match random.index(4) {
            0 => Manner::Freeze { still: random.between(times.frozen_ms) },
            1 => Manner::Kill { held: false, away: random.between(AWAY_MS) },
            _ => Manner::Kill { held: true, away: random.between(AWAY_MS) },
        };
        Some(Fault { after, authority, part, manner })
    }
}

/// SplitMix64: the same numbers everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `count`, which is not 0.
    fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(self.next().checked_rem(count).unwrap_or(0)).unwrap_or(0)
    }

    fn between(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.next() % (most - least + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [Role; 3] = [Role::Consensus, Role::Executor, Role::Master];

    #[test]
    fn a_seed_is_one_plan_and_another_one_another() {
        let plan = |seed| Plan::new(seed, 4, &PARTS, Times::default()).take(50).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn everybody_has_his_turn_within_the_times_that_are_promised() {
        let faults: Vec<_> = Plan::new(1, 4, &PARTS, Times::default()).take(400).collect();
        for authority in 0..4 {
            for part in PARTS {
                let of = faults.iter().filter(|fault| (fault.authority, fault.part) == (authority, part));
                let (mut kills, mut freezes) = (0, 0);
                for fault in of {
                    assert!((5..=15).contains(&fault.after.as_secs()), "{fault:?}");
                    match fault.manner {
                        Manner::Kill { .. } => kills += 1,
                        Manner::Freeze { .. } => freezes += 1,
                    }
                }
                assert!(kills > 0 && freezes > 0, "authority {authority}, {part:?}");
            }
        }
        let embedded = Plan::new(1, 4, &PARTS[..2], Times::default()).take(100);
        assert!(embedded.into_iter().all(|fault| fault.part != Role::Master));
    }
}
