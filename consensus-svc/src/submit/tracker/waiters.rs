//! Who waits for which transaction: batches that want all of their last fates at once, and watchers that want each stage.

use std::collections::{BTreeMap, HashMap};

use consensus_core::{CommitIndex, CommittedSubDag, DropReason, StateRoot, TransactionDigest, is_marked};
use metanode_proto::executor::v1::{Acknowledgement, RejectedTransaction};
use tokio::sync::{mpsc, oneshot};

use super::WaitsEnded;
use crate::submit::{Fate, Stage, known::tells_results, outcome::bounded_reason};

/// Most that a watcher is ever told: accepted, committed, one last fate; or the end of the watch.
const STAGES: usize = 4;

type Answer = Result<Vec<Fate>, WaitsEnded>;
type Told = Result<Fate, WaitsEnded>;

/// Waiters by transaction.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    next_number: u64,
    /// Looked up by number. Walked only where all end.
    waiters: BTreeMap<u64, Waiter>,
    /// Not committed yet: who waits. Looked up by digest, never walked.
    pending: HashMap<TransactionDigest, Vec<Place>>,
    /// Committed, not executed yet, by commit and position.
    delivered: BTreeMap<(CommitIndex, u32), Vec<Place>>,
    batched: usize,
    watched: usize,
}

/// One transaction of one waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    waiter: u64,
    slot: usize,
}

#[derive(Debug)]
enum Waiter {
    Batch(Batch),
    Watch(Watcher),
}

#[derive(Debug)]
struct Batch {
    stage: Stage,
    digests: Vec<TransactionDigest>,
    fates: Vec<Fate>,
    unanswered: usize,
    done: Option<oneshot::Sender<Answer>>,
    /// Whether the machine has taken it: what was dropped before was an earlier submission of the same transaction.
    accepted: bool,
}

#[derive(Debug)]
struct Watcher {
    digest: TransactionDigest,
    fate: Fate,
    /// Taken with the last fate.
    sender: Option<mpsc::Sender<Told>>,
}

/// The way to a watcher; it has room for all that will ever be sent.
pub(super) fn stages() -> (mpsc::Sender<Told>, mpsc::Receiver<Told>) {
    mpsc::channel(STAGES)
}

impl Waiters {
    /// Transactions of batches that are waited for.
    pub(super) const fn batched(&self) -> usize {
        self.batched
    }

    /// Transactions that are watched.
    pub(super) const fn watched(&self) -> usize {
        self.watched
    }

    pub(super) fn add_batch(
        &mut self,
        digests: Vec<TransactionDigest>,
        stage: Stage,
        done: oneshot::Sender<Answer>,
    ) -> u64 {
        let number = self.take_number();
        for (slot, digest) in digests.iter().enumerate() {
            self.pending.entry(*digest).or_default().push(Place { waiter: number, slot });
        }
        self.batched += digests.len();
        let (fates, unanswered) = (vec![Fate::Accepted; digests.len()], digests.len());
        let batch = Batch { stage, digests, fates, unanswered, done: Some(done), accepted: false };
        self.waiters.insert(number, Waiter::Batch(batch));
        number
    }

