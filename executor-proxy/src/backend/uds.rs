//! Existing masters: the framed protocol over two sockets, blocks to one, queries to the other.
//!
//! This protocol has no acknowledgement, no digest and no lease, so the proxy does what it leaves open:
//! - A block is sent only when the one before it is reported (stop and wait), and a report is all that an acknowledgement
//!   rests on. It is provisional: results are unknown, and after any break only what the master then says counts.
//! - Digests by index, the lease and the highest acknowledged index are records of the proxy, durable before they are relied on. A
//!   master that stands where this proxy never sent it is not fed.
//! - One proxy feeds a master: a lock beside its socket. Both connections reach one process, and end together.
//! - A zero is taken for "nothing executed" only where it can be (X02); a fall is followed, with an alarm (X03).

mod address;
mod block;
mod committee;
mod cursor;
mod error;
mod executor;
mod frame;
#[cfg(feature = "testkit")]
pub(crate) mod fuzzing;
mod link;
mod lock;
mod query;
mod records;
mod worker;

pub use address::{Address, AddressError};
pub use block::{Layout, LayoutError};
pub use committee::Difference;
pub use error::LegacyError;
pub use executor::UdsExecutor;
pub use frame::FrameError;

use std::{path::PathBuf, sync::Arc, time::Duration};

use metanode_shell::backoff::Backoff;
use metanode_telemetry::{as_i64, names::TARGET_STARTUP};
use sequencer_core::{Authority, Digest, Incarnation, Position};
use tokio::sync::Mutex;

use super::{Backend, BackendError, Loaded, pauses::Pauses};
use crate::network::Network;
use cursor::Numbers;
use link::Link;
use lock::SocketLock;
use records::{CommitRecord, Records};
use worker::Worker;

/// Name of the records within the data folder.
pub const FOLDER: &str = "legacy";

/// Masters close what is idle for two minutes; a question in half a minute keeps far from that.
pub const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(30);

/// An existing master, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyMaster {
    /// Where it takes blocks.
    pub blocks: Address,
    /// Where it answers queries.
    pub queries: Address,
    /// Which message it reads as a block.
    pub layout: Layout,
    /// True where `is_ready` of its answers means something.
    pub reports_ready: bool,
    /// True where an operator lets it start anew from zero.
    pub accept_zero: bool,
}

/// Settings of the backend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The master.
    pub master: LegacyMaster,
    /// Folder of the records; made if absent.
    pub path: PathBuf,
    /// What the master must agree to.
    pub network: Network,
    /// The authority that this executor belongs to.
    pub authority: Authority,
    /// Most commits that are ever handed over and not answered: the bound of the queue.
    pub window_commits: usize,
    /// Time for an empty commit to be counted by a master that reports block numbers alone; below the time that the
    /// driver gives any commit.
    pub empty_limit: Duration,
    /// After so much silence the master is asked; after twice as much without a block its connections are renewed.
    pub keepalive: Duration,
}

/// An existing master that may or may not be there.
#[derive(Debug)]
pub struct UdsBackend {
    settings: Arc<Settings>,
    records: Option<Records>,
    lock: Option<SocketLock>,
    pauses: Pauses,
    committee_checked: bool,
    /// Held by whoever has a link.
    turn: Arc<Mutex<()>>,
}

