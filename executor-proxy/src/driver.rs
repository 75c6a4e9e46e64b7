//! The one task that owns the sequencer and the executor.
//!
//! It loads the executor, then takes in turn: executions that became durable, requests, and commits of the open stream. An
//! executor that is lost and can be loaded again ends the stream and nothing else; until it is loaded, nobody is answered as if
//! anything were known.
//! A commit is read from its stream only when there is room for its acknowledgement, so a client that does not read
//! holds up its own stream and nothing else. The window of the sequencer bounds what is taken and not yet durable.

mod in_flight;
mod judge;
mod stream;

use std::time::Duration;

use metanode_telemetry::{as_i64, metrics::ExecutorMetrics, names::TARGET_STARTUP};
use sequencer_core::{
    Digest, ExecutedOutOfOrder, Opening, Params, ParamsError, Position, Recovered, Refusal, Sequencer,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    backend::{Backend, BackendError, EpochStart, Executed, Executor, Loaded},
    error,
    network::Network,
    wire,
};
use in_flight::{InFlight, Taken, bounded};
use stream::Stream;
pub use stream::{Inbound, Outbound};

/// Where the executor stands, as reads are answered. One value, so its fields belong to one durable state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// False until the executor has loaded its state: the rest then means nothing.
    pub ready: bool,
    /// Last commit executed, durably.
    pub executed: Position,
    /// State root after it; `None` where the executor keeps none.
    pub state_root: Option<Digest>,
    /// The epoch in force.
    pub epoch: u64,
}

impl Standing {
    /// Before the state is loaded.
    pub const LOADING: Self = Self { ready: false, executed: Position::GENESIS, state_root: None, epoch: 0 };
}

/// What the server asks of the driver.
#[derive(Debug)]
pub enum Request {
    /// Open a stream; answered on it.
    Open {
        /// What its first message says.
        opening: Opening,
        /// Commits that come after it.
        inbound: mpsc::Receiver<Inbound>,
        /// Where answers go.
        outbound: Outbound,
    },
    /// Advance to the next epoch; answered with the epoch in force.
    AdvanceEpoch {
        /// The boundary, and what begins there.
        start: EpochStart,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<u64, Status>>,
    },
}

/// Why the driver ended other than on request. The service stops.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The executor failed.
    #[error("the executor failed")]
    Executor(#[from] BackendError),
    /// The bounds of the window are wrong; the configuration is checked for them before.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The executor answered out of order, which is a bug.
    #[error(transparent)]
    Order(#[from] ExecutedOutOfOrder),
}

/// What the driver is given.
#[derive(Debug)]
pub struct Settings {
    /// The network.
    pub network: Network,
    /// The authority that the executor belongs to.
    pub authority: sequencer_core::Authority,
    /// Bounds of what is in flight.
    pub params: Params,
    /// Requests of the server.
    pub requests: mpsc::Receiver<Request>,
    /// Where reads look.
    pub standing: watch::Sender<Standing>,
    /// Instruments.
    pub metrics: ExecutorMetrics,
    /// Time that the executor has for the oldest commit in flight, and for any other request.
    pub execute_timeout: Duration,
    /// Ends the driver.
    pub shutdown: CancellationToken,
}

/// Loads the executor and serves it until shutdown, then executes and acknowledges what was taken.
///
/// # Errors
/// [`DriverError`].
pub async fn run<B: Backend>(mut settings: Settings, mut backend: B) -> Result<(), DriverError> {
    let shutdown = settings.shutdown.clone();
    loop {
        let (executor, loaded) = tokio::select! {
            biased;
            loaded = backend.load() => loaded?,
            () = shutdown.cancelled() => return Ok(()),
            () = refuse(&mut settings.requests) => return Ok(()),
        };
        let mut driver = Driver::new(settings, executor, loaded)?;
        match driver.serve(&shutdown).await {
            Err(DriverError::Executor(error)) if B::outlives(&error) => settings = driver.lost(error),
            outcome => return driver.end(outcome, B::outlives).await,
        }
    }
}

/// Answers what comes while the executor is loaded; ends when the server is gone.
async fn refuse(requests: &mut mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        // Whoever asked may have gone.
        match request {
            Request::Open { outbound, .. } => drop(outbound.try_send(Err(error::not_ready()))),
            Request::AdvanceEpoch { answer, .. } => drop(answer.send(Err(error::not_ready()))),
        }
    }
}

