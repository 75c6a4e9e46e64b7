//! The files of a network on one machine.

use std::{
    io,
    path::{Path, PathBuf},
};

use metanode_proto::genesis::{GenesisAccount, GenesisAuthority, GenesisFile, GenesisParameters};
use metanode_shell::{config::Problems, file};

use crate::{
    genesis_file,
    identity::{KeyError, SecretKey},
};

/// Ports from one authority's first to the next one's.
pub const PORTS_PER_AUTHORITY: u16 = 10;

const HOST: &str = "127.0.0.1";
const FILE_MODE: u32 = 0o644;

/// What network to make.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// How many authorities, 1 to 1000, of stake 1 each.
    pub authorities: u16,
    /// Folder to write to.
    pub out: PathBuf,
    /// Name of the network, 1 to 64 bytes.
    pub name: String,
    /// First port of authority 0; see [`PORTS_PER_AUTHORITY`].
    pub base_port: u16,
    /// Timestamp of the genesis, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// Limits and intervals.
    pub parameters: GenesisParameters,
    /// Accounts of the reference ledger.
    pub accounts: Vec<GenesisAccount>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            authorities: 4,
            out: PathBuf::from("net"),
            name: "metanode".to_owned(),
            base_port: 7100,
            timestamp_ms: 0,
            parameters: GenesisParameters::default(),
            accounts: Vec::new(),
        }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct NetworkFiles {
    /// The genesis file.
    pub genesis: PathBuf,
    /// The chain id, as hex.
    pub chain_id: String,
    /// The authorities, by index.
    pub authorities: Vec<AuthorityFiles>,
}

/// One authority's files and addresses (host:port).
#[derive(Clone, Debug)]
pub struct AuthorityFiles {
    /// Index in the committee.
    pub index: u16,
    /// Protocol public key, as hex.
    pub protocol_key: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Configuration of consensus-svc.
    pub consensus_config: PathBuf,
    /// Configuration of executor-proxy.
    pub executor_config: PathBuf,
    /// Other authorities.
    pub peer_address: String,
    /// API of consensus-svc.
    pub api_address: String,
    /// Metrics of consensus-svc.
    pub metrics_address: String,
    /// API of executor-proxy.
    pub executor_address: String,
    /// Metrics of executor-proxy.
    pub executor_metrics_address: String,
}

