//! The genesis file: read, checked against its chain id, and made.
//!
//! The file is text for people, [`Genesis`] the checked form. Both ways keep every value, so that the chain id, which is
//! computed from the checked form, names the file's content (accounts aside: they are the executor's).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use consensus_core::{
    Authority, Committee, Epoch, Genesis, ProtocolKey, ProtocolParameters, Stake, Timestamp,
    committee::MAX_ADDRESS_BYTES,
};
use metanode_proto::genesis::{GenesisAccount, GenesisAuthority, GenesisFile, GenesisParameters};
use metanode_shell::config::Problems;

/// Why there is no genesis. The operator has to change something.
#[derive(Debug, thiserror::Error)]
pub enum GenesisFileError {
    /// The file cannot be read.
    #[error("cannot read genesis file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Not TOML of this form.
    #[error("genesis file {} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place and what is wrong there.
        reason: String,
    },
}

/// Reads the text of a file into its form; nothing of its content is checked yet.
///
/// # Errors
/// [`GenesisFileError`].
pub fn read(path: &Path) -> Result<GenesisFile, GenesisFileError> {
    let text = fs::read_to_string(path)
        .map_err(|source| GenesisFileError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|reason| GenesisFileError::Malformed { path: path.to_owned(), reason })
}

/// Reads text into its form.
///
/// # Errors
/// The place and what is wrong there.
pub(crate) fn parse(text: &str) -> Result<GenesisFile, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

/// Checks a file's content, its chain id last. Everything that is wrong is noted in `problems`; `None` if anything was.
pub fn check(file: &GenesisFile, problems: &mut Problems) -> Option<Genesis> {
    let before = problems.found().len();
    let genesis = assemble(file, problems);
    for (place, account) in file.accounts.iter().enumerate() {
        let field = format!("accounts[{place}].public_key");
        problems.check(key_bytes(&account.public_key).is_some(), &field, "is not 64 hex digits");
    }
    let genesis = genesis?;
    let found = genesis.chain_id().to_string();
    problems.check(
        file.chain_id == found,
        "chain_id",
        format!(
            "is {}, but the content has {found}: the file was changed after it was generated, or is of an older format of \
             the genesis; take the original, with the version that it was made for",
            file.chain_id
        ),
    );
    (problems.found().len() == before).then_some(genesis)
}

/// Completes a file that has everything but its chain id. What is wrong is noted in `problems`; `None` if anything was.
pub fn generate(mut content: GenesisFile, problems: &mut Problems) -> Option<GenesisFile> {
    content.chain_id = assemble(&content, problems)?.chain_id().to_string();
    check(&content, problems).map(|_| content)
}

/// Makes the file of a genesis.
pub fn to_file(genesis: &Genesis, accounts: Vec<GenesisAccount>) -> GenesisFile {
    let authorities = genesis.committee().authorities().iter().map(|authority| GenesisAuthority {
        stake: authority.stake.get(),
        protocol_key: hex::encode(authority.protocol_key.to_bytes()),
        network_key: hex::encode(authority.network_key),
        address: authority.address.clone(),
    });
    GenesisFile {
        chain_id: genesis.chain_id().to_string(),
        name: genesis.name().to_owned(),
        timestamp_ms: genesis.timestamp().as_millis(),
        parameters: parameters_to_file(genesis.parameters()),
        authorities: authorities.collect(),
        accounts,
    }
}

fn assemble(file: &GenesisFile, problems: &mut Problems) -> Option<Genesis> {
    let authorities: Vec<_> =
        (0..).zip(&file.authorities).map(|(place, entry)| authority(place, entry, problems)).collect();
    note_repeated_keys(&file.authorities, problems);
    let authorities = authorities.into_iter().collect::<Option<Vec<_>>>()?;
    let committee = match Committee::new(Epoch::GENESIS, authorities) {
        Ok(committee) => committee,
        Err(error) => {
            problems.push("authorities", error.to_string());
            return None;
        }
    };
    let (parameters, timestamp) =
        (parameters_from_file(&file.parameters), Timestamp::from_millis(file.timestamp_ms));
    match Genesis::new(file.name.clone(), timestamp, parameters, committee) {
        Ok(genesis) => Some(genesis),
        Err(errors) => {
            for error in errors {
                let field = match error.field {
                    "name bytes" => "name".to_owned(),
                    field => format!("parameters.{field}"),
                };
                problems.push(&field, error.to_string());
            }
            None
        }
    }
}

