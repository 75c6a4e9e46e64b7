//! A network that nobody uses: it costs next to nothing, lives, and is awake at once when somebody comes.

use crate::wait::until;
use anyhow::Context;
use localnet::{
    files::Files,
    network::{Network, NetworkOptions},
    prepare::{NewNetwork, prepare},
    process::{Role, ServiceId},
    usage::Usage,
};
use metanode_client::{SubmitClient, WaitFor};
use std::{path::Path, time::Duration};
use tokio::time::Instant;

/// How long a proposal waits with nothing to order: the default, and the configuration of local networks.
pub const IDLE_DELAY: Duration = Duration::from_secs(1);

const AUTHORITIES: u16 = 4;
/// How long the CPU time is watched.
const WATCHED: Duration = Duration::from_secs(8);
/// Rounds that an idle network makes before it counts as idle.
const IDLE_ROUNDS: u64 = 2;
/// Odd, so that there is a median.
const TRIES: usize = 5;

/// What was seen.
#[derive(Clone, Debug)]
pub struct IdleStory {
    /// CPU time of each consensus-svc over the time watched, as a share of one core.
    pub cpu_shares: Vec<f64>,
    /// Rounds that each authority made meanwhile.
    pub rounds: Vec<u64>,
    /// From the submission of a lone transaction to an idle network until it was in a durable commit, sorted.
    pub latencies: Vec<Duration>,
}

impl IdleStory {
    /// The latency in the middle.
    pub fn median(&self) -> Option<Duration> {
        self.latencies.get(self.latencies.len() / 2).copied()
    }
}

/// Starts a network, lets it idle, and submits one transaction at a time. `program` becomes the services.
///
/// # Errors
/// Where a step cannot be taken, or does not come to its end.
pub async fn idle_network(program: &Path) -> anyhow::Result<IdleStory> {
    let folder = tempfile::tempdir()?;
    let new = NewNetwork { authorities: Some(AUTHORITIES), accounts: 1, ..NewNetwork::default() };
    let prepared = prepare(Files::new(folder.path()), new)?;
    let network = Network::start(prepared, NetworkOptions::new(program.to_owned())).await?;
    idle_rounds(&network).await?;

    let (started, before, rounds_before) = (Instant::now(), cpu_seconds(&network)?, rounds(&network).await?);
    // The time is what is measured: no event ends it.
    tokio::time::sleep(WATCHED).await;
    let (after, rounds_after) = (cpu_seconds(&network)?, rounds(&network).await?);
    let elapsed = started.elapsed().as_secs_f64();
    let cpu_shares = before.iter().zip(&after).map(|(before, after)| (after - before) / elapsed).collect();
    let rounds = rounds_before.iter().zip(&rounds_after).map(|(before, after)| after - before).collect();

    let mut latencies = Vec::new();
    let endpoints = network.endpoints();
    for (number, endpoint) in endpoints.iter().cycle().take(TRIES).enumerate() {
        idle_rounds(&network).await?;
        let client = SubmitClient::new(endpoint)?;
        let submitted = Instant::now();
        // Consensus does not read it; that the ledger then rejects it is another matter.
        client.submit(&[format!("lone transaction {number}").into()], WaitFor::Committed).await?;
        latencies.push(submitted.elapsed());
    }
    latencies.sort_unstable();
    network.stop(Duration::from_secs(20)).await?;
    Ok(IdleStory { cpu_shares, rounds, latencies })
}

/// Waits until the first authority has made some rounds by its idle delay alone: what was to be done before is done.
async fn idle_rounds(network: &Network) -> anyhow::Result<()> {
    let mut seen: Option<(u64, Instant)> = None;
    let mut idle = 0;
    until("the network idles", async || {
        let round = network.status(0).await?.ok()?.round;
        let Some((last, since)) = seen else {
            seen = Some((round, Instant::now()));
            return None;
        };
        if round > last {
            // Rounds with work take a small part of the delay.
            idle = if since.elapsed() > IDLE_DELAY / 2 { idle + (round - last) } else { 0 };
            seen = Some((round, Instant::now()));
        }
        (idle >= IDLE_ROUNDS).then_some(())
    })
    .await
}

async fn rounds(network: &Network) -> anyhow::Result<Vec<u64>> {
    let statuses = network.statuses().await.into_iter();
    statuses.map(|status| Ok(status.context("every authority answers")?.round)).collect()
}

fn cpu_seconds(network: &Network) -> anyhow::Result<Vec<f64>> {
    let cpu_seconds = |authority| {
        let process = network.process(ServiceId { authority, role: Role::Consensus });
        let pid = process.and_then(localnet::process::Process::pid).context("the process runs")?;
        Ok(Usage::of(pid).context("the system tells CPU times")?.cpu_seconds)
    };
    (0..network.len()).map(cpu_seconds).collect()
}
