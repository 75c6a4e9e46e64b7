//! A whole network on this machine, as real processes, under load.
//!
//! [`prepare`] makes keys, genesis and configuration; [`network::Network`] starts a consensus-svc and an executor-proxy for each
//! authority (and a Go master, see [`executor`]), and kills, restarts and stops them; [`verify`] compares their ledgers at one index and looks for every
//! transaction. [`run`] puts these together behind the command line, [`drill`] breaks something on purpose.
//!
//! Both services are linked into the program, which starts itself again to become one of them: see [`service`]. A test that
//! uses this library names a program of its own that calls [`service::intercept`].

pub mod args;
pub mod drill;
pub mod executor;
pub mod files;
pub mod go_master;
pub mod health;
pub mod interrupt;
pub mod ledger;
pub mod master;
pub mod monitor;
pub mod network;
pub mod network_file;
pub mod ports;
pub mod prepare;
pub mod process;
pub mod run;
pub mod service;
pub mod settled;
pub mod summary;
pub mod usage;
pub mod verify;
pub mod view;
