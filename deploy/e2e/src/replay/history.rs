//! A long log without the time that it would take to grow: the machine of a lone authority, driven as fast as it goes, into the store
//! that its service then starts from.

use anyhow::{Context, ensure};
use bytes::Bytes;
use consensus_core::{
    Consensus, Effect, Epoch, Input, Params, Round, Ticket, Timestamp, Transaction, WriteBatch,
};
use consensus_svc::{
    commit_log::{CommitLog, LogOptions},
    config::Config,
    guard::Guard,
};
use metanode_shell::durable::Completion;
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Calls of the machine in a row that bring no commit, after which something is wrong with it.
const PATIENCE: u32 = 1_000;

/// Writes a store of `commits` commits, or a few more, of one of these transactions each; and raises the guard. Its service must never have run. Returns
/// the last index.
///
/// # Errors
/// Where the configuration cannot be used, or the store.
pub(super) async fn make(
    config: &Path,
    commits: u64,
    mut transactions: impl Iterator<Item = Bytes>,
) -> anyhow::Result<u64> {
    let config = Config::load(config)?;
    let genesis = &config.genesis;
    std::fs::create_dir_all(&config.data_dir)?;
    let options = LogOptions { store: config.store.clone(), ..LogOptions::default() };
    let log = CommitLog::open(&config.store_path(), genesis.chain_id(), &options)?;
    let empty = log.recover(config.own, genesis.parameters(), None)?;
    ensure!(empty.own_last.is_none(), "the store is not empty");
    let (mut guard, held) = Guard::open(&config.guard_path(), None)?;
    ensure!(held.is_none(), "the guard was raised before");
    // Time stands still, so nothing may wait for it.
    let params = Params { min_round_interval: Duration::ZERO, ..config.params.clone() };
    let now = Timestamp::default().plus(SystemTime::now().duration_since(UNIX_EPOCH)?);
    let (mut machine, effects) =
        Consensus::recover(genesis.clone(), params, config.identity.signer.clone(), empty, now)?;
    let mut writer = Writing { log, durable: None, signed: None, last: 0 };
    writer.carry_out(effects).await?;
    let mut fruitless = 0;
    while writer.last < commits {
        let before = writer.last;
        let transaction = transactions.next().context("there are transactions enough")?;
        let input =
            Input::Transactions { ticket: Ticket(0), transactions: vec![Transaction::new(transaction)] };
        writer.carry_out(machine.handle(now, input)).await?;
        while machine.next_deadline().is_some_and(|deadline| deadline <= now) {
            writer.carry_out(machine.handle(now, Input::Tick)).await?;
        }
        fruitless = if writer.last > before { 0 } else { fruitless + 1 };
        ensure!(fruitless < PATIENCE, "the machine makes no commits after {before}");
    }
    let Writing { log, durable, signed, last } = writer;
    if let Some(durable) = durable {
        durable.await?;
    }
    if let Some((epoch, round)) = signed {
        guard.raise(epoch, round)?;
    }
    log.close().await?;
    Ok(last)
}

struct Writing {
    log: CommitLog,
    /// Of the newest batch: those before it are durable first.
    durable: Option<Completion>,
    signed: Option<(Epoch, Round)>,
    last: u64,
}

impl Writing {
    async fn carry_out(&mut self, effects: Vec<Effect>) -> anyhow::Result<()> {
        for effect in effects {
            match effect {
                Effect::Persist(batch) => self.persist(batch).await?,
                // Nobody is sent anything before the end.
                Effect::Guard { epoch, round } => self.signed = Some((epoch, round)),
                Effect::Deliver(sub_dag) => self.last = sub_dag.commit.index.get(),
                _ => {}
            }
        }
        Ok(())
    }

    async fn persist(&mut self, batch: WriteBatch) -> anyhow::Result<()> {
        self.durable = Some(self.log.submit(batch).await?);
        Ok(())
    }
}
