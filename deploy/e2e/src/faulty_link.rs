//! The link between an authority and its executor breaks in every way that a link can break, one after another, under load.
//!
//! Whatever comes through it late, twice or not at all, the executor must execute each commit once; and where a link is only
//! slow, nobody may give it up.

use crate::{
    kill::status,
    scrape::{scrape, value},
    under_load::{UnderLoad, VICTIM, assert_executed_once},
    wait::until,
};
use anyhow::{Context, ensure};
use fault_proxy::{Address, FaultProxy, Order, Side};
use loadgen::LoadReport;
use localnet::{network::Network, prepare::Prepared, verify::Verdict};
use metanode_proto::genesis::GenesisParameters;
use std::{fs, path::Path};

/// What is done to the link, and whether it is then made anew.
const FAULTS: [(&[Order], bool); 6] = [
    (&[Order::Reset], true),
    // Found by keepalive on the end that is kept.
    (&[Order::HalfOpen { keep: Side::Client }], true),
    (&[Order::HalfOpen { keep: Side::Server }], true),
    // What consensus sent before it gave up arrives after all, beside what it sends on its next connection.
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

/// Commits that a slow link must bring before it counts as one that works.
const SLOWLY: u64 = 5;

/// A fault, and what came of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done to the link.
    pub orders: &'static [Order],
    /// Connections that consensus made until the link was healed.
    pub connections: u64,
    /// Whether it had to make one.
    pub breaks: bool,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct FaultyLinkStory {
    /// The faults, in order.
    pub steps: Vec<Step>,
    /// Commits that the executor has executed over its life, and its last block number.
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
        assert!(executed == last && last > 0, "each commit once: {self:?}");
        assert_executed_once(&self.load, &self.verdict);
    }
}

/// Runs a network under load, and breaks one of its links again and again. `program` becomes the services.
///
/// # Errors
/// Where a step cannot be taken, or does not come to its end.
pub async fn faulty_link(program: &Path) -> anyhow::Result<FaultyLinkStory> {
    let folder = tempfile::tempdir()?;
    let mut link = None;
    let under_load = UnderLoad::start_as(program, GenesisParameters::default(), None, async |prepared| {
        link = Some(detour(prepared, &folder.path().join("executor.sock")).await?);
        Ok(())
    })
    .await?;
    let link = link.context("the network was prepared")?;
    under_load.goes_on().await?;

    let mut steps = Vec::new();
    for (orders, breaks) in FAULTS {
        steps.push(step(&under_load.network, &link, orders, breaks).await?);
    }

    under_load.goes_on().await?;
    let settled = under_load.end_load().await?;
    let entry = settled.network.prepared().network.authorities.get(VICTIM);
    let address = &entry.context("there is this authority")?.executor.metrics_address;
    // The network still makes commits: what the executor says of itself must be of one moment.
    let metrics = scrape(address).await?;
    let (load, verdict) = settled.verdict().await?;
    let executed = (
        value(&metrics, "metanode_executor_commits_executed_total")?,
        value(&metrics, "metanode_executor_executed_index")?,
    );
    Ok(FaultyLinkStory { steps, executed, load, verdict })
}

/// Breaks the link, heals it when that has had its effect, and waits until the executor has come along.
async fn step(
    network: &Network,
    link: &FaultProxy,
    orders: &'static [Order],
    breaks: bool,
) -> anyhow::Result<Step> {
    let before = link.status().accepted;
    let newest = network.newest_index().await;
    orders.iter().for_each(|order| order.carry_out(link));
    until(&format!("{orders:?} has had its effect"), async || {
        let done = if breaks {
            link.status().accepted > before
        } else {
            status(network, VICTIM).await?.executed_index > newest + SLOWLY
        };
        done.then_some(())
    })
    .await?;
    let connections = link.status().accepted - before;
    link.heal();
    let newest = network.newest_index().await;
    until(&format!("the executor has come along after {orders:?}"), async || {
        (status(network, VICTIM).await?.executed_index > newest).then_some(())
    })
    .await?;
    Ok(Step { orders, connections, breaks })
}

/// Lets consensus reach the executor of [`VICTIM`] through a link of ours alone.
async fn detour(prepared: &Prepared, socket: &Path) -> anyhow::Result<FaultProxy> {
    let entry = prepared.network.authorities.get(VICTIM).context("there is this authority")?;
    let executor = &entry.executor.api_address;
    let link = FaultProxy::start(&Address::Unix(socket.to_owned()), executor.parse()?).await?;
    let config = &entry.consensus.config;
    let text = fs::read_to_string(config)?;
    let (straight, detour) = (format!("\"http://{executor}\""), format!("\"{}\"", link.address()));
    ensure!(text.contains(&straight), "{} names another executor: {text}", config.display());
    fs::write(config, text.replace(&straight, &detour))?;
    Ok(link)
}
