//! The network that the master under trial belongs to: its genesis file, made by the suite or taken from the caller.

use std::{io, path::Path};

use metanode_proto::{
    executor::v1::CommitteeMember,
    genesis::{GenesisAccount, GenesisAuthority, GenesisFile, GenesisParameters},
};
use reference_ledger::{AccountKey, ChainId, SigningKey, account_key};

/// Holders of accounts that the suite signs for. Their public keys are part of the genesis that it writes.
pub const SENDERS: usize = 3;

/// What each of them has at the start: more than the suite ever moves.
const BALANCE: u64 = 1_000_000_000;

/// Why a genesis file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It cannot be read.
    #[error("cannot read the genesis file {path}")]
    Read {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the genesis file {path}")]
    Write {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It is none.
    #[error("{path} is no genesis file: {problem}")]
    Form {
        /// The file.
        path: String,
        /// The first mistake.
        problem: String,
    },
    /// The suite cannot sign for any account in it.
    #[error(
        "{path} has no account of the suite, so the results of its transfers are not known: add those of --write-genesis, or use --ledger any"
    )]
    Accounts {
        /// The file.
        path: String,
    },
}

/// What the suite knows of the network.
#[derive(Clone, Debug)]
pub struct Network {
    /// The chain.
    pub chain_id: ChainId,
    /// The committee of epoch 0, sorted by protocol key.
    pub committee: Vec<CommitteeMember>,
    /// Most bytes in a commit, counted as [`metanode_proto::limits`] says.
    pub max_commit_bytes: u64,
    /// Most bytes in one transaction.
    pub max_transaction_bytes: usize,
    /// Accounts of the reference ledger at the start.
    pub accounts: Vec<(AccountKey, u64)>,
    /// The whole file, as the master reads it.
    pub text: String,
}

/// A key that the suite signs with.
#[must_use]
pub fn sender(place: usize) -> SigningKey {
    secret("sender", place)
}

fn secret(kind: &str, place: usize) -> SigningKey {
    SigningKey::from(*blake3::hash(format!("metanode/conformance/{kind}/{place}").as_bytes()).as_bytes())
}

impl Network {
    /// The suite's own: four authorities, commits of up to 1 MiB, and accounts that it signs for.
    ///
    /// # Panics
    /// Never: what is written here is a genesis file.
    #[must_use]
    pub fn of_the_suite() -> Self {
        let key = |kind, place| account_key(&secret(kind, place)).to_string();
        let mut authorities: Vec<_> = (0..4)
            .map(|place| GenesisAuthority {
                stake: 1 + u64::try_from(place).unwrap_or(0),
                protocol_key: key("protocol", place),
                network_key: key("network", place),
                address: format!("127.0.0.1:{}", 7101 + 10 * place),
            })
            .collect();
        authorities.sort_by(|one, other| one.protocol_key.cmp(&other.protocol_key));
        let accounts = (0..SENDERS).map(|place| GenesisAccount {
            public_key: account_key(&sender(place)).to_string(),
            balance: BALANCE,
        });
        let file = GenesisFile {
            chain_id: blake3::hash(b"metanode/conformance/chain").to_hex().to_string(),
            name: "conformance".to_owned(),
            timestamp_ms: 1_700_000_000_000,
            parameters: GenesisParameters {
                max_commit_bytes: 1 << 20,
                max_block_bytes: 1 << 20,
                ..GenesisParameters::default()
            },
            authorities,
            accounts: accounts.collect(),
        };
        let text = toml::to_string(&file).expect("a genesis file is a TOML table");
        Self::parse(text, "the suite's own").expect("the suite writes a genesis file")
    }

    /// Reads a genesis file.
    ///
    /// # Errors
    /// [`NetworkError::Read`], [`NetworkError::Form`].
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(text, &name),
            Err(source) => Err(NetworkError::Read { path: name, source }),
        }
    }

    /// Writes the file, over one that is there.
    ///
    /// # Errors
    /// [`NetworkError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), NetworkError> {
        std::fs::write(path, &self.text)
            .map_err(|source| NetworkError::Write { path: path.display().to_string(), source })
    }

    /// Whether the results of the suite's transfers are known on this network.
    ///
    /// # Errors
    /// [`NetworkError::Accounts`].
    pub fn check_accounts(&self, path: &Path) -> Result<(), NetworkError> {
        let known = |place| self.accounts.iter().any(|(key, _)| *key == account_key(&sender(place)));
        if (0..SENDERS).all(known) {
            Ok(())
        } else {
            Err(NetworkError::Accounts { path: path.display().to_string() })
        }
    }

    /// Protocol key of the authority that the suite sends as: the first of the committee.
    #[must_use]
    pub fn authority(&self) -> bytes::Bytes {
        self.committee.first().map(|member| member.protocol_key.clone()).unwrap_or_default()
    }

    fn parse(text: String, path: &str) -> Result<Self, NetworkError> {
        let form = |problem: String| NetworkError::Form { path: path.to_owned(), problem };
        let file: GenesisFile = toml::from_str(&text).map_err(|error| form(error.message().to_owned()))?;
        let key = |text: &str| -> Result<[u8; 32], NetworkError> {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes)
                .map_err(|_| form(format!("`{text}` is not 64 hex digits")))?;
            Ok(bytes)
        };
        let committee = file.authorities.iter().map(|authority| {
            Ok(CommitteeMember {
                stake: authority.stake,
                protocol_key: key(&authority.protocol_key)?.to_vec().into(),
                network_key: key(&authority.network_key)?.to_vec().into(),
                address: authority.address.clone(),
            })
        });
        let committee = committee.collect::<Result<Vec<_>, NetworkError>>()?;
        if committee.is_empty() {
            return Err(form("authorities is empty".to_owned()));
        }
        let accounts =
            file.accounts.iter().map(|account| Ok((AccountKey(key(&account.public_key)?), account.balance)));
        Ok(Self {
            chain_id: ChainId(key(&file.chain_id)?),
            committee,
            max_commit_bytes: file.parameters.max_commit_bytes,
            max_transaction_bytes: usize::try_from(file.parameters.max_transaction_bytes)
                .unwrap_or(usize::MAX),
            accounts: accounts.collect::<Result<_, NetworkError>>()?,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_own_genesis_is_read_back_as_it_was_written() {
        let own = Network::of_the_suite();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.toml");
        own.write(&path).unwrap();
        let read = Network::read(&path).unwrap();
        assert_eq!((read.chain_id, &read.committee), (own.chain_id, &own.committee));
        assert!(read.committee.is_sorted_by(|one, next| one.protocol_key < next.protocol_key));
        read.check_accounts(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_genesis_is_told_with_its_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.toml");
        assert!(matches!(Network::read(&path), Err(NetworkError::Read { .. })));
        std::fs::write(&path, "chain_id = 'c1'").unwrap();
        assert!(matches!(Network::read(&path), Err(NetworkError::Form { .. })));
    }
}
