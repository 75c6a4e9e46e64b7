//! What both services stand on, and nothing of what they decide: configuration, durable storage, supervised tasks,
//! gRPC errors and transport defaults.
//!
//! A service reads its settings with [`config`], opens its [`durable::Store`] and gives it to one
//! [`durable::Writer`], serves and calls with the defaults of [`grpc`], answers errors made by [`status`], and runs
//! all of that under one [`tasks::Supervisor`]. Both call executors, by [`executor`], with the pauses of [`backoff`]. This crate
//! knows nothing of how consensus or execution decide.

pub mod backoff;
pub mod config;
pub mod durable;
pub mod executor;
pub mod file;
pub mod grpc;
mod panic_text;
pub mod status;
pub mod tasks;

pub use panic_text::panic_text;
