//! The proxy: takes connections, makes a link of each, and changes what is wrong with them.

use crate::{
    address::Address,
    faults::{Faults, Side},
    link::{Ending, Link},
    shadow::Shadow,
    stream::{Listener, Stream, connect},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Between two attempts to take a connection where the machine has no sockets left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a proxy does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}")]
pub struct StartError {
    /// The address.
    pub address: Address,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// What has passed. Counts are from the start on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where it listens.
    pub listen: String,
    /// Where it connects to.
    pub upstream: String,
    /// Connections now, those with one end only too.
    pub open: usize,
    /// Connections taken.
    pub accepted: u64,
    /// Of them, closed at once because of [`Faults::refuses`].
    pub refused: u64,
    /// Of them, closed because the server could not be reached.
    pub unreachable: u64,
    /// Second connections that were lost: to a server that closed them or did not read them.
    pub doubles_lost: u64,
    /// Bytes passed to the server.
    pub bytes_up: u64,
    /// Bytes passed to the client.
    pub bytes_down: u64,
    /// What is wrong with it.
    pub faults: Faults,
}

/// Shared by all links.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    unreachable: AtomicU64,
    doubles_lost: Arc<AtomicU64>,
    /// Bytes to the server.
    pub(crate) up: AtomicU64,
    /// Bytes to the client.
    pub(crate) down: AtomicU64,
}

/// A running proxy. It ends, and resets its links, when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: Address,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: Address,
    faults: watch::Sender<Faults>,
    counters: Counters,
    links: Mutex<BTreeMap<u64, oneshot::Sender<Ending>>>,
    /// Ends what half-open links have kept; a new one after each healing.
    healed: Mutex<CancellationToken>,
    stopped: CancellationToken,
    tasks: TaskTracker,
}

impl FaultProxy {
    /// Listens at an address, and passes on to another one. No faults at first.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(listen: &Address, upstream: Address) -> Result<Self, StartError> {
        let failed = |source| StartError { address: listen.clone(), source };
        let listener = Listener::bind(listen).await.map_err(failed)?;
        let address = listener.address().map_err(failed)?;
        let shared = Arc::new(Shared {
            upstream,
            faults: watch::Sender::new(Faults::default()),
            counters: Counters::default(),
            links: Mutex::default(),
            healed: Mutex::default(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// Where it listens, with the port that was found free.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What is wrong with it.
    pub fn faults(&self) -> Faults {
        *self.shared.faults.borrow()
    }

    /// Changes what is wrong with it, from now on and for all links.
    pub fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Resets all connections. New ones are made.
    pub fn reset(&self) {
        self.end_links(Ending::Reset);
    }

    /// Closes one end of all connections, and leaves the other end in the dark until it gives up or all is healed. New
    /// connections are made.
    pub fn half_open(&self, keep: Side) {
        self.end_links(Ending::HalfOpen { keep });
    }

    /// Takes all faults away. Links that have one end only are reset.
    pub fn heal(&self) {
        self.change(|faults| *faults = Faults::default());
        let mut healed = lock(&self.shared.healed);
        healed.cancel();
        *healed = CancellationToken::new();
    }

    /// What has passed.
    pub fn status(&self) -> Status {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            listen: self.address.to_string(),
            upstream: self.shared.upstream.to_string(),
            open: lock(&self.shared.links).len(),
            accepted: read(&counters.accepted),
            refused: read(&counters.refused),
            unreachable: read(&counters.unreachable),
            doubles_lost: read(&counters.doubles_lost),
            bytes_up: read(&counters.up),
            bytes_down: read(&counters.down),
            faults: self.faults(),
        }
    }

    /// Resets all links, closes the socket, and waits until that is done.
    pub async fn stop(self) {
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.tasks.wait().await;
    }

    fn end_links(&self, ending: Ending) {
        for end in lock(&self.shared.links).values_mut() {
            // The sender stays in its place: the link counts as open until it has ended.
            let (ended, _) = oneshot::channel();
            // It has ended by itself, or was ended before.
            let _ = std::mem::replace(end, ended).send(ending);
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.cancel();
        self.heal();
        self.reset();
        self.shared.tasks.close();
    }
}

async fn accept(listener: Listener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    for id in 0.. {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (client, place) = tokio::select! {
            next = next => next,
            () = shared.stopped.cancelled() => return,
        };
        let Ok(client) = client else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
        if shared.faults.borrow().refuses {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            client.reset_when_dropped();
            continue;
        }
        let (end, ending) = oneshot::channel();
        lock(&shared.links).insert(id, end);
        let link = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            link.run(client, ending).await;
            lock(&link.links).remove(&id);
            drop(place);
        });
    }
}

impl Shared {
    async fn run(&self, client: Box<dyn Stream>, mut ending: oneshot::Receiver<Ending>) {
        let healed = lock(&self.healed).clone();
        let servers = async {
            let server = connect(&self.upstream).await?;
            let doubles = self.faults.borrow().doubles;
            let second = if doubles { Some(connect(&self.upstream).await?) } else { None };
            io::Result::Ok((server, second))
        };
        let servers = tokio::select! {
            servers = servers => servers,
            _ = &mut ending => return client.reset_when_dropped(),
            () = self.stopped.cancelled() => return client.reset_when_dropped(),
        };
        let Ok((server, second)) = servers else {
            self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
            return client.reset_when_dropped();
        };
        let shadow = second.map(|second| {
            let (shadow, work) = Shadow::cast(second, Arc::clone(&self.counters.doubles_lost));
            let stopped = self.stopped.clone();
            self.tasks.spawn(async move { stopped.run_until_cancelled(work).await });
            shadow
        });
        let (faults, stopped) = (self.faults.subscribe(), self.stopped.clone());
        let link = Link { client, server, shadow, faults, ending, healed, stopped };
        link.run(&self.counters).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
