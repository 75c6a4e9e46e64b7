//! Named weathers: which faults a run meets, and how it is drawn from the seed.

use crate::{
    byzantine::Habits,
    fault::Fault,
    happening::{Happening, Loss, Scripted},
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
    /// The same, while authorities lie about last blocks: amnesiac and lying stake together is at most f.
    ByzantineAmnesia,
    /// A node is away, or alone, for far longer than blocks are kept; liars forge commits.
    Absences,
    /// Everything at once.
    Mixed,
    /// One authority is down for many windows of the leader schedule.
    OneDown,
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
    /// Whether liars leave room for one amnesiac within f.
    pub(crate) spares_one: bool,
}

impl Weather {
    /// All, in the order in which seeds take them.
    pub const ALL: [Self; 17] = [
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
        }
    }

    /// The weather of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|weather| weather.name() == name)
    }

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
            Self::ByzantineEquivocation => &[F::TwinSplit, F::TwinAll, F::TwinLate, F::EquivocationSeen],
            Self::ByzantineWithholding => &[
                F::Withheld,
                F::Selective,
                F::FetchRefused,
                F::FetchLied,
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
            Self::Amnesia => &[F::AmnesiaEntered, F::AmnesiaLeft, F::GuardLost],
            Self::ByzantineAmnesia => &[F::AmnesiaEntered, F::AmnesiaLeft, F::OwnLastLied],
            Self::OneDown => &[F::Crash, F::Restart, F::LeadersReplaced],
            Self::Absences => &[F::CatchUp, F::RangeApplied, F::RangeRefused, F::FalseVote],
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
            ],
        }
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
            Self::Absences => {
                forecast.habits = Some(Habits::FORGERY);
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

/// Draws what happens when.
struct ScriptWriter<'a> {
    nodes: usize,
    duration_ms: u64,
    rng: &'a mut Rng,
    script: Vec<Scripted>,
}

