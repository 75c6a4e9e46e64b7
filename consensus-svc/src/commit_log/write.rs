//! Writing: one batch of the machine is one batch of the store.

use std::sync::atomic::Ordering;

use consensus_core::CommitIndex;
use metanode_shell::durable::{Completion, WriteBatch, WriteError};

use super::{evidence, keys, log::CommitLog, progress, roots};

impl CommitLog {
    /// Hands a batch to the storage thread, waiting for a place in its queue, and returns what resolves when it is
    /// durable. Batches become durable in the order in which they were handed in. If this future is dropped before it
    /// returns, the batch was not taken.
    ///
    /// # Errors
    /// [`WriteError::Failed`] with the first error of the store, now or before: this node must stop, for what it
    /// cannot persist it must not sign.
    pub async fn submit(&self, batch: consensus_core::WriteBatch) -> Result<Completion, WriteError> {
        self.writer.submit(store_batch(&batch)).await
    }

    /// Records the newest index that the executor acknowledged. Nobody waits for it: it becomes durable with the next
    /// batch, for the executor's own answer is the truth. An index at or below the recorded one changes nothing.
    ///
    /// # Errors
    /// As [`CommitLog::submit`].
    pub async fn record_acknowledged(&self, index: CommitIndex) -> Result<(), WriteError> {
        if self.acknowledged.fetch_max(index.get(), Ordering::AcqRel) >= index.get() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put(keys::ACKNOWLEDGED, index.get().to_be_bytes());
        self.writer.submit_relaxed(batch).await
    }

    /// Resolves with the first error when the storage thread has ended because the store failed.
    pub async fn failed(&self) -> WriteError {
        self.writer.failed().await
    }

    /// Writes what waits, syncs, and lets go of the database. (Dropping the last reference does the same and blocks
    /// the thread that drops it.)
    ///
    /// # Errors
    /// [`WriteError::Failed`] if the store failed now or before.
    pub async fn close(self) -> Result<(), WriteError> {
        let Self { writer, store, .. } = self;
        let closed = writer.close().await;
        drop(store);
        closed
    }
}

fn store_batch(batch: &consensus_core::WriteBatch) -> WriteBatch {
    let mut writes = WriteBatch::default();
    for block in &batch.blocks {
        let (epoch, reference) = (block.block().epoch, block.reference());
        writes.put(keys::block(epoch, &reference), block.signed_bytes().to_vec());
        writes.put(keys::by_author(epoch, &reference), Vec::new());
    }
    for (commit, _) in &batch.commits {
        writes.put(keys::commit(commit.index), commit.canonical_bytes());
    }
    for certificate in &batch.certificates {
        writes.put(keys::certificate(certificate.index), certificate.canonical_bytes());
    }
    for found in &batch.evidence {
        writes.put(keys::equivocation(found.epoch(), found.slot()), evidence::encode(&found.proof()));
    }
    roots::put(&mut writes, &batch.roots);
    writes.put(keys::PROGRESS, progress::encode(&batch.progress));
    writes
}
