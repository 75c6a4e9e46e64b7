//! Transaction bytes: what is ordered is what a client made, byte for byte, and what one node hands on is what all hand on
//! (D19).

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus_core::{BlockRef, CommittedSubDag, Transaction, VerifiedBlock};

use super::{Invariant, Record};
use crate::names::{NameSet, name};

/// What was made and what was sent, and the signed bytes of each commit's blocks as they were first handed on.
#[derive(Debug, Default)]
pub(crate) struct TransactionBytes {
    made: NameSet,
    /// Each block with the bytes that went out: the world has judged them, so they are that block.
    sent: BTreeMap<BlockRef, VerifiedBlock>,
    chain: Vec<Vec<Bytes>>,
}

impl TransactionBytes {
    fn is_as_sent(&self, block: &VerifiedBlock, reference: &BlockRef) -> bool {
        self.sent.get(reference).is_some_and(|sent| {
            is_same(sent.signed_bytes(), block.signed_bytes()) && sent.block() == block.block()
        })
    }

    /// The first time: each block is what was sent under its name, byte for byte, and each transaction is one that somebody
    /// made.
    fn check_first(&self, sub_dag: &CommittedSubDag) -> Result<(), String> {
        for (block, reference) in sub_dag.blocks.iter().zip(&sub_dag.commit.blocks) {
            if !self.is_as_sent(block, reference) && !is_named_by_its_bytes(block, reference) {
                return Err(format!("the bytes of {reference:?} are not that block"));
            }
        }
        // A transaction is named by the bytes that it holds, which are those of the block.
        match sub_dag.transactions().map(Transaction::digest).find(|digest| !self.made.contains(name(digest)))
        {
            Some(digest) => {
                Err(format!("transaction {digest:?} of commit {} was never made", sub_dag.commit.index))
            }
            None => Ok(()),
        }
    }
}

/// Whether a block's bytes, decoded and named anew, are that block.
fn is_named_by_its_bytes(block: &VerifiedBlock, reference: &BlockRef) -> bool {
    let decoded = VerifiedBlock::from_store(block.signed_bytes().clone());
    decoded.is_ok_and(|decoded| decoded.reference() == *reference && decoded.block() == block.block())
}

/// Compares byte for byte; what stands in the same place is the same.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    (one.as_ptr(), one.len()) == (other.as_ptr(), other.len()) || one == other
}

fn are_same<'a>(first: &[Bytes], again: impl ExactSizeIterator<Item = &'a Bytes>) -> bool {
    first.len() == again.len() && first.iter().zip(again).all(|(one, other)| is_same(one, other))
}

impl Invariant for TransactionBytes {
    fn name(&self) -> &'static str {
        "transaction-bytes"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        match record {
            Record::Made { transactions } => {
                for transaction in *transactions {
                    self.made.insert(name(transaction));
                }
            }
            Record::Sent { honest, block, .. } => {
                for transaction in block.block().transactions.iter().filter(|_| !*honest) {
                    self.made.insert(name(&transaction.digest()));
                }
                self.sent.insert(block.reference(), (*block).clone());
            }
            Record::Delivered { node, sub_dag, .. } => {
                if sub_dag.blocks.len() != sub_dag.commit.blocks.len() {
                    return Err(format!("commit {} comes without all its blocks", sub_dag.commit.index));
                }
                let place = usize::try_from(sub_dag.commit.index.get()).unwrap_or(0).wrapping_sub(1);
                let bytes = sub_dag.blocks.iter().map(VerifiedBlock::signed_bytes);
                match self.chain.get(place) {
                    None if place == self.chain.len() => {
                        self.check_first(sub_dag)?;
                        self.chain.push(bytes.cloned().collect());
                    }
                    Some(first) if !are_same(first, bytes) => {
                        return Err(format!(
                            "node {node} hands on other bytes in commit {}",
                            sub_dag.commit.index
                        ));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}
