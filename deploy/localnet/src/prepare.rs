//! Making a network's files, or finding those of one that was made before.

use crate::{
    executor::ExecutorKind,
    files::Files,
    ledger::LedgerFolder,
    master::{self, SocketError},
    network_file::{AuthorityEntry, ConsensusEntry, ExecutorEntry, NetworkFile},
    ports::free_base_port,
    process::Role,
};
use consensus_svc::cli::genesis::{AuthorityFiles, NetworkError, NetworkOptions, write_network};
use loadgen::Accounts;
use metanode_proto::genesis::{GenesisAccount, GenesisFile, GenesisParameters};
use metanode_shell::file::write_atomic;
use reference_ledger::ChainId;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Seed of the load's accounts in every local network.
pub const ACCOUNT_SEED: u64 = 0;

/// Why there is no network to start.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No free ports.
    #[error("no free ports for {authorities} authorities on 127.0.0.1")]
    Ports {
        /// How many authorities.
        authorities: u16,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The generator failed.
    #[error("cannot make the network")]
    Make(#[from] NetworkError),
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The genesis file cannot be understood.
    #[error("{} is no genesis file: {reason}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder holds a network of another size.
    #[error("the network in {} has {found} authorities, not {asked}: leave --authorities out to resume it", path.display())]
    OtherSize {
        /// The folder.
        path: PathBuf,
        /// Authorities that it has.
        found: usize,
        /// Authorities asked for.
        asked: u16,
    },
    /// The folder holds a network with other executors: its ledgers are elsewhere.
    #[error("the network in {} was made with --executor {found}, not {asked}: leave --executor out to resume it, or use another --dir", path.display())]
    OtherExecutor {
        /// The folder.
        path: PathBuf,
        /// What it was made with.
        found: ExecutorKind,
        /// What was asked for.
        asked: ExecutorKind,
    },
    /// The folder has no room for the sockets of masters.
    #[error("the path of a socket in {}", path.display())]
    Socket {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: SocketError,
    },
}

/// What to make, if there is no network yet.
#[derive(Clone, Debug, Default)]
pub struct NewNetwork {
    /// How many authorities; `None` takes four, or what an existing network has.
    pub authorities: Option<u16>,
    /// What stands behind the proxies; `None` takes the embedded ledger, or what an existing network has.
    pub executor: Option<ExecutorKind>,
    /// How many accounts the genesis funds for the load.
    pub accounts: usize,
    /// Limits and intervals of the genesis.
    pub parameters: GenesisParameters,
}

/// A network whose files are there.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its folder.
    pub files: Files,
    /// Who will run where; no process ids yet.
    pub network: NetworkFile,
    /// What all agree on.
    pub genesis: GenesisFile,
    /// The chain.
    pub chain_id: ChainId,
    /// True where it was made before.
    pub resumed: bool,
}

impl Prepared {
    /// Accounts of the load that the genesis funds.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(ACCOUNT_SEED, self.genesis.accounts.len())
    }

    /// Where the ledger of an authority is; `None` for an authority that there is not.
    pub fn ledger(&self, authority: usize) -> Option<LedgerFolder> {
        let entry = self.network.authorities.get(authority)?;
        Some(match &entry.master {
            None => LedgerFolder::Embedded { data_dir: entry.executor.data_dir.clone() },
            Some(master) => {
                LedgerFolder::Go { program: self.files.go_master(), data_dir: master.data_dir.clone() }
            }
        })
    }

    /// Where the ledgers of all authorities are.
    pub fn ledgers(&self) -> Vec<LedgerFolder> {
        (0..self.network.authorities.len()).filter_map(|authority| self.ledger(authority)).collect()
    }
}

/// Makes a network in the folder, or finds the one that is there.
///
/// # Errors
/// [`PrepareError`].
pub fn prepare(files: Files, new: NewNetwork) -> Result<Prepared, PrepareError> {
    let path = files.genesis();
    let resumed = path.try_exists().map_err(|source| PrepareError::File { path: path.clone(), source })?;
    let network = if resumed { find(&files, &new)? } else { make(&files, new)? };
    let text =
        fs::read_to_string(&path).map_err(|source| PrepareError::File { path: path.clone(), source })?;
    let malformed = |reason: String| PrepareError::Genesis { path: path.clone(), reason };
    let genesis: GenesisFile = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let mut chain_id = [0; 32];
    hex::decode_to_slice(&genesis.chain_id, &mut chain_id)
        .map_err(|_| malformed("chain_id is not 64 hex digits".to_owned()))?;
    Ok(Prepared { files, network, genesis, chain_id: ChainId(chain_id), resumed })
}

