//! The open connections of a listener, what their calls do, and which one makes room for another.
//!
//! Holding a connection costs its owner nothing, and holding a call on it that waits for news costs nothing either, so that neither
//! may keep others out. Where all places are taken, one connection is closed for the new one, by what it is worth to its
//! owner ([`Worth`]), and among equals the one on which nothing has happened for longest:
//!
//! 1. those that are idle after a call: a client opens another one when it needs it;
//! 2. those whose calls are not being worked on: streams that wait for news, answers that are not read, messages that do not
//!    come, and new connections before their first call. A watch and a stream of commits are begun again where they ended;
//! 3. those with a call that the service works on, but only after [`PATIENCE`], in which such a call mostly ends.
//!
//! Never closed are those with a client stream, whose number [`Admission`](super::Admission) bounds far below that of the
//! connections. So a new connection always comes in, and its call is worked on while others hold all they can. What remains to
//! whoever opens connections without end is to interrupt the watches of others.
//!
//! Nothing is decided by address: behind a proxy, a service mesh or NAT all clients share one, and a share of it would lock out
//! those whom it should protect. What is longest is the order of events, not time. `Admission` tells of calls; behind a server
//! without it no connection ever has one.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Time that a new connection waits before one is closed whose call the service works on.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The places of one listener.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    limit: usize,
    next: u64,
    open: BTreeMap<u64, Open>,
    /// Of the connection that waits for a place.
    waiting: Option<Waker>,
}

#[derive(Debug)]
struct Open {
    calls: usize,
    /// Of these, the service works on.
    worked_on: usize,
    /// Of these, are client streams.
    client_streams: usize,
    /// Whether it ever had a call.
    was_used: bool,
    /// Rises with each thing that happens on it: it came, a call began or ended, or a part of an answer was taken.
    moved: u64,
    closed: CancellationToken,
}

/// What a connection is worth to its owner: the least is closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It had calls, and has none.
    Idle,
    /// Nothing is worked on, or it has not come to its first call.
    Waiting,
    /// The service works on a call of it.
    WorkedOn,
}

impl Open {
    /// `None`: it is never closed for another.
    const fn worth(&self) -> Option<Worth> {
        match self {
            Self { client_streams: 1.., .. } => None,
            Self { worked_on: 1.., .. } => Some(Worth::WorkedOn),
            Self { calls: 0, was_used: true, .. } => Some(Worth::Idle),
            Self { .. } => Some(Worth::Waiting),
        }
    }
}

impl Places {
    /// For at most `limit` connections.
    pub(super) fn new(limit: usize) -> Self {
        let table = Table { limit, next: 0, open: BTreeMap::new(), waiting: None };
        Self(Arc::new(Mutex::new(table)))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.table().open.len()
    }

    /// A place for a new connection, which has waited for [`PATIENCE`] or not. Where there is none, the connection that is
    /// worth least is told to close; where none may be, the new one waits.
    pub(super) fn poll_enter(&self, cx: &mut Context<'_>, has_waited: bool) -> Poll<Place> {
        let mut table = self.table();
        if table.open.len() >= table.limit {
            table.make_room(has_waited);
            table.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (id, moved) = (table.ticket(), table.ticket());
        let closed = CancellationToken::new();
        let open = Open {
            calls: 0,
            worked_on: 0,
            client_streams: 0,
            was_used: false,
            moved,
            closed: closed.clone(),
        };
        table.open.insert(id, open);
        drop(table);
        Poll::Ready(Place { places: self.clone(), id, closed, shares: Arc::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happens on a connection. Whoever waits for a place looks again if that made it worth less.
    fn happens(&self, id: u64, what: impl FnOnce(&mut Open)) {
        let mut table = self.table();
        let moved = table.ticket();
        let Some(open) = table.open.get_mut(&id) else { return };
        let before = open.worth();
        what(open);
        open.moved = moved;
        let after = open.worth();
        if after.is_some() && (before.is_none() || after < before) {
            table.wake();
        }
    }
}

impl Table {
    fn ticket(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }

    /// At most one closes at a time, as one waits at a time.
    fn make_room(&mut self, has_waited: bool) {
        if self.open.values().any(|open| open.closed.is_cancelled()) {
            return;
        }
        let most = if has_waited { Worth::WorkedOn } else { Worth::Waiting };
        let worth = self.open.values().filter_map(|open| Some((open.worth()?, open.moved, open)));
        let least =
            worth.filter(|(worth, ..)| *worth <= most).min_by_key(|(worth, moved, _)| (*worth, *moved));
        if let Some((worth, _, open)) = least {
            if worth != Worth::Idle {
                tracing::debug!(?worth, "connection closed to make room for another");
            }
            open.closed.cancel();
        }
    }

    fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    id: u64,
    /// Cancelled when the connection is to make room.
    pub(super) closed: CancellationToken,
    shares: Arc<Mutex<BTreeMap<&'static str, Arc<Semaphore>>>>,
}

impl Place {
    /// The connection, as its calls see it.
    pub(super) fn caller(&self) -> Caller {
        Caller { places: self.places.clone(), id: self.id, shares: Arc::clone(&self.shares) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.open.remove(&self.id);
        table.wake();
    }
}

/// The connection that a call came on, in the extensions of its request.
#[derive(Clone)]
pub struct Caller {
    places: Places,
    id: u64,
    shares: Arc<Mutex<BTreeMap<&'static str, Arc<Semaphore>>>>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Caller").field(&self.id).finish()
    }
}

impl Caller {
    /// A call has come, which is a client stream or not: until what is returned is dropped, the connection is not idle.
    pub(super) fn begin(&self, is_client_stream: bool) -> OpenCall {
        self.places.happens(self.id, |open| {
            open.was_used = true;
            open.calls = open.calls.saturating_add(1);
            open.client_streams = open.client_streams.saturating_add(is_client_stream.into());
        });
        OpenCall { places: self.places.clone(), id: self.id, is_client_stream, phase: AtomicU8::new(BEGUN) }
    }

    /// This connection's share of a limit.
    pub(super) fn share(&self, limit: &'static str, size: usize) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(limit).or_insert_with(|| Arc::new(Semaphore::new(size))))
    }
}

/// Its message comes.
const BEGUN: u8 = 0;
/// Its message is complete, and no answer has begun.
const WORKED_ON: u8 = 1;
/// Its answer has begun.
const ANSWERED: u8 = 2;

/// A call under way.
#[derive(Debug)]
pub(super) struct OpenCall {
    places: Places,
    id: u64,
    is_client_stream: bool,
    /// One of the above; it only rises.
    phase: AtomicU8,
}

impl OpenCall {
    /// The message is complete: the service works on it.
    pub(super) fn received(&self) {
        let begun = self.phase.compare_exchange(BEGUN, WORKED_ON, Ordering::AcqRel, Ordering::Acquire);
        if begun.is_ok() {
            self.places.happens(self.id, |open| open.worked_on = open.worked_on.saturating_add(1));
        }
    }

    /// The answer begins; a stream may wait for its first part.
    pub(super) fn answered(&self) {
        if self.phase.swap(ANSWERED, Ordering::AcqRel) == WORKED_ON {
            self.places.happens(self.id, |open| open.worked_on = open.worked_on.saturating_sub(1));
        }
    }

    /// A part of the answer was taken.
    pub(super) fn moved(&self) {
        self.places.happens(self.id, |_| ());
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.answered();
        self.places.happens(self.id, |open| {
            open.calls = open.calls.saturating_sub(1);
            open.client_streams = open.client_streams.saturating_sub(self.is_client_stream.into());
        });
    }
}

#[cfg(test)]
mod tests;
