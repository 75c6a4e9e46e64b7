//! The network of authorities: `metanode.peer.v1.PeerService`, served and called, over mutual TLS with keys pinned to the
//! committee.
//!
//! ```text
//!            driver                                            another authority
//!   broadcast, wake -> OwnBlocks -> SubscribeBlocks (server) ------> client: read -> verify -> hold -> events
//!   fetch ----------> FetchWorker (client) ------------------------> FetchBlocks (server) -> BlockStore
//!   events <--------- one bounded channel, in the order of each peer's stream
//! ```
//!
//! Invariants:
//! - Nothing is queued for a subscriber: it has a cursor over the own blocks, of which the newest are in memory and
//!   the rest in the store. A slow subscriber is slowed down by HTTP/2 flow control and costs nothing more.
//! - Nothing is queued from a peer beyond one batch, one HTTP/2 window and the driver's channel: a driver that is busy
//!   slows the peers down.
//! - After a loss a stream resumes after the highest round of the peer that the driver *accepted* ([`AcceptedRounds`]), so
//!   what was lost on the way, held or dropped is sent again.
//! - A block further ahead of the clock round than blocks are let in holds its stream until the clock has come near:
//!   a node that was away for long reads the whole DAG in step.
//! - Whatever is not valid is counted with a label, reported, and ends the connection; the peer is then left alone for a
//!   time that grows with each fault. Nothing that a peer sends can panic, or take memory without a bound.
//! - Signatures are judged on blocking threads, as many as the machine can spare; peers do not wait for each other.

mod asker;
mod client;
mod commits;
mod config;
mod connect;
mod error;
mod event;
mod fetch;
#[cfg(feature = "testkit")]
pub(crate) mod fuzzing;
mod inbound;
mod link;
mod listener;
mod network;
mod own_blocks;
mod request;
mod server;
mod store;
pub mod tls;
mod verify;

pub use config::{PeerConfig, PeerLimits};
pub use error::PeerError;
pub use event::{AcceptedRounds, CommitsAnswer, PeerEvent, PeerView, label};
pub use link::PeerStatus;
pub use network::{PeerHandle, PeerNetwork};
pub use store::{BlockStore, StoreReadError};
