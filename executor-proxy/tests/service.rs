//! The service over real gRPC, in this process, on a database in a temporary folder.

#![allow(clippy::unwrap_used)]

#[path = "service/delivery.rs"]
mod delivery;
#[path = "service/epochs.rs"]
mod epochs;
#[path = "service/harness.rs"]
mod harness;
#[path = "service/leases.rs"]
mod leases;
#[path = "service/legacy.rs"]
mod legacy;
#[path = "service/legacy_peer.rs"]
mod legacy_peer;
#[path = "service/malformed.rs"]
mod malformed;
#[path = "service/master.rs"]
mod master;
#[path = "service/restart.rs"]
mod restart;
#[path = "service/scripted.rs"]
mod scripted;
#[path = "service/slow.rs"]
mod slow;
#[path = "service/slow_master.rs"]
mod slow_master;
#[path = "service/startup.rs"]
mod startup;
