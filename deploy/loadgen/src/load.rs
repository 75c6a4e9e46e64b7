//! Starting, watching and ending a load.

use crate::{
    Accounts, LaneSnapshot, LoadReport, Settled, Snapshot,
    chain::NonceReader,
    lane::{Lane, LaneSetup},
    schedule::Schedule,
};
use metanode_client::{CallError, SubmitClient};
use metanode_proto::genesis::GenesisFile;
use reference_ledger::{ChainId, MAX_MEMO_BYTES, MIN_TRANSFER_BYTES};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// What load to put on which authorities.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The chain that transfers are signed for.
    pub chain_id: ChainId,
    /// `http://host:port` of each authority's transaction service; at least one.
    pub endpoints: Vec<String>,
    /// Transactions a second over all authorities; at least 1. Default 1000.
    pub rate_per_s: u32,
    /// Size of each transaction in bytes, signature and all; 181 to 1 MiB. Default 512.
    pub tx_size_bytes: usize,
    /// How long to send; `None` until [`Load::stop_token`] is cancelled. Default 30 s.
    pub duration: Option<Duration>,
    /// How long to wait for what is open after the last one was sent. Default 30 s.
    pub drain_deadline: Duration,
    /// Genesis of the network: to compute from its commits what became of a transaction whose result the authority cannot tell.
    /// Without it such a transaction counts as lost. Default none.
    pub genesis: Option<Arc<GenesisFile>>,
    /// Told of each transaction at its end; slow reading slows the load. Default nobody.
    pub settled: Option<mpsc::Sender<Vec<Settled>>>,
}

impl LoadOptions {
    /// The defaults.
    pub fn new(chain_id: ChainId, endpoints: Vec<String>) -> Self {
        Self {
            chain_id,
            endpoints,
            rate_per_s: 1000,
            tx_size_bytes: 512,
            duration: Some(Duration::from_secs(30)),
            drain_deadline: Duration::from_secs(30),
            genesis: None,
            settled: None,
        }
    }

    /// How many accounts carry a rate when each transaction takes up to four seconds, at least 64.
    pub fn accounts_for(rate_per_s: u32) -> usize {
        usize::try_from(rate_per_s).unwrap_or(usize::MAX).saturating_mul(4).clamp(64, 100_000)
    }
}

/// The load cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No authority to send to.
    #[error("no endpoint to send to")]
    NoEndpoint,
    /// Fewer accounts than authorities.
    #[error("{accounts} accounts for {lanes} authorities: each needs at least one")]
    TooFewAccounts {
        /// Accounts.
        accounts: usize,
        /// Authorities.
        lanes: usize,
    },
    /// The size of a transaction is out of range.
    #[error("a signed transfer cannot have {size_bytes} bytes: {MIN_TRANSFER_BYTES} to {most}", most = MAX_TX_BYTES)]
    TransactionSize {
        /// Bytes asked for.
        size_bytes: usize,
    },
    /// An endpoint is not an address.
    #[error(transparent)]
    Endpoint(#[from] CallError),
}

const MAX_TX_BYTES: usize = MIN_TRANSFER_BYTES + MAX_MEMO_BYTES;

/// A load that runs. Dropping it aborts it.
#[derive(Debug)]
pub struct Load {
    lanes: JoinSet<LoadReport>,
    snapshots: watch::Receiver<Snapshot>,
    stop: CancellationToken,
    abandon: CancellationToken,
    start: Instant,
    duration: Option<Duration>,
    drain_deadline: Duration,
}

impl Load {
    /// Starts to send.
    ///
    /// # Errors
    /// [`LoadError`]; nothing was sent.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(options: LoadOptions, accounts: Accounts) -> Result<Self, LoadError> {
        let lanes = options.endpoints.len();
        if lanes == 0 {
            return Err(LoadError::NoEndpoint);
        }
        if accounts.len() < lanes {
            return Err(LoadError::TooFewAccounts { accounts: accounts.len(), lanes });
        }
        let memo_bytes = options
            .tx_size_bytes
            .checked_sub(MIN_TRANSFER_BYTES)
            .filter(|memo| *memo <= MAX_MEMO_BYTES)
            .ok_or(LoadError::TransactionSize { size_bytes: options.tx_size_bytes })?;
        let clients =
            options.endpoints.iter().map(|uri| SubmitClient::new(uri)).collect::<Result<Vec<_>, _>>()?;

        let (stop, abandon, start) = (CancellationToken::new(), CancellationToken::new(), Instant::now());
        let (snapshots, receiver) = watch::channel(Snapshot { lanes: vec![LaneSnapshot::default(); lanes] });
        let mut running = JoinSet::new();
        let lane_count = u32::try_from(lanes).unwrap_or(u32::MAX);
        let endpoints = options.endpoints.iter().zip(clients);
        for (((index, (uri, client)), senders), number) in
            endpoints.enumerate().zip(accounts.deal(lanes)).zip(0..)
        {
            let schedule = Schedule::new(options.rate_per_s, number, lane_count);
            let setup = LaneSetup {
                index,
                client,
                nonces: NonceReader::new(uri.clone(), options.genesis.clone()),
                chain_id: options.chain_id,
                memo_bytes,
                tx_size_bytes: options.tx_size_bytes,
                senders,
                schedule,
                start,
                duration: options.duration,
                stop: stop.clone(),
                abandon: abandon.clone(),
                snapshots: snapshots.clone(),
                settled: options.settled.clone(),
            };
            running.spawn(Lane::new(setup).run());
        }
        Ok(Self {
            lanes: running,
            snapshots: receiver,
            stop,
            abandon,
            start,
            duration: options.duration,
            drain_deadline: options.drain_deadline,
        })
    }

    /// The load so far, renewed every second.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Cancelled, it ends the sending.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Cancelled, it ends the waiting for what is open: it counts as lost. Cancel the sending first.
    pub fn abandon_token(&self) -> CancellationToken {
        self.abandon.clone()
    }

    /// Waits for the duration or the stop, then until everything sent is settled or the drain deadline has passed.
    pub async fn finish(mut self) -> LoadReport {
        let mut report = LoadReport::default();
        let sending = async {
            match self.duration {
                Some(duration) => tokio::time::sleep_until(self.start + duration).await,
                None => std::future::pending().await,
            }
        };
        // Ends early only if told to.
        self.stop.run_until_cancelled(sending).await;
        let deadline = tokio::time::sleep(self.drain_deadline);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = self.lanes.join_next() => match ended {
                    Some(Ok(lane)) => report.add(&lane),
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                    None => return report,
                },
                () = &mut deadline, if !self.abandon.is_cancelled() => self.abandon.cancel(),
            }
        }
    }
}