impl ScriptWriter<'_> {
    fn at(&mut self, at_ms: u64, what: Happening) {
        if at_ms < self.duration_ms {
            self.script.push(Scripted { at_ms, what });
        }
    }

    fn wide_delay(&mut self) -> Delay {
        match self.rng.below(3) {
            0 => Delay::Uniform { low: 5, high: 300 },
            1 => Delay::Bell { low: 5, high: 400 },
            _ => Delay::HeavyTail { low: 30, scale: 10, cap: 3_000 },
        }
    }

    /// Calm, jittery or lossy links: liars gain most where honest nodes see things in different orders.
    fn any_links(&mut self) -> Profile {
        match self.rng.below(3) {
            0 => Profile::calm(Delay::Uniform { low: 50, high: 100 }),
            1 => Profile::calm(self.wide_delay()),
            _ => self.lossy(),
        }
    }

    fn lossy(&mut self) -> Profile {
        Profile {
            delay: self.wide_delay(),
            break_chance: 300 + self.rng.below(700),
            stall_chance: 1_000 + self.rng.below(4_000),
            fetch_lost_chance: 20_000,
            fetch_late_chance: 10_000,
            fetch_duplicated_chance: 10_000,
        }
    }

    /// A group that holds some nodes and not all.
    fn group(&mut self) -> Vec<usize> {
        let size = 1 + self.rng.place(self.nodes.saturating_sub(1).max(1));
        let mut group = self.rng.shuffled(self.nodes);
        group.truncate(size);
        group.sort_unstable();
        group
    }

    fn partitions(&mut self) {
        let mut at_ms = self.rng.between(200, 1_500);
        if self.nodes > 3 && self.rng.chance(40_000) {
            // One node alone for longer than the others keep what it said: its blocks are collected uncommitted (T01).
            let group = vec![self.rng.place(self.nodes)];
            let one_way = self.rng.chance(50_000);
            self.at(at_ms, Happening::Partition { group, one_way });
            at_ms += self.rng.between(self.duration_ms / 4, self.duration_ms / 2);
            self.at(at_ms, Happening::Mend);
            at_ms += self.rng.between(500, 2_500);
        }
        let mut one_way = self.rng.chance(50_000);
        while at_ms < self.duration_ms && self.nodes > 1 {
            let group = self.group();
            self.at(at_ms, Happening::Partition { group, one_way });
            one_way = !one_way;
            if self.rng.chance(70_000) {
                let pair = self.rng.shuffled(self.nodes);
                let extra_ms = self.rng.between(100, 1_000);
                self.at(at_ms + 1, Happening::SlowLink { from: pair[0], to: pair[1], extra_ms });
            }
            at_ms += self.rng.between(300, 4_000);
            if self.rng.chance(80_000) {
                self.at(at_ms, Happening::Mend);
                at_ms += self.rng.between(300, 2_500);
            }
        }
        self.at(self.duration_ms - 1, Happening::Mend);
    }

    fn crashes(&mut self) {
        let mut at_ms = self.rng.between(100, 1_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let long = self.rng.chance(10_000);
            let down_ms = self.rng.between(20, if long { 15_000 } else { 4_000 });
            if self.rng.chance(60_000) {
                let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms });
            } else {
                self.at(at_ms, Happening::Crash { node, down_ms });
            }
            at_ms += self.rng.between(100, 2_500);
        }
    }

    /// Down for good: until the end, or for half of the time.
    fn one_down(&mut self) {
        let node = self.rng.place(self.nodes);
        let at_ms = self.rng.between(self.duration_ms / 8, self.duration_ms / 4);
        let most = if self.rng.chance(50_000) { self.duration_ms } else { self.duration_ms / 2 };
        self.at(at_ms, Happening::Crash { node, down_ms: most.min(self.duration_ms - at_ms) });
    }

    /// One node after the other is down, or cut off, for a third of the time or more; some die again as they come back.
    fn absences(&mut self) {
        let mut at_ms = self.rng.between(200, 1_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let away_ms = self.rng.between(self.duration_ms / 3, self.duration_ms * 2 / 3);
            if self.rng.chance(40_000) {
                let one_way = self.rng.chance(30_000);
                self.at(at_ms, Happening::Partition { group: vec![node], one_way });
                self.at(at_ms + away_ms, Happening::Mend);
            } else {
                self.at(at_ms, Happening::Crash { node, down_ms: away_ms });
            }
            at_ms += away_ms;
            for _ in 0..self.rng.below(4) {
                at_ms += self.rng.between(20, 600);
                let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms: 50 });
            }
            at_ms += self.rng.between(2_000, 5_000);
        }
        self.at(self.duration_ms - 1, Happening::Mend);
    }

    fn restarts(&mut self) {
        let node = self.rng.place(self.nodes);
        let early_ms = self.rng.between(1, 300);
        let down_ms = self.rng.clone().between(10, 800);
        self.at(early_ms, Happening::Lose { node, loss: Loss::Store, after_sending: false, down_ms });
        let mut at_ms = self.rng.between(1_500, 4_000);
        while at_ms < self.duration_ms {
            let down_ms = self.rng.between(10, 1_500);
            match self.rng.below(3) {
                0 => {
                    let node = self.rng.place(self.nodes);
                    self.at(at_ms, Happening::Crash { node, down_ms });
                }
                _ => self.at(at_ms, Happening::Blackout { down_ms }),
            }
            at_ms += self.rng.between(2_000, 6_000);
        }
    }

    /// Losses of all kinds, mostly of a node that has just sent a block which then nobody gets, and now and then of one that
    /// is cut off, or twice in a row; some others crash meanwhile.
    fn losses(&mut self) {
        let mut at_ms = self.rng.between(500, 2_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let loss = match self.rng.below(4) {
                0 => Loss::Store,
                1 => Loss::All,
                2 => Loss::SinceCopy,
                _ => Loss::AllSinceCopy,
            };
            if loss.is_copy() {
                self.at(at_ms, Happening::Copy { node });
                at_ms += self.rng.between(300, 2_000);
            }
            let is_cut = self.rng.chance(20_000);
            if is_cut {
                self.at(at_ms, Happening::Partition { group: vec![node], one_way: true });
                at_ms += self.rng.between(1, 300);
            }
            let after_sending = self.rng.chance(70_000);
            let brief = self.rng.chance(60_000);
            let down_ms = self.rng.between(1, if brief { 30 } else { 1_500 });
            self.at(at_ms, Happening::Lose { node, loss, after_sending, down_ms });
            if is_cut {
                at_ms += self.rng.between(1, 400);
                self.at(at_ms, Happening::Mend);
            }
            match self.rng.below(5) {
                0 => {
                    at_ms += self.rng.between(10, 600);
                    let loss = if self.rng.chance(50_000) { Loss::Store } else { Loss::All };
                    self.at(at_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
                }
                1 => {
                    at_ms += self.rng.between(10, 1_000);
                    let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                    self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms });
                }
                2 => {
                    let node = self.rng.place(self.nodes);
                    self.at(at_ms + self.rng.clone().below(300), Happening::Crash { node, down_ms });
                }
                _ => {}
            }
            at_ms += self.rng.between(1_000, 5_000);
        }
    }

    /// Keeps what falls in storms of three seconds, with three seconds between them: without any rest hardly a round is
    /// made, and little is tried.
    fn only_in_storms(&mut self) {
        const STORM_MS: u64 = 3_000;
        self.script.retain(|scripted| (scripted.at_ms / STORM_MS).is_multiple_of(2));
        for storm in (0..self.duration_ms / STORM_MS).step_by(2) {
            self.at((storm + 1) * STORM_MS, Happening::Mend);
        }
        self.at(self.duration_ms - 1, Happening::Mend);
    }

    fn disks(&mut self) {
        let mut at_ms = self.rng.between(500, 1_500);
        while at_ms < self.duration_ms {
            let node = self.rng.place(self.nodes);
            let down_ms = self.rng.between(20, 1_500);
            match self.rng.below(4) {
                0 | 1 => {
                    self.at(at_ms, Happening::Copy { node });
                    at_ms += self.rng.between(500, 2_500);
                    let loss = Loss::SinceCopy;
                    self.at(at_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
                }
                2 => {
                    let loss = Loss::Store;
                    self.at(at_ms, Happening::Lose { node, loss, after_sending: false, down_ms });
                }
                _ => {
                    let effects = u32::try_from(self.rng.below(12)).unwrap_or(0);
                    self.at(at_ms, Happening::CrashAfterEffects { node, effects, down_ms });
                }
            }
            at_ms += self.rng.between(200, 1_500);
        }
    }
}
