//! An executor-proxy is killed with commits on their way between consensus and a master, while both sides live (X11).
//!
//! To hit the moment for certain the master is held still until consensus has sent more than it got acknowledged; then the proxy
//! is killed, and what was handed to the master may be executed while nobody listens.

use crate::{
    kill::{process, sent_unacknowledged},
    under_load::{Setting, UnderLoad, VICTIM, assert_executed_once},
};
use anyhow::ensure;
use loadgen::LoadReport;
use localnet::{executor::ExecutorKind, process::Role, verify::Verdict};
use nix::sys::signal::Signal;
use std::path::Path;

/// Kills of one run.
const KILLS: usize = 3;

/// A whole run.
#[derive(Clone, Debug)]
pub struct ProxyAwayStory {
    /// At each kill, commits that were sent and not acknowledged: at least so many.
    pub sent_unacknowledged: Vec<u64>,
    /// The load, as it was told.
    pub load: LoadReport,
    /// The ledgers, as they are.
    pub verdict: Verdict,
}

impl ProxyAwayStory {
    /// Checks all that must hold.
    ///
    /// # Panics
    /// Where something does not.
    pub fn assert_executed_once(&self) {
        assert_eq!(self.sent_unacknowledged.len(), KILLS, "{self:?}");
        assert!(self.sent_unacknowledged.iter().all(|sent| *sent > 0), "nothing was on its way: {self:?}");
        assert_executed_once(&self.load, &self.verdict);
    }
}

/// Runs a network under load whose executors are masters, and kills the proxy of one of them again and again. `program` becomes
/// the services.
///
/// # Errors
/// Where the kind of executor has no master, a step cannot be taken, or one does not come to its end.
pub async fn proxy_away(program: &Path, executor: ExecutorKind) -> anyhow::Result<ProxyAwayStory> {
    ensure!(executor.has_master(), "there is no master behind {executor}");
    let setting = Setting { executor, ..Setting::default() };
    let under_load = UnderLoad::start_as(program, setting, async |_| Ok(())).await?;
    under_load.goes_on().await?;

    let network = &under_load.network;
    let mut on_their_way = Vec::new();
    for _ in 0..KILLS {
        let (proxy, master) =
            (process(network, VICTIM, Role::Executor)?, process(network, VICTIM, Role::Master)?);
        master.signal(Signal::SIGSTOP);
        on_their_way.push(sent_unacknowledged(network, VICTIM).await?.1);
        proxy.kill().await?;
        master.signal(Signal::SIGCONT);
        proxy.start().await?;
        network.wait_until_serving().await?;
        under_load.goes_on().await?;
    }

    let (load, verdict) = under_load.end_load().await?.verdict().await?;
    Ok(ProxyAwayStory { sent_unacknowledged: on_their_way, load, verdict })
}
