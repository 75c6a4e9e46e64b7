//! A commit as a block, in one of the two layouts.
//!
//! Global execution index, block number, height and commit index are one number here. Transactions that are marked as
//! duplicates are left out, since neither layout can mark them. The leader's address, which consensus does not know, is empty.

use std::str::FromStr;

use metanode_proto::legacy::v1::{CommittedBlock, CommittedEpochData, ExecutableBlock, TransactionExe};
use thiserror::Error;

use super::frame;
use crate::{
    backend::{Commit, is_marked},
    wire,
};

/// Which message a master reads from its socket of blocks. Both occur in the field, and cannot be told apart on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One list of transactions, with the block's number and the commit's digest.
    ExecutableBlock,
    /// A list of blocks, without a digest.
    CommittedEpochData,
}

/// A layout is not known by this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is neither executable-block nor committed-epoch-data")]
pub struct LayoutError;

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(name: &str) -> Result<Self, LayoutError> {
        match name {
            "executable-block" => Ok(Self::ExecutableBlock),
            "committed-epoch-data" => Ok(Self::CommittedEpochData),
            _ => Err(LayoutError),
        }
    }
}

impl Layout {
    /// The frame of a commit.
    pub(super) fn frame(self, commit: &Commit) -> Vec<u8> {
        match self {
            Self::ExecutableBlock => frame::block(&executable_block(commit)),
            Self::CommittedEpochData => frame::block(&committed_epoch_data(commit)),
        }
    }
}

/// True where nothing is executed.
pub(super) fn is_empty(commit: &Commit) -> bool {
    commit.transactions().all(|transaction| transaction.duplicate)
}

fn executable_block(commit: &Commit) -> ExecutableBlock {
    let transactions = commit.transactions().filter(|transaction| !transaction.duplicate);
    ExecutableBlock {
        transactions: transactions.map(|transaction| exe(transaction.bytes)).collect(),
        global_exec_index: commit.index,
        commit_index: short(commit.index),
        epoch: commit.epoch,
        commit_timestamp_ms: commit.timestamp_ms,
        leader_author_index: leader(commit),
        leader_address: bytes::Bytes::new(),
        block_number: commit.index,
        commit_hash: wire::to_bytes(commit.digest),
    }
}

fn committed_epoch_data(commit: &Commit) -> CommittedEpochData {
    let mut position = 0;
    let blocks = commit.message.blocks.iter().map(|block| {
        let mut transactions = Vec::new();
        for bytes in &block.transactions {
            if !is_marked(&commit.message.duplicate_marks, position) {
                transactions.push(exe(bytes));
            }
            position += 1;
        }
        CommittedBlock { epoch: commit.epoch, height: commit.index, transactions }
    });
    CommittedEpochData {
        blocks: blocks.collect(),
        global_exec_index: commit.index,
        commit_index: short(commit.index),
        epoch: commit.epoch,
        commit_timestamp_ms: commit.timestamp_ms,
        leader_author_index: leader(commit),
        leader_address: bytes::Bytes::new(),
    }
}

fn exe(transaction: &bytes::Bytes) -> TransactionExe {
    TransactionExe { digest: transaction.clone(), worker_id: 0 }
}

/// The last leader: the commit's time is that of its parents.
fn leader(commit: &Commit) -> u32 {
    commit.message.leaders.last().map_or(0, |leader| leader.author)
}

/// A field of four bytes, which no cursor is read from; it stays at its end.
fn short(index: u64) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use metanode_proto::consensus::v1 as consensus;
    use prost::Message;
    use sequencer_core::Digest;

    use super::*;

    /// Two blocks with `a` and `b`, `c`; `b` is a duplicate. Index 300 takes two bytes.
    fn commit() -> Commit {
        let block = |author, transactions: &[&'static [u8]]| consensus::CommittedBlock {
            block: Some(consensus::BlockRef { round: 9, author, digest: vec![9; 32].into() }),
            transactions: transactions.iter().copied().map(bytes::Bytes::from_static).collect(),
        };
        let leader = |author| consensus::BlockRef { round: 9, author, digest: vec![9; 32].into() };
        let message = consensus::Commit {
            index: 300,
            epoch: 2,
            leaders: vec![leader(1), leader(3)],
            timestamp_ms: 5,
            blocks: vec![block(0, &[b"a"]), block(3, &[b"b", b"c"])],
            duplicate_marks: vec![2].into(),
            ..consensus::Commit::default()
        };
        Commit {
            index: 300,
            epoch: 2,
            previous_digest: Digest([6; 32]),
            digest: Digest([7; 32]),
            timestamp_ms: 5,
            size_bytes: 3,
            message: Box::new(message),
        }
    }

    #[test]
    fn executable_blocks_have_frozen_bytes() {
        // 0a: transaction a; 0a: c; 10 18 20 28 30: numbers; 40: block number; 4a: digest.
        let golden = format!("3b0a030a01610a030a016310ac0218ac0220022805300340ac024a20{}", "07".repeat(32));
        assert_eq!(hex::encode(Layout::ExecutableBlock.frame(&commit())), golden);
    }

    #[test]
    fn committed_epoch_data_has_frozen_bytes() {
        // 0a: a block of epoch 2, height 300, transaction a; 0a: one with c.
        let golden = "240a0a080210ac021a030a01610a0a080210ac021a030a016310ac0218ac02200228053003";
        assert_eq!(hex::encode(Layout::CommittedEpochData.frame(&commit())), golden);
    }

    #[test]
    fn duplicates_are_left_out_and_a_commit_of_duplicates_is_empty() {
        let mut commit = commit();
        assert!(!is_empty(&commit));
        commit.message.duplicate_marks = vec![7].into();
        assert!(is_empty(&commit));
        let frame = Layout::ExecutableBlock.frame(&commit);
        let block = ExecutableBlock::decode_length_delimited(&frame[..]).unwrap();
        assert_eq!((block.transactions.len(), block.global_exec_index), (0, 300));
    }

    #[test]
    fn d04_only_the_field_of_four_bytes_ends_before_the_index() {
        let mut commit = commit();
        commit.index = u64::from(u32::MAX) + 7;
        let block = executable_block(&commit);
        assert_eq!((block.global_exec_index, block.block_number), (commit.index, commit.index));
        assert_eq!(block.commit_index, u32::MAX);
    }
}
