//! The nonces of accounts, computed from the chain itself: a ledger of our own executes all commits.

use metanode_client::{CallError, Commit, CommitPosition, CommitReader, NodeClient, ReadError};
use metanode_proto::genesis::GenesisFile;
use reference_ledger::{AccountKey, ChainId, Digest, ExecuteError, GenesisError, Ledger, Transaction};

/// The chain cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A value of the genesis file is not 32 bytes in hex.
    #[error("genesis: {field} is not 32 bytes in hex")]
    Malformed {
        /// Its key.
        field: &'static str,
    },
    /// The genesis accounts contradict each other.
    #[error("genesis")]
    Genesis(#[from] GenesisError),
    /// The node cannot be asked.
    #[error("cannot read the node's status")]
    Status(#[from] CallError),
    /// The commits cannot be read.
    #[error("cannot read the commits")]
    Read(#[from] ReadError),
    /// A commit has a digest of a wrong size.
    #[error("commit {index} has a malformed digest")]
    MalformedCommit {
        /// Its index.
        index: u64,
    },
    /// A commit does not follow the one before.
    #[error("the commits are not one chain")]
    Execute(#[from] ExecuteError),
}

/// A ledger in the state of the newest commit of the node at `uri`: it gives the nonces that accounts have to use next.
/// Reads all commits from the first one, so the node must not have pruned any.
///
/// # Errors
/// [`ChainError`].
pub async fn read_nonces(
    uri: &str,
    genesis: &GenesisFile,
) -> Result<impl Fn(&AccountKey) -> u64 + use<>, ChainError> {
    let newest = NodeClient::new(uri)?.status().await?.commit_index;
    let mut ledger = genesis_ledger(genesis)?;
    let mut reader = CommitReader::new(uri, CommitPosition::GENESIS)?;
    while ledger.position().index < newest {
        execute(&mut ledger, &reader.next().await?)?;
    }
    Ok(move |key: &AccountKey| ledger.account(key).nonce)
}

fn genesis_ledger(genesis: &GenesisFile) -> Result<Ledger, ChainError> {
    let chain_id = ChainId(bytes32("chain_id", &genesis.chain_id)?);
    let balances = genesis
        .accounts
        .iter()
        .map(|account| {
            Ok((AccountKey(bytes32("accounts.public_key", &account.public_key)?), account.balance))
        })
        .collect::<Result<Vec<_>, ChainError>>()?;
    Ok(Ledger::genesis(chain_id, balances)?)
}

fn execute(ledger: &mut Ledger, commit: &Commit) -> Result<(), ChainError> {
    let digest =
        |bytes: &[u8]| Digest::from_slice(bytes).ok_or(ChainError::MalformedCommit { index: commit.index });
    let marked = |position: usize| {
        let byte = commit.duplicate_marks.get(position / 8).copied().unwrap_or(0);
        byte >> (position % 8) & 1 == 1
    };
    let transactions = commit
        .blocks
        .iter()
        .flat_map(|block| &block.transactions)
        .enumerate()
        .map(|(position, bytes)| Transaction { bytes, duplicate: marked(position) })
        .collect();
    ledger.execute(&reference_ledger::Commit {
        index: commit.index,
        epoch: commit.epoch,
        previous_digest: digest(&commit.previous_digest)?,
        digest: digest(&commit.digest)?,
        timestamp_ms: commit.timestamp_ms,
        transactions,
    })?;
    Ok(())
}

fn bytes32(field: &'static str, text: &str) -> Result<[u8; 32], ChainError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| ChainError::Malformed { field })?;
    Ok(bytes)
}
