//! How both services are observed: log events, the catalogue of metrics, and the endpoint they are scraped from.
//!
//! A service calls [`Telemetry::init`] once, builds its instruments ([`metrics::ConsensusMetrics`] or
//! [`metrics::ExecutorMetrics`]) from [`Telemetry::meter`], and runs [`scrape::serve`] as one of its tasks. Metrics and
//! events observe; nothing is ever decided by them. Identifiers (keys, digests, indexes, addresses) are fields of
//! events and never labels of metrics.

mod init;
pub mod metrics;
pub mod names;
pub mod scrape;

pub use init::{LogFormat, Telemetry, TelemetryError};
pub use names::as_i64;
