//! Which faults of other authorities are told: a peer that is at fault without end must not fill the log.

use std::collections::BTreeMap;

use consensus_core::{AuthorityIndex, PeerFault};

/// Of equal faults of one authority, the first is told and then one in this many.
const TOLD_EVERY: u64 = 1_000;

/// Counts by authority and label; bounded by the committee and the labels.
#[derive(Debug, Default)]
pub(super) struct FaultLog {
    counts: BTreeMap<(AuthorityIndex, &'static str), u64>,
}

impl FaultLog {
    /// Counts a fault; how many there have been, where it is to be told.
    pub(super) fn note(&mut self, authority: AuthorityIndex, label: &'static str) -> Option<u64> {
        let count = self.counts.entry((authority, label)).or_default();
        *count = count.saturating_add(1);
        (*count == 1 || count.is_multiple_of(TOLD_EVERY)).then_some(*count)
    }
}

/// Whose fault it is, and its label. Who passed on a block that another signed may be honest.
pub(super) const fn labelled(fault: &PeerFault) -> (AuthorityIndex, &'static str) {
    match fault {
        PeerFault::Equivocation { slot, .. } => (slot.authority, "equivocation"),
        PeerFault::TooFarAhead { from, .. } => (*from, "too_far_ahead"),
        PeerFault::WaitingRoomFull { from, .. } => (*from, "waiting_room_full"),
        PeerFault::AncestorNotFound { block, .. } => (block.author, "ancestor_not_found"),
        PeerFault::UnknownOwnBlock { from, .. } => (*from, "unknown_own_block"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_and_peer_is_told_and_then_few() {
        let (one, two) = (AuthorityIndex::new(1), AuthorityIndex::new(2));
        let mut log = FaultLog::default();
        assert_eq!(log.note(one, "a"), Some(1));
        assert_eq!(log.note(one, "a"), None);
        assert_eq!((log.note(one, "b"), log.note(two, "a")), (Some(1), Some(1)));
        let told: Vec<_> = (3..=2_001).filter_map(|_| log.note(one, "a")).collect();
        assert_eq!(told, [1_000, 2_000]);
    }
}
