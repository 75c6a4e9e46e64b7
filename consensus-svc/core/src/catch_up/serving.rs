//! The other side of catch-up: which range is given to a peer that asks.

use bytes::Bytes;

use crate::{
    block::VerifiedBlock,
    block_verifier::BlockVerifier,
    catch_up::range::{ENTRY_BYTES, RangeBytes, entry_bytes},
    commit::CommittedSubDag,
    types::CommitIndex,
};

/// Most bytes of commits and blocks in a range as it is sent, whatever one group holds. A group above it is not served.
pub const MAX_GROUP_BYTES: u64 = 64 << 20;

/// Certificates without one block that may be given, after which no further one is looked for.
const MAX_TRIED_CERTIFICATES: usize = 1_000;

/// Most bytes in a range as it is sent ([`RangeBytes::size_bytes`]): commits and blocks, and a certifier of each authority, as
/// large as blocks can be. No server gives more, and whoever asks decodes so much.
pub fn max_range_bytes(verifier: &BlockVerifier) -> u64 {
    let authorities = verifier.genesis().committee().size() as u64;
    let certifier = verifier.max_signed_bytes().saturating_add(ENTRY_BYTES);
    MAX_GROUP_BYTES.saturating_add(certifier.saturating_mul(authorities))
}

/// A store that ranges are read from.
pub trait RangeSource {
    /// Why it cannot be read.
    type Error;

    /// Highest commit with a certificate; none if there is none.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn last_certified(&self) -> Result<CommitIndex, Self::Error>;

    /// The first commit from `first` on that has a certificate; `None` if there is none. A cheap look: no block is read.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn next_certified(&self, first: CommitIndex) -> Result<Option<CommitIndex>, Self::Error>;

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
/// certifiers as they are sent), or the shortest one if that has more; `None` if there is none, or not with commits and blocks
/// within [`MAX_GROUP_BYTES`].
///
/// `None` is not yet "nothing later": see [`shows_nothing_later`].
///
/// Commits are read only where a certificate behind them can be given: a question costs little where there is none.
///
/// # Errors
/// If the store cannot be read.
pub fn collect_range<S: RangeSource>(
    source: &S,
    first: CommitIndex,
    limit_bytes: u64,
) -> Result<Option<RangeBytes>, S::Error> {
    let last = source.last_certified()?;
    let (mut range, mut size_bytes, mut next) = (RangeBytes::default(), 0u64, first);
    while let Some((end, certifiers)) = next_certificate(source, next, last)? {
        let room = if range.commits.is_empty() {
            MAX_GROUP_BYTES
        } else {
            limit_bytes.saturating_sub(size_bytes).saturating_sub(sent(&certifiers))
        };
        let Some(part) = read_commits(source, next, end, room)? else { break };
        size_bytes = size_bytes.saturating_add(part.size_bytes());
        range.commits.extend(part.commits);
        range.blocks.extend(part.blocks);
        range.certifiers = certifiers.iter().map(|block| block.signed_bytes().clone()).collect();
        next = end.next();
    }
    Ok(Some(range).filter(|range| !range.commits.is_empty()))
}

/// The first certificate from `first` to `last` of which all blocks can be given, with these.
fn next_certificate<S: RangeSource>(
    source: &S,
    first: CommitIndex,
    last: CommitIndex,
) -> Result<Option<(CommitIndex, Vec<VerifiedBlock>)>, S::Error> {
    let mut next = first;
    for _ in 0..MAX_TRIED_CERTIFICATES {
        let Some(index) = source.next_certified(next)?.filter(|index| *index <= last) else {
            return Ok(None);
        };
        if let Some(certifiers) = source.certifiers(index)? {
            return Ok(Some((index, certifiers)));
        }
        next = index.next();
    }
    Ok(None)
}

/// The commits from `first` to `end` with their blocks. `None` if one of them is not held, or all together have more bytes than
/// there is room for.
fn read_commits<S: RangeSource>(
    source: &S,
    first: CommitIndex,
    end: CommitIndex,
    room_bytes: u64,
) -> Result<Option<RangeBytes>, S::Error> {
    let mut part = RangeBytes::default();
    let mut size_bytes = 0u64;
    let mut index = first;
    while index <= end {
        let Some(sub_dag) = source.sub_dag(index)? else { return Ok(None) };
        let commit = Bytes::from(sub_dag.commit.canonical_bytes());
        size_bytes = size_bytes.saturating_add(entry_bytes(&commit)).saturating_add(sent(&sub_dag.blocks));
        if size_bytes > room_bytes {
            return Ok(None);
        }
        part.commits.push(commit);
        part.blocks.extend(sub_dag.blocks.iter().map(|block| block.signed_bytes().clone()));
        index = index.next();
    }
    Ok(Some(part))
}

/// Bytes of these blocks in a message.
fn sent(blocks: &[VerifiedBlock]) -> u64 {
    blocks.iter().map(|block| entry_bytes(block.signed_bytes())).fold(0, u64::saturating_add)
}
