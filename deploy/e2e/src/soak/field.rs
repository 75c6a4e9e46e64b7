//! The network of a soak under load, and the end of both.

use anyhow::Context;
use loadgen::{Load, LoadOptions, LoadReport};
use localnet::{
    executor::ExecutorKind,
    files::Files,
    go_master,
    network::{Network, NetworkOptions},
    prepare::{NewNetwork, prepare},
    settled::SettledWriter,
    verify::{Verdict, verify},
};
use metanode_proto::genesis::GenesisParameters;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{task::spawn_blocking, time::timeout};

/// How long what is open may take after the last transaction was sent.
const DRAIN_DEADLINE: Duration = Duration::from_secs(60);
/// How long executors may take to come to one index after that.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
/// How long services have to end by themselves.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) program: PathBuf,
    pub(crate) authorities: u16,
    pub(crate) executor: ExecutorKind,
    pub(crate) rate_per_s: u32,
}

/// A network that executes transactions. Its folder goes with it, unless it is kept.
pub(crate) struct Field {
    folder: TempDir,
    pub(crate) network: Network,
    pub(crate) load: Load,
    writer: SettledWriter,
}

impl Field {
    pub(crate) async fn start(setup: &Setup, tell: &mut impl FnMut(&str)) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("metanode-soak-").tempdir()?;
        let accounts = LoadOptions::accounts_for(setup.rate_per_s);
        let new = NewNetwork {
            authorities: Some(setup.authorities),
            executor: Some(setup.executor),
            accounts,
            parameters: GenesisParameters::default(),
        };
        let prepared = prepare(Files::new(folder.path()), new)?;
        if setup.executor.has_master() {
            go_master::build(&prepared.files.go_master(), &mut *tell).await?;
        }
        let accounts = prepared.accounts();
        let options = NetworkOptions {
            // As whoever supervises them would; that one ends by itself is told all the same.
            restart: true,
            // They count what they drop in their logs alone.
            master_arguments: vec!["--log-level".into(), "debug".into()],
            ..NetworkOptions::new(setup.program.clone())
        };
        let network = Network::start(prepared, options).await?;
        let (settled, writer) = SettledWriter::start(network.prepared().files.settled())?;
        let options = LoadOptions {
            rate_per_s: setup.rate_per_s,
            duration: None,
            drain_deadline: DRAIN_DEADLINE,
            genesis: Some(Arc::new(network.prepared().genesis.clone())),
            settled: Some(settled),
            ..LoadOptions::new(network.prepared().chain_id, network.endpoints())
        };
        let load = Load::start(options, accounts)?;
        Ok(Self { folder, network, load, writer })
    }

    /// Ends the load; waits until all executors have come to one index, for a time: where one does not, the verdict says so.
    pub(crate) async fn end_load(self) -> anyhow::Result<Settled> {
        let Self { folder, network, load, writer } = self;
        load.stop_token().cancel();
        let load = load.finish().await;
        writer.finish().await?;
        let index = network.newest_index().await;
        let _ = timeout(SETTLE_DEADLINE, network.settle(index)).await;
        Ok(Settled { folder, network, load, index })
    }
}

/// A network whose load has ended.
pub(crate) struct Settled {
    folder: TempDir,
    pub(crate) network: Network,
    pub(crate) load: LoadReport,
    index: u64,
}

impl Settled {
    /// Stops the network, and reads its ledgers. Gives the folder back with what they say.
    pub(crate) async fn verdict(self) -> anyhow::Result<(Verdict, TempDir)> {
        let Self { folder, network, index, .. } = self;
        network.stop(STOP_DEADLINE).await?;
        let ledgers = network.prepared().ledgers();
        let settled = network.prepared().files.settled();
        let verdict = spawn_blocking(move || verify(&ledgers, 0, index, &settled)).await??;
        Ok((verdict, folder))
    }
}

/// How often the masters' logs say that they dropped what they had executed before.
pub(crate) fn dropped_by_masters(network: &Network) -> anyhow::Result<u64> {
    let masters = network.prepared().network.authorities.iter().filter_map(|entry| entry.master.as_ref());
    masters.map(|master| dropped_in(&master.log)).sum()
}

fn dropped_in(log: &Path) -> anyhow::Result<u64> {
    let file = std::fs::File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
    let mut dropped = 0;
    for line in std::io::BufRead::lines(std::io::BufReader::new(file)) {
        let line = line?;
        dropped +=
            u64::from(line.contains("duplicate dropped") || line.contains("at or below the last dropped"));
    }
    Ok(dropped)
}
