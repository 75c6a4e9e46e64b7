//! Each invariant is shown a history that breaks it, made by hand, and one that does not.

mod chain;
mod condition;
mod fates;
mod groups;
mod own_blocks;
mod roots;
mod stored;
mod votes;

use std::sync::Arc;

use bytes::Bytes;
use consensus_core::{
    Block, Commit, CommitDigest, CommitIndex, CommittedSubDag, Epoch, Genesis, Params, Round, Signer,
    Timestamp, Transaction, VerifiedBlock, testkit,
};

use super::{Record, Watch};

/// A watch, and the keys of all whom it watches.
struct Hand {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    watch: Watch,
}

fn hand() -> Hand {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let watch = Watch::new(&genesis, &Params::default(), 0);
    Hand { genesis, signers, watch }
}

impl Hand {
    fn block(
        &self,
        round: u64,
        author: usize,
        time: u64,
        parents: &[&VerifiedBlock],
        payload: &[u8],
    ) -> VerifiedBlock {
        let genesis_blocks: Vec<_> = self
            .genesis
            .committee()
            .indexes()
            .map(|index| VerifiedBlock::genesis(&self.genesis, index).reference())
            .collect();
        let ancestors = if round == 1 {
            genesis_blocks
        } else {
            parents.iter().map(|parent| parent.reference()).collect()
        };
        let transactions = Some(payload)
            .filter(|payload| !payload.is_empty())
            .map(|payload| Transaction::new(Bytes::copy_from_slice(payload)));
        Block {
            chain_id: self.genesis.chain_id(),
            epoch: Epoch::GENESIS,
            round: Round::new(round),
            author: consensus_core::AuthorityIndex::new(u16::try_from(author).unwrap()),
            timestamp: Timestamp::from_millis(self.genesis.timestamp().as_millis() + time),
            ancestors,
            transactions: transactions.into_iter().collect(),
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        }
        .sign(&self.signers[author])
    }

    fn commit(
        &self,
        previous: Option<&CommittedSubDag>,
        time: u64,
        blocks: &[&VerifiedBlock],
    ) -> CommittedSubDag {
        let commit = Commit {
            index: previous.map_or(CommitIndex::NONE, |sub_dag| sub_dag.commit.index).next(),
            epoch: Epoch::GENESIS,
            previous_digest: previous.map_or(CommitDigest::ZERO, |sub_dag| sub_dag.digest),
            timestamp: Timestamp::from_millis(self.genesis.timestamp().as_millis() + time),
            closing: true,
            leaders: vec![blocks.last().unwrap().reference()],
            blocks: blocks.iter().map(|block| block.reference()).collect(),
            duplicate_marks: Bytes::new(),
        };
        let digest = commit.digest();
        CommittedSubDag { commit, digest, blocks: blocks.iter().map(|block| (*block).clone()).collect() }
    }

    /// The name of the invariant that objects.
    fn see(&mut self, record: &Record<'_>) -> Option<&'static str> {
        self.watch.observe(0, record).map(|violation| violation.invariant)
    }

    fn sent(&mut self, block: &VerifiedBlock) -> Option<&'static str> {
        let (node, guard) = (block.author().as_usize(), Some((Epoch::GENESIS, block.round())));
        self.see(&Record::Sent { node, honest: true, block, stored: true, guard })
    }

    fn delivered(&mut self, node: usize, sub_dag: &CommittedSubDag) -> Option<&'static str> {
        self.see(&Record::Delivered { node, at_ms: 1_000_000, sub_dag, stored: true, again: false })
    }
}
