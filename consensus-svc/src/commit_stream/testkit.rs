//! Commits for tests: of this crate's units, and of the whole service.

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, ChainId, Commit, CommitDigest, CommitIndex, CommittedSubDag, Epoch, Round, Signer,
    Timestamp, Transaction,
};

/// Commit `index` of one block that carries these transactions; not chained to any other.
pub(crate) fn sub_dag(index: u64, transactions: &[&'static str]) -> CommittedSubDag {
    chained(index, CommitDigest::ZERO, transactions)
}

/// ... that follows a commit with this digest.
pub(crate) fn chained(
    index: u64,
    previous_digest: CommitDigest,
    transactions: &[&'static str],
) -> CommittedSubDag {
    let block = Block {
        chain_id: ChainId::ZERO,
        epoch: Epoch::GENESIS,
        round: Round::new(index),
        author: AuthorityIndex::new(0),
        timestamp: Timestamp::from_millis(index),
        ancestors: vec![],
        transactions: transactions
            .iter()
            .map(|text| Transaction::new(Bytes::from_static(text.as_bytes())))
            .collect(),
        commit_votes: vec![],
        executed_roots: vec![],
        epoch_vote: None,
    };
    let block = block.sign(&Signer::from_bytes([1; 32]));
    let commit = Commit {
        index: CommitIndex::new(index),
        epoch: Epoch::GENESIS,
        previous_digest,
        timestamp: Timestamp::from_millis(index),
        closing: true,
        leaders: vec![block.reference()],
        blocks: vec![block.reference()],
        duplicate_marks: Bytes::new(),
    };
    let digest = commit.digest();
    CommittedSubDag { commit, digest, blocks: vec![block] }
}
