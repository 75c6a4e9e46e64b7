//! The log as peers see it.

use std::sync::Arc;

use consensus_core::{AuthorityIndex, BlockRef, Epoch, Round, VerifiedBlock};

use crate::{
    commit_log::CommitLog,
    peer::{BlockStore, StoreReadError},
};

/// Blocks of the log. The peer network itself keeps to what was released for sending.
#[derive(Clone, Debug)]
pub(super) struct LogBlocks {
    log: Arc<CommitLog>,
    epoch: Epoch,
    own: AuthorityIndex,
}

impl LogBlocks {
    pub(super) const fn new(log: Arc<CommitLog>, epoch: Epoch, own: AuthorityIndex) -> Self {
        Self { log, epoch, own }
    }
}

impl BlockStore for LogBlocks {
    fn block(&self, block: &BlockRef) -> Result<Option<VerifiedBlock>, StoreReadError> {
        self.log.block(self.epoch, block).map_err(StoreReadError::new)
    }

    fn own_blocks(
        &self,
        after: Round,
        through: Round,
        max_count: usize,
        max_bytes: u64,
    ) -> Result<Vec<VerifiedBlock>, StoreReadError> {
        let blocks = self.log.blocks_by(self.epoch, self.own, after, through, max_count, max_bytes);
        blocks.map_err(StoreReadError::new)
    }

    fn latest_block_by(
        &self,
        author: AuthorityIndex,
        through: Round,
    ) -> Result<Option<VerifiedBlock>, StoreReadError> {
        self.log.latest_block_by(self.epoch, author, through).map_err(StoreReadError::new)
    }
}
