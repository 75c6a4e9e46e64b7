//! Keys, committees, genesis, drawn DAGs and whole networks for tests.

pub mod drawing;
pub mod fuzzing;
pub mod network;

use crate::{
    block::Block,
    committee::{Authority, Committee},
    crypto::Signer,
    genesis::{Genesis, ProtocolParameters},
    types::{AuthorityIndex, Epoch, Round, Stake, Timestamp},
};

/// Timestamp of [`genesis`]: 2026-01-01 00:00:00 UTC.
pub const GENESIS_TIMESTAMP: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Deterministic secret keys, sorted by public key: place is authority index.
pub fn signers(count: u16) -> Vec<Signer> {
    let mut signers: Vec<_> = (0..count)
        .map(|number| {
            let mut secret = [7; 32];
            let [low, high] = number.to_le_bytes();
            secret[0] = low;
            secret[1] = high;
            Signer::from_bytes(secret)
        })
        .collect();
    signers.sort_by_key(|signer| signer.public_key().to_bytes());
    signers
}

/// A committee with these stakes, and its signers in order.
///
/// # Panics
/// If the stakes are not those of a committee.
pub fn committee(stakes: &[u64]) -> (Committee, Vec<Signer>) {
    let signers = signers(u16::try_from(stakes.len()).expect("test committees are small"));
    let authorities = signers
        .iter()
        .zip(stakes)
        .map(|(signer, stake)| Authority {
            stake: Stake::new(*stake),
            protocol_key: signer.public_key(),
            network_key: signer.public_key().to_bytes(),
            address: "127.0.0.1:7100".to_owned(),
        })
        .collect();
    (Committee::new(Epoch::GENESIS, authorities).expect("test stakes make a committee"), signers)
}

/// A genesis with these stakes and parameters, and its signers in order.
///
/// # Panics
/// If the parameters are out of range.
pub fn genesis_with(stakes: &[u64], parameters: ProtocolParameters) -> (Genesis, Vec<Signer>) {
    let (committee, signers) = committee(stakes);
    let genesis = Genesis::new("test".to_owned(), GENESIS_TIMESTAMP, parameters, committee);
    (genesis.expect("test parameters are in range"), signers)
}

/// A genesis of `count` equal authorities under default parameters, and its signers in order.
pub fn genesis(count: u16) -> (Genesis, Vec<Signer>) {
    genesis_with(&vec![1; usize::from(count)], ProtocolParameters::default())
}

/// An unsigned block without ancestors and content, for tests that fill in what they need.
pub fn empty_block(genesis: &Genesis, author: u16, round: u64) -> Block {
    Block {
        chain_id: genesis.chain_id(),
        epoch: genesis.committee().epoch(),
        round: Round::new(round),
        author: AuthorityIndex::new(author),
        timestamp: genesis.timestamp(),
        ancestors: Vec::new(),
        transactions: Vec::new(),
        commit_votes: Vec::new(),
        executed_roots: Vec::new(),
        epoch_vote: None,
    }
}
