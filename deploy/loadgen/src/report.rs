//! What the load tells, while it runs and at its end.

use crate::Latency;
use reference_ledger::Digest;
use std::time::Duration;

/// What became of a transaction, as its authority told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Executed, with effect.
    Executed,
    /// Rejected by the executor, or refused by the authority for good.
    Rejected,
    /// Not known: at the drain deadline, or because its authority has stopped.
    Unresolved,
}

/// One transaction at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// BLAKE3 digest of its bytes.
    pub digest: Digest,
    /// What became of it.
    pub fate: Fate,
}

/// The load on one authority, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSnapshot {
    /// Transactions sent, each once.
    pub submitted: u64,
    /// Executed.
    pub executed: u64,
    /// Rejected, or refused for good.
    pub rejected: u64,
    /// Sent more than once, because the fate of an earlier try was unknown.
    pub resubmitted: u64,
    /// Sent, and not settled yet.
    pub in_flight: u64,
    /// Due, and not sent yet: all accounts have one in flight.
    pub backlog: u64,
    /// Executed a second, over the last second.
    pub executed_per_s: u64,
    /// Of what was executed in the last second.
    pub p50: Option<Duration>,
    /// Of what was executed in the last second.
    pub p99: Option<Duration>,
}

/// The load on all authorities, so far; by authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// One an authority.
    pub lanes: Vec<LaneSnapshot>,
}

impl Snapshot {
    /// Sum over all authorities of one figure.
    pub fn total(&self, figure: impl Fn(&LaneSnapshot) -> u64) -> u64 {
        self.lanes.iter().map(figure).sum()
    }
}

/// The load at its end. `submitted = executed + rejected + lost`.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// Transactions sent, each once.
    pub submitted: u64,
    /// Executed.
    pub executed: u64,
    /// Rejected by the executor, or refused by the authority for good.
    pub rejected: u64,
    /// Sent, and of unknown fate: not settled at the drain deadline, or its authority has stopped.
    pub lost: u64,
    /// Sent more than once, because the fate of an earlier try was unknown.
    pub resubmitted: u64,
    /// How often an authority told that it had dropped one; these are sent again.
    pub dropped: u64,
    /// How often an authority told that one was committed again.
    pub duplicates: u64,
    /// Of those executed or rejected, how many without a result told by the executor: whether the account's nonce was used was
    /// computed from the chain.
    pub untold: u64,
    /// Due, and never sent: the network, or this machine, was too slow for the rate.
    pub unsent: u64,
    /// From intended submission to execution, of all that was executed.
    pub latency: Latency,
    /// Time from the start to the last settled transaction.
    pub elapsed: Duration,
    /// Why a transaction was rejected, refused for good, or lost before the drain deadline, for the first one that was.
    pub first_rejection: Option<String>,
}

impl LoadReport {
    pub(crate) fn add(&mut self, lane: &Self) {
        self.submitted += lane.submitted;
        self.executed += lane.executed;
        self.rejected += lane.rejected;
        self.lost += lane.lost;
        self.resubmitted += lane.resubmitted;
        self.dropped += lane.dropped;
        self.duplicates += lane.duplicates;
        self.untold += lane.untold;
        self.unsent += lane.unsent;
        self.latency.add(&lane.latency);
        self.elapsed = self.elapsed.max(lane.elapsed);
        if self.first_rejection.is_none() {
            self.first_rejection.clone_from(&lane.first_rejection);
        }
    }
}
