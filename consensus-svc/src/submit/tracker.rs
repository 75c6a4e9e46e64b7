//! Who waits for which transaction.
//!
//! The tracker hears of commits from the driver and of executions from the bridge. It holds a transaction only while
//! somebody waits for it: the [`Registration`] of a batch ends its wait when it is dropped, answered or not (T05). So its
//! memory is bounded by the number of transactions that are waited for, and that has a limit.
//!
//! A wait that nothing can answer any more is not left open: [`Tracker::end`] answers those that are there, and refuses
//! those that come later.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use consensus_core::{CommitIndex, CommittedSubDag, DropReason, StateRoot, TransactionDigest, is_marked};
use metanode_proto::executor::v1::{Acknowledgement, RejectedTransaction};
use tokio::sync::oneshot;

use super::{Fate, Stage};

/// Longest reason that is passed on, in bytes; the contract's limit.
const MAX_REASON_BYTES: usize = 256;

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
    /// No acknowledgement will come: waits for [`Stage::Executed`] end.
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

/// Waiters by transaction. Shared as `Arc`.
#[derive(Debug)]
pub struct Tracker {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    next_batch: u64,
    batches: HashMap<u64, Batch>,
    /// Not committed yet: who waits. Looked up by digest, never walked.
    pending: HashMap<TransactionDigest, Vec<Place>>,
    /// Committed, not executed yet, by commit and position.
    delivered: BTreeMap<(CommitIndex, u32), Vec<Place>>,
    waiting: usize,
    /// The graver of the reasons that there are.
    ended: Option<WaitsEnded>,
}

/// One transaction of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    batch: u64,
    slot: usize,
}

type Answer = Result<Vec<Fate>, WaitsEnded>;

#[derive(Debug)]
struct Batch {
    stage: Stage,
    digests: Vec<TransactionDigest>,
    fates: Vec<Fate>,
    unanswered: usize,
    done: Option<oneshot::Sender<Answer>>,
}

/// A batch that is waited for. Dropping it ends the wait.
#[derive(Debug)]
pub struct Registration {
    tracker: Arc<Tracker>,
    batch: u64,
    done: oneshot::Receiver<Answer>,
}

