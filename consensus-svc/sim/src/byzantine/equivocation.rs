//! Two blocks for one slot, in three patterns.

use bytes::Bytes;
use consensus_core::{Transaction, VerifiedBlock};

use super::{Byzantine, Deeds};
use crate::fault::Fault;

impl Byzantine {
    /// Split: each group is shown one twin, and the twin chain may go on. All: everybody is sent both, in opposite orders.
    /// Late: the second group gets its twin long after the first.
    pub(super) fn equivocate(&mut self, block: &VerifiedBlock, shown: &VerifiedBlock, deeds: &mut Deeds) {
        if self.last[1].is_none() {
            self.last[1] = self.last[0];
        }
        self.made += 1;
        let mark = Transaction::new(Bytes::from(format!("twin {} of {:?}", self.made, shown.reference())));
        let limit = usize::try_from(self.genesis.parameters().max_block_transactions).unwrap_or(usize::MAX);
        let drops = self.rng.chance(30_000);
        let twin = self.compose(block, 1, |content| {
            if drops || content.transactions.len() >= limit {
                content.transactions.truncate(limit.saturating_sub(1) / 2);
            }
            content.transactions.push(mark);
        });
        let (one, other) = self.some_others();
        match self.rng.below(3) {
            0 => {
                deeds.faults.push(Fault::TwinSplit);
                deeds.send(one, 0, shown);
                deeds.send(other, 0, &twin);
            }
            1 => {
                deeds.faults.push(Fault::TwinAll);
                deeds.send(one.iter().copied(), 0, shown);
                deeds.send(other.iter().copied(), 0, &twin);
                deeds.send(one, 1, &twin);
                deeds.send(other, 1, shown);
            }
            _ => {
                deeds.faults.push(Fault::TwinLate);
                let delay_ms = self.rng.between(300, 2_000);
                deeds.send(one, 0, shown);
                deeds.send(other, delay_ms, &twin);
            }
        }
        self.last[1] = Some(twin.reference());
    }
}