struct Driver<E> {
    settings: Settings,
    executor: E,
    sequencer: Sequencer,
    stream: Option<Stream>,
    in_flight: InFlight,
    /// True while the executor is asked for the answer to a commit that came again: no more are read, since these are not in the
    /// window that bounds the others.
    asks_again: bool,
}

impl<E: Executor> Driver<E> {
    fn new(settings: Settings, executor: E, loaded: Loaded) -> Result<Self, DriverError> {
        let recovered = Recovered {
            chain_id: settings.network.chain_id,
            authority: Some(settings.authority),
            incarnation: loaded.incarnation,
            epoch: loaded.epoch,
            executed: loaded.executed,
        };
        let sequencer = Sequencer::recover(&settings.params, recovered)?;
        let Loaded { executed, state_root, epoch, .. } = loaded;
        settings.standing.send_replace(Standing { ready: true, executed, state_root, epoch });
        settings.metrics.executed_index.set(executed.index);
        tracing::info!(
            target: TARGET_STARTUP,
            block_number = as_i64(executed.index),
            commit_digest = %executed.digest,
            state_root = state_root.map(|root| root.to_string()),
            epoch = as_i64(epoch),
            incarnation = as_i64(loaded.incarnation.0),
            "[STARTUP] executor position loaded"
        );
        let in_flight = InFlight::new(settings.execute_timeout);
        Ok(Self { settings, executor, sequencer, stream: None, in_flight, asks_again: false })
    }

