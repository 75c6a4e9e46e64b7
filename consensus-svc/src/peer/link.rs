//! What is known of one peer: its state for people, and its connection for fetches.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use consensus_core::AuthorityIndex;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// What is known of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub authority: AuthorityIndex,
    /// Where it is called.
    pub address: String,
    /// Whether its block stream is open.
    pub connected: bool,
    /// How often its block stream was opened since start.
    pub sessions: u64,
    /// Faults since start, by label.
    pub faults: BTreeMap<&'static str, u64>,
    /// Why the last connection could not be made or ended; `None` before the first loss.
    pub last_loss: Option<String>,
    /// When anything came on its block stream; `None` before the first time. Not followed by watchers, only read.
    pub heard: Option<Instant>,
}

/// A connection whose block stream is open.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) channel: Channel,
    /// Cancelled by whoever finds the peer at fault: the session ends.
    pub(super) broken: CancellationToken,
}

/// One other authority.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) authority: AuthorityIndex,
    pub(super) address: String,
    status: watch::Sender<PeerStatus>,
    link: Mutex<Option<Link>>,
    heard: Mutex<Option<Instant>>,
}

impl Peer {
    pub(super) fn new(authority: AuthorityIndex, address: String) -> Self {
        let status = PeerStatus {
            authority,
            address: address.clone(),
            connected: false,
            sessions: 0,
            faults: BTreeMap::new(),
            last_loss: None,
            heard: None,
        };
        let status = watch::Sender::new(status);
        Self { authority, address, status, link: Mutex::new(None), heard: Mutex::new(None) }
    }

    pub(super) fn status(&self) -> watch::Receiver<PeerStatus> {
        self.status.subscribe()
    }

    /// What is known now, with the time that it was last heard.
    pub(super) fn snapshot(&self) -> PeerStatus {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        PeerStatus { heard, ..self.status.borrow().clone() }
    }

    /// Something came on its block stream.
    pub(super) fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.slot().clone()
    }

    /// The block stream is open.
    pub(super) fn connected(&self, link: Link) {
        *self.slot() = Some(link);
        self.status.send_modify(|status| {
            status.connected = true;
            status.sessions = status.sessions.saturating_add(1);
        });
    }

    /// There is no connection, or none any more.
    pub(super) fn lost(&self, reason: String) {
        *self.slot() = None;
        self.status.send_modify(|status| {
            status.connected = false;
            status.last_loss = Some(reason);
        });
    }

    /// Counts a fault.
    pub(super) fn fault(&self, label: &'static str) {
        self.status.send_modify(|status| {
            let count = status.faults.entry(label).or_default();
            *count = count.saturating_add(1);
        });
    }

    fn slot(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
