//! The peer network over real sockets, against itself and against scripted peers.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "peer_network/commits.rs"]
mod commits;
#[path = "peer_network/faults.rs"]
mod faults;
#[path = "peer_network/fetch.rs"]
mod fetch;
#[path = "peer_network/identity.rs"]
mod identity;
#[path = "peer_network/own_last.rs"]
mod own_last;
#[path = "peer_network/service.rs"]
mod service;
#[path = "peer_network/streams.rs"]
mod streams;
#[path = "peer_network/support.rs"]
mod support;
