//! What is opened and recovered before anything runs.

use std::sync::Arc;

use consensus_core::{Consensus, Effect, Round, Transaction, TransactionDigest, VerifiedBlock};
use metanode_shell::durable::WriteError;
use metanode_telemetry::{
    metrics::ConsensusMetrics,
    names::{TARGET_STARTUP, as_i64},
};
use tokio_util::sync::CancellationToken;

use super::NodeError;
use crate::{
    commit_log::{CommitFeed, CommitLog, FeedOptions, LogOptions},
    config::Config,
    driver::Clock,
    guard::Guard,
    metrics::observe_groups,
    submit::{CommittedWindow, Tracker},
};

/// The store, the guard, and the machine that was recovered from both.
pub(super) struct Storage {
    pub(super) log: Arc<CommitLog>,
    pub(super) feed: Arc<CommitFeed>,
    pub(super) guard: Guard,
    pub(super) core: Consensus,
    /// Effects of the recovery.
    pub(super) recovered: Vec<Effect>,
    /// Highest own round that is durable and guarded, so that peers may be given it.
    pub(super) own_round: Round,
    /// Knows the commits of the window of duplicates, and what own uncommitted blocks hold.
    pub(super) tracker: Arc<Tracker>,
}

impl Storage {
    /// Opens and recovers on a blocking thread.
    pub(super) async fn open(
        config: &Config,
        clock: Clock,
        metrics: Arc<ConsensusMetrics>,
    ) -> Result<Self, NodeError> {
        let config = config.clone();
        tokio::task::spawn_blocking(move || Self::open_blocking(&config, clock, metrics)).await?
    }

    fn open_blocking(
        config: &Config,
        clock: Clock,
        metrics: Arc<ConsensusMetrics>,
    ) -> Result<Self, NodeError> {
        let options = LogOptions { store: config.store.clone(), ..LogOptions::default() };
        let chain_id = config.genesis.chain_id();
        let log =
            CommitLog::open_observed(&config.store_path(), chain_id, &options, observe_groups(metrics))?;
        let parameters = config.genesis.parameters();
        let mut window = CommittedWindow::new(parameters);
        let mut stored = log.recover_with(config.own, parameters, None, |sub_dag| window.rebuild(sub_dag))?;
        window.acknowledged(log.acknowledged());
        let newest = stored.own_last.as_ref().map(|own| (own.block().epoch, own.round()));
        let (mut guard, held) = Guard::open(&config.guard_path(), newest)?;
        stored.guard = held;
        let (blocks, commits) = (stored.blocks.len(), stored.commits.len());
        let own_last = stored.own_last.clone();
        let own_round = own_last.as_ref().map_or(Round::GENESIS, VerifiedBlock::round);

        let signer = config.identity.signer.clone();
        let genesis = Arc::clone(&config.genesis);
        let (core, recovered) =
            Consensus::recover(genesis, config.params.clone(), signer, stored, clock.now())?;
        let own_last = own_last.map(|own| (own.block().epoch, own.round()));
        if let Some((epoch, round)) = own_last.filter(|own_last| held.is_none_or(|held| held < *own_last)) {
            // A crash may have come between the store and the guard: opening has synced the block, and from here on
            // peers can be given it.
            guard.raise(epoch, round)?;
        }
        let log = Arc::new(log);
        let feed = Arc::new(CommitFeed::new(Arc::clone(&log), FeedOptions::default())?);
        tracing::info!(
            target: TARGET_STARTUP,
            commit_index = as_i64(feed.last_index().get()),
            commit_digest = %feed.head().digest,
            earliest_index = as_i64(log.earliest_index().get()),
            acknowledged = as_i64(log.acknowledged().get()),
            own_round = as_i64(own_round.get()),
            guard_round = as_i64(held.map_or(0, |(_, round)| round.get())),
            commits,
            blocks,
            "[STARTUP] store recovered"
        );
        let tracker = Tracker::new(config.submit.max_waiting, window);
        tracker.accepted(taken_up(&core, &recovered), None);
        Ok(Self { log, feed, guard, core, recovered, own_round, tracker })
    }
}

/// What the machine held when it was recovered: its pool, and what the recovery itself committed, which is told later.
fn taken_up<'a>(
    core: &'a Consensus,
    recovered: &'a [Effect],
) -> impl Iterator<Item = TransactionDigest> + 'a {
    let own = core.own_index();
    let committed = recovered.iter().filter_map(|effect| match effect {
        Effect::Deliver(sub_dag) => Some(sub_dag),
        _ => None,
    });
    let own_blocks = committed.flat_map(|sub_dag| &sub_dag.blocks).filter(move |block| block.author() == own);
    core.pooled().chain(own_blocks.flat_map(|block| &block.block().transactions).map(Transaction::digest))
}

/// Ends with the first error of the storage thread, also while nothing is written.
pub(super) async fn watch(log: Arc<CommitLog>, shutdown: CancellationToken) -> Result<(), WriteError> {
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = log.failed() => Err(error),
    }
}
