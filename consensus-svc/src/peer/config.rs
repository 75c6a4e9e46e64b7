//! What the peer network is started with.

use std::{sync::Arc, time::Duration};

use consensus_core::{AuthorityIndex, Committee, Genesis, Round};
use tokio::net::TcpListener;

use super::error::PeerError;
use crate::identity::SecretKey;

/// What the peer network is started with.
#[derive(Debug)]
pub struct PeerConfig {
    /// Where other authorities connect to; bound by the caller, so that a taken address is found before anything starts.
    pub listener: TcpListener,
    /// Where each authority is reached, `host:port`, by index; the own place is not used.
    pub addresses: Vec<String>,
    /// This authority.
    pub own: AuthorityIndex,
    /// Highest own round in the store at start; genesis for none. It must be durable and covered by the signing guard:
    /// from now on it may be sent. What is above it is sent when it is broadcast.
    pub own_round: Round,
    /// Chain, committee and limits.
    pub genesis: Arc<Genesis>,
    /// The key of this authority's TLS identity.
    pub network_secret: SecretKey,
    /// Bounds and times.
    pub limits: PeerLimits,
}

/// Addresses as the committee has them, for [`PeerConfig::addresses`].
pub(super) fn committee_addresses(committee: &Committee) -> Vec<String> {
    committee.authorities().iter().map(|authority| authority.address.clone()).collect()
}

impl PeerConfig {
    /// A configuration with the addresses of the committee and default limits.
    pub fn new(
        listener: TcpListener,
        own: AuthorityIndex,
        own_round: Round,
        genesis: Arc<Genesis>,
        network_secret: SecretKey,
    ) -> Self {
        let addresses = committee_addresses(genesis.committee());
        Self { listener, addresses, own, own_round, genesis, network_secret, limits: PeerLimits::default() }
    }
}

/// Bounds and times of the peer network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// How many rounds above the clock round streamed blocks are handed on; above it their stream waits. At most that of
    /// the core. Default 120.
    pub max_rounds_ahead: u64,
    /// Newest own blocks kept in memory for live subscribers; older ones are read from the store. Default 128, at least 1.
    pub recent_blocks: usize,
    /// ... and most signed bytes of them; one block is always kept. Default 16 MiB.
    pub recent_bytes: u64,
    /// Most blocks handed on in one event. Default 64, at least 1.
    pub batch_blocks: usize,
    /// Most signed bytes gathered for one event or read from the store at once; one block always fits. Default 4 MiB.
    pub batch_bytes: u64,
    /// Connections of one authority that may be open at a time; a new one closes the oldest. Default 4, at least 1.
    pub connections_per_peer: usize,
    /// Subscriptions of one authority at a time; more are refused. Default 4, at least 1.
    pub subscriptions_per_peer: usize,
    /// Calls of `FetchBlocks` of one authority that are worked on at a time; more are refused. Default 4, at least 1.
    pub fetches_per_peer: usize,
    /// Handshakes under way at a time; a new one ends the oldest. Default 64, at least 1.
    pub handshakes: usize,
    /// Own fetches that wait for one peer; more are dropped, for the core asks again. Default 4, at least 1.
    pub waiting_fetches: usize,
    /// Time for a TCP connection and its TLS handshake, on either side. Default 5 s.
    pub handshake_deadline: Duration,
    /// Time for an answer to a fetch or to the opening of a subscription. Default 5 s.
    pub call_deadline: Duration,
    /// Time between two questions for the own last block to one peer, while the machine waits for answers. Default 2 s.
    pub ask_again: Duration,
    /// Longest first wait before connecting again. Default 50 ms.
    pub reconnect_min: Duration,
    /// Longest wait before connecting again. Default 2 s.
    pub reconnect_max: Duration,
    /// How long a peer must have been heard on a connection for the waits to start anew after it. Default 5 s; 0 lets a peer
    /// that closes at once be called without pause.
    pub settled_after: Duration,
    /// Longest wait after the first fault of a peer. Default 1 s.
    pub penalty_min: Duration,
    /// Longest wait after a fault; a peer without fault for four times this long starts anew. Default 60 s.
    pub penalty_max: Duration,
    /// Time that streams have to end at shutdown. Default 1 s.
    pub drain_deadline: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            max_rounds_ahead: 120,
            recent_blocks: 128,
            recent_bytes: 16 << 20,
            batch_blocks: 64,
            batch_bytes: 4 << 20,
            connections_per_peer: 4,
            subscriptions_per_peer: 4,
            fetches_per_peer: 4,
            handshakes: 64,
            waiting_fetches: 4,
            handshake_deadline: Duration::from_secs(5),
            call_deadline: Duration::from_secs(5),
            ask_again: Duration::from_secs(2),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(2),
            settled_after: Duration::from_secs(5),
            penalty_min: Duration::from_secs(1),
            penalty_max: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(1),
        }
    }
}

impl PeerLimits {
    /// Checks that every count lets something through.
    pub(super) fn validate(&self) -> Result<(), PeerError> {
        let counts = [
            ("recent_blocks", self.recent_blocks),
            ("batch_blocks", self.batch_blocks),
            ("connections_per_peer", self.connections_per_peer),
            ("subscriptions_per_peer", self.subscriptions_per_peer),
            ("fetches_per_peer", self.fetches_per_peer),
            ("handshakes", self.handshakes),
            ("waiting_fetches", self.waiting_fetches),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((field, _)) => Err(PeerError::ZeroLimit { field }),
            None => Ok(()),
        }
    }
}
