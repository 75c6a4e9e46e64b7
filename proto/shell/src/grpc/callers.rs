//! The open connections of a listener, which of them have calls under way, and which one makes room for another.
//!
//! A connection that only keeps itself alive costs its owner nothing, so that connections alone must not keep others out:
//! where all places are taken, the one that has been without a call for longest is closed. What is longest is the order in which
//! connections became idle. [`Admission`](super::Admission) counts calls; behind a server without it every connection is
//! idle.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

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
    /// Rises with the time at which the last call ended, or the connection came.
    idle_since: u64,
    closed: CancellationToken,
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

    /// A place for a new connection. Where there is none, the longest idle connection is told to close; where none is
    /// idle, the new one waits.
    pub(super) fn poll_enter(&self, cx: &mut Context<'_>) -> Poll<Place> {
        let mut table = self.table();
        if table.open.len() >= table.limit {
            table.close_idle();
            table.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (id, idle_since) = (table.ticket(), table.ticket());
        let closed = CancellationToken::new();
        table.open.insert(id, Open { calls: 0, idle_since, closed: closed.clone() });
        drop(table);
        Poll::Ready(Place { places: self.clone(), id, closed, shares: Arc::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: u64) {
        if let Some(open) = self.table().open.get_mut(&id) {
            open.calls = open.calls.saturating_add(1);
        }
    }

    fn end(&self, id: u64) {
        let mut table = self.table();
        let idle_since = table.ticket();
        let Some(open) = table.open.get_mut(&id) else { return };
        open.calls = open.calls.saturating_sub(1);
        open.idle_since = idle_since;
        if open.calls == 0 {
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
    fn close_idle(&mut self) {
        if self.open.values().any(|open| open.closed.is_cancelled()) {
            return;
        }
        let idle = self.open.values().filter(|open| open.calls == 0);
        if let Some(longest) = idle.min_by_key(|open| open.idle_since) {
            longest.closed.cancel();
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
    /// A call has come: until what is returned is dropped, the connection is not idle.
    pub(super) fn begin(&self) -> OpenCall {
        self.places.begin(self.id);
        OpenCall { places: self.places.clone(), id: self.id }
    }

    /// This connection's share of a limit.
    pub(super) fn share(&self, limit: &'static str, size: usize) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shares.entry(limit).or_insert_with(|| Arc::new(Semaphore::new(size))))
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct OpenCall {
    places: Places,
    id: u64,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.places.end(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(places: &Places) -> Option<Place> {
        match places.poll_enter(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn t06_the_longest_idle_connection_makes_room_and_one_with_a_call_does_not() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| enter(&places).unwrap());
        let call = first.caller().begin();
        assert!(enter(&places).is_none());
        let closed = || [&first, &second, &third].map(|place| place.closed.is_cancelled());
        assert_eq!(closed(), [false, true, false], "the first is busy, the second came before the third");
        assert!(enter(&places).is_none());
        assert_eq!(closed(), [false, true, false], "one is enough for one");
        drop(second);
        let fourth = enter(&places).unwrap();
        assert_eq!(places.taken(), 3);

        // A call that ends makes its connection the newest idle one.
        drop(call);
        drop(third.caller().begin());
        assert!(enter(&places).is_none());
        let closed = [&fourth, &first, &third].map(|place| place.closed.is_cancelled());
        assert_eq!(closed, [true, false, false]);
    }

    #[test]
    fn t06_where_every_connection_has_a_call_a_new_one_waits_for_the_first_that_ends() {
        let places = Places::new(1);
        let place = enter(&places).unwrap();
        let calls = [place.caller().begin(), place.caller().begin()];
        assert!(enter(&places).is_none());
        let [one, other] = calls;
        drop(one);
        assert!(enter(&places).is_none());
        assert!(!place.closed.is_cancelled());
        drop(other);
        assert!(enter(&places).is_none());
        assert!(place.closed.is_cancelled());
    }
}
