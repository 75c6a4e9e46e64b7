//! A link of one authority, to its executor or from there to its master, breaks in every way that a link can break, one after
//! another, under load.
//!
//! Whatever comes through it late, twice or not at all, the executor must execute each commit once; and where a link is only
//! slow, nobody may give it up.

use crate::{
    kill::status,
    scrape::{scrape, value},
    under_load::{Setting, UnderLoad, VICTIM, assert_executed_once},
    wait::until,
};
use anyhow::{Context, ensure};
use fault_proxy::{Address, FaultProxy, Order, Side};
use loadgen::LoadReport;
use localnet::{
    executor::ExecutorKind, network::Network, network_file::AuthorityEntry, prepare::Prepared,
    verify::Verdict,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A link that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// From consensus-svc to executor-proxy.
    ToProxy,
    /// From executor-proxy to a master in Go, over gRPC.
    ToMaster,
    /// From executor-proxy to the same master, over both sockets of the framed protocol.
    ToLegacyMaster,
}

impl Hop {
    const fn executor(self) -> ExecutorKind {
        match self {
            Self::ToProxy => ExecutorKind::Embedded,
            Self::ToMaster => ExecutorKind::Go,
            Self::ToLegacyMaster => ExecutorKind::GoUds,
        }
    }
}

/// What is done to the link, and whether it is then made anew.
const FAULTS: [(&[Order], bool); 6] = [
    (&[Order::Reset], true),
    // Found by keepalive on the end that is kept.
    (&[Order::HalfOpen { keep: Side::Client }], true),
    (&[Order::HalfOpen { keep: Side::Server }], true),
    // What was sent before it was given up arrives after all, beside what comes on the next connection.
    (&[Order::Stall { direction: None }], true),
    // Two streams of one lease, with the same commits.
    (&[Order::Double, Order::Reset], true),
    (
        &[
            Order::Delay { ms: 200, direction: None },
            Order::Throttle { bytes_per_s: 200_000, direction: None },
        ],
        false,
    ),
];

/// Commits that a slow link must bring, with one for each round trip at least, before it counts as one that works.
const SLOWLY: u64 = 5;

/// A fault, and what came of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done to the link.
    pub orders: &'static [Order],
    /// Connections that were made until the link was healed.
    pub connections: u64,
    /// Whether one had to be made.
    pub breaks: bool,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct FaultyLinkStory {
    /// The link.
    pub hop: Hop,
    /// The faults, in order.
    pub steps: Vec<Step>,
    /// Commits that the proxy counted as executed over its life, and its last block number.
    pub executed: (u64, u64),
    /// The load, as it was told.
    pub load: LoadReport,
    /// The ledgers, as they are.
    pub verdict: Verdict,
}

impl FaultyLinkStory {
    /// Checks all that must hold.
    ///
    /// # Panics
    /// Where something does not.
    pub fn assert_executed_once(&self) {
        for step in &self.steps {
            assert_eq!(step.connections > 0, step.breaks, "{step:?}");
        }
        let (executed, last) = self.executed;
        assert!(last > 0 && executed <= last, "each commit once at most: {self:?}");
        // What a master executed, and could not acknowledge, the proxy finds in its position and does not count.
        assert!(self.hop != Hop::ToProxy || executed == last, "each commit once: {self:?}");
        assert_executed_once(&self.load, &self.verdict);
    }
}

