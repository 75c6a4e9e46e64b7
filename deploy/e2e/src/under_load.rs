//! A network of four under load, and what it has done when the load has ended.

use crate::wait::until;
use loadgen::{Load, LoadOptions, LoadReport};
use localnet::{
    executor::ExecutorKind,
    files::Files,
    go_master,
    network::{Network, NetworkOptions},
    prepare::{NewNetwork, Prepared, prepare},
    settled::SettledWriter,
    verify::{Verdict, verify},
};
use metanode_proto::genesis::GenesisParameters;
use std::{path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// Authorities of every network here; four stand one fault.
pub(crate) const AUTHORITIES: u16 = 4;
/// The authority that something happens to, where it does not happen to all.
pub(crate) const VICTIM: usize = 2;

const RATE_PER_S: u32 = 200;
/// Transactions executed before something happens, and again after it.
const ENOUGH: u64 = 100;
const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

/// What a network is made with.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    /// Limits and intervals of the genesis.
    pub(crate) parameters: GenesisParameters,
    /// The authority that is given no load.
    pub(crate) but: Option<usize>,
    /// What stands behind the proxies. Masters in Go are built, which needs Go.
    pub(crate) executor: ExecutorKind,
}

/// A network that executes transactions.
pub(crate) struct UnderLoad {
    folder: TempDir,
    pub(crate) network: Network,
    load: Load,
    writer: SettledWriter,
}

impl UnderLoad {
    /// Starts it in a temporary folder; `program` becomes the services. The load is given to all authorities `but` one: what a client
    /// has given to an authority alone may be lost with it.
    ///
    /// # Errors
    /// Where a service does not start.
    pub(crate) async fn start(
        program: &Path,
        parameters: GenesisParameters,
        but: Option<usize>,
    ) -> anyhow::Result<Self> {
        let setting = Setting { parameters, but, executor: ExecutorKind::Embedded };
        Self::start_as(program, setting, async |_| Ok(())).await
    }

    /// As [`Self::start`], with files that `edit` has changed before the first process reads them.
    ///
    /// # Errors
    /// Those of `edit`, and where a service does not start.
    pub(crate) async fn start_as(
        program: &Path,
        setting: Setting,
        edit: impl AsyncFnOnce(&Prepared) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let accounts = LoadOptions::accounts_for(RATE_PER_S);
        let Setting { parameters, but, executor } = setting;
        let new =
            NewNetwork { authorities: Some(AUTHORITIES), executor: Some(executor), accounts, parameters };
        let prepared = prepare(Files::new(folder.path()), new)?;
        if executor.has_master() {
            go_master::build(&prepared.files.go_master(), |_| ()).await?;
        }
        edit(&prepared).await?;
        let accounts = prepared.accounts();
        let network = Network::start(prepared, NetworkOptions::new(program.to_owned())).await?;
        let (settled, writer) = SettledWriter::start(network.prepared().files.settled())?;
        let mut endpoints = network.endpoints();
        if let Some(but) = but {
            endpoints.remove(but);
        }
        let options = LoadOptions {
            rate_per_s: RATE_PER_S,
            duration: None,
            drain_deadline: DRAIN_DEADLINE,
            genesis: Some(Arc::new(network.prepared().genesis.clone())),
            settled: Some(settled),
            ..LoadOptions::new(network.prepared().chain_id, endpoints)
        };
        let load = Load::start(options, accounts)?;
        Ok(Self { folder, network, load, writer })
    }

    /// Waits until enough transactions more are executed.
    ///
    /// # Errors
    /// Where that takes too long.
    pub(crate) async fn goes_on(&self) -> anyhow::Result<()> {
        let mut snapshots = self.load.snapshots();
        let count = snapshots.borrow().total(|lane| lane.executed) + ENOUGH;
        until(&format!("{count} transactions executed"), async || {
            let executed = snapshots.borrow_and_update().total(|lane| lane.executed);
            (executed >= count).then_some(())
        })
        .await
    }

    /// Ends the load, and waits until all executors have come to one index.
    ///
    /// # Errors
    /// Where what was told cannot be kept, or an executor stays behind.
    pub(crate) async fn end_load(self) -> anyhow::Result<Settled> {
        let Self { folder, network, load, writer } = self;
        load.stop_token().cancel();
        let load = load.finish().await;
        writer.finish().await?;
        let index = network.newest_index().await;
        until("all executors have come along", async || {
            network.settle(index).await;
            Some(())
        })
        .await?;
        Ok(Settled { _folder: folder, network, load, index })
    }
}

/// A network whose load has ended. It still makes commits.
pub(crate) struct Settled {
    _folder: TempDir,
    pub(crate) network: Network,
    load: LoadReport,
    index: u64,
}

impl Settled {
    /// Stops the network, and reads its ledgers.
    ///
    /// # Errors
    /// Where a ledger cannot be read.
    pub(crate) async fn verdict(self) -> anyhow::Result<(LoadReport, Verdict)> {
        let Self { _folder, network, load, index } = self;
        network.stop(Duration::from_secs(20)).await?;
        let ledgers = network.prepared().ledgers();
        let settled = network.prepared().files.settled();
        let verdict = spawn_blocking(move || verify(&ledgers, 0, index, &settled)).await??;
        Ok((load, verdict))
    }
}

/// Checks that nothing was lost or executed twice, and that all ledgers are equal and came along.
///
/// # Panics
/// Where that does not hold.
pub(crate) fn assert_executed_once(load: &LoadReport, verdict: &Verdict) {
    let tally = verdict.tally;
    assert_eq!((tally.lost, tally.duplicates), (0, 0), "{verdict:?}");
    assert!(verdict.equal, "{verdict:?}");
    assert_eq!(verdict.behind(), Vec::<usize>::new(), "{verdict:?}");
    assert!(verdict.holes.iter().all(Option::is_none), "{verdict:?}");
    assert!(tally.executed > 0);
    assert_eq!((load.executed, load.lost), (tally.executed, 0), "{load:?} {tally:?}");
}
