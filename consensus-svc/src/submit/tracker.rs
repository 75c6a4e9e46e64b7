//! What became of transactions, and who waits to hear it.
//!
//! The tracker hears of acceptances, drops and commits from the driver, in the order of its effects, and of executions from the
//! bridge. What it knows of a transaction without anybody waiting is in [`super::known`]; who waits, for a batch or as a
//! watcher, is in [`waiters`]. A wait ends when its [`Registration`] or [`Watch`] is dropped, answered or not (T05). So its
//! memory is bounded by the number of transactions that are waited for, which has a limit, and by the window of duplicates.
//!
//! A wait that nothing can answer any more is not left open: [`Tracker::end`] answers those that are there, and refuses
//! those that come later.

mod waiters;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus_core::{CommitIndex, CommittedSubDag, DropReason, StateRoot, TransactionDigest};
use metanode_proto::executor::v1::Acknowledgement;
use tokio::sync::{mpsc, oneshot};

use self::waiters::Waiters;
use super::{
    Fate, Stage,
    known::{CommittedWindow, Known},
};

/// More transactions are waited for than the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} transactions are waited for, at most {limit} can be")]
pub struct TrackerFull {
    /// Waited for now.
    pub waiting: usize,
    /// Most that can be.
    pub limit: usize,
}

/// Why waits end unanswered, until an operator has mended the cause and restarted the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum WaitsEnded {
    /// No acknowledgement will come: waits for [`Stage::Executed`], and watches, end.
    #[error("delivery to the executor has stopped; the status of this node says why")]
    DeliveryStopped,
    /// This authority proposes nothing more: all waits end.
    #[error("this authority has stopped proposing; its status says why")]
    NotProposing,
}

/// Why a batch cannot be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// There is no room now.
    #[error(transparent)]
    Full(#[from] TrackerFull),
    /// Such a wait would never be answered.
    #[error(transparent)]
    Ended(#[from] WaitsEnded),
}

/// Names a batch that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId(u64);

/// What became of transactions, and who waits to hear it. Shared as `Arc`.
#[derive(Debug)]
pub struct Tracker {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug)]
struct State {
    known: Known,
    waiters: Waiters,
    /// The graver of the reasons that there are.
    ended: Option<WaitsEnded>,
}

/// A batch that is waited for. Dropping it ends the wait.
#[derive(Debug)]
pub struct Registration {
    waiter: WaiterGuard,
    done: oneshot::Receiver<Result<Vec<Fate>, WaitsEnded>>,
}

/// A transaction that is watched. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    _waiter: Option<WaiterGuard>,
    told: mpsc::Receiver<Result<Fate, WaitsEnded>>,
}

/// Forgets a waiter when it is dropped.
#[derive(Debug)]
struct WaiterGuard {
    tracker: Arc<Tracker>,
    number: u64,
}

impl Tracker {
    /// Waits for at most `limit` transactions of batches at a time; `window` is what the log holds.
    pub fn new(limit: usize, window: CommittedWindow) -> Arc<Self> {
        let state = State { known: Known::new(window), waiters: Waiters::default(), ended: None };
        Arc::new(Self { state: Mutex::new(state), limit })
    }