    /// A watcher that was told `fate`, which is not final.
    pub(super) fn add_watch(
        &mut self,
        digest: TransactionDigest,
        fate: &Fate,
        sender: mpsc::Sender<Told>,
    ) -> u64 {
        let number = self.take_number();
        let place = Place { waiter: number, slot: 0 };
        match fate {
            Fate::Committed { index, position } => {
                self.delivered.entry((*index, *position)).or_default().push(place);
            }
            _ => self.pending.entry(digest).or_default().push(place),
        }
        self.watched += 1;
        let watcher = Watcher { digest, fate: fate.clone(), sender: Some(sender) };
        self.waiters.insert(number, Waiter::Watch(watcher));
        number
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// The machine has taken a batch.
    pub(super) fn accepted(&mut self, number: u64) {
        if let Some(Waiter::Batch(batch)) = self.waiters.get_mut(&number) {
            batch.accepted = true;
        }
    }

    pub(super) fn committed(&mut self, sub_dag: &CommittedSubDag) {
        if self.pending.is_empty() {
            return;
        }
        let (index, marks) = (sub_dag.commit.index, &sub_dag.commit.duplicate_marks);
        for ((place, transaction), position) in sub_dag.transactions().enumerate().zip(0u32..) {
            let Some(places) = self.pending.remove(&transaction.digest()) else { continue };
            let fate = if is_marked(marks, place) {
                Fate::Duplicate { index, position }
            } else {
                Fate::Committed { index, position }
            };
            for place in places {
                if self.waits_for_execution(place) {
                    // Also of a duplicate: when this commit is executed, its first place is executed as well.
                    self.note(place, fate.clone());
                    self.delivered.entry((index, position)).or_default().push(place);
                } else {
                    self.answer(place, fate.clone());
                }
            }
        }
    }

    pub(super) fn dropped(&mut self, transactions: &[TransactionDigest], reason: DropReason) {
        for digest in transactions {
            for place in self.take_accepted(digest) {
                self.answer(place, Fate::Dropped { reason });
            }
        }
    }

    /// The submission ends in an earlier place in the order, of which `fate` is known.
    pub(super) fn committed_before(&mut self, digest: &TransactionDigest, fate: &Fate) {
        for place in self.take_accepted(digest) {
            match fate {
                Fate::Committed { index, position } if self.waits_for_execution(place) => {
                    self.note(place, fate.clone());
                    self.delivered.entry((*index, *position)).or_default().push(place);
                }
                _ => self.answer(place, fate.clone()),
            }
        }
    }

    /// Removes and returns who waits for a transaction that the machine has taken. Whoever submits it again, and is on the way to
    /// the machine, goes on waiting.
    fn take_accepted(&mut self, digest: &TransactionDigest) -> Vec<Place> {
        let Some(places) = self.pending.remove(digest) else { return Vec::new() };
        let (taken, waiting): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| match self.waiters.get(&place.waiter) {
                Some(Waiter::Batch(batch)) => batch.accepted,
                _ => true,
            });
        if !waiting.is_empty() {
            self.pending.insert(*digest, waiting);
        }
        taken
    }

    pub(super) fn executed(
        &mut self,
        index: CommitIndex,
        state_root: Option<StateRoot>,
        wire: &Acknowledgement,
    ) {
        let executed = self.take_delivered(index);
        if executed.is_empty() {
            return;
        }
        let rejected: HashMap<(u64, u32), &RejectedTransaction> =
            wire.rejected.iter().map(|rejected| ((rejected.index, rejected.position), rejected)).collect();
        for ((commit, position), places) in executed {
            let root = state_root.filter(|_| commit == index);
            let fate = match rejected.get(&(commit.get(), position)) {
                _ if !tells_results(wire) => Fate::ExecutedUntold { index: commit, position },
                None => Fate::Executed { index: commit, position, state_root: root },
                Some(rejected) => Fate::Rejected {
                    index: commit,
                    position,
                    state_root: root,
                    code: rejected.code,
                    reason: bounded_reason(&rejected.reason).to_owned(),
                },
            };
            self.answer_all(places, &fate);
        }
    }

    pub(super) fn executed_unseen(&mut self, index: CommitIndex) {
        for ((index, position), places) in self.take_delivered(index) {
            self.answer_all(places, &Fate::ExecutedUntold { index, position });
        }
    }

    pub(super) fn end(&mut self, reason: WaitsEnded) {
        for waiter in self.waiters.values_mut() {
            // Whoever dropped the other end does not want to know.
            match waiter {
                Waiter::Batch(batch) if reason.concerns(batch.stage) => {
                    if let Some(done) = batch.done.take() {
                        let _ = done.send(Err(reason));
                    }
                }
                Waiter::Watch(watcher) => {
                    if let Some(sender) = watcher.sender.take() {
                        let _ = sender.try_send(Err(reason));
                    }
                }
                Waiter::Batch(_) => {}
            }
        }
    }

