//! The real consensus machine in a virtual world.
//!
//! A [`Plan`] names a seed, a committee, a [`Weather`] and a time; [`run`] builds a world of real
//! [`consensus_core::Consensus`] machines on virtual links, disks and clocks, lets the weather happen, heals the network
//! and demands progress. Everything random follows from the seed: the same plan runs the same way byte for byte, on any
//! machine, and [`Report::digest`] says so.
//!
//! What is real: the machine, its blocks, codec, signatures and recovery. What is modelled after the service: the driver
//! (effects in order, held back behind a write until it is durable), the peer transport (ordered streams that resume, the
//! gate on rounds ahead, questions for blocks), the store with its guard, the reader with its cursor.
//!
//! What is watched stands in `invariants`, one file each.

mod byzantine;
mod chronicle;
mod disk;
mod downstream;
mod executor;
pub mod explain;
mod fault;
mod happening;
mod invariants;
mod names;
mod network;
mod node;
pub mod one_down;
mod plan;
mod report;
mod rng;
mod summary;
mod trace;
mod verifier;
mod weather;
mod workload;
mod world;

pub use chronicle::Chronicle;
pub use downstream::Downstream;
pub use fault::{Fault, FaultCounts};
pub use happening::{Happening, Loss, Scripted};
pub use invariants::{Kind, Violation};
pub use plan::{Load, Plan, Signatures};
pub use report::Report;
pub use summary::Summary;
pub use weather::Weather;
pub use world::{run, run_with};