impl Tracker {
    /// Waits for at most `limit` transactions at a time.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), limit })
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
        let waiting = state.waiting;
        if waiting.saturating_add(digests.len()) > self.limit {
            return Err(TrackerFull { waiting, limit: self.limit }.into());
        }
        let batch = state.next_batch;
        state.next_batch += 1;
        state.waiting += digests.len();
        for (slot, digest) in digests.iter().enumerate() {
            state.pending.entry(*digest).or_default().push(Place { batch, slot });
        }
        let (sender, done) = oneshot::channel();
        let (fates, unanswered) = (vec![Fate::Accepted; digests.len()], digests.len());
        state.batches.insert(batch, Batch { stage, digests, fates, unanswered, done: Some(sender) });
        drop(state);
        Ok(Registration { tracker: Arc::clone(self), batch, done })
    }

    /// Notes a durable commit, of whatever author.
    pub fn committed(&self, sub_dag: &CommittedSubDag) {
        let mut state = self.state();
        if state.pending.is_empty() {
            return;
        }
        let (index, marks) = (sub_dag.commit.index, &sub_dag.commit.duplicate_marks);
        for ((place, transaction), position) in sub_dag.transactions().enumerate().zip(0u32..) {
            let Some(places) = state.pending.remove(&transaction.digest()) else { continue };
            let duplicate = is_marked(marks, place);
            for place in places {
                let executes = state.batches.get(&place.batch).is_some_and(|b| b.stage == Stage::Executed);
                let fate = if duplicate {
                    Fate::Duplicate { index, position }
                } else {
                    Fate::Committed { index, position }
                };
                if executes {
                    // Also of a duplicate: when this commit is executed, its first place is executed as well.
                    state.note(place, fate);
                    state.delivered.entry((index, position)).or_default().push(place);
                } else {
                    state.answer(place, fate);
                }
            }
        }
    }

    /// Notes that this authority has given up transactions.
    pub fn dropped(&self, transactions: &[TransactionDigest], reason: DropReason) {
        let mut state = self.state();
        for digest in transactions {
            for place in state.pending.remove(digest).unwrap_or_default() {
                state.answer(place, Fate::Dropped { reason });
            }
        }
    }

    /// Notes an acknowledgement of the executor.
    pub fn executed(&self, index: CommitIndex, state_root: Option<StateRoot>, wire: &Acknowledgement) {
        let mut state = self.state();
        let executed = state.take_delivered(index);
        if executed.is_empty() {
            return;
        }
        let rejected: HashMap<(u64, u32), &RejectedTransaction> =
            wire.rejected.iter().map(|rejected| ((rejected.index, rejected.position), rejected)).collect();
        for ((commit, position), places) in executed {
            let root = state_root.filter(|_| commit == index);
            let fate = match rejected.get(&(commit.get(), position)) {
                _ if wire.results_unknown => Fate::Committed { index: commit, position },
                None => Fate::Executed { index: commit, position, state_root: root },
                Some(rejected) => Fate::Rejected {
                    index: commit,
                    position,
                    state_root: root,
                    code: rejected.code,
                    reason: bounded(&rejected.reason),
                },
            };
            for place in places {
                let fate = state.noted_duplicate(place).unwrap_or_else(|| fate.clone());
                state.answer(place, fate);
            }
        }
    }

    /// Notes that everything up to `index` is executed, though its acknowledgement was lost with an earlier stream: the
    /// results are not known, and nothing is claimed about them.
    pub fn executed_unseen(&self, index: CommitIndex) {
        let mut state = self.state();
        for ((index, position), places) in state.take_delivered(index) {
            for place in places {
                let fate = state.noted_duplicate(place).unwrap_or(Fate::Committed { index, position });
                state.answer(place, fate);
            }
        }
    }

    /// Ends the waits that `reason` leaves without an answer, and refuses such waits from now on.
    pub fn end(&self, reason: WaitsEnded) {
        let mut state = self.state();
        if state.ended.is_some_and(|ended| ended >= reason) {
            return;
        }
        state.ended = Some(reason);
        for batch in state.batches.values_mut().filter(|batch| reason.concerns(batch.stage)) {
            if let Some(done) = batch.done.take() {
                // Whoever dropped the registration does not want to know.
                let _ = done.send(Err(reason));
            }
        }
    }

    /// Why waits end unanswered, if they do.
    pub fn ended(&self) -> Option<WaitsEnded> {
        self.state().ended
    }

    /// Transactions that are waited for.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step in here can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes and returns what was delivered up to a commit.
    fn take_delivered(&mut self, index: CommitIndex) -> BTreeMap<(CommitIndex, u32), Vec<Place>> {
        let later = self.delivered.split_off(&(index.next(), 0));
        std::mem::replace(&mut self.delivered, later)
    }

    /// What was noted for a transaction that is a duplicate.
    fn noted_duplicate(&self, place: Place) -> Option<Fate> {
        let fate = self.batches.get(&place.batch)?.fates.get(place.slot)?;
        matches!(fate, Fate::Duplicate { .. }).then(|| fate.clone())
    }

    fn note(&mut self, place: Place, fate: Fate) {
        if let Some(held) =
            self.batches.get_mut(&place.batch).and_then(|batch| batch.fates.get_mut(place.slot))
        {
            *held = fate;
        }
    }

    /// Gives a transaction its last fate, and the batch its answer when it was the last one.
    fn answer(&mut self, place: Place, fate: Fate) {
        self.note(place, fate);
        let Some(batch) = self.batches.get_mut(&place.batch) else { return };
        batch.unanswered = batch.unanswered.saturating_sub(1);
        if batch.unanswered == 0
            && let Some(done) = batch.done.take()
        {
            // Whoever dropped the registration does not want to know.
            let _ = done.send(Ok(std::mem::take(&mut batch.fates)));
        }
    }

    /// Forgets a batch and all that points to it.
    fn release(&mut self, number: u64) {
        let Some(batch) = self.batches.remove(&number) else { return };
        self.waiting = self.waiting.saturating_sub(batch.digests.len());
        for digest in &batch.digests {
            if let Some(places) = self.pending.get_mut(digest) {
                places.retain(|place| place.batch != number);
                if places.is_empty() {
                    self.pending.remove(digest);
                }
            }
        }
        for fate in &batch.fates {
            let (Fate::Committed { index, position } | Fate::Duplicate { index, position }) = fate else {
                continue;
            };
            if let Some(places) = self.delivered.get_mut(&(*index, *position)) {
                places.retain(|place| place.batch != number);
                if places.is_empty() {
                    self.delivered.remove(&(*index, *position));
                }
            }
        }
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
    /// Waits for the last fate of every transaction, in the order of the batch. `None` when the service goes down.
    ///
    /// # Errors
    /// [`WaitsEnded`]: the wait, not the transactions.
    pub async fn answered(mut self) -> Option<Result<Vec<Fate>, WaitsEnded>> {
        (&mut self.done).await.ok()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.tracker.state().release(self.batch);
    }
}

fn bounded(reason: &str) -> String {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}

#[cfg(test)]
mod tests;
