//! Own blocks for subscribers: the newest in memory, the rest in the store, and no queue for anybody.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use consensus_core::{Round, VerifiedBlock};
use tokio::sync::watch;

/// What subscribers are woken by; only the newest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notice {
    /// Highest own round that was broadcast since start; genesis for none.
    pub(super) newest: Round,
    /// Highest round that peers were asked to propose in; genesis for none.
    pub(super) wake: Round,
}

/// What follows after a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Following {
    /// This block.
    Block(VerifiedBlock),
    /// Blocks that may be in the store alone: all up to `floor`.
    InStore {
        /// The highest released round that is not in memory.
        floor: Round,
    },
    /// Nothing yet.
    Nothing,
}

/// The newest own blocks. Each is durable before it comes here.
#[derive(Debug)]
pub(super) struct OwnBlocks {
    recent: Mutex<Recent>,
    notices: watch::Sender<Notice>,
    max_blocks: usize,
    max_bytes: u64,
}

#[derive(Debug)]
struct Recent {
    /// Rounds rise; all are above `floor`.
    blocks: VecDeque<VerifiedBlock>,
    size_bytes: u64,
    /// Blocks up to here are in the store alone, and may be sent from there.
    floor: Round,
}

impl Recent {
    fn released(&self) -> Round {
        self.blocks.back().map_or(self.floor, VerifiedBlock::round)
    }
}

impl OwnBlocks {
    /// Keeps at most `max_blocks` blocks of at most `max_bytes` signed bytes, but always the newest. Blocks up to
    /// `own_round` are in the store and may be sent.
    pub(super) fn new(own_round: Round, max_blocks: usize, max_bytes: u64) -> Self {
        Self {
            recent: Mutex::new(Recent { blocks: VecDeque::new(), size_bytes: 0, floor: own_round }),
            notices: watch::Sender::default(),
            max_blocks,
            max_bytes,
        }
    }

    /// Takes the next own block, which is durable, and wakes subscribers. A round that does not rise changes nothing.
    pub(super) fn push(&self, block: VerifiedBlock) {
        let round = block.round();
        {
            let mut recent = self.recent();
            if round <= recent.released() {
                return;
            }
            recent.size_bytes = recent.size_bytes.saturating_add(size_bytes(&block));
            recent.blocks.push_back(block);
            while recent.blocks.len() > 1
                && (recent.blocks.len() > self.max_blocks || recent.size_bytes > self.max_bytes)
            {
                if let Some(oldest) = recent.blocks.pop_front() {
                    recent.size_bytes = recent.size_bytes.saturating_sub(size_bytes(&oldest));
                    recent.floor = oldest.round();
                }
            }
        }
        self.notices.send_modify(|notice| notice.newest = round);
    }

    /// Asks subscribers to propose in `round`. Hints that were not sent yet are replaced.
    pub(super) fn wake(&self, round: Round) {
        self.notices.send_if_modified(|notice| {
            let higher = round > notice.wake;
            notice.wake = notice.wake.max(round);
            higher
        });
    }

    /// The highest own round that may be sent.
    pub(super) fn released(&self) -> Round {
        self.recent().released()
    }

    /// How many blocks are in memory, and how many signed bytes they have.
    pub(super) fn held(&self) -> (usize, u64) {
        let recent = self.recent();
        (recent.blocks.len(), recent.size_bytes)
    }

    pub(super) fn notices(&self) -> watch::Receiver<Notice> {
        self.notices.subscribe()
    }

    pub(super) fn following(&self, after: Round) -> Following {
        let recent = self.recent();
        if after < recent.floor {
            return Following::InStore { floor: recent.floor };
        }
        let place = recent.blocks.partition_point(|block| block.round() <= after);
        recent.blocks.get(place).cloned().map_or(Following::Nothing, Following::Block)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_bytes(block: &VerifiedBlock) -> u64 {
    block.signed_bytes().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{AuthorityIndex, Block, ChainId, Epoch, Signer, Timestamp};

    fn block(round: u64) -> VerifiedBlock {
        let block = Block {
            chain_id: ChainId::ZERO,
            epoch: Epoch::GENESIS,
            round: Round::new(round),
            author: AuthorityIndex::new(0),
            timestamp: Timestamp::from_millis(0),
            ancestors: vec![],
            transactions: vec![],
            commit_votes: vec![],
            executed_roots: vec![],
            epoch_vote: None,
        };
        block.sign(&Signer::from_bytes([1; 32]))
    }

    #[test]
    fn what_was_released_before_the_start_is_in_the_store() {
        let own = OwnBlocks::new(Round::new(4), 2, u64::MAX);
        assert_eq!(own.following(Round::new(3)), Following::InStore { floor: Round::new(4) });
        assert_eq!(own.following(Round::new(4)), Following::Nothing);
        own.push(block(4));
        assert_eq!(own.following(Round::new(4)), Following::Nothing);
        own.push(block(6));
        assert_eq!(own.following(Round::new(4)), Following::Block(block(6)));
        assert_eq!(own.released(), Round::new(6));
    }

    #[test]
    fn the_newest_are_in_memory_and_the_rest_in_the_store() {
        let own = OwnBlocks::new(Round::GENESIS, 2, u64::MAX);
        for round in [5, 7, 8] {
            own.push(block(round));
        }
        assert_eq!(own.held().0, 2);
        let floor = Round::new(5);
        assert_eq!(own.following(Round::new(4)), Following::InStore { floor });
        assert_eq!(own.following(Round::new(5)), Following::Block(block(7)));
        assert_eq!(own.following(Round::new(6)), Following::Block(block(7)));
        assert_eq!(own.following(Round::new(7)), Following::Block(block(8)));
        assert_eq!(own.following(Round::new(8)), Following::Nothing);
    }

    #[test]
    fn bytes_bound_it_but_the_newest_stays() {
        let own = OwnBlocks::new(Round::GENESIS, 100, 1);
        own.push(block(1));
        own.push(block(2));
        assert_eq!(own.held(), (1, size_bytes(&block(2))));
    }

    #[test]
    fn a_round_that_does_not_rise_changes_nothing() {
        let own = OwnBlocks::new(Round::GENESIS, 4, u64::MAX);
        own.push(block(3));
        own.push(block(3));
        own.push(block(2));
        assert_eq!(own.held().0, 1);
    }

    #[test]
    fn only_the_highest_hint_is_kept() {
        let own = OwnBlocks::new(Round::GENESIS, 4, u64::MAX);
        let mut notices = own.notices();
        own.wake(Round::new(4));
        own.wake(Round::new(3));
        assert_eq!(notices.borrow_and_update().wake, Round::new(4));
        own.wake(Round::new(4));
        assert!(!notices.has_changed().unwrap());
    }
}
