//! The other side of catch-up: which range is given to a peer that asks.

use bytes::Bytes;

use crate::{
    block::VerifiedBlock,
    catch_up::range::{RangeBytes, entry_bytes},
    commit::CommittedSubDag,
    types::CommitIndex,
};

/// Most bytes in a range as it is sent ([`RangeBytes::size_bytes`]), whatever one group holds: who asks decodes no more. A
/// group above it, its certifiers included, is not served.
pub const MAX_RANGE_BYTES: u64 = 64 << 20;

/// A store that ranges are read from.
pub trait RangeSource {
    /// Why it cannot be read.
    type Error;

    /// Highest commit with a certificate; none if there is none.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn last_certified(&self) -> Result<CommitIndex, Self::Error>;

    /// A commit with its blocks; `None` if it is not held.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn sub_dag(&self, index: CommitIndex) -> Result<Option<CommittedSubDag>, Self::Error>;

    /// The blocks that certify a commit; `None` without a certificate, or if one of its blocks is not held.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn certifiers(&self, index: CommitIndex) -> Result<Option<Vec<VerifiedBlock>>, Self::Error>;
}

/// Whether an answer without commits to a question about those after `after` says that there are none: not where its sender has
/// certified ones, `highest` the last, and cannot give them now.
pub fn shows_nothing_later(after: CommitIndex, highest: CommitIndex) -> bool {
    highest <= after
}

/// The longest range from `first` on that ends at a certified commit and has at most `limit_bytes` (commits, blocks and
/// certifiers as they are sent), or the shortest one if that has more; `None` if there is none, or not within
/// [`MAX_RANGE_BYTES`].
///
/// `None` is not yet "nothing later": that is so only if no certified commit at or above `first` is held.
///
/// # Errors
/// If the store cannot be read.
pub fn collect_range<S: RangeSource>(
    source: &S,
    first: CommitIndex,
    limit_bytes: u64,
) -> Result<Option<RangeBytes>, S::Error> {
    let last = source.last_certified()?;
    let mut range = RangeBytes::default();
    let mut size_bytes = 0u64;
    let mut end = None;
    let mut index = first;
    while index <= last && index != CommitIndex::NONE {
        let Some(sub_dag) = source.sub_dag(index)? else { break };
        let limit = if end.is_some() { limit_bytes } else { MAX_RANGE_BYTES };
        let commit = Bytes::from(sub_dag.commit.canonical_bytes());
        size_bytes = size_bytes.saturating_add(entry_bytes(&commit)).saturating_add(sent(&sub_dag.blocks));
        if size_bytes > limit {
            break;
        }
        range.commits.push(commit);
        range.blocks.extend(sub_dag.blocks.iter().map(|block| block.signed_bytes().clone()));
        if sub_dag.commit.closing
            && let Some(certifiers) = source.certifiers(index)?
            && size_bytes.saturating_add(sent(&certifiers)) <= limit
        {
            range.certifiers = certifiers.iter().map(|block| block.signed_bytes().clone()).collect();
            end = Some((range.commits.len(), range.blocks.len()));
        }
        index = index.next();
    }
    Ok(end.map(|(commits, blocks)| {
        range.commits.truncate(commits);
        range.blocks.truncate(blocks);
        range
    }))
}

/// Bytes of these blocks in a message.
fn sent(blocks: &[VerifiedBlock]) -> u64 {
    blocks.iter().map(|block| entry_bytes(block.signed_bytes())).fold(0, u64::saturating_add)
}
