//! The ordered queue of effects: what stands behind a batch or a guard waits until that is durable.
//!
//! | effect | when it is begun | when what stands behind it goes on |
//! |---|---|---|
//! | `Persist` | at once, so that several are on their way and share a sync | when it is durable |
//! | `Guard` | when all ahead of it is done | when it is durable |
//! | all others | when all ahead of them is done | at once |

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use consensus_core::{Effect, Epoch, Round, WriteBatch};
use metanode_shell::durable::{Completion, WriteError};

use crate::{
    commit_log::CommitLog,
    guard::{Guard, GuardError},
};

/// Effects that may wait, before no more inputs are taken. One input gives few of them.
pub const MAX_WAITING_EFFECTS: usize = 1_024;
/// Batches that may be on their way to the disk, before no more inputs are taken; below the bound of the log's own
/// queue, so that handing one over does not wait.
pub const MAX_BATCHES_IN_FLIGHT: usize = 48;

/// Why the driver ends. The node must stop: it must not sign what it cannot persist.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A batch is not durable.
    #[error("a batch of blocks and commits could not be made durable")]
    Persist(#[source] WriteError),
    /// The signing guard is not raised.
    #[error("the signing guard could not be raised")]
    Guard(#[source] GuardError),
}

/// What makes things durable: the log and the guard, or a script of a test.
pub trait Durability: Send + 'static {
    /// Resolves when a batch is durable.
    type Persisting: Future<Output = Result<(), WriteError>> + Send + Unpin;
    /// Resolves when the guard is durable.
    type Raising: Future<Output = Result<(), GuardError>> + Send + Unpin;

    /// Hands a batch over; batches become durable in this order.
    fn persist(
        &mut self,
        batch: WriteBatch,
    ) -> impl Future<Output = Result<Self::Persisting, WriteError>> + Send;

    /// Raises the guard.
    fn raise(&mut self, epoch: Epoch, round: Round) -> Self::Raising;
}

/// The queue. See the module.
#[derive(Debug)]
pub struct EffectQueue<D: Durability> {
    durability: D,
    entries: VecDeque<Entry<D>>,
    in_flight: usize,
}

enum Entry<D: Durability> {
    Persisting(D::Persisting),
    Guard(Epoch, Round),
    Raising(D::Raising),
    Ready(Box<Effect>),
}

impl<D: Durability> EffectQueue<D> {
    /// An empty queue.
    pub const fn new(durability: D) -> Self {
        Self { durability, entries: VecDeque::new(), in_flight: 0 }
    }

    /// Whether effects of another input may come.
    pub fn has_room(&self) -> bool {
        self.entries.len() < MAX_WAITING_EFFECTS && self.in_flight < MAX_BATCHES_IN_FLIGHT
    }

    /// Effects that wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Batches on their way to the disk.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an effect; a batch is handed over at once.
    ///
    /// # Errors
    /// [`DriverError::Persist`] where the store has failed before.
    pub async fn push(&mut self, effect: Effect) -> Result<(), DriverError> {
        let entry = match effect {
            Effect::Persist(batch) => {
                self.in_flight += 1;
                Entry::Persisting(self.durability.persist(batch).await.map_err(DriverError::Persist)?)
            }
            Effect::Guard { epoch, round } => Entry::Guard(epoch, round),
            other => Entry::Ready(Box::new(other)),
        };
        self.entries.push_back(entry);
        Ok(())
    }

    /// The next effect that may be run; never a `Persist` or a `Guard`, which are done in here. Waits while there is none.
    /// May be dropped and called again at any time.
    ///
    /// # Errors
    /// [`DriverError`]; nothing behind the failure is let out, then or later.
    pub async fn released(&mut self) -> Result<Effect, DriverError> {
        poll_fn(|context| self.poll_released(context)).await
    }

    fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<Result<Effect, DriverError>> {
        loop {
            let done = match self.entries.front_mut() {
                None => return Poll::Pending,
                Some(Entry::Ready(_)) => None,
                Some(Entry::Persisting(batch)) => {
                    let durable = ready!(Pin::new(batch).poll(context));
                    self.in_flight -= 1;
                    Some(durable.map_err(DriverError::Persist))
                }
                Some(Entry::Guard(epoch, round)) => {
                    let raising = self.durability.raise(*epoch, *round);
                    self.entries[0] = Entry::Raising(raising);
                    continue;
                }
                Some(Entry::Raising(guard)) => {
                    Some(ready!(Pin::new(guard).poll(context)).map_err(DriverError::Guard))
                }
            };
            if let Some(Err(error)) = done {
                // The driver ends with this; whoever polled on would get nothing more.
                self.entries.clear();
                return Poll::Ready(Err(error));
            }
            if let Some(Entry::Ready(effect)) = self.entries.pop_front() {
                return Poll::Ready(Ok(*effect));
            }
        }
    }
}

impl<D: Durability> std::fmt::Debug for Entry<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Persisting(_) => f.write_str("Persisting"),
            Self::Guard(epoch, round) => write!(f, "Guard({epoch}, {round})"),
            Self::Raising(_) => f.write_str("Raising"),
            Self::Ready(effect) => effect.fmt(f),
        }
    }
}

/// The real thing: batches go to the log, the guard is raised on a blocking thread.
#[derive(Clone, Debug)]
pub struct LogAndGuard {
    log: Arc<CommitLog>,
    guard: Arc<Mutex<Guard>>,
}

impl LogAndGuard {
    /// Takes the log and the guard.
    pub fn new(log: Arc<CommitLog>, guard: Guard) -> Self {
        Self { log, guard: Arc::new(Mutex::new(guard)) }
    }
}

impl Durability for LogAndGuard {
    type Persisting = Completion;
    type Raising = Pin<Box<dyn Future<Output = Result<(), GuardError>> + Send>>;

    async fn persist(&mut self, batch: WriteBatch) -> Result<Completion, WriteError> {
        self.log.submit(batch).await
    }

    fn raise(&mut self, epoch: Epoch, round: Round) -> Self::Raising {
        let guard = Arc::clone(&self.guard);
        let raising = tokio::task::spawn_blocking(move || {
            guard.lock().unwrap_or_else(PoisonError::into_inner).raise(epoch, round)
        });
        Box::pin(async move {
            match raising.await {
                Ok(raised) => raised,
                // The runtime goes down under us, or the guard panicked: either way nothing may be signed.
                Err(_) => Err(GuardError::FailedBefore { path: crate::guard::GUARD_FILE.into() }),
            }
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
