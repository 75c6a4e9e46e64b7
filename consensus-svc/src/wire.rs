//! Between the machine's types and the messages of the contract.

use consensus_core::{
    AuthorityIndex, BlockDigest, BlockRef, ChainId, CommittedSubDag, Round, TransactionDigest,
};
use metanode_proto::consensus::v1;

/// A message of the contract that breaks it. The sender is wrong; nothing here stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// Its path.
        field: String,
    },
    /// A digest or key of another length.
    #[error("{field} has {length} bytes, 32 are needed")]
    Length {
        /// Its path.
        field: String,
        /// Its length.
        length: usize,
    },
    /// A number above its range.
    #[error("{field} is {value}, at most {limit} is allowed")]
    TooLarge {
        /// Its path.
        field: String,
        /// The number.
        value: u64,
        /// The limit.
        limit: u64,
    },
}

impl WireError {
    /// Path of the field that is wrong, as in the `.proto` file.
    pub fn field(&self) -> &str {
        match self {
            Self::Missing { field } | Self::Length { field, .. } | Self::TooLarge { field, .. } => field,
        }
    }
}

/// A commit as readers and executors get it.
pub fn commit_to_proto(sub_dag: &CommittedSubDag) -> v1::Commit {
    let commit = &sub_dag.commit;
    v1::Commit {
        index: commit.index.get(),
        epoch: commit.epoch.get(),
        previous_digest: bytes32(commit.previous_digest.as_bytes()),
        digest: bytes32(sub_dag.digest.as_bytes()),
        leaders: commit.leaders.iter().map(block_ref_to_proto).collect(),
        timestamp_ms: commit.timestamp.as_millis(),
        closing: commit.closing,
        blocks: sub_dag
            .blocks
            .iter()
            .map(|block| v1::CommittedBlock {
                block: Some(block_ref_to_proto(&block.reference())),
                transactions: block.block().transactions.iter().map(|tx| tx.bytes().clone()).collect(),
            })
            .collect(),
        duplicate_marks: commit.duplicate_marks.clone(),
    }
}

/// A block reference.
pub fn block_ref_to_proto(reference: &BlockRef) -> v1::BlockRef {
    v1::BlockRef {
        round: reference.round.get(),
        author: u32::from(reference.author.get()),
        digest: bytes32(reference.digest.as_bytes()),
    }
}

/// Reads a block reference; `field` is its path, for errors.
///
/// # Errors
/// [`WireError`] for a digest of another length, or an author above 65535.
pub fn block_ref_from_proto(field: &str, reference: &v1::BlockRef) -> Result<BlockRef, WireError> {
    let author = u16::try_from(reference.author).map_err(|_| WireError::TooLarge {
        field: format!("{field}.author"),
        value: u64::from(reference.author),
        limit: u64::from(u16::MAX),
    })?;
    Ok(BlockRef {
        round: Round::new(reference.round),
        author: AuthorityIndex::new(author),
        digest: BlockDigest::new(array32(&format!("{field}.digest"), &reference.digest)?),
    })
}

/// Reads a list of block references; errors name the place in it.
///
/// # Errors
/// The first [`WireError`].
pub fn block_refs_from_proto(field: &str, references: &[v1::BlockRef]) -> Result<Vec<BlockRef>, WireError> {
    let named = references.iter().enumerate();
    named.map(|(place, reference)| block_ref_from_proto(&format!("{field}[{place}]"), reference)).collect()
}

/// Reads a chain id.
///
/// # Errors
/// [`WireError::Length`].
pub fn chain_id_from_proto(field: &str, bytes: &[u8]) -> Result<ChainId, WireError> {
    array32(field, bytes).map(ChainId::new)
}

/// Reads the digest of a transaction.
///
/// # Errors
/// [`WireError::Length`].
pub fn transaction_digest_from_proto(field: &str, bytes: &[u8]) -> Result<TransactionDigest, WireError> {
    array32(field, bytes).map(TransactionDigest::new)
}

/// Reads 32 bytes.
///
/// # Errors
/// [`WireError::Length`].
pub fn array32(field: &str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    bytes.try_into().map_err(|_| WireError::Length { field: field.to_owned(), length: bytes.len() })
}

/// 32 bytes as the messages carry them.
pub fn bytes32(bytes: &[u8; 32]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_references_come_back() {
        let reference = BlockRef {
            round: Round::new(9),
            author: AuthorityIndex::new(u16::MAX),
            digest: BlockDigest::new([3; 32]),
        };
        let sent = block_ref_to_proto(&reference);
        assert_eq!(block_ref_from_proto("block", &sent), Ok(reference));
    }

    #[test]
    fn a_wrong_field_is_named_with_its_limit() {
        let good = v1::BlockRef { round: 1, author: 65_535, digest: vec![0; 32].into() };
        let author = v1::BlockRef { author: 65_536, ..good.clone() };
        let digest = v1::BlockRef { digest: vec![0; 31].into(), ..good.clone() };
        let error = block_refs_from_proto("blocks", &[good.clone(), author]).unwrap_err();
        assert_eq!(error.field(), "blocks[1].author");
        assert_eq!(error.to_string(), "blocks[1].author is 65536, at most 65535 is allowed");
        let error = block_refs_from_proto("blocks", &[good, digest]).unwrap_err();
        assert_eq!(error.to_string(), "blocks[1].digest has 31 bytes, 32 are needed");
        assert!(chain_id_from_proto("chain_id", &[0; 33]).is_err());
    }
}