fn find(files: &Files, new: &NewNetwork) -> Result<NetworkFile, PrepareError> {
    let path = files.network_file();
    let mut network =
        NetworkFile::read(&path).map_err(|source| PrepareError::File { path: path.clone(), source })?;
    let found = network.authorities.len();
    if let Some(asked) = new.authorities
        && usize::from(asked) != found
    {
        return Err(PrepareError::OtherSize { path: files.root().to_owned(), found, asked });
    }
    let kind = network.executor_kind;
    if let Some(asked) = new.executor
        && asked != kind
    {
        return Err(PrepareError::OtherExecutor { path: files.root().to_owned(), found: kind, asked });
    }
    network.forget_pids();
    Ok(network)
}

fn make(files: &Files, new: NewNetwork) -> Result<NetworkFile, PrepareError> {
    let authorities = new.authorities.unwrap_or(4);
    let kind = new.executor.unwrap_or_default();
    // Before anything is made.
    for index in 0..usize::from(authorities) {
        master::entry(files, index, "", kind)
            .map_err(|source| PrepareError::Socket { path: files.root().to_owned(), source })?;
    }
    let base_port =
        free_base_port(authorities).map_err(|source| PrepareError::Ports { authorities, source })?;
    let balance = Accounts::GENESIS_BALANCE;
    let accounts = Accounts::new(ACCOUNT_SEED, new.accounts)
        .keys()
        .map(|key| GenesisAccount { public_key: key.to_string(), balance })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The services read paths from where they are started, people from anywhere.
    let out = std::path::absolute(files.root())
        .map_err(|source| PrepareError::File { path: files.root().to_owned(), source })?;
    let made = write_network(&NetworkOptions {
        authorities,
        out,
        name: "localnet".to_owned(),
        base_port,
        timestamp_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        parameters: new.parameters,
        accounts,
    })?;
    let authorities = made
        .authorities
        .into_iter()
        .map(|authority| entry(files, authority, kind))
        .collect::<Result<_, _>>()?;
    let network =
        NetworkFile { chain_id: made.chain_id, genesis: made.genesis, executor_kind: kind, authorities };
    let path = files.network_file();
    network.write(&path).map_err(|source| PrepareError::File { path, source })?;
    Ok(network)
}

fn entry(files: &Files, made: AuthorityFiles, kind: ExecutorKind) -> Result<AuthorityEntry, PrepareError> {
    let index = usize::from(made.index);
    let master = master::entry(files, index, &made.protocol_key, kind)
        .map_err(|source| PrepareError::Socket { path: files.root().to_owned(), source })?;
    if let Some(master) = &master {
        set_backend(&made.executor_config, &master::backend(master))
            .map_err(|source| PrepareError::File { path: made.executor_config.clone(), source })?;
    }
    Ok(AuthorityEntry {
        index,
        master,
        consensus: ConsensusEntry {
            pid: None,
            peer_address: made.peer_address,
            api_address: made.api_address,
            metrics_address: made.metrics_address,
            config: made.consensus_config,
            log: files.log(index, Role::Consensus),
            data_dir: made.folder.join("consensus-data"),
        },
        executor: ExecutorEntry {
            pid: None,
            api_address: made.executor_address,
            metrics_address: made.executor_metrics_address,
            config: made.executor_config,
            log: files.log(index, Role::Executor),
            data_dir: made.folder.join("executor-data"),
        },
    })
}

/// Puts another section in the place of the last one of a proxy's configuration, which is its backend.
fn set_backend(config: &Path, section: &str) -> io::Result<()> {
    let text = fs::read_to_string(config)?;
    let (before, _) = text.split_once("[backend]").ok_or(io::ErrorKind::InvalidData)?;
    write_atomic(config, format!("{before}{section}").as_bytes(), 0o644)
}
