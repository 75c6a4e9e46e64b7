//! The nonces of accounts, computed from the chain itself: a ledger of our own executes all commits.

use metanode_client::{CallError, Commit, CommitPosition, CommitReader, NodeClient, ReadError};
use metanode_proto::genesis::GenesisFile;
use reference_ledger::{AccountKey, ChainId, Digest, ExecuteError, GenesisError, Ledger, Transaction};
use std::sync::Arc;
use tokio::sync::Mutex;

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

/// The nonces of all accounts in the state of the newest commit of the node at `uri`: those to use next.
/// Reads all commits from the first one, so the node must not have pruned any.
///
/// # Errors
/// [`ChainError`].
pub async fn read_nonces(
    uri: &str,
    genesis: &GenesisFile,
) -> Result<impl Fn(&AccountKey) -> u64 + use<>, ChainError> {
    let newest = NodeClient::new(uri)?.status().await?.commit_index;
    let mut chain = Chain::new(uri, genesis)?;
    chain.advance_to(newest).await?;
    Ok(move |key: &AccountKey| chain.nonce(key))
}

/// A ledger of our own that follows the commits of one node.
#[derive(Debug)]
pub(crate) struct Chain {
    ledger: Ledger,
    reader: CommitReader,
}

impl Chain {
    /// At genesis; nothing is read yet.
    pub(crate) fn new(uri: &str, genesis: &GenesisFile) -> Result<Self, ChainError> {
        let reader = CommitReader::new(uri, CommitPosition::GENESIS)?;
        Ok(Self { ledger: genesis_ledger(genesis)?, reader })
    }

    /// Reads and executes up to a commit that the node has. Dropped half way, it goes on there when called again.
    pub(crate) async fn advance_to(&mut self, index: u64) -> Result<(), ChainError> {
        while self.ledger.position().index < index {
            execute(&mut self.ledger, &self.reader.next().await?)?;
        }
        Ok(())
    }

    /// The nonce that the account has to use next.
    pub(crate) fn nonce(&self, key: &AccountKey) -> u64 {
        self.ledger.account(key).nonce
    }
}

/// Says what nonce an account has after a commit, by a [`Chain`] that is made at the first question: for the few transactions
/// whose result nobody tells. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct NonceReader {
    uri: String,
    /// `None` where nobody can be asked.
    genesis: Option<Arc<GenesisFile>>,
    chain: Arc<Mutex<Option<Chain>>>,
}

impl NonceReader {
    /// Will read from the node at `uri`.
    pub(crate) fn new(uri: String, genesis: Option<Arc<GenesisFile>>) -> Self {
        Self { uri, genesis, chain: Arc::default() }
    }

    /// The nonces that the accounts have to use after the commit at `index`, which the node must have; `None` without a
    /// genesis to begin from.
    pub(crate) async fn nonces_after(
        &self,
        index: u64,
        accounts: &[AccountKey],
    ) -> Result<Option<Vec<u64>>, ChainError> {
        let Some(genesis) = &self.genesis else { return Ok(None) };
        let mut chain = self.chain.lock().await;
        let chain = match &mut *chain {
            Some(chain) => chain,
            none => none.insert(Chain::new(&self.uri, genesis)?),
        };
        chain.advance_to(index).await?;
        Ok(Some(accounts.iter().map(|account| chain.nonce(account)).collect()))
    }
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
