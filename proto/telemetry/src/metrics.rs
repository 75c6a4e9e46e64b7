//! The catalogue: every metric is declared once, in one table ([`CONSENSUS`], [`EXECUTOR`]), and so has one name, unit, kind and description.
//!
//! Names are those of OpenTelemetry (dotted); the scrape shows them with underscores, the unit and `_total` for counters:
//! `metanode.consensus.blocks.accepted` is `metanode_consensus_blocks_accepted_total`. Labels are small closed enums of
//! [`labels`], all of whose values exist as series from the start, so that a rate over a first event is not lost.

mod catalogue;
mod instrument;
pub mod labels;

pub use catalogue::{CONSENSUS, ConsensusMetrics, EXECUTOR, ExecutorMetrics};
pub use instrument::{Counter, Gauge, Histogram, LabelledCounter, ObservedGauge};

/// What a metric counts or measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes both ways; no series until it is first set, or looked at.
    Gauge,
    /// Distribution over these upper bounds, ascending, in the unit of the metric. (The Prometheus exporter has no
    /// exponential histograms.)
    Histogram(&'static [f64]),
}

/// A metric as it is declared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Dotted, lower case, starting with `metanode.`.
    pub name: &'static str,
    /// UCUM: `s`, `By`, or `{what}` for counts.
    pub unit: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// What it counts or measures.
    pub kind: Kind,
    /// Values of its label `reason`; empty if it has none.
    pub reasons: &'static [&'static str],
}

#[cfg(test)]
mod tests;
