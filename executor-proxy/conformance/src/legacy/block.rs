//! A commit as a block of the framed protocol, in one of its layouts. Transactions that are marked as duplicates are left out:
//! neither layout can mark them.

use bytes::Bytes;
use metanode_proto::{
    consensus::v1::Commit,
    legacy::v1::{CommittedBlock, CommittedEpochData, ExecutableBlock, TransactionExe},
};
use prost::Message;

use super::Layout;

/// The frame of a commit: its length as a varint, then the block.
pub(crate) fn frame(commit: &Commit, layout: Layout) -> Vec<u8> {
    let mut position = 0;
    let blocks: Vec<Vec<TransactionExe>> = commit
        .blocks
        .iter()
        .map(|block| {
            let mut kept = Vec::new();
            for bytes in &block.transactions {
                if !is_marked(&commit.duplicate_marks, position) {
                    kept.push(TransactionExe { digest: bytes.clone(), worker_id: 0 });
                }
                position += 1;
            }
            kept
        })
        .collect();
    let short = u32::try_from(commit.index).unwrap_or(u32::MAX);
    let leader = commit.leaders.last().map_or(0, |leader| leader.author);
    match layout {
        Layout::ExecutableBlock => ExecutableBlock {
            transactions: blocks.into_iter().flatten().collect(),
            global_exec_index: commit.index,
            commit_index: short,
            epoch: commit.epoch,
            commit_timestamp_ms: commit.timestamp_ms,
            leader_author_index: leader,
            leader_address: Bytes::new(),
            block_number: commit.index,
            commit_hash: commit.digest.clone(),
        }
        .encode_length_delimited_to_vec(),
        Layout::CommittedEpochData => CommittedEpochData {
            blocks: blocks
                .into_iter()
                .map(|transactions| CommittedBlock {
                    epoch: commit.epoch,
                    height: commit.index,
                    transactions,
                })
                .collect(),
            global_exec_index: commit.index,
            commit_index: short,
            epoch: commit.epoch,
            commit_timestamp_ms: commit.timestamp_ms,
            leader_author_index: leader,
            leader_address: Bytes::new(),
        }
        .encode_length_delimited_to_vec(),
    }
}

fn is_marked(marks: &[u8], position: usize) -> bool {
    marks.get(position / 8).is_some_and(|byte| byte & (1 << (position % 8)) != 0)
}