impl UdsBackend {
    /// Nothing is opened or connected yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            records: None,
            lock: None,
            pauses: Pauses::default(),
            committee_checked: false,
            turn: Arc::default(),
        }
    }

    async fn attempt(&mut self) -> Result<(UdsExecutor, Loaded), LegacyError> {
        let records = self.records().await?;
        let settings = Arc::clone(&self.settings);
        let master = &settings.master;
        if self.lock.is_none() {
            self.lock = SocketLock::take(&master.blocks)?;
        }
        // Not before the connections of the last link are closed.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let mut link = Link::connect(&master.blocks, &master.queries).await?;
        let mut numbers = Numbers::new(master.reports_ready);
        let index = numbers.read(&link.last_block_number().await?)?;
        let last = self.last(&records, index).await?;
        let epoch = link.current_epoch().await?;
        self.check_committee(&mut link, epoch).await?;
        if epoch > 0 {
            check_boundary(&mut link, epoch, index).await?;
        }
        let root = link.state_root(index).await?;
        let lease = records.lease().await?;
        let incarnation = lease.map_or(Incarnation(0), |lease| lease.incarnation);
        let loaded = Loaded {
            executed: last,
            state_root: root.flatten(),
            authority: lease.map(|lease| lease.authority),
            incarnation,
            epoch,
        };
        let worker = Worker {
            link,
            numbers,
            reports_roots: root.is_some(),
            records: records.clone(),
            settings,
            last,
            incarnation,
            epoch,
            backoff: Backoff::new(),
            _turn: turn,
        };
        Ok((UdsExecutor::start(worker, records, self.settings.window_commits), loaded))
    }

    /// The digest where the master stands, by what this proxy sent; with an alarm where that is less than it had acknowledged.
    async fn last(&self, records: &Records, index: u64) -> Result<Position, LegacyError> {
        let master = &self.settings.master;
        let acknowledged = records.acknowledged().await?;
        let start = cursor::start(index, acknowledged, master.reports_ready || master.accept_zero)?;
        let known = match index {
            0 => Some(CommitRecord { digest: Digest::ZERO, state_root: None }),
            _ => records.commit(index).await?,
        };
        let Some(CommitRecord { digest, .. }) = known else {
            return Err(LegacyError::UnknownPosition { index, acknowledged });
        };
        if let Some(acknowledged) = start.rewound_from {
            tracing::error!(
                target: TARGET_STARTUP,
                block_number = as_i64(index),
                acknowledged_index = as_i64(acknowledged),
                "[STARTUP] the master has lost what it had reported, it is sent again"
            );
        }
        Ok(Position { index, digest })
    }

    /// Compares the validators of genesis, once. A master that answers from the present alone is compared in epoch 0, and not after.
    async fn check_committee(&mut self, link: &mut Link, epoch: u64) -> Result<(), LegacyError> {
        if self.committee_checked {
            return Ok(());
        }
        let validators = match link.genesis_validators().await {
            Err(LegacyError::Refused { .. }) if epoch == 0 => link.active_validators().await?,
            Err(LegacyError::Refused { text, .. }) => {
                tracing::warn!(
                    target: TARGET_STARTUP,
                    epoch = as_i64(epoch),
                    text,
                    "[STARTUP] the master does not tell its validators of block 0, they are not compared"
                );
                return Ok(());
            }
            answered => answered?,
        };
        committee::compare(&self.settings.network.committee, &validators)
            .map_err(LegacyError::OtherCommittee)?;
        self.committee_checked = true;
        Ok(())
    }

    async fn records(&mut self) -> Result<Records, LegacyError> {
        if let Some(records) = &self.records {
            return Ok(records.clone());
        }
        let Settings { path, network, authority, .. } = &*self.settings;
        let records = Records::open(path, network.chain_id, *authority).await?;
        Ok(self.records.insert(records).clone())
    }
}

/// The epoch in force began at a block that the master has, where it tells.
async fn check_boundary(link: &mut Link, epoch: u64, index: u64) -> Result<(), LegacyError> {
    const QUERY: &str = "GetEpochBoundaryData";
    let answer = match link.epoch_boundary(epoch).await {
        Err(LegacyError::Refused { .. }) => return Ok(()),
        answered => answered?,
    };
    let boundary = answer.boundary_gei.max(answer.boundary_block);
    let contradiction = |field, value, other_field, other| {
        Err(LegacyError::Contradiction { query: QUERY, field, value, other_field, other })
    };
    if answer.epoch != epoch {
        return contradiction("epoch", answer.epoch, "the current epoch", epoch);
    }
    if boundary > index {
        return contradiction("boundary_gei", boundary, "last_global_exec_index", index);
    }
    Ok(())
}

impl Backend for UdsBackend {
    type Executor = UdsExecutor;

    async fn load(&mut self) -> Result<(UdsExecutor, Loaded), BackendError> {
        self.pauses.before_load().await;
        loop {
            let (blocks, queries) = (&self.settings.master.blocks, &self.settings.master.queries);
            let (blocks, queries) = (blocks.to_string(), queries.to_string());
            match self.attempt().await {
                Ok(loaded) => {
                    self.pauses.loaded();
                    return Ok(loaded);
                }
                Err(error) if error.is_final() => return Err(error::backend(Arc::new(error))),
                Err(LegacyError::NotReady) => tracing::info!(
                    target: TARGET_STARTUP,
                    queries,
                    "[STARTUP] the master is not ready, its position is not known yet"
                ),
                Err(error) => tracing::warn!(
                    target: TARGET_STARTUP,
                    blocks,
                    queries,
                    error = &error as &dyn std::error::Error,
                    "[STARTUP] no answer of the master that can be used"
                ),
            }
            self.pauses.after_attempt().await;
        }
    }

    fn outlives(error: &BackendError) -> bool {
        match error {
            BackendError::Legacy(error) => !error.is_final(),
            BackendError::Told(_) | BackendError::Late { .. } => true,
            _ => false,
        }
    }
}