    /// Forgets a waiter and all that points to it.
    pub(super) fn release(&mut self, number: u64) {
        match self.waiters.remove(&number) {
            None => {}
            Some(Waiter::Batch(batch)) => {
                self.batched = self.batched.saturating_sub(batch.digests.len());
                for (digest, fate) in batch.digests.iter().zip(&batch.fates) {
                    self.unlink(number, digest, fate);
                }
                // The fates of an answered batch are taken; then nothing points to it any more.
            }
            Some(Waiter::Watch(watcher)) => {
                self.watched = self.watched.saturating_sub(1);
                self.unlink(number, &watcher.digest, &watcher.fate);
            }
        }
    }

    fn unlink(&mut self, number: u64, digest: &TransactionDigest, fate: &Fate) {
        if let Some(places) = self.pending.get_mut(digest) {
            places.retain(|place| place.waiter != number);
            if places.is_empty() {
                self.pending.remove(digest);
            }
        }
        let (Fate::Committed { index, position } | Fate::Duplicate { index, position }) = fate else {
            return;
        };
        if let Some(places) = self.delivered.get_mut(&(*index, *position)) {
            places.retain(|place| place.waiter != number);
            if places.is_empty() {
                self.delivered.remove(&(*index, *position));
            }
        }
    }

    /// Removes and returns what was delivered up to a commit.
    fn take_delivered(&mut self, index: CommitIndex) -> BTreeMap<(CommitIndex, u32), Vec<Place>> {
        let later = self.delivered.split_off(&(index.next(), 0));
        std::mem::replace(&mut self.delivered, later)
    }

    fn waits_for_execution(&self, place: Place) -> bool {
        match self.waiters.get(&place.waiter) {
            Some(Waiter::Batch(batch)) => batch.stage == Stage::Executed,
            Some(Waiter::Watch(_)) => true,
            None => false,
        }
    }

    /// Notes a stage that is not the last one.
    fn note(&mut self, place: Place, fate: Fate) {
        match self.waiters.get_mut(&place.waiter) {
            Some(Waiter::Batch(batch)) => {
                if let Some(held) = batch.fates.get_mut(place.slot) {
                    *held = fate;
                }
            }
            Some(Waiter::Watch(watcher)) => {
                if let (Some(sender), false) = (&watcher.sender, fate.is_final()) {
                    let _ = sender.try_send(Ok(fate.clone()));
                }
                watcher.fate = fate;
            }
            None => {}
        }
    }

    /// Last fates of those whose commit is executed; a duplicate stays one.
    fn answer_all(&mut self, places: Vec<Place>, fate: &Fate) {
        for place in places {
            let noted = match self.waiters.get(&place.waiter) {
                Some(Waiter::Batch(batch)) => batch.fates.get(place.slot),
                Some(Waiter::Watch(watcher)) => Some(&watcher.fate),
                None => None,
            };
            let duplicate = noted.filter(|noted| matches!(noted, Fate::Duplicate { .. })).cloned();
            self.answer(place, duplicate.unwrap_or_else(|| fate.clone()));
        }
    }

    /// Gives a transaction its last fate, and a batch its answer when it was the last one.
    fn answer(&mut self, place: Place, fate: Fate) {
        match self.waiters.get_mut(&place.waiter) {
            Some(Waiter::Batch(batch)) => {
                if let Some(held) = batch.fates.get_mut(place.slot) {
                    *held = fate;
                }
                batch.unanswered = batch.unanswered.saturating_sub(1);
                if batch.unanswered == 0
                    && let Some(done) = batch.done.take()
                {
                    // Whoever dropped the registration does not want to know.
                    let _ = done.send(Ok(std::mem::take(&mut batch.fates)));
                }
            }
            Some(Waiter::Watch(watcher)) => {
                watcher.fate = fate.clone();
                if let Some(sender) = watcher.sender.take() {
                    let _ = sender.try_send(Ok(fate));
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
impl Waiters {
    /// Whether nothing is left of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
            && self.pending.is_empty()
            && self.delivered.is_empty()
            && (self.batched, self.watched) == (0, 0)
    }
}
