//! One event a decided leader slot: why a leader was not committed is also in the trace (L08).

use consensus_core::{DecidedSlot, DecisionHistory};
use metanode_telemetry::names::as_i64;

/// Follows the machine's decisions.
#[derive(Debug, Default)]
pub(super) struct DecisionLog {
    told: u64,
}

impl DecisionLog {
    /// Tells what was decided since the last time. Where that is more than the machine remembers, as after a restart, the newest
    /// are told.
    pub(super) fn tell(&mut self, decisions: &DecisionHistory) {
        let told = std::mem::replace(&mut self.told, decisions.total());
        if told < decisions.total() && tracing::enabled!(tracing::Level::DEBUG) {
            decisions.since(told).for_each(tell);
        }
    }
}

fn tell(decided: &DecidedSlot) {
    tracing::debug!(
        round = as_i64(decided.slot.round.get()),
        offset = i64::from(decided.slot.offset),
        authority = i64::from(decided.authority.get()),
        committed = decided.block.is_some(),
        reason = decided.reason.label(),
        anchor_round = decided.reason.anchor().map(|anchor| as_i64(anchor.round.get())),
        "leader slot decided"
    );
}