/// Runs a network under load, and breaks one of its links again and again. `program` becomes the services.
///
/// # Errors
/// Where a step cannot be taken, or does not come to its end.
pub async fn faulty_link(program: &Path, hop: Hop) -> anyhow::Result<FaultyLinkStory> {
    let folder = tempfile::tempdir()?;
    let mut detour = None;
    let setting = Setting { executor: hop.executor(), ..Setting::default() };
    let under_load = UnderLoad::start_as(program, setting, async |prepared| {
        detour = Some(Detour::make(prepared, hop, folder.path()).await?);
        Ok(())
    })
    .await?;
    let detour = detour.context("the network was prepared")?;
    under_load.goes_on().await?;

    let mut steps = Vec::new();
    for (orders, breaks) in FAULTS {
        steps.push(step(&under_load.network, &detour, orders, breaks).await?);
    }

    under_load.goes_on().await?;
    let settled = under_load.end_load().await?;
    let address = &victim(settled.network.prepared())?.executor.metrics_address;
    // The network still makes commits: what the executor says of itself must be of one moment.
    let metrics = scrape(address).await?;
    let (load, verdict) = settled.verdict().await?;
    let executed = (
        value(&metrics, "metanode_executor_commits_executed_total")?,
        value(&metrics, "metanode_executor_executed_index")?,
    );
    Ok(FaultyLinkStory { hop, steps, executed, load, verdict })
}

/// Breaks the link, heals it when that has had its effect, and waits until the executor has come along.
async fn step(
    network: &Network,
    detour: &Detour,
    orders: &'static [Order],
    breaks: bool,
) -> anyhow::Result<Step> {
    let before = detour.connections();
    let executed = status(network, VICTIM).await.context("it runs")?.executed_index;
    detour.carry_out(orders);
    until(&format!("{orders:?} has had its effect"), async || {
        let done = if breaks {
            detour.connections() > before
        } else {
            status(network, VICTIM).await?.executed_index > executed + SLOWLY
        };
        done.then_some(())
    })
    .await?;
    let connections = detour.connections() - before;
    detour.carry_out(&[Order::Heal]);
    let newest = network.newest_index().await;
    until(&format!("the executor has come along after {orders:?}"), async || {
        (status(network, VICTIM).await?.executed_index > newest).then_some(())
    })
    .await?;
    Ok(Step { orders, connections, breaks })
}

fn victim(prepared: &Prepared) -> anyhow::Result<&AuthorityEntry> {
    prepared.network.authorities.get(VICTIM).context("there is this authority")
}

/// Links of ours, through which alone [`VICTIM`] goes on a hop.
struct Detour {
    links: Vec<FaultProxy>,
}

impl Detour {
    /// Changes the configuration of the client. Sockets are in `folder`.
    async fn make(prepared: &Prepared, hop: Hop, folder: &Path) -> anyhow::Result<Self> {
        let entry = victim(prepared)?;
        let master = || entry.master.as_ref().context("there is a master");
        let path = |path: &Option<PathBuf>| Some(path.as_ref()?.display().to_string());
        let (config, servers) = match hop {
            Hop::ToProxy => (&entry.consensus.config, vec![format!("http://{}", entry.executor.api_address)]),
            Hop::ToMaster => (&entry.executor.config, vec![master()?.api_address.clone()]),
            Hop::ToLegacyMaster => {
                let sockets = [path(&master()?.blocks), path(&master()?.queries)];
                (&entry.executor.config, sockets.into_iter().flatten().collect())
            }
        };
        let mut text = fs::read_to_string(config)?;
        let mut links = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            let socket = folder.join(format!("{number}.sock"));
            let upstream = match hop {
                Hop::ToProxy => entry.executor.api_address.parse()?,
                Hop::ToMaster => server.parse()?,
                Hop::ToLegacyMaster => Address::Unix(server.into()),
            };
            let link = FaultProxy::start(&Address::Unix(socket.clone()), upstream).await?;
            let detour = match hop {
                Hop::ToProxy | Hop::ToMaster => link.address().to_string(),
                Hop::ToLegacyMaster => socket.display().to_string(),
            };
            let straight = format!("\"{server}\"");
            ensure!(text.contains(&straight), "{} does not name {server}: {text}", config.display());
            text = text.replace(&straight, &format!("\"{detour}\""));
            links.push(link);
        }
        fs::write(config, text)?;
        Ok(Self { links })
    }

    fn carry_out(&self, orders: &[Order]) {
        for link in &self.links {
            orders.iter().for_each(|order| order.carry_out(link));
        }
    }

    /// Connections so far, over all links.
    fn connections(&self) -> u64 {
        self.links.iter().map(|link| link.status().accepted).sum()
    }
}
