//! From messages to what the proxy works with, and back.

use metanode_proto::{
    consensus::v1 as consensus,
    executor::v1 as wire,
    limits::{BLOCK_OVERHEAD_BYTES, TRANSACTION_OVERHEAD_BYTES},
};
use sequencer_core::{Authority, ChainId, Digest, Opened, Opening, Position};
use thiserror::Error;

use crate::{
    backend::{Commit, Executed, is_marked},
    network::CommitLimits,
};

/// A message that breaks the contract; its sender has a bug or is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct Malformed {
    /// Path of the field.
    pub field: &'static str,
    /// What is wrong, with the limit.
    pub problem: String,
}

impl Malformed {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Reads an opening.
///
/// # Errors
/// [`Malformed`] unless its lease is there and its keys and digests have 32 bytes.
pub fn opening(message: &wire::StreamOpening) -> Result<Opening, Malformed> {
    let lease = message.lease.as_ref().ok_or(Malformed::new("opening.lease", "is missing"))?;
    Ok(Opening {
        chain_id: ChainId(bytes32("opening.chain_id", &message.chain_id)?),
        authority: Authority(bytes32("opening.lease.authority", &lease.authority)?),
        incarnation: lease.incarnation,
        after: Position {
            index: message.after_index,
            digest: Digest(bytes32("opening.after_digest", &message.after_digest)?),
        },
    })
}

/// Reads a commit and checks its form: lengths of digests, references that must be there, counts and sizes within the limits
/// of genesis, and marks only where there is a transaction. Its digest is compared with what is known later; that it is the
/// digest of the content is for consensus to know.
///
/// # Errors
/// [`Malformed`] with the first mistake.
pub fn commit(message: consensus::Commit, limits: &CommitLimits) -> Result<Commit, Malformed> {
    if message.index == 0 {
        return Err(Malformed::new("commit.index", "is 0; the first commit has index 1"));
    }
    let previous_digest = Digest(bytes32("commit.previous_digest", &message.previous_digest)?);
    let digest = Digest(bytes32("commit.digest", &message.digest)?);
    if message.leaders.is_empty() {
        return Err(Malformed::new("commit.leaders", "is empty"));
    }
    for leader in &message.leaders {
        check_ref("commit.leaders", leader)?;
    }
    for block in &message.blocks {
        let reference = block.block.as_ref();
        check_ref(
            "commit.blocks.block",
            reference.ok_or(Malformed::new("commit.blocks.block", "is missing"))?,
        )?;
    }
    let size_bytes = check_size(&message.blocks, limits)?;
    let (index, epoch, timestamp_ms) = (message.index, message.epoch, message.timestamp_ms);
    let count = message.blocks.iter().map(|block| block.transactions.len()).sum();
    check_marks(&message.duplicate_marks, count)?;
    Ok(Commit { index, epoch, previous_digest, digest, timestamp_ms, size_bytes, message: Box::new(message) })
}

/// Answers an opening.
#[must_use]
pub fn opened(opened: &Opened, block_number: u64) -> wire::ExecuteCommitsResponse {
    let opened = wire::StreamOpened { incarnation: opened.incarnation.0, block_number };
    response(wire::execute_commits_response::Message::Opened(opened))
}

/// Acknowledges a commit.
#[must_use]
pub fn acknowledgement(executed: Executed, duplicate: bool) -> wire::ExecuteCommitsResponse {
    let index = executed.position.index;
    let rejected = executed.rejected.into_iter().map(|rejected| wire::RejectedTransaction {
        index,
        position: rejected.position,
        code: rejected.code,
        reason: rejected.reason,
    });
    response(wire::execute_commits_response::Message::Acknowledgement(wire::Acknowledgement {
        index,
        digest: to_bytes(executed.position.digest),
        state_root: executed.state_root.map(to_bytes).unwrap_or_default(),
        rejected: rejected.collect(),
        results_unknown: executed.results_unknown,
        epoch_end: executed.epoch_end.map(|end| wire::EpochEnd {
            next_epoch: end.epoch,
            committee_digest: bytes::Bytes::copy_from_slice(&end.committee_digest),
        }),
        duplicate,
    }))
}

/// A digest as a message holds it.
#[must_use]
pub fn to_bytes(digest: Digest) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&digest.0)
}

/// Reads a field of 32 bytes.
///
/// # Errors
/// [`Malformed`] for any other length.
pub fn bytes32(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], Malformed> {
    bytes.try_into().map_err(|_| Malformed::new(field, format!("has {} bytes, 32 are needed", bytes.len())))
}

fn response(message: wire::execute_commits_response::Message) -> wire::ExecuteCommitsResponse {
    wire::ExecuteCommitsResponse { message: Some(message) }
}

fn check_ref(field: &'static str, reference: &consensus::BlockRef) -> Result<(), Malformed> {
    bytes32(field, &reference.digest)?;
    if reference.author > u32::from(u16::MAX) {
        return Err(Malformed::new(field, format!("has author {}, at most 65535 exist", reference.author)));
    }
    Ok(())
}

/// The size of all blocks as commits are counted, if counts and sizes are within the limits.
fn check_size(blocks: &[consensus::CommittedBlock], limits: &CommitLimits) -> Result<u64, Malformed> {
    let mut count = 0_usize;
    let mut size_bytes = 0_u64;
    for block in blocks {
        size_bytes = size_bytes.saturating_add(BLOCK_OVERHEAD_BYTES);
        count = count.saturating_add(block.transactions.len());
        for transaction in &block.transactions {
            if transaction.len() > limits.max_transaction_bytes {
                let limit = limits.max_transaction_bytes;
                let problem = format!("one has {} bytes, at most {limit} are allowed", transaction.len());
                return Err(Malformed::new("commit.blocks.transactions", problem));
            }
            let length = u64::try_from(transaction.len()).unwrap_or(u64::MAX);
            size_bytes = size_bytes.saturating_add(length).saturating_add(TRANSACTION_OVERHEAD_BYTES);
        }
    }
    if count > limits.max_transactions {
        let problem = format!("{count} transactions, at most {} are allowed", limits.max_transactions);
        return Err(Malformed::new("commit.blocks", problem));
    }
    if size_bytes > limits.max_bytes {
        let problem = format!("{size_bytes} bytes, at most {} are allowed", limits.max_bytes);
        return Err(Malformed::new("commit.blocks", problem));
    }
    Ok(size_bytes)
}

fn check_marks(marks: &[u8], count: usize) -> Result<(), Malformed> {
    let field = "commit.duplicate_marks";
    let needed = count.div_ceil(8);
    if marks.len() > needed {
        return Err(Malformed::new(field, format!("has {} bytes for {count} transactions", marks.len())));
    }
    if (count..needed * 8).any(|position| is_marked(marks, position)) {
        return Err(Malformed::new(field, format!("marks a position at or above {count}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
