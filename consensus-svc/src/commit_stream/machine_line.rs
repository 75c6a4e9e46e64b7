//! Between the bridge and the machine: where the executor stands, one way, and that it is wrong, the other.
//!
//! Bounded and never waited for. Only what the machine may vote for goes over it: each handshake, and acknowledgements at multiples of
//! `root_interval`. One that finds the line full is left out, which costs a vote and nothing else: later roots speak for earlier ones.

use consensus_core::{CommitIndex, RootContradiction, StateRoot};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::StopReason;

/// Words of the executor that wait for the machine.
const MAX_WAITING: usize = 64;

/// Where the executor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Last executed commit; none before the first.
    pub index: CommitIndex,
    /// State root after it, where the executor tells one.
    pub root: Option<StateRoot>,
}

/// The bridge's end.
#[derive(Debug)]
pub struct MachineLine {
    /// Cancelled when our own store is in doubt: this authority must not sign any more.
    pub(super) halt: CancellationToken,
    pub(super) roots: RootReporter,
    pub(super) verdict: ExecutorVerdict,
}

/// Tells the machine of roots. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct RootReporter {
    interval: u64,
    words: mpsc::Sender<Executed>,
}

/// Whether the machine has found the executor wrong.
#[derive(Clone, Debug)]
pub(super) struct ExecutorVerdict(watch::Receiver<Option<StopReason>>);

/// The machine's end.
#[derive(Debug)]
pub struct ExecutorLine {
    words: mpsc::Receiver<Executed>,
    verdict: watch::Sender<Option<StopReason>>,
}

impl MachineLine {
    /// Both ends. `interval` is that of the genesis.
    pub fn new(halt: CancellationToken, interval: u64) -> (Self, ExecutorLine) {
        let (sender, words) = mpsc::channel(MAX_WAITING);
        let (verdict, heard) = watch::channel(None);
        let roots = RootReporter { interval, words: sender };
        (Self { halt, roots, verdict: ExecutorVerdict(heard) }, ExecutorLine { words, verdict })
    }
}

impl RootReporter {
    /// The executor was asked.
    pub(super) fn position(&self, index: CommitIndex, root: Option<StateRoot>) {
        self.tell(Executed { index, root });
    }

    /// The executor has acknowledged a commit.
    pub(super) fn acknowledged(&self, index: CommitIndex, root: Option<StateRoot>) {
        if root.is_some() && index.get().is_multiple_of(self.interval) {
            self.tell(Executed { index, root });
        }
    }

    fn tell(&self, executed: Executed) {
        if self.words.try_send(executed).is_err() {
            tracing::debug!(
                commit_index = metanode_telemetry::names::as_i64(executed.index.get()),
                "the machine is busy, a state root is not voted for"
            );
        }
    }
}

impl ExecutorVerdict {
    /// Resolves when the executor is found wrong.
    pub(super) async fn wrong(&mut self) -> StopReason {
        loop {
            if let Some(reason) = self.0.borrow_and_update().clone() {
                return reason;
            }
            if self.0.changed().await.is_err() {
                // The machine is gone, and with it soon the bridge.
                return std::future::pending().await;
            }
        }
    }
}

impl ExecutorLine {
    /// The next word of the executor; `None` once the bridge is gone.
    pub async fn recv(&mut self) -> Option<Executed> {
        self.words.recv().await
    }

    /// Words that wait.
    pub fn waiting(&self) -> usize {
        self.words.len()
    }

    /// Ends delivery: a quorum contradicts the executor, and the evidence is durable.
    pub fn stop(&self, found: &RootContradiction) {
        self.verdict.send_replace(Some(StopReason::contradicted(found)));
    }
}
