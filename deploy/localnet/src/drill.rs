//! The drill that explains this project: an executor is killed in mid-load, and comes back.
//!
//! Consensus goes on without it and keeps every commit. When the executor is back, it says how far it got; consensus sends what
//! comes after that, and nothing else. One number is the whole agreement between the two.

use crate::{
    ledger::LedgerError,
    network::Network,
    process::{Role, ServiceId, Unowned},
};
use metanode_client::GetStatusResponse;
use serde::Serialize;
use std::{fmt, io, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// Commits that consensus makes while the executor is away.
const COMMITS_AWAY: u64 = 25;
/// For each step.
const STEP_DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why a drill could not be held.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// A step did not come to its end.
    #[error("drill: after {} s still waiting for {step}; commit index {}, executed index {}", STEP_DEADLINE.as_secs(),
        last.as_ref().map_or(0, |status| status.commit_index), last.as_ref().map_or(0, |status| status.executed_index))]
    Stuck {
        /// What was waited for.
        step: &'static str,
        /// What the authority said last.
        last: Option<Box<GetStatusResponse>>,
    },
    /// The ledger of the killed executor cannot be read.
    #[error("drill")]
    Ledger(#[from] LedgerError),
    /// The executor could not be started again.
    #[error("drill: cannot start the executor again")]
    Start(#[from] io::Error),
    /// The process is out of reach.
    #[error("drill")]
    Unowned(#[from] Unowned),
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// The authority whose executor was killed.
    pub authority: usize,
    /// What was killed: the process that has the ledger, `executor-proxy` or `go-master`.
    pub process: &'static str,
    /// Newest durable commit of consensus just after the kill.
    pub durable_at_kill: u64,
    /// Last commit that the executor had acknowledged to consensus.
    pub acknowledged_at_kill: u64,
    /// Last commit that the executor had executed, read from its disk after the kill.
    pub executed_at_kill: u64,
    /// Newest durable commit of consensus when the executor was started again.
    pub durable_at_restart: u64,
    /// First commit that consensus handed to the stream after the restart.
    pub first_sent: u64,
    /// Commits sent to it between its restart and the end of the drill.
    pub sent_after_restart: u64,
    /// Of those, how many it had executed before.
    pub duplicates: u64,
    /// Last commit executed at the end of the drill.
    pub executed_at_end: u64,
    /// Time without an executor, in seconds.
    pub away_seconds: f64,
    /// Time from the restart until all that was durable at the restart was executed, in seconds.
    pub caught_up_seconds: f64,
}

impl DrillReport {
    /// Whether the executor was sent exactly what comes after the last commit that it had executed.
    pub const fn holds(&self) -> bool {
        self.first_sent == self.executed_at_kill + 1
            && self.duplicates == 0
            && self.acknowledged_at_kill <= self.executed_at_kill
            && self.executed_at_kill <= self.durable_at_kill
            && self.executed_at_end >= self.durable_at_restart
    }
}

/// Kills the process that has the ledger of one authority, lets consensus go on, and starts it again. Call it under load.
///
/// With an embedded ledger that is the proxy, else the Go master: what is lost with a proxy alone is less, since the master behind it
/// has executed what it was handed.
///
/// # Errors
/// [`DrillError`].
pub async fn restart(network: &Network, authority: usize) -> Result<DrillReport, DrillError> {
    let kind = network.prepared().network.executor_kind;
    let role = if kind.has_master() { Role::Master } else { Role::Executor };
    let (Some(process), Some(folder)) =
        (network.process(ServiceId { authority, role }), network.prepared().ledger(authority))
    else {
        return Err(DrillError::Stuck { step: "an authority that there is", last: None });
    };
    let node = (network, authority);

    wait_for(node, "the first commits to be executed", |status| status.executed_index > 10).await?;
    process.kill().await?;
    let killed = Instant::now();
    let executed_at_kill = tokio::task::spawn_blocking(move || folder.open()?.last_index())
        .await
        .map_err(io::Error::other)??;
    let at_kill = wait_for(node, "the status after the kill", |_| true).await?;

    let enough = at_kill.commit_index + COMMITS_AWAY;
    let before =
        wait_for(node, "consensus to go on without it", |status| status.commit_index >= enough).await?;
    let away = killed.elapsed();
    process.start().await?;
    let started = Instant::now();
    let caught_up =
        wait_for(node, "the executor to catch up", |status| status.executed_index >= before.commit_index)
            .await?;
    Ok(DrillReport {
        authority,
        process: role.program(),
        durable_at_kill: at_kill.commit_index,
        acknowledged_at_kill: at_kill.executed_index,
        executed_at_kill,
        durable_at_restart: before.commit_index,
        first_sent: caught_up.first_sent,
        sent_after_restart: caught_up.sent_total.saturating_sub(before.sent_total),
        duplicates: caught_up.duplicates_total.saturating_sub(before.duplicates_total),
        executed_at_end: caught_up.executed_index,
        away_seconds: away.as_secs_f64(),
        caught_up_seconds: started.elapsed().as_secs_f64(),
    })
}

/// Polls the status until a condition holds: there is no event for a watermark.
async fn wait_for(
    (network, authority): (&Network, usize),
    step: &'static str,
    condition: impl Fn(&GetStatusResponse) -> bool,
) -> Result<GetStatusResponse, DrillError> {
    let deadline = Instant::now() + STEP_DEADLINE;
    let mut poll = interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    let polling = async {
        loop {
            poll.tick().await;
            if let Some(Ok(status)) = network.status(authority).await {
                if condition(&status) {
                    return status;
                }
                last = Some(Box::new(status));
            }
        }
    };
    let reached = timeout_at(deadline, polling).await;
    reached.map_err(|_| DrillError::Stuck { step, last })
}

/// The picture.
impl fmt::Display for DrillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, process, durable_at_kill, executed_at_kill, durable_at_restart, .. } = self;
        let Self { first_sent, executed_at_end, sent_after_restart, duplicates, .. } = self;
        let (killed, back) = (format!("{executed_at_kill}"), format!("{first_sent}"));
        writeln!(f, "drill: kill -9 of the executor ({process}) of authority {authority}, in mid-load\n")?;
        writeln!(f, "                     kill -9            started again        caught up")?;
        writeln!(f, "                        |                     |                 |")?;
        writeln!(
            f,
            "  consensus  ===========+=====================+=================+====>  goes on ordering"
        )?;
        writeln!(f, "   durable   {durable_at_kill:>11} {durable_at_restart:>21}")?;
        writeln!(f, "                        |                     |                 |")?;
        writeln!(
            f,
            "  executor   ===========X  . . . . . . . . .  +=================+====>  goes on executing"
        )?;
        writeln!(f, "   executed  {killed:>11} {back:>21}.. {executed_at_end:>14}")?;
        writeln!(f)?;
        writeln!(
            f,
            "  at the kill     consensus had {durable_at_kill} commits on disk; the executor had executed {executed_at_kill} and \
             acknowledged {}",
            self.acknowledged_at_kill
        )?;
        writeln!(
            f,
            "  while it was away ({:.1} s)  consensus went on to {durable_at_restart}",
            self.away_seconds
        )?;
        writeln!(
            f,
            "  after restart   the executor said {executed_at_kill}, so consensus sent {first_sent} first: {}",
            if *first_sent == executed_at_kill + 1 { "the next one" } else { "NOT the next one" }
        )?;
        writeln!(
            f,
            "  then            {sent_after_restart} commits were sent, {duplicates} of them twice; caught up after {:.2} s at {executed_at_end}",
            self.caught_up_seconds
        )?;
        write!(
            f,
            "  so              {}",
            if self.holds() {
                "nothing was lost, and nothing executed twice"
            } else {
                "THE INVARIANT DOES NOT HOLD"
            }
        )
    }
}
