//! A link that fails as it is told to, between any two of consensus-svc, executor-proxy and an execution master.
//!
//! ```text
//! client ---- up ---->  fault-proxy  ---- up ---->  server
//!        <--- down ---               <--- down ---
//! ```
//!
//! [`FaultProxy::start`] listens at one [`Address`], TCP or a Unix socket, and connects to another for every connection that it
//! takes. [`Faults`] hold for all connections, those that are open too, until they are changed; [`FaultProxy::reset`] and
//! [`FaultProxy::half_open`] happen once, to what is open then. Bytes are passed on unchanged and in order whatever the faults
//! are: a link may be late, slow, silent or dead, but it never lies. The program takes the same [`Order`]s over a socket.
//!
//! Bounds: 64 connections, further ones wait to be taken; 4 MiB a connection and direction, beyond which a sender waits.

mod address;
mod control;
mod faults;
mod link;
mod order;
mod proxy;
mod pump;
mod shadow;
mod stream;

pub use address::{Address, AddressError};
pub use control::{Control, ControlError, tell};
pub use faults::{Direction, Faults, Side, Way};
pub use order::Order;
pub use proxy::{FaultProxy, StartError, Status};
