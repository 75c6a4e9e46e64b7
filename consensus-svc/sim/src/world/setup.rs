//! From a plan to a world at time zero.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use consensus_core::{AuthorityIndex, Genesis, Params, ProtocolParameters, testkit};

use super::{Event, PROBE_MS, World};
use crate::{
    byzantine::Byzantine,
    chronicle::Chronicle,
    downstream::Downstream,
    fault::{Fault, FaultCounts},
    invariants::Watch,
    network::{Delay, Network, Profile},
    node::{Node, Start},
    plan::{Load, Plan},
    rng::Rng,
    trace::Trace,
    verifier::Verifier,
    workload::Workload,
};

/// The links at the end.
pub(super) const fn healed_profile() -> Profile {
    Profile::calm(Delay::Uniform { low: 50, high: 100 })
}

impl World {
    pub(super) fn new(plan: &Plan, downstream: Rc<RefCell<dyn Downstream>>) -> Self {
        let nodes = usize::from(plan.authorities);
        let mut rng = Rng::new(plan.seed, "setup");
        let forecast = plan.weather.forecast(nodes, plan.duration_ms, &mut Rng::new(plan.seed, "weather"));
        let stakes = draw_stakes(nodes, &mut rng);
        let mut parameters = draw_parameters(nodes, forecast.gc_depth, &mut rng);
        parameters.root_interval = Rng::new(plan.seed, "root interval").between(1, 8);
        let (genesis, signers) =
            testkit::genesis_with(&stakes, plan.parameters.clone().unwrap_or(parameters));
        let genesis = Arc::new(genesis);
        let drawn = draw_params(nodes, &mut rng);
        let mut params = plan.params.clone().unwrap_or(drawn);
        params.transaction_lifetime = draw_lifetime(plan);
        let spares_one = forecast.spares_one;
        let liars = forecast.habits.map(|_| draw_liars(&genesis, spares_one, &mut rng)).unwrap_or_default();
        // Small blocks carry little: what is accepted must fit, or the end would wait for a backlog.
        let small = genesis.parameters().max_block_transactions < 1_000;
        let most = if small { 60 } else { 400 };
        let drawn = Load { per_second: rng.between(20, most), size_bytes: rng.between(16, 512) };
        let allies: BTreeMap<_, _> =
            liars.iter().map(|node| (index(*node), signers[*node].clone())).collect();
        let states = (0..nodes).map(|node| {
            let habits = forecast.habits.filter(|_| liars.contains(&node));
            let byzantine = habits.map(|habits| {
                let rng = Rng::new(plan.seed, &format!("liar {node}"));
                Byzantine::new(index(node), genesis.clone(), allies.clone(), habits, rng)
            });
            Node::new(index(node), nodes, byzantine)
        });
        downstream.borrow_mut().starts(&genesis);
        let mut world = Self {
            plan: plan.clone(),
            now_ms: 0,
            events: Default::default(),
            entered: 0,
            nodes: states.collect(),
            network: Network::new(nodes, forecast.profile, Rng::new(plan.seed, "network")),
            verifier: Verifier::new(genesis.clone(), plan.signatures),
            workload: Workload::new(
                plan.load.unwrap_or(drawn),
                Rng::new(plan.seed, "workload"),
                downstream.clone(),
            ),
            downstream,
            load_pattern: if plan.load.is_some() { 0 } else { rng.below(3) },
            disk_rng: Rng::new(plan.seed, "disk"),
            clock_rng: Rng::new(plan.seed, "clock"),
            executor_rng: Rng::new(plan.seed, "executor"),
            sync_ms: forecast.sync_ms,
            slow_sync_chance: forecast.slow_sync_chance,
            max_skew_ms: forecast.max_skew_ms,
            range_bytes: forecast.range_bytes,
            watch: Watch::new(&genesis, &params, forecast.max_skew_ms),
            genesis,
            params,
            signers,
            announced: BTreeSet::new(),
            chain_length: 0,
            faults: FaultCounts::default(),
            trace: Trace::default(),
            chronicle: None,
            violation: None,
            healed_ms: None,
            markers: Default::default(),
            unmarked: BTreeSet::new(),
            marked: Default::default(),
            inputs: 0,
        };
        if plan.record {
            world.chronicle = Some(Chronicle {
                liars,
                nodes,
                leaders_per_round: world.genesis.parameters().leaders_per_round,
                ..Chronicle::default()
            });
        }
        for scripted in forecast.script.into_iter().chain(plan.script.iter().cloned()) {
            world.push(scripted.at_ms, Event::Happen(scripted.what));
        }
        world
    }

