//! Named weathers: which faults a run meets, and how it is drawn from the seed.

mod executors;
mod links;
mod losses;
mod outages;
mod promises;
mod script;

use self::script::ScriptWriter;
use crate::{
    byzantine::Habits,
    happening::Scripted,
    network::{Delay, Profile},
    rng::Rng,
};

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weather {
    /// Links only take time.
    Calm,
    /// Times vary widely; blocks come out of order.
    Jitter,
    /// Streams stall and break, fetches are lost, late and doubled.
    Lossy,
    /// Groups lose each other, both ways or one way; links become slow.
    Partitions,
    /// Nodes die between any two effects and come back.
    Crashes,
    /// Everybody restarts at once; some start empty.
    Restarts,
    /// Slow syncs, torn tails, old copies.
    Disks,
    /// Honest clocks are wrong by up to half a second.
    Clocks,
    /// Up to f authorities sign two blocks a slot.
    ByzantineEquivocation,
    /// Up to f authorities keep blocks back, send to some, refuse and falsify fetches.
    ByzantineWithholding,
    /// Up to f authorities send garbage, phantom parents, future rounds and old blocks.
    ByzantineInvalid,
    /// Up to f authorities lie about the time.
    ByzantineClocks,
    /// Stores are wiped or replaced by old copies, with their guards and without, on quiet networks too.
    Amnesia,
    /// The same, while authorities lie about last blocks and forge commits: amnesiac and lying stake together is at most f.
    ByzantineAmnesia,
    /// A node is away, or alone, for far longer than blocks are kept; liars forge commits.
    Absences,
    /// Everything at once.
    Mixed,
    /// One authority is down for many windows of the leader schedule.
    OneDown,
    /// Executors compute wrongly and are repaired; liars vote for false roots. Both together have at most f of the stake.
    WrongRoots,
}

/// What a weather is for one seed.
#[derive(Debug)]
pub(crate) struct Forecast {
    pub(crate) profile: Profile,
    /// Least and most of a sync, in milliseconds.
    pub(crate) sync_ms: (u64, u64),
    /// A sync in so many of 100000 takes ten times longer.
    pub(crate) slow_sync_chance: u64,
    pub(crate) max_skew_ms: u64,
    pub(crate) script: Vec<Scripted>,
    /// What Byzantine authorities do; `None` for no such authorities.
    pub(crate) habits: Option<Habits>,
    /// Bytes of blocks in a range of commits.
    pub(crate) range_bytes: u64,
    /// How many rounds blocks are kept; `None` lets the seed choose.
    pub(crate) gc_depth: Option<u64>,
    /// Whether liars leave room for one more within f: an amnesiac, or an executor that is wrong.
    pub(crate) spares_one: bool,
}

impl Weather {
    /// All, in the order in which seeds take them.
    pub const ALL: [Self; 18] = [
        Self::Calm,
        Self::Jitter,
        Self::Lossy,
        Self::Partitions,
        Self::Crashes,
        Self::Restarts,
        Self::Disks,
        Self::Clocks,
        Self::ByzantineEquivocation,
        Self::ByzantineWithholding,
        Self::ByzantineInvalid,
        Self::ByzantineClocks,
        Self::Amnesia,
        Self::ByzantineAmnesia,
        Self::Absences,
        Self::Mixed,
        Self::OneDown,
        Self::WrongRoots,
    ];

    /// The weather of a seed, if none is asked for.
    pub fn of_seed(seed: u64) -> Self {
        Self::ALL[usize::try_from(seed % Self::ALL.len() as u64).unwrap_or(0)]
    }

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Jitter => "jitter",
            Self::Lossy => "lossy",
            Self::Partitions => "partitions",
            Self::Crashes => "crashes",
            Self::Restarts => "restarts",
            Self::Disks => "disks",
            Self::Clocks => "clocks",
            Self::ByzantineEquivocation => "byzantine-equivocation",
            Self::ByzantineWithholding => "byzantine-withholding",
            Self::ByzantineInvalid => "byzantine-invalid",
            Self::ByzantineClocks => "byzantine-clocks",
            Self::Amnesia => "amnesia",
            Self::ByzantineAmnesia => "byzantine-amnesia",
            Self::Absences => "absences",
            Self::Mixed => "mixed",
            Self::OneDown => "one-down",
            Self::WrongRoots => "wrong-roots",
        }
    }

    /// The weather of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|weather| weather.name() == name)
    }

    /// What it means for one seed.
    pub(crate) fn forecast(self, nodes: usize, duration_ms: u64, rng: &mut Rng) -> Forecast {
        let mut forecast = Forecast {
            profile: Profile::calm(Delay::Uniform { low: 50, high: 100 }),
            sync_ms: (1, 3),
            slow_sync_chance: 0,
            max_skew_ms: 0,
            script: Vec::new(),
            habits: None,
            // Small, so that a catch-up takes several.
            range_bytes: 64 << 10,
            gc_depth: None,
            spares_one: false,
        };
        let mut script = ScriptWriter { nodes, duration_ms, rng, script: Vec::new() };
        match self {
            Self::Calm => {}
            Self::Jitter => forecast.profile = Profile::calm(script.wide_delay()),
            Self::Lossy => forecast.profile = script.lossy(),
            Self::Partitions => script.partitions(),
            Self::Crashes => script.crashes(),
            Self::Restarts => script.restarts(),
            Self::Disks => {
                (forecast.sync_ms, forecast.slow_sync_chance) = ((2, 30), 5_000);
                script.disks();
            }
            Self::Clocks => forecast.max_skew_ms = 500,
            Self::ByzantineEquivocation => {
                (forecast.habits, forecast.profile) = (Some(Habits::EQUIVOCATION), script.any_links());
            }
            Self::ByzantineWithholding => {
                (forecast.habits, forecast.profile) = (Some(Habits::WITHHOLDING), script.any_links());
            }
            Self::ByzantineInvalid => {
                (forecast.habits, forecast.profile) = (Some(Habits::INVALID), script.any_links());
            }
            Self::ByzantineClocks => {
                (forecast.habits, forecast.max_skew_ms) = (Some(Habits::CLOCKS), 50);
            }
            Self::Amnesia => {
                forecast.profile = script.any_links();
                script.losses();
            }
            Self::ByzantineAmnesia => {
                (forecast.habits, forecast.spares_one) = (Some(Habits::LAST), true);
                forecast.profile = script.any_links();
                script.losses();
            }
            Self::OneDown => script.one_down(),
            Self::WrongRoots => {
                (forecast.habits, forecast.spares_one) = (Some(Habits::ROOTS), true);
                forecast.profile = script.any_links();
                script.wrong_executors();
            }
            Self::Absences => {
                (forecast.habits, forecast.gc_depth) = (Some(Habits::FORGERY), Some(12));
                // Whoever was away asks many times, liars too.
                forecast.range_bytes = 6 << 10;
                if script.rng.chance(30_000) {
                    forecast.profile = script.lossy();
                }
                script.absences();
            }
            Self::Mixed => {
                forecast.profile = script.lossy();
                (forecast.sync_ms, forecast.slow_sync_chance) = ((1, 20), 2_000);
                forecast.max_skew_ms = 200;
                forecast.habits = Some(Habits::ALL);
                script.partitions();
                script.crashes();
                script.disks();
                script.only_in_storms();
            }
        }
        forecast.script = script.script;
        forecast
    }
}
