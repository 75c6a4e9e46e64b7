//! The log as peers see it.

use std::sync::Arc;

use consensus_core::{
    AuthorityIndex, BlockRef, CommitIndex, CommittedSubDag, Epoch, RangeBytes, RangeSource, Round,
    VerifiedBlock, collect_range,
};

use crate::{
    commit_log::{CommitLog, LogError},
    driver::SeenBlocks,
    peer::{BlockStore, StoreReadError},
};

/// Blocks of the log. The peer network itself keeps to what was released for sending.
#[derive(Clone, Debug)]
pub(super) struct LogBlocks {
    log: Arc<CommitLog>,
    epoch: Epoch,
    own: AuthorityIndex,
    seen: SeenBlocks,
}

impl LogBlocks {
    pub(super) const fn new(
        log: Arc<CommitLog>,
        epoch: Epoch,
        own: AuthorityIndex,
        seen: SeenBlocks,
    ) -> Self {
        Self { log, epoch, own, seen }
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

    fn earliest_commit(&self) -> CommitIndex {
        self.log.earliest_index()
    }

    fn certified_range(
        &self,
        first: CommitIndex,
        last: CommitIndex,
        released: Round,
        limit_bytes: u64,
    ) -> Result<(Option<RangeBytes>, CommitIndex), StoreReadError> {
        let highest = self.log.last_certified().map_err(StoreReadError::new)?;
        let shown = ShownCommits { blocks: self, last: last.min(highest), released };
        let range = collect_range(&shown, first, limit_bytes).map_err(StoreReadError::new)?;
        Ok((range, highest))
    }

    fn latest_block_by(
        &self,
        author: AuthorityIndex,
        through: Round,
    ) -> Result<Option<VerifiedBlock>, StoreReadError> {
        self.log.latest_block_by(self.epoch, author, through).map_err(StoreReadError::new)
    }

    fn latest_seen(&self, author: AuthorityIndex) -> Result<Option<VerifiedBlock>, StoreReadError> {
        let stored = self.latest_block_by(author, Round::new(u64::MAX))?;
        Ok(stored.into_iter().chain(self.seen.get(author)).max_by_key(VerifiedBlock::round))
    }
}

/// Commits of the log that may be shown to a peer. An own block above what was released may not be durable yet, and
/// whoever saw it would hold us to it.
struct ShownCommits<'a> {
    blocks: &'a LogBlocks,
    last: CommitIndex,
    released: Round,
}

impl ShownCommits<'_> {
    fn may_show(&self, reference: &BlockRef) -> bool {
        reference.author != self.blocks.own || reference.round <= self.released
    }
}

impl RangeSource for ShownCommits<'_> {
    type Error = LogError;

    fn last_certified(&self) -> Result<CommitIndex, LogError> {
        Ok(self.last)
    }

    fn next_certified(&self, first: CommitIndex) -> Result<Option<CommitIndex>, LogError> {
        self.blocks.log.next_certified(first)
    }

    fn sub_dag(&self, index: CommitIndex) -> Result<Option<CommittedSubDag>, LogError> {
        let sub_dag = self.blocks.log.sub_dag(index)?;
        Ok(sub_dag.filter(|sub_dag| sub_dag.commit.blocks.iter().all(|block| self.may_show(block))))
    }

    fn certifiers(&self, index: CommitIndex) -> Result<Option<Vec<VerifiedBlock>>, LogError> {
        let Some(certificate) = self.blocks.log.certificate(index)? else { return Ok(None) };
        let read = |reference: &BlockRef| {
            if self.may_show(reference) {
                self.blocks.log.block(self.blocks.epoch, reference)
            } else {
                Ok(None)
            }
        };
        certificate.blocks.iter().map(read).collect()
    }
}