    /// Starts everybody, the clients and the probe.
    pub(super) fn start(&mut self) {
        for node in 0..self.nodes.len() {
            self.draw_skew(node);
            self.start_node(node, Start::Newest);
            if self.nodes[node].is_honest() {
                self.push(100, Event::Submit { node });
            }
        }
        self.push(PROBE_MS, Event::Probe);
    }

    /// Sets a node's clock wrong, as far as the weather says.
    pub(super) fn draw_skew(&mut self, node: usize) {
        if self.max_skew_ms > 0 {
            let skew_ms = self.clock_rng.below(2 * self.max_skew_ms + 1);
            self.nodes[node].skew_ms = skew_ms.cast_signed() - self.max_skew_ms.cast_signed();
            self.fault(Fault::ClockSkew, Some(node));
        }
    }
}

/// The authority at a place.
pub(super) fn index(node: usize) -> AuthorityIndex {
    AuthorityIndex::new(u16::try_from(node).expect("committees are small"))
}

fn draw_stakes(nodes: usize, rng: &mut Rng) -> Vec<u64> {
    let uneven: Vec<u64> = (0..nodes).map(|_| rng.between(1, 4)).collect();
    let third = uneven.iter().sum::<u64>().saturating_sub(1) / 3;
    // Uneven stakes only if somebody could be a liar, and nobody can stop the network alone.
    let fits = uneven.iter().all(|stake| *stake <= third);
    if fits && rng.chance(40_000) { uneven } else { vec![1; nodes] }
}

fn draw_parameters(nodes: usize, gc_depth: Option<u64>, rng: &mut Rng) -> ProtocolParameters {
    let drawn = if rng.chance(50_000) { 30 } else { 60 };
    let gc_depth = gc_depth.unwrap_or(drawn);
    let cuts = rng.chance(20_000);
    ProtocolParameters {
        leaders_per_round: if nodes > 1 && rng.chance(40_000) { 2 } else { 1 },
        gc_depth,
        heartbeat_rounds: 20.min(gc_depth / 2),
        heartbeat_interval: Duration::from_secs(if rng.chance(50_000) { 5 } else { 3 }),
        // Small blocks and commits show how groups are cut.
        max_commit_transactions: if cuts { 40 } else { 10_000 },
        max_block_transactions: if cuts { 20 } else { 5_000 },
        duplicate_window: Duration::from_millis([500, 5_000, 60_000][rng.place(3)]),
        max_duplicate_entries: [60, 2_000, 500_000][rng.place(3)],
        schedule_window_rounds: [20, 30, 60, 120][rng.place(4)],
        ..ProtocolParameters::default()
    }
}

fn draw_params(nodes: usize, rng: &mut Rng) -> Params {
    Params {
        max_waiting_blocks: nodes * [20, 60, 300][rng.place(3)],
        min_round_interval: Duration::from_millis(rng.between(10, 80)),
        idle_delay: Duration::from_millis(rng.between(0, 1_000)),
        ..Params::default()
    }
}

/// Often far beyond the run; sometimes so short that a partition or a crowd drops transactions.
fn draw_lifetime(plan: &Plan) -> Duration {
    let drawn = [60_000, 60_000, 2_000, 400][Rng::new(plan.seed, "lifetime").place(4)];
    Duration::from_millis(plan.transaction_lifetime_ms.unwrap_or(drawn))
}

/// Liars of at most f stake, as many as fit; with `spares_one`, one more of any stake would fit, and where that leaves no room for
/// a liar, there is either a liar or that room.
fn draw_liars(genesis: &Genesis, spares_one: bool, rng: &mut Rng) -> BTreeSet<usize> {
    let committee = genesis.committee();
    let mut room = committee.total_stake().get().saturating_sub(1) / 3;
    if spares_one {
        let largest = committee.authorities().iter().map(|authority| authority.stake.get()).max();
        let spared = room.saturating_sub(largest.unwrap_or_default());
        let least = committee.authorities().iter().map(|authority| authority.stake.get()).min();
        if spared >= least.unwrap_or_default() || rng.chance(50_000) {
            room = spared;
        }
    }
    let mut liars = BTreeSet::new();
    for node in rng.shuffled(committee.size()) {
        let stake = committee.stake(index(node)).get();
        if stake <= room {
            room -= stake;
            liars.insert(node);
        }
    }
    liars
}
