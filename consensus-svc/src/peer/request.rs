//! What the requests of peers must say.

use consensus_core::{AnswerLimits, BlockRef, CommitIndex, Epoch, Genesis, Round};
use metanode_proto::{peer::v1, reason};
use metanode_shell::status;
use tonic::{Code, Status};

use crate::wire::{block_refs_from_proto, chain_id_from_proto};

/// Most references in one call of `FetchBlocks`.
pub(super) const MAX_FETCH_REFS: usize = 1000;

/// Most bytes of blocks in one answer to `FetchBlocks`.
const MAX_FETCH_BYTES: u64 = 4 << 20;

/// Where an answer to `FetchBlocks` is cut: at 4 MiB, or the largest commit where that is less, for every end decodes that
/// and 1 MiB more.
pub(super) fn answer_limits(genesis: &Genesis) -> AnswerLimits {
    AnswerLimits::new(cut_bytes(genesis))
}

/// Where an answer to `FetchCommits` is cut, in bytes of all its lists.
pub(super) fn cut_bytes(genesis: &Genesis) -> u64 {
    MAX_FETCH_BYTES.min(genesis.parameters().max_commit_bytes)
}

/// The hint of a request: a round an authority, or nothing.
pub(super) fn held_rounds(genesis: &Genesis, request: &v1::FetchBlocksRequest) -> Result<Vec<Round>, Status> {
    let (count, size) = (request.held_rounds.len(), genesis.committee().size());
    if count != 0 && count != size {
        return Err(status::invalid_field(
            "held_rounds",
            format!("{count} entries, 0 or {size} are allowed"),
        ));
    }
    Ok(request.held_rounds.iter().copied().map(Round::new).collect())
}

/// The references of a request: 1 to 1000.
pub(super) fn fetch_refs(request: &v1::FetchBlocksRequest) -> Result<Vec<BlockRef>, Status> {
    let count = request.blocks.len();
    if count == 0 || count > MAX_FETCH_REFS {
        return Err(status::invalid_field(
            "blocks",
            format!("{count} entries, 1 to {MAX_FETCH_REFS} are allowed"),
        ));
    }
    Ok(block_refs_from_proto("blocks", &request.blocks)?)
}

/// Refuses a request of another chain.
pub(super) fn check_chain(genesis: &Genesis, chain_id: &[u8]) -> Result<(), Status> {
    let expected = genesis.chain_id();
    if chain_id_from_proto("chain_id", chain_id)? == expected {
        return Ok(());
    }
    let message = format!("this is chain {expected}");
    Err(status::reason(Code::FailedPrecondition, reason::WRONG_CHAIN, message, &[("chain_id", &expected)]))
}

/// Refuses a request of another epoch.
pub(super) fn check_epoch(genesis: &Genesis, epoch: u64) -> Result<(), Status> {
    let current = genesis.committee().epoch();
    if Epoch::new(epoch) == current {
        return Ok(());
    }
    let message = format!("epoch {epoch} is asked about, this is epoch {current}");
    Err(status::reason(Code::FailedPrecondition, reason::WRONG_EPOCH, message, &[("epoch", &current)]))
}

/// First and last index of a request for commits: from 1, in this order.
pub(super) fn commit_range(request: &v1::FetchCommitsRequest) -> Result<(CommitIndex, CommitIndex), Status> {
    let (first, last) = (request.first_index, request.last_index);
    if first == 0 || first > last {
        return Err(status::invalid_field("first_index", format!("{first}, 1 to {last} is allowed")));
    }
    Ok((CommitIndex::new(first), CommitIndex::new(last)))
}

/// Refuses a question for commits that are no longer held.
pub(super) fn check_held(first: CommitIndex, earliest: CommitIndex) -> Result<(), Status> {
    if first >= earliest {
        return Ok(());
    }
    let message = format!("commit {first} is no longer held, the earliest is {earliest}");
    Err(status::reason(Code::OutOfRange, reason::COMMIT_PRUNED, message, &[("earliest_index", &earliest)]))
}