/// One authority; notes all that is wrong with it alone.
fn authority(place: usize, entry: &GenesisAuthority, problems: &mut Problems) -> Option<Authority> {
    let before = problems.found().len();
    let field = |name: &str| format!("authorities[{place}].{name}");
    problems.check(entry.stake > 0, &field("stake"), "is 0, at least 1 is needed");
    let length = entry.address.len();
    problems.check(
        (1..=MAX_ADDRESS_BYTES).contains(&length) && is_host_and_port(&entry.address),
        &field("address"),
        format!("`{}` is not host:port of at most {MAX_ADDRESS_BYTES} bytes", entry.address),
    );
    let network_key = key_bytes(&entry.network_key);
    problems.check(network_key.is_some(), &field("network_key"), "is not 64 hex digits");
    let protocol_bytes = key_bytes(&entry.protocol_key);
    problems.check(protocol_bytes.is_some(), &field("protocol_key"), "is not 64 hex digits");
    let protocol_key = ProtocolKey::from_bytes(protocol_bytes?);
    problems.check(protocol_key.is_some(), &field("protocol_key"), "is not an Ed25519 public key");
    let authority = Authority {
        stake: Stake::new(entry.stake),
        protocol_key: protocol_key?,
        network_key: network_key?,
        address: entry.address.clone(),
    };
    (problems.found().len() == before).then_some(authority)
}

fn note_repeated_keys(authorities: &[GenesisAuthority], problems: &mut Problems) {
    let mut seen = BTreeMap::new();
    for (place, entry) in authorities.iter().enumerate() {
        for (name, key) in [("protocol_key", &entry.protocol_key), ("network_key", &entry.network_key)] {
            if let Some(first) = seen.insert((name, key), place) {
                let field = format!("authorities[{place}].{name}");
                problems.push(&field, format!("is the same as that of authorities[{first}]"));
            }
        }
    }
}

/// Reads 64 hex digits.
pub(crate) fn key_bytes(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// Whether a text has the form `host:port`, with a port from 1.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn parameters_from_file(file: &GenesisParameters) -> ProtocolParameters {
    ProtocolParameters {
        leaders_per_round: file.leaders_per_round,
        gc_depth: file.gc_depth,
        heartbeat_interval: Duration::from_millis(file.heartbeat_interval_ms),
        heartbeat_rounds: file.heartbeat_rounds,
        max_commit_transactions: file.max_commit_transactions,
        max_commit_bytes: file.max_commit_bytes,
        max_block_transactions: file.max_block_transactions,
        max_block_bytes: file.max_block_bytes,
        max_transaction_bytes: file.max_transaction_bytes,
        duplicate_window: Duration::from_millis(file.duplicate_window_ms),
        max_duplicate_entries: file.max_duplicate_entries,
        schedule_window_rounds: file.schedule_window_rounds,
        root_interval: file.root_interval,
    }
}

fn parameters_to_file(parameters: &ProtocolParameters) -> GenesisParameters {
    GenesisParameters {
        leaders_per_round: parameters.leaders_per_round,
        gc_depth: parameters.gc_depth,
        heartbeat_interval_ms: u64::try_from(parameters.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
        heartbeat_rounds: parameters.heartbeat_rounds,
        max_commit_transactions: parameters.max_commit_transactions,
        max_commit_bytes: parameters.max_commit_bytes,
        max_block_transactions: parameters.max_block_transactions,
        max_block_bytes: parameters.max_block_bytes,
        max_transaction_bytes: parameters.max_transaction_bytes,
        duplicate_window_ms: u64::try_from(parameters.duplicate_window.as_millis()).unwrap_or(u64::MAX),
        max_duplicate_entries: parameters.max_duplicate_entries,
        schedule_window_rounds: parameters.schedule_window_rounds,
        root_interval: parameters.root_interval,
    }
}

#[cfg(test)]
mod tests;
