//! An authority loses its store under load, and comes back by itself.
//!
//! Both of its processes are killed and its executor's ledger is wiped with its store, since an executor that is ahead stops
//! it. The signing guard is kept the first time and lost the second time: then only the others can tell it that it has signed.

use crate::{
    kill::{process, status},
    scrape::{scrape, value},
    under_load::{AUTHORITIES, UnderLoad, VICTIM, assert_executed_once},
    wait::until,
};
use anyhow::{Context, ensure};
use loadgen::LoadReport;
use localnet::{network::Network, process::Role, verify::Verdict};
use metanode_proto::{consensus::v1::NodeRole, genesis::GenesisParameters};
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::task::spawn_blocking;

const STORE: &str = "store";
const GUARD: &str = "signing.guard";

/// One loss and the return from it.
#[derive(Clone, Copy, Debug)]
pub struct Return {
    /// Whether the guard was lost too.
    pub guard_lost: bool,
    /// Highest own round before the loss, as it was told last.
    pub proposed_before: u64,
    /// Highest own round once it took part again.
    pub proposed_after: u64,
    /// Whether its status said that it does not remember what it signed.
    pub told: bool,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct WipeStory {
    /// In order.
    pub returns: Vec<Return>,
    /// Second blocks of a slot that each of the other authorities has seen.
    pub equivocations: Vec<u64>,
    /// The load, as it was told.
    pub load: LoadReport,
    /// The ledgers, as they are.
    pub verdict: Verdict,
}

impl WipeStory {
    /// Checks all that must hold.
    ///
    /// # Panics
    /// Where something does not.
    pub fn assert_came_back_and_signed_nothing_twice(&self) {
        let Self { returns, equivocations, load, verdict } = self;
        assert_eq!(returns.iter().map(|one| one.guard_lost).collect::<Vec<_>>(), [false, true]);
        for one in returns {
            assert!(one.told && one.proposed_after > one.proposed_before, "{one:?}");
        }
        assert_eq!(*equivocations, [0; AUTHORITIES as usize - 1]);
        assert_executed_once(load, verdict);
    }
}

/// Runs a network under load on all authorities but one, takes that one's store away twice, and waits for it each time.
/// `program` becomes the services.
///
/// # Errors
/// Where a step cannot be taken, or does not come to its end.
pub async fn wipe_under_load(program: &Path) -> anyhow::Result<WipeStory> {
    let under_load = UnderLoad::start(program, GenesisParameters::default(), Some(VICTIM)).await?;
    let mut returns = Vec::new();
    for guard_lost in [false, true] {
        under_load.goes_on().await?;
        returns.push(lose_and_return(&under_load.network, guard_lost).await?);
    }
    under_load.goes_on().await?;
    let settled = under_load.end_load().await?;
    let mut equivocations = Vec::new();
    let authorities = &settled.network.prepared().network.authorities;
    for entry in authorities.iter().filter(|entry| entry.index != VICTIM) {
        let text = scrape(&entry.consensus.metrics_address).await?;
        equivocations.push(value(&text, "metanode_consensus_equivocations_total")?);
    }
    let (load, verdict) = settled.verdict().await?;
    Ok(WipeStory { returns, equivocations, load, verdict })
}

async fn lose_and_return(network: &Network, guard_lost: bool) -> anyhow::Result<Return> {
    let (consensus, executor) =
        (process(network, VICTIM, Role::Consensus)?, process(network, VICTIM, Role::Executor)?);
    let proposed_before = status(network, VICTIM).await.context("it runs")?.proposed_round;
    ensure!(proposed_before > 0, "it has signed nothing");
    consensus.kill().await?;
    executor.kill().await?;
    let entry = network.prepared().network.authorities.get(VICTIM).context("there is this authority")?;
    let (data, ledger) = (entry.consensus.data_dir.clone(), entry.executor.data_dir.clone());
    spawn_blocking(move || wipe(&data, ledger, guard_lost)).await??;
    executor.start().await?;
    consensus.start().await?;

    let mut told = false;
    let proposed_after = until("it signs above all that it had signed", async || {
        let status = status(network, VICTIM).await?;
        if status.role() == NodeRole::Amnesiac {
            told |= !status.start_waits_for.is_empty();
        }
        let is_back = status.role() == NodeRole::Authority && status.proposed_round > proposed_before;
        is_back.then_some(status.proposed_round)
    })
    .await?;
    Ok(Return { guard_lost, proposed_before, proposed_after, told })
}

fn wipe(data: &Path, ledger: PathBuf, guard_lost: bool) -> io::Result<()> {
    std::fs::remove_dir_all(data.join(STORE))?;
    if guard_lost {
        std::fs::remove_file(data.join(GUARD))?;
    }
    std::fs::remove_dir_all(ledger)
}
