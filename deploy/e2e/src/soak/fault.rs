//! One fault, from its beginning until the authority is where the others are.

use super::plan::{Fault, Manner};
use crate::{
    kill::process,
    scrape::{scrape, value},
    wait::until,
};
use anyhow::Context;
use localnet::{
    network::Network,
    process::{Process, Role},
};
use nix::sys::signal::Signal;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Commits that are sent and not acknowledged before an executor that is held still is killed, or its sender.
const ON_THEIR_WAY: u64 = 3;
/// How long it is held still at most, until they are.
const HOLD: Duration = Duration::from_secs(2);
const HOLD_INTERVAL: Duration = Duration::from_millis(5);

/// What a fault did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The fault.
    pub fault: Fault,
    /// Commits that were sent and not acknowledged when the process was killed, or when it went on.
    pub in_flight: u64,
    /// Streams to the executor that were opened since.
    pub reopened: u64,
    /// Of the commits in flight, those that were sent again.
    pub resent: u64,
    /// Commits that were there when the newest stream was opened, and were sent on it.
    pub replayed: u64,
    /// From the start or the SIGCONT until it had executed what was committed by then.
    pub back: Duration,
}

/// What consensus tells of its stream.
#[derive(Clone, Copy, Debug)]
struct Stream {
    executed: u64,
    in_flight: u64,
    opened: u64,
}

/// Does it to the network, and waits until all is as it was.
///
/// # Errors
/// Where the authority does not come back in a minute, or cannot be asked.
pub(crate) async fn carry_out(network: &Network, fault: Fault) -> anyhow::Result<Outcome> {
    let Fault { authority, part, manner, .. } = fault;
    let victim = process(network, authority, part)?;
    let mut before = stream(network, authority).await?;
    match manner {
        Manner::Kill { held, away } => {
            let holder = if held { Some(executor(network, authority)?) } else { None };
            if let Some(holder) = holder {
                holder.signal(Signal::SIGSTOP);
                // Where none comes, it is a kill like the others.
                before = commits_on_their_way(network, authority).await.unwrap_or(before);
            }
            victim.kill().await?;
            if let Some(holder) = holder.filter(|holder| holder.spec().id != victim.spec().id) {
                holder.signal(Signal::SIGCONT);
            }
            // The time away is what is tried: no event ends it.
            tokio::time::sleep(away).await;
            victim.start().await?;
        }
        Manner::Freeze { still } => {
            victim.signal(Signal::SIGSTOP);
            // As above.
            tokio::time::sleep(still).await;
            if part != Role::Consensus {
                before = stream(network, authority).await?;
            }
            victim.signal(Signal::SIGCONT);
        }
    }
    let started = Instant::now();
    let committed = network.newest_index().await;
    let status = until(&format!("authority {authority} has executed commit {committed}"), async || {
        let status = network.status(authority).await?.ok()?;
        (!status.catching_up && status.executed_index >= committed).then_some(status)
    })
    .await?;
    let back = started.elapsed();
    let after = stream(network, authority).await?;
    let is_new_life = part == Role::Consensus && matches!(manner, Manner::Kill { .. });
    let reopened = if is_new_life { after.opened } else { after.opened.saturating_sub(before.opened) };
    let sent_before = before.executed + before.in_flight;
    let acknowledged = status.first_sent.saturating_sub(1);
    let (resent, replayed) = match reopened {
        0 => (0, 0),
        _ => (sent_before.saturating_sub(acknowledged), committed.saturating_sub(acknowledged)),
    };
    Ok(Outcome { fault, in_flight: before.in_flight, reopened, resent, replayed, back })
}

/// The process that has the ledger.
fn executor(network: &Network, authority: usize) -> anyhow::Result<&Process> {
    process(network, authority, Role::Master).or_else(|_| process(network, authority, Role::Executor))
}

/// Waits until consensus has sent what its executor, which is held still, cannot acknowledge.
async fn commits_on_their_way(network: &Network, authority: usize) -> Option<Stream> {
    let mut poll = interval(HOLD_INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let waiting = async {
        loop {
            poll.tick().await;
            if let Ok(stream) = stream(network, authority).await
                && stream.in_flight >= ON_THEIR_WAY
            {
                return stream;
            }
        }
    };
    timeout(HOLD, waiting).await.ok()
}

async fn stream(network: &Network, authority: usize) -> anyhow::Result<Stream> {
    let entry = network.prepared().network.authorities.get(authority).context("there is this authority")?;
    let text = scrape(&entry.consensus.metrics_address).await?;
    Ok(Stream {
        executed: value(&text, "metanode_consensus_executor_executed_index")?,
        in_flight: value(&text, "metanode_consensus_executor_in_flight")?,
        opened: value(&text, "metanode_consensus_executor_handshakes_total")?,
    })
}
