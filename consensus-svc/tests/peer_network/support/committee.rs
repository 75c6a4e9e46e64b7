//! A committee with known keys, and blocks of it.

use std::sync::Arc;

use bytes::Bytes;
use consensus_core::{
    Authority, AuthorityIndex, Block, BlockDigest, BlockRef, Committee, Epoch, Fetch, FetchId, Genesis,
    ProtocolParameters, Round, Signer, Stake, Timestamp, Transaction, VerifiedBlock,
};
use consensus_svc::{identity::SecretKey, peer::PeerEvent};

/// Genesis and secret keys, by authority index.
#[derive(Clone)]
pub(crate) struct TestCommittee {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) signers: Vec<Signer>,
    pub(crate) secrets: Vec<SecretKey>,
}

impl TestCommittee {
    pub(crate) fn new(size: u8) -> Self {
        Self::named("test", size)
    }

    /// The name is part of the chain id; the keys are the same for every name.
    pub(crate) fn named(name: &str, size: u8) -> Self {
        let mut members: Vec<_> = (0..size)
            .map(|place| (Signer::from_bytes([place + 1; 32]), SecretKey::new([place + 101; 32])))
            .collect();
        members.sort_by_key(|(signer, _)| signer.public_key().to_bytes());
        let authority = |(signer, secret): &(Signer, SecretKey)| Authority {
            stake: Stake::new(1),
            protocol_key: signer.public_key(),
            network_key: secret.public_bytes(),
            address: "127.0.0.1:1".to_owned(),
        };
        let committee = Committee::new(Epoch::GENESIS, members.iter().map(authority).collect()).unwrap();
        let parameters = ProtocolParameters::default();
        let genesis =
            Genesis::new(name.to_owned(), Timestamp::from_millis(1), parameters, committee).unwrap();
        let (signers, secrets) = members.into_iter().unzip();
        Self { genesis: Arc::new(genesis), signers, secrets }
    }

    /// Blocks of one author in the rounds 1 to `last`, each with a transaction of `payload` bytes unless that is 0.
    /// Parents of other authors are names only.
    pub(crate) fn chain(&self, author: u16, last: u64, payload: usize) -> Vec<VerifiedBlock> {
        let mut previous = VerifiedBlock::genesis(&self.genesis, AuthorityIndex::new(author)).reference();
        (1..=last)
            .map(|round| {
                let block = self.block(author, round, previous, payload);
                previous = block.reference();
                block
            })
            .collect()
    }

    pub(crate) fn block(&self, author: u16, round: u64, previous: BlockRef, payload: usize) -> VerifiedBlock {
        self.draft(author, round, previous, payload).sign(&self.signers[usize::from(author)])
    }

    pub(crate) fn draft(&self, author: u16, round: u64, previous: BlockRef, payload: usize) -> Block {
        let others = self.genesis.committee().indexes().filter(|other| other.get() != author);
        let parent = |author: AuthorityIndex| BlockRef {
            round: Round::new(round - 1),
            author,
            digest: BlockDigest::new([7; 32]),
        };
        let transactions = if payload == 0 {
            vec![]
        } else {
            vec![Transaction::new(Bytes::from(vec![round.to_le_bytes()[0]; payload]))]
        };
        Block {
            chain_id: self.genesis.chain_id(),
            epoch: Epoch::GENESIS,
            round: Round::new(round),
            author: AuthorityIndex::new(author),
            timestamp: Timestamp::from_millis(round),
            ancestors: [previous].into_iter().chain(others.map(parent)).collect(),
            transactions,
            commit_votes: vec![],
            executed_roots: vec![],
            epoch_vote: None,
        }
    }
}

/// Rounds of the blocks of an event; a panic for any other event.
pub(crate) fn rounds(event: &PeerEvent) -> Vec<u64> {
    match event {
        PeerEvent::Blocks { blocks, .. } => blocks.iter().map(|block| block.round().get()).collect(),
        other => panic!("blocks were expected, not {other:?}"),
    }
}

/// A question for blocks, without a hint.
pub(crate) fn question(peer: u16, id: u64, blocks: Vec<BlockRef>) -> Fetch {
    Fetch { id: FetchId(id), peer: AuthorityIndex::new(peer), blocks, held: vec![] }
}
