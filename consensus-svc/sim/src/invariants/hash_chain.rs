//! Hash chain: each commit names the digest of the one before it, and its digest is that of its content (protocol, From
//! leaders to commits).

use consensus_core::CommitDigest;

use super::{Invariant, Record};

/// The last digest by node.
#[derive(Debug)]
pub(crate) struct HashChain(Vec<(u64, CommitDigest)>);

impl HashChain {
    pub(crate) fn new(nodes: usize) -> Self {
        Self(vec![(0, CommitDigest::ZERO); nodes])
    }
}

impl Invariant for HashChain {
    fn name(&self) -> &'static str {
        "hash-chain"
    }

    fn observe(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record::Delivered { node, sub_dag, .. } = record else { return Ok(()) };
        let commit = &sub_dag.commit;
        if commit.digest() != sub_dag.digest {
            return Err(format!(
                "commit {} of node {node} has another digest than its content",
                commit.index
            ));
        }
        let (index, digest) = self.0[*node];
        if commit.index.get() == index + 1 {
            if commit.previous_digest != digest {
                return Err(format!("commit {} of node {node} does not chain", commit.index));
            }
            self.0[*node] = (commit.index.get(), sub_dag.digest);
        }
        Ok(())
    }
}