    async fn serve(&mut self, shutdown: &CancellationToken) -> Result<(), DriverError> {
        loop {
            let reads = self.stream.as_ref().is_some_and(Stream::reads) && !self.asks_again;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(outcome) = self.in_flight.next() => {
                    self.executed(outcome?)?;
                    self.retry_parked().await?;
                }
                Some(request) = self.settings.requests.recv() => self.request(request).await?,
                inbound = stream::next(&mut self.stream), if reads => self.inbound(inbound).await?,
                error = self.executor.lost() => return Err(error.into()),
            }
        }
    }

    /// Ends: what was taken is executed and acknowledged, the stream is told why, the storage is let go. What can be
    /// loaded again is no failure of this process at its end: the next one loads it.
    async fn end(
        mut self,
        outcome: Result<(), DriverError>,
        outlives: fn(&BackendError) -> bool,
    ) -> Result<(), DriverError> {
        let outcome = match outcome {
            Ok(()) => self.finish_in_flight().await,
            failed => failed,
        };
        let outcome = match outcome {
            Err(DriverError::Executor(error)) if outlives(&error) => {
                drop(self.lost(error));
                return Ok(());
            }
            outcome => outcome,
        };
        self.settings.standing.send_modify(|standing| standing.ready = false);
        let last_word = if outcome.is_ok() { error::draining() } else { error::storage_failed() };
        self.end_stream(last_word);
        match outcome {
            Ok(()) => Ok(self.executor.close().await?),
            failed => failed,
        }
    }

    /// Forgets the executor: nothing in flight is acknowledged, and the stream is told what the executor said, or that nothing
    /// is known.
    fn lost(mut self, error: BackendError) -> Settings {
        self.settings.standing.send_modify(|standing| standing.ready = false);
        tracing::error!(
            target: TARGET_STARTUP,
            error = &error as &dyn std::error::Error,
            in_flight = as_i64(self.sequencer.in_flight()),
            "[SEQUENTIAL-BUFFER] executor lost, it is asked again where it stands"
        );
        self.end_stream(last_word(&error));
        self.settings
    }

    async fn request(&mut self, request: Request) -> Result<(), DriverError> {
        match request {
            Request::Open { opening, inbound, outbound } => self.open(opening, inbound, outbound).await,
            Request::AdvanceEpoch { start, answer } => {
                let (epoch, outcome) = match self.advance_epoch(start).await {
                    Ok(epoch) => (epoch, Ok(())),
                    Err(DriverError::Executor(error)) => (Err(last_word(&error)), Err(error.into())),
                    Err(error) => (Err(error::not_ready()), Err(error)),
                };
                // Whoever asked may have gone.
                let _ = answer.send(epoch);
                outcome
            }
        }
    }

    /// A commit is durable: the cursor moves, reads see it, then it is acknowledged.
    fn executed(&mut self, (executed, commit): (Executed, Taken)) -> Result<(), DriverError> {
        if commit.again {
            self.asks_again = false;
            commit.acknowledgement.send(Ok(wire::acknowledgement(executed, true)));
            return Ok(());
        }
        self.sequencer.executed_one(executed.position)?;
        self.settings.standing.send_modify(|standing| {
            standing.executed = executed.position;
            standing.state_root = executed.state_root;
        });
        let rejected = u64::try_from(executed.rejected.len()).unwrap_or(u64::MAX);
        self.settings.metrics.executed_index.set(executed.position.index);
        self.settings.metrics.commits_executed.increment();
        self.settings.metrics.transactions_rejected.add(rejected);
        self.settings.metrics.transactions_executed.add(commit.transactions.saturating_sub(rejected));
        self.settings.metrics.execution_duration.record(commit.since.elapsed());
        tracing::debug!(
            commit_index = as_i64(executed.position.index),
            rejected = as_i64(rejected),
            "commit executed"
        );
        commit.acknowledgement.send(Ok(wire::acknowledgement(executed, false)));
        Ok(())
    }

    async fn finish_in_flight(&mut self) -> Result<(), DriverError> {
        while let Some(outcome) = self.in_flight.next().await {
            self.executed(outcome?)?;
        }
        Ok(())
    }

    async fn retry_parked(&mut self) -> Result<(), DriverError> {
        match self.stream.as_mut().and_then(Stream::unpark) {
            Some(commit) => self.commit(commit).await,
            None => Ok(()),
        }
    }

    /// What the store knows of an executed commit that the sequencer has no digest of.
    async fn stored(&mut self, index: u64) -> Result<Option<Executed>, DriverError> {
        if !self.sequencer.needs_stored(index) {
            return Ok(None);
        }
        Ok(bounded(self.settings.execute_timeout, self.executor.executed(index)).await?)
    }

    fn end_stream(&mut self, last_word: Status) {
        if let Some(stream) = self.stream.take() {
            self.sequencer.close(stream.id());
            stream.end(last_word);
        }
    }

    /// The client sends no more. What it sent is still acknowledged.
    fn close_stream(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.sequencer.close(stream.id());
            tracing::info!(target: TARGET_STARTUP, "[EXECUTOR-REQ] stream closed by consensus");
        }
    }

    fn note_refusal(&self, refusal: &Refusal) {
        let text = refusal.to_string();
        match refusal {
            Refusal::Gap { expected, index } => {
                self.settings.metrics.gaps.increment();
                let (expected_index, commit_index) = (as_i64(*expected), as_i64(*index));
                tracing::warn!(target: TARGET_STARTUP, expected_index, commit_index, "[SEQUENTIAL-BUFFER] gap");
            }
            Refusal::Fork { index, ours, theirs } => tracing::error!(
                target: TARGET_STARTUP,
                commit_index = as_i64(*index),
                %ours,
                %theirs,
                "[SEQUENTIAL-BUFFER] fork"
            ),
            Refusal::Fenced { incarnation } => {
                self.settings.metrics.fences.increment();
                let incarnation = as_i64(incarnation.0);
                tracing::warn!(target: TARGET_STARTUP, incarnation, "[SEQUENTIAL-BUFFER] older sender fenced");
            }
            _ => tracing::error!(target: TARGET_STARTUP, refusal = text, "[SEQUENTIAL-BUFFER] refused"),
        }
    }
}

/// What an executor that is lost said, or that nothing is known.
fn last_word(error: &BackendError) -> Status {
    match error {
        BackendError::Told(status) => Status::clone(status),
        _ => error::not_ready(),
    }
}