    /// Begins to wait for a batch. Call it before the batch can be committed.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(
        self: &Arc<Self>,
        digests: Vec<TransactionDigest>,
        stage: Stage,
    ) -> Result<Registration, RegisterError> {
        let mut state = self.state();
        if let Some(ended) = state.ended.filter(|ended| ended.concerns(stage)) {
            return Err(ended.into());
        }
        let waiting = state.waiters.batched();
        if waiting.saturating_add(digests.len()) > self.limit {
            return Err(TrackerFull { waiting, limit: self.limit }.into());
        }
        let (sender, done) = oneshot::channel();
        let number = state.waiters.add_batch(digests, stage, sender);
        drop(state);
        Ok(Registration { waiter: WaiterGuard { tracker: Arc::clone(self), number }, done })
    }

    /// Begins to watch a transaction: its newest outcome is told at once, and then each stage until a final one. `None` where
    /// nothing is known of it. How many watch at a time is bounded by whoever calls this.
    pub fn watch(self: &Arc<Self>, digest: TransactionDigest) -> Option<Watch> {
        let mut state = self.state();
        let fate = state.known.fate(&digest)?;
        let (sender, told) = waiters::stages();
        // Its other end is right here, and empty.
        let _ = sender.try_send(Ok(fate.clone()));
        if fate.is_final() {
            return Some(Watch { _waiter: None, told });
        }
        if let Some(ended) = state.ended {
            let _ = sender.try_send(Err(ended));
            return Some(Watch { _waiter: None, told });
        }
        let number = state.waiters.add_watch(digest, &fate, sender);
        drop(state);
        Some(Watch { _waiter: Some(WaiterGuard { tracker: Arc::clone(self), number }), told })
    }

    /// Notes that the machine has accepted transactions, as `batch` if somebody waits for them, or holds them since its start.
    pub fn accepted(
        &self,
        transactions: impl IntoIterator<Item = TransactionDigest>,
        batch: Option<BatchId>,
    ) {
        let mut state = self.state();
        state.known.accepted(transactions);
        if let Some(BatchId(number)) = batch {
            state.waiters.accepted(number);
        }
    }

    /// Notes a durable commit, of whatever author.
    pub fn committed(&self, sub_dag: &CommittedSubDag) {
        let mut state = self.state();
        state.known.committed(sub_dag);
        state.waiters.committed(sub_dag);
    }

    /// Notes that this authority has given up transactions.
    pub fn dropped(&self, transactions: &[TransactionDigest], reason: DropReason) {
        let mut state = self.state();
        state.known.dropped(transactions, reason);
        state.waiters.dropped(transactions, reason);
    }

    /// Notes that transactions wait no more because they were committed before they were submitted again: whoever waits
    /// for them hears of that place.
    pub fn committed_before(&self, transactions: &[TransactionDigest]) {
        let mut state = self.state();
        for digest in transactions {
            // The machine's window is this one: it was told of every commit of it.
            if let Some(fate) = state.known.committed_before(digest) {
                state.waiters.committed_before(digest, &fate);
            }
        }
    }

    /// Notes an acknowledgement of the executor.
    pub fn executed(&self, index: CommitIndex, state_root: Option<StateRoot>, wire: &Acknowledgement) {
        let mut state = self.state();
        state.known.executed(index, state_root, wire);
        state.waiters.executed(index, state_root, wire);
    }

    /// Notes that everything up to `index` is executed and nothing behind it, as the executor says itself: where an acknowledgement
    /// was lost with an earlier stream, the results are not known, and nothing is claimed about them.
    pub fn executed_unseen(&self, index: CommitIndex) {
        let mut state = self.state();
        state.known.resumed(index);
        state.waiters.executed_unseen(index);
    }

    /// Ends the waits that `reason` leaves without an answer, and refuses such waits from now on.
    pub fn end(&self, reason: WaitsEnded) {
        let mut state = self.state();
        if state.ended.is_some_and(|ended| ended >= reason) {
            return;
        }
        state.ended = Some(reason);
        state.waiters.end(reason);
    }

    /// Why waits end unanswered, if they do.
    pub fn ended(&self) -> Option<WaitsEnded> {
        self.state().ended
    }

    /// Transactions of batches that are waited for.
    pub fn waiting(&self) -> usize {
        self.state().waiters.batched()
    }

    /// Transactions that are watched.
    pub fn watching(&self) -> usize {
        self.state().waiters.watched()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step in here can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitsEnded {
    fn concerns(self, stage: Stage) -> bool {
        match self {
            Self::NotProposing => true,
            Self::DeliveryStopped => stage == Stage::Executed,
        }
    }
}

impl Registration {
    /// Names the batch.
    pub const fn id(&self) -> BatchId {
        BatchId(self.waiter.number)
    }

    /// Waits for the last fate of every transaction, in the order of the batch. `None` when the service goes down.
    ///
    /// # Errors
    /// [`WaitsEnded`]: the wait, not the transactions.
    pub async fn answered(mut self) -> Option<Result<Vec<Fate>, WaitsEnded>> {
        (&mut self.done).await.ok()
    }
}

impl Watch {
    /// The next stage, the newest one first. `None` after a final one, and after an error.
    ///
    /// # Errors
    /// [`WaitsEnded`]: the watch, not the transaction.
    pub async fn next(&mut self) -> Option<Result<Fate, WaitsEnded>> {
        self.told.recv().await
    }
}

impl Drop for WaiterGuard {
    fn drop(&mut self) {
        self.tracker.state().waiters.release(self.number);
    }
}

#[cfg(test)]
mod tests;
