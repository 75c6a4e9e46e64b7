//! Transaction bytes: what is ordered is what a client made, byte for byte, and what one node hands on is what all hand on
//! (D19).

use bytes::Bytes;
use consensus_core::{CommittedSubDag, Transaction, VerifiedBlock};

use super::{Invariant, Record};
use crate::names::{NameSet, name};

/// What was made, and the signed bytes of each commit's blocks as they were first handed on.
#[derive(Debug, Default)]
pub(crate) struct TransactionBytes {
    made: NameSet,
    chain: Vec<Vec<Bytes>>,
}

impl TransactionBytes {
    /// The first time: names are computed again from the bytes, and each transaction is one that somebody made.
    fn check_first(&self, sub_dag: &CommittedSubDag) -> Result<(), String> {
        for (block, reference) in sub_dag.blocks.iter().zip(&sub_dag.commit.blocks) {
            let decoded = VerifiedBlock::from_store(block.signed_bytes().clone());
            let same = decoded
                .is_ok_and(|decoded| decoded.reference() == *reference && decoded.block() == block.block());
            if !same {
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

/// Compares byte for byte; what stands in the same place is the same.
fn is_same<'a>(first: &[Bytes], again: impl ExactSizeIterator<Item = &'a Bytes>) -> bool {
    first.len() == again.len()
        && first
            .iter()
            .zip(again)
            .all(|(one, other)| (one.as_ptr(), one.len()) == (other.as_ptr(), other.len()) || one == other)
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
            Record::Sent { honest: false, block, .. } => {
                for transaction in &block.block().transactions {
                    self.made.insert(name(&transaction.digest()));
                }
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
                    Some(first) if !is_same(first, bytes) => {
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
