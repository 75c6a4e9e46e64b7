//! An authority is away for longer than its peers keep blocks in their DAG, and asks for certified commits when it is back.
//!
//! The genesis keeps blocks for few rounds only. The authority is killed under load, its executor lives on; it is started again when
//! the others have collected every round that it has seen, several times over.
//!
//! Until logs are pruned the others still stream all their own blocks. Those are judged on all cores and a range on one, so they
//! may be faster than the ranges that are asked for: that ranges alone suffice is shown by the simulator, whose nodes forget.

use crate::{
    kill::{process, status},
    scrape::{scrape, value},
    under_load::{UnderLoad, VICTIM, assert_executed_once},
    wait::until,
};
use anyhow::{Context, ensure};
use loadgen::LoadReport;
use localnet::{process::Role, verify::Verdict};
use metanode_proto::genesis::GenesisParameters;
use std::path::Path;

/// Rounds that blocks are kept for.
const GC_DEPTH: u64 = 20;
/// Rounds that the authority is away for: blocks of most of them are collected everywhere.
const AWAY_ROUNDS: u64 = 4 * GC_DEPTH;

/// A whole run.
#[derive(Clone, Debug)]
pub struct CatchUpStory {
    /// Newest commit of the authority when it went.
    pub commit_before: u64,
    /// Its round then, and the round of the last leader that the others had committed when it came back.
    pub rounds: (u64, u64),
    /// Catch-ups that it has begun since.
    pub catch_ups: u64,
    /// Ranges of certified commits that it took over, where they came before the blocks of the streams.
    pub ranges: u64,
    /// Newest commit of the others when it came back.
    pub commit_after: u64,
    /// Commits that its executor has executed over its life, and its last block number.
    pub executed: (u64, u64),
    /// Commits that its executor was sent a second time.
    pub duplicates: u64,
    /// The load, as it was told.
    pub load: LoadReport,
    /// The ledgers, as they are.
    pub verdict: Verdict,
}

impl CatchUpStory {
    /// Checks all that must hold.
    ///
    /// # Panics
    /// Where something does not.
    pub fn assert_caught_up_and_executed_once(&self) {
        let (before, after) = self.rounds;
        assert!(after > before + AWAY_ROUNDS, "away for too short a time: {self:?}");
        assert!(self.commit_after > self.commit_before, "{self:?}");
        assert!(self.catch_ups > 0, "it never asked for certified commits: {self:?}");
        let (executed, last) = self.executed;
        assert!(executed == last && last > self.commit_after, "each commit once, in order: {self:?}");
        assert_eq!(self.duplicates, 0, "{self:?}");
        assert_executed_once(&self.load, &self.verdict);
    }
}

/// Runs a network under load on all authorities but one, keeps that one away, and waits until it is back. `program` becomes
/// the services.
///
/// # Errors
/// Where a step cannot be taken, or does not come to its end.
pub async fn away_under_load(program: &Path) -> anyhow::Result<CatchUpStory> {
    let parameters = GenesisParameters {
        gc_depth: GC_DEPTH,
        heartbeat_rounds: GC_DEPTH / 2,
        ..GenesisParameters::default()
    };
    let under_load = UnderLoad::start(program, parameters, Some(VICTIM)).await?;
    under_load.goes_on().await?;

    let network = &under_load.network;
    let consensus = process(network, VICTIM, Role::Consensus)?;
    let gone = status(network, VICTIM).await.context("it runs")?;
    ensure!(gone.commit_index > 0, "it has no commit");
    consensus.kill().await?;
    let round = until("the others have collected what it had", async || {
        let round = status(network, 0).await?.last_committed_round;
        (round > gone.round + AWAY_ROUNDS).then_some(round)
    })
    .await?;
    let commit_after = network.newest_index().await;
    consensus.start().await?;
    until("it has come along", async || {
        let status = status(network, VICTIM).await?;
        (!status.catching_up && status.executed_index > commit_after).then_some(())
    })
    .await?;

    under_load.goes_on().await?;
    let settled = under_load.end_load().await?;
    let authorities = &settled.network.prepared().network.authorities;
    let entry = authorities.get(VICTIM).context("there is this authority")?;
    let consensus = scrape(&entry.consensus.metrics_address).await?;
    // The network still makes commits: what the executor says of itself must be of one moment.
    let executor = scrape(&entry.executor.metrics_address).await?;
    let (load, verdict) = settled.verdict().await?;
    Ok(CatchUpStory {
        commit_before: gone.commit_index,
        rounds: (gone.round, round),
        catch_ups: value(&consensus, "metanode_consensus_catch_up_begun_total")?,
        ranges: value(&consensus, "metanode_consensus_catch_up_ranges_total")?,
        commit_after,
        executed: (
            value(&executor, "metanode_executor_commits_executed_total")?,
            value(&executor, "metanode_executor_executed_index")?,
        ),
        duplicates: value(&executor, "metanode_executor_commits_duplicates_total")?,
        load,
        verdict,
    })
}
