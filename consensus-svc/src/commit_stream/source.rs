//! Where commits are read from.

use std::{error::Error, sync::Arc};

use consensus_core::{CommitDigest, CommitIndex, CommittedSubDag, RootRecords};

/// The durable commits of this node, read the same way whether they are old or new. Implemented by the log; tests have
/// one in memory.
pub trait CommitSource: Send + Sync + 'static {
    /// Newest durable commit that readers may see; none before the first.
    fn last_index(&self) -> CommitIndex;

    /// Earliest commit held; 1 until commits are pruned.
    fn earliest_index(&self) -> CommitIndex;

    /// Newest commit that the executor acknowledged, as far as it was written down.
    fn acknowledged(&self) -> CommitIndex;

    /// Digest of a commit; `None` where it is not held.
    fn digest(
        &self,
        index: CommitIndex,
    ) -> impl Future<Output = Result<Option<CommitDigest>, SourceError>> + Send;

    /// What is known of state roots: which are agreed on, and whether the executor was contradicted.
    fn roots(&self) -> impl Future<Output = Result<RootRecords, SourceError>> + Send;

    /// Resolves when there is a commit after `index`.
    fn wait_beyond(&self, index: CommitIndex) -> impl Future<Output = ()> + Send;

    /// The commits after `index`, in order: at most `max_count`, and of at most `max_bytes` together but for the first,
    /// which is read whatever its size. Empty where there is none.
    fn read_after(
        &self,
        index: CommitIndex,
        max_count: usize,
        max_bytes: u64,
    ) -> impl Future<Output = Result<Vec<Arc<CommittedSubDag>>, SourceError>> + Send;

    /// Writes down what the executor acknowledged. It need not be durable at once: it is an alarm's memory, not a cursor.
    fn record_acknowledged(&self, index: CommitIndex)
    -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// The log cannot be read or written: the node stops.
#[derive(Debug, thiserror::Error)]
#[error("the commit log failed")]
pub struct SourceError(#[source] pub Box<dyn Error + Send + Sync>);
