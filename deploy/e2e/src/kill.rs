//! kill -9 under load, with commits on their way.
//!
//! The dangerous moment is when a commit was sent and not acknowledged. To hit it for certain, the executor is held still
//! (SIGSTOP) until consensus has sent more than it got acknowledged; then the victims are killed. What was on its way may then be
//! executed (the executor lives, and finds it in its socket) or lost (the executor dies with it): both must end the same.

use crate::{
    scrape::{scrape, value},
    under_load::{AUTHORITIES, UnderLoad, VICTIM, assert_executed_once},
    wait::until,
};
use anyhow::Context;
use futures::future::try_join_all;
use loadgen::LoadReport;
use localnet::{
    network::Network,
    process::{Process, Role, ServiceId},
    verify::Verdict,
};
use metanode_client::GetStatusResponse;
use metanode_proto::{
    executor::v1::{GetLastBlockNumberRequest, executor_service_client::ExecutorServiceClient},
    genesis::GenesisParameters,
};
use metanode_shell::grpc::channel;
use nix::sys::signal::Signal;
use std::path::Path;
use tokio::task::spawn_blocking;

/// Commits that are sent and not acknowledged at the kill, at least.
const ON_THEIR_WAY: u64 = 3;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victims {
    /// One consensus-svc; its executor lives on.
    Consensus,
    /// One executor-proxy; its consensus-svc lives on.
    Executor,
    /// Both of one authority.
    Both,
    /// All processes of the network.
    All,
}

impl Victims {
    fn authorities(self) -> std::ops::Range<usize> {
        match self {
            Self::All => 0..usize::from(AUTHORITIES),
            _ => VICTIM..VICTIM + 1,
        }
    }

    fn kills(self, role: Role) -> bool {
        match self {
            Self::Consensus => role == Role::Consensus,
            Self::Executor => role == Role::Executor,
            Self::Both | Self::All => true,
        }
    }
}

/// What one authority went through.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// Its index.
    pub authority: usize,
    /// Last commit that the executor had acknowledged.
    pub acknowledged: u64,
    /// Commits that were sent and not acknowledged at the kill: at least so many.
    pub sent_unacknowledged: u64,
    /// The position that the executor had durably, before it was connected to again.
    pub reported: u64,
    /// First commit that consensus then handed to the stream, by its status.
    pub first_sent: u64,
    /// Commits that the executor got twice after the kill, as it told consensus.
    pub duplicates: u64,
    /// The same from the executor's own metrics, at the end.
    pub counted_by_executor: u64,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Story {
    /// What the killed authorities went through.
    pub evidence: Vec<Evidence>,
    /// The load, as it was told.
    pub load: LoadReport,
    /// The ledgers, as they are.
    pub verdict: Verdict,
}

impl Story {
    /// Checks all that must hold.
    ///
    /// # Panics
    /// Where something does not.
    pub fn assert_exactly_once(&self) {
        let Self { evidence, load, verdict } = self;
        assert!(!evidence.is_empty(), "nobody was killed");
        for one in evidence {
            assert!(one.sent_unacknowledged > 0, "nothing was on its way: {one:?}");
            assert!(one.reported >= one.acknowledged, "an acknowledged commit is not durable: {one:?}");
            assert_eq!(one.first_sent, one.reported + 1, "{one:?}");
            assert_eq!((one.duplicates, one.counted_by_executor), (0, 0), "{one:?}");
        }
        assert_executed_once(load, verdict);
        let tally = verdict.tally;
        assert_eq!(load.submitted, tally.executed + tally.rejected, "{load:?} {tally:?}");
    }
}

/// Runs a network under load, kills the victims with commits on their way, starts them again, and lets the load end.
/// `program` becomes the services.
///
/// # Errors
/// Where a step cannot be taken, or does not come to its end.
pub async fn kill_under_load(program: &Path, victims: Victims) -> anyhow::Result<Story> {
    let under_load = UnderLoad::start(program, GenesisParameters::default(), None).await?;
    under_load.goes_on().await?;

    let mut evidence = kill_and_restart(&under_load.network, victims).await?;

    under_load.goes_on().await?;
    let settled = under_load.end_load().await?;
    for one in &mut evidence {
        // It has counted since before the kill, or since its start after it.
        one.counted_by_executor = dropped(&settled.network, one.authority).await? - one.counted_by_executor;
    }
    let (load, verdict) = settled.verdict().await?;
    Ok(Story { evidence, load, verdict })
}