/// Why no network was made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is a network already.
    #[error("{} exists; a network is never overwritten, take another folder", path.display())]
    Exists {
        /// Its genesis file.
        path: PathBuf,
    },
    /// The ports do not fit.
    #[error("{authorities} authorities from port {base_port} on need ports above 65535")]
    Ports {
        /// How many authorities.
        authorities: u16,
        /// The first port.
        base_port: u16,
    },
    /// The genesis would be refused.
    #[error("no genesis can be made: {}", problems_text(problems))]
    Genesis {
        /// All that is wrong.
        problems: Problems,
    },
    /// A key could not be made or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The genesis could not be written as TOML.
    #[error("cannot write the genesis as TOML")]
    Toml(#[from] toml::ser::Error),
    /// A file or folder could not be written.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

fn problems_text(problems: &Problems) -> String {
    let texts: Vec<_> = problems.found().iter().map(ToString::to_string).collect();
    texts.join("; ")
}

struct Member {
    protocol: SecretKey,
    network: SecretKey,
    files: AuthorityFiles,
}

/// Makes keys and writes all files of a network; the genesis file last, so that one that stands is complete.
///
/// # Errors
/// [`NetworkError`]. What was written before stays, and is not overwritten by another attempt.
pub fn write_network(options: &NetworkOptions) -> Result<NetworkFiles, NetworkError> {
    let path = options.out.join("genesis.toml");
    let io = |source| NetworkError::Io { path: path.clone(), source };
    if path.try_exists().map_err(io)? {
        return Err(NetworkError::Exists { path });
    }
    let members = make_members(options)?;
    let genesis = make_genesis(options, &members)?;
    for member in &members {
        write_member(member)?;
    }
    write(&path, &genesis_text(&genesis)?)?;
    let authorities = members.into_iter().map(|member| member.files).collect();
    Ok(NetworkFiles { genesis: path, chain_id: genesis.chain_id, authorities })
}

/// Keys, sorted as the committee is; addresses follow the place.
fn make_members(options: &NetworkOptions) -> Result<Vec<Member>, NetworkError> {
    let mut keys = (0..options.authorities)
        .map(|_| SecretKey::generate().map(|key| (key.public_bytes(), key)))
        .collect::<Result<Vec<_>, _>>()?;
    keys.sort_by_key(|(public, _)| *public);
    (0..)
        .zip(keys)
        .map(|(index, (public, protocol))| {
            let files = authority_files(options, index, hex::encode(public))?;
            Ok(Member { protocol, network: SecretKey::generate()?, files })
        })
        .collect()
}

fn authority_files(
    options: &NetworkOptions,
    index: u16,
    protocol_key: String,
) -> Result<AuthorityFiles, NetworkError> {
    let NetworkOptions { authorities, base_port, .. } = *options;
    let first = index.checked_mul(PORTS_PER_AUTHORITY).and_then(|offset| base_port.checked_add(offset));
    let first = first
        .filter(|first| first.checked_add(PORTS_PER_AUTHORITY - 1).is_some())
        .ok_or(NetworkError::Ports { authorities, base_port })?;
    let address = |offset: u16| format!("{HOST}:{}", first + offset);
    let folder = options.out.join(format!("authority-{index}"));
    Ok(AuthorityFiles {
        index,
        protocol_key,
        consensus_config: folder.join("consensus.toml"),
        executor_config: folder.join("executor.toml"),
        folder,
        peer_address: address(0),
        api_address: address(1),
        metrics_address: address(2),
        executor_address: address(3),
        executor_metrics_address: address(4),
    })
}

/// The file, checked as a node will check it.
fn make_genesis(options: &NetworkOptions, members: &[Member]) -> Result<GenesisFile, NetworkError> {
    let authorities = members.iter().map(|member| GenesisAuthority {
        stake: 1,
        protocol_key: member.files.protocol_key.clone(),
        network_key: hex::encode(member.network.public_bytes()),
        address: member.files.peer_address.clone(),
    });
    let content = GenesisFile {
        chain_id: String::new(),
        name: options.name.clone(),
        timestamp_ms: options.timestamp_ms,
        parameters: options.parameters.clone(),
        authorities: authorities.collect(),
        accounts: options.accounts.clone(),
    };
    let mut problems = Problems::default();
    genesis_file::generate(content, &mut problems).ok_or(NetworkError::Genesis { problems })
}

fn write_member(member: &Member) -> Result<(), NetworkError> {
    let files = &member.files;
    file::create_directory_durably(&files.folder)
        .map_err(|source| NetworkError::Io { path: files.folder.clone(), source })?;
    member.protocol.write(&files.folder.join("protocol.key"))?;
    member.network.write(&files.folder.join("network.key"))?;
    write(&files.consensus_config, &consensus_text(files))?;
    write(&files.executor_config, &executor_text(files))
}

fn write(path: &Path, text: &str) -> Result<(), NetworkError> {
    file::write_atomic(path, text.as_bytes(), FILE_MODE)
        .map_err(|source| NetworkError::Io { path: path.to_owned(), source })
}

fn genesis_text(genesis: &GenesisFile) -> Result<String, NetworkError> {
    let mut text = String::from(
        "# The same file for every authority and executor of this network. Do not edit: the chain id is computed from it.\n\n",
    );
    text.push_str(&toml::to_string(genesis)?);
    Ok(text)
}

fn consensus_text(files: &AuthorityFiles) -> String {
    format!(
        "# Authority {} of the committee. Every key and its default: consensus-svc/src/config/file.rs\n\
         data_dir = \"consensus-data\"\n\
         genesis = \"../genesis.toml\"\n\
         protocol_key_file = \"protocol.key\"\n\
         network_key_file = \"network.key\"\n\
         peer_listen = \"{}\"\n\
         api_listen = \"{}\"\n\
         metrics_listen = \"{}\"\n\n\
         [executor]\n\
         endpoint = \"http://{}\"\n",
        files.index, files.peer_address, files.api_address, files.metrics_address, files.executor_address
    )
}

fn executor_text(files: &AuthorityFiles) -> String {
    format!(
        "# Executor of authority {}.\n\
         data_dir = \"executor-data\"\n\
         genesis = \"../genesis.toml\"\n\
         authority_key = \"{}\"\n\
         listen = \"{}\"\n\
         metrics_listen = \"{}\"\n\n\
         [backend]\n\
         kind = \"embedded\"\n",
        files.index, files.protocol_key, files.executor_address, files.executor_metrics_address
    )
}
