//! What the proxy takes from the genesis file.

use std::path::Path;

use metanode_proto::{
    executor::v1::CommitteeMember,
    genesis::{GenesisAuthority, GenesisFile},
};
use metanode_shell::config::Problems;
use reference_ledger::AccountKey;
use sequencer_core::{Authority, ChainId};

/// The network that the executor belongs to.
#[derive(Clone, Debug)]
pub struct Network {
    /// The chain.
    pub chain_id: ChainId,
    /// Limits that every commit keeps.
    pub limits: CommitLimits,
    /// The committee of epoch 0, in the order of the file.
    pub committee: Vec<CommitteeMember>,
    /// Accounts of the reference ledger at the start.
    pub accounts: Vec<(AccountKey, u64)>,
}

/// Limits of commits, from the parameters of genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLimits {
    /// Most transactions in a commit.
    pub max_transactions: usize,
    /// Most bytes in a commit, counted as [`metanode_proto::limits`] says.
    pub max_bytes: u64,
    /// Most bytes in one transaction.
    pub max_transaction_bytes: usize,
}

impl Network {
    /// Reads the genesis file. Every mistake is noted in `problems`; `None` if there was one.
    pub fn read(path: &Path, problems: &mut Problems) -> Option<Self> {
        let before = problems.found().len();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.push("genesis", format!("cannot read {}: {error}", path.display()));
                return None;
            }
        };
        let file: GenesisFile = match toml::from_str(&text) {
            Ok(file) => file,
            Err(error) => {
                problems
                    .push("genesis", format!("{} is no genesis file: {}", path.display(), error.message()));
                return None;
            }
        };
        let network = Self::from_file(&file, problems);
        (problems.found().len() == before).then_some(network)
    }

    fn from_file(file: &GenesisFile, problems: &mut Problems) -> Self {
        let mut key = |place: String, text: &str| {
            let mut bytes = [0; 32];
            let valid = hex::decode_to_slice(text, &mut bytes).is_ok();
            problems.check(valid, "genesis", format!("{place} is not 64 hex digits"));
            bytes
        };
        let chain_id = ChainId(key("chain_id".to_owned(), &file.chain_id));
        let mut member = |(place, authority): (usize, &GenesisAuthority)| CommitteeMember {
            stake: authority.stake,
            protocol_key: key(format!("authorities[{place}].protocol_key"), &authority.protocol_key)
                .to_vec()
                .into(),
            network_key: key(format!("authorities[{place}].network_key"), &authority.network_key)
                .to_vec()
                .into(),
            address: authority.address.clone(),
        };
        let committee: Vec<_> = file.authorities.iter().enumerate().map(&mut member).collect();
        let accounts = file.accounts.iter().enumerate().map(|(place, account)| {
            (AccountKey(key(format!("accounts[{place}].public_key"), &account.public_key)), account.balance)
        });
        let accounts = accounts.collect();
        let sorted = committee.is_sorted_by(|one, next| one.protocol_key < next.protocol_key);
        problems.check(!committee.is_empty(), "genesis", "authorities is empty");
        problems.check(
            sorted,
            "genesis",
            "authorities are not sorted by protocol key, or one is there twice",
        );
        let parameters = &file.parameters;
        let limits = CommitLimits {
            max_transactions: usize::try_from(parameters.max_commit_transactions).unwrap_or(usize::MAX),
            max_bytes: parameters.max_commit_bytes,
            max_transaction_bytes: usize::try_from(parameters.max_transaction_bytes).unwrap_or(usize::MAX),
        };
        problems.check(
            (1..=1_000_000).contains(&parameters.max_commit_transactions),
            "genesis",
            format!(
                "parameters.max_commit_transactions is {}, allowed are 1 to 1000000",
                parameters.max_commit_transactions
            ),
        );
        problems.check(
            (64 << 10..=64 << 20).contains(&limits.max_bytes),
            "genesis",
            format!("parameters.max_commit_bytes is {}, allowed are 65536 to 67108864", limits.max_bytes),
        );
        Self { chain_id, limits, committee, accounts }
    }

    /// True where the authority is a member of the committee of epoch 0.
    #[must_use]
    pub fn has(&self, authority: Authority) -> bool {
        self.committee.iter().any(|member| member.protocol_key[..] == authority.0)
    }
}