async fn kill_and_restart(network: &Network, victims: Victims) -> anyhow::Result<Vec<Evidence>> {
    for authority in victims.authorities() {
        process(network, authority, Role::Executor)?.signal(Signal::SIGSTOP);
    }
    let mut on_their_way = Vec::new();
    for authority in victims.authorities() {
        on_their_way.push(sent_unacknowledged(network, authority).await?);
    }
    let victims_of = killed(victims).map(|(authority, role)| process(network, authority, role));
    let processes = victims_of.collect::<anyhow::Result<Vec<_>>>()?;
    try_join_all(processes.iter().map(|process| process.kill())).await?;
    let mut reported = Vec::new();
    for authority in victims.authorities() {
        reported.push(position(network, authority, victims).await?);
    }
    let before = network.statuses().await;
    let mut counted_before = Vec::new();
    for authority in victims.authorities() {
        let lives_on = !victims.kills(Role::Executor);
        counted_before.push(if lives_on { dropped(network, authority).await? } else { 0 });
    }
    try_join_all(processes.iter().map(|process| process.start())).await?;
    network.wait_until_serving().await?;

    let mut evidence = Vec::new();
    for (((authority, (acknowledged, sent_unacknowledged)), reported), counted_by_executor) in
        victims.authorities().zip(on_their_way).zip(reported).zip(counted_before)
    {
        let what = format!("authority {authority} executes beyond {reported}");
        let status = until(&what, async || {
            status(network, authority).await.filter(|status| status.executed_index > reported)
        })
        .await?;
        // A process that lives on goes on counting.
        let counted = before.get(authority).and_then(Option::as_ref);
        let duplicates = counted.map_or(0, |status| status.duplicates_total);
        evidence.push(Evidence {
            authority,
            acknowledged,
            sent_unacknowledged,
            reported,
            first_sent: status.first_sent,
            duplicates: status.duplicates_total - duplicates,
            counted_by_executor,
        });
    }
    Ok(evidence)
}

fn killed(victims: Victims) -> impl Iterator<Item = (usize, Role)> {
    let roles = [Role::Consensus, Role::Executor].into_iter().filter(move |role| victims.kills(*role));
    victims.authorities().flat_map(move |authority| roles.clone().map(move |role| (authority, role)))
}

/// Waits until consensus has sent [`ON_THEIR_WAY`] commits to an executor that is held still, and acknowledges nothing. Says
/// which commit was acknowledged last, and how many were sent after it, at least.
pub(crate) async fn sent_unacknowledged(network: &Network, authority: usize) -> anyhow::Result<(u64, u64)> {
    let mut first: Option<GetStatusResponse> = None;
    until("commits are sent and not acknowledged", async || {
        let now = status(network, authority).await?;
        // On the same stream, what is sent after the last acknowledgement is new.
        let same_stream = first.as_ref().filter(|first| {
            (first.executed_index, first.replay_from) == (now.executed_index, now.replay_from)
        });
        let sent = same_stream.map(|first| now.sent_total - first.sent_total);
        if same_stream.is_none() {
            first = Some(now.clone());
        }
        sent.filter(|sent| *sent >= ON_THEIR_WAY).map(|sent| (now.executed_index, sent))
    })
    .await
}

/// The executor's durable position, while nobody is connected to it.
async fn position(network: &Network, authority: usize, victims: Victims) -> anyhow::Result<u64> {
    if victims.kills(Role::Executor) {
        let ledger = network.prepared().ledger(authority).context("the authority has a ledger")?;
        return Ok(spawn_blocking(move || ledger.open()?.last_index()).await??);
    }
    process(network, authority, Role::Executor)?.signal(Signal::SIGCONT);
    // What was on its way may be executed now; its stream has no other end, so the position comes to rest.
    let address =
        network.prepared().network.authorities.get(authority).map(|entry| &entry.executor.api_address);
    let uri = format!("http://{}", address.context("the authority has an executor")?);
    let mut executor = ExecutorServiceClient::new(channel(&uri)?);
    let (mut last, mut rested) = (None, 0_u32);
    until("the executor's position is at rest", async || {
        let answer = executor.get_last_block_number(GetLastBlockNumberRequest {}).await.ok()?;
        let now = Some(answer.into_inner().block_number);
        rested = if now == last { rested + 1 } else { 0 };
        last = now;
        now.filter(|_| rested >= AT_REST)
    })
    .await
}

/// Equal answers in a row, 20 ms apart, after which a position counts as at rest.
const AT_REST: u32 = 25;

/// Commits that the executor has dropped as executed before, since it was started: its own counter.
async fn dropped(network: &Network, authority: usize) -> anyhow::Result<u64> {
    let entry = network.prepared().network.authorities.get(authority).context("there is this authority")?;
    let text = scrape(&entry.executor.metrics_address).await?;
    value(&text, "metanode_executor_commits_duplicates_total")
}

pub(crate) async fn status(network: &Network, authority: usize) -> Option<GetStatusResponse> {
    network.status(authority).await?.ok()
}

pub(crate) fn process(network: &Network, authority: usize, role: Role) -> anyhow::Result<&Process> {
    network.process(ServiceId { authority, role }).context("the network has this process")
}
