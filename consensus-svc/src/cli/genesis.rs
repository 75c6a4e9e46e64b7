//! `consensus-svc genesis`: makes the files of a new network, ready to run on this machine.
//!
//! ```text
//! out/genesis.toml
//! out/authority-K/{consensus.toml, executor.toml, protocol.key, network.key}     K: index in the committee
//! ```
//!
//! Each authority has ten ports from the base on: peers, API, metrics, executor, executor's metrics.

mod accounts;
mod network;

use std::{
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;

pub use self::{
    accounts::{AccountsError, read_accounts},
    network::{
        AuthorityFiles, NetworkError, NetworkFiles, NetworkOptions, PORTS_PER_AUTHORITY, write_network,
    },
};
use super::failure;

const NOTES: &str = "\
Nothing is overwritten: a folder that holds a genesis file already is refused. On several machines, change the addresses \
in [peers] and peer_listen of each consensus.toml, and move each authority's folder with genesis.toml beside it; the \
addresses in genesis.toml are part of the chain id and stay.";

/// Make keys, genesis and configuration of a new network
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct GenesisArguments {
    /// How many authorities; 1 to 1000. Four stand one fault, seven two
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    authorities: u16,
    /// Folder to write to; made if it is absent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name of the network, for people; 1 to 64 bytes
    #[arg(long, default_value = "metanode")]
    name: String,
    /// First port on 127.0.0.1; authority K has ten from base + 10 K on
    #[arg(long, value_name = "PORT", default_value_t = 7100, value_parser = clap::value_parser!(u16).range(1024..))]
    base_port: u16,
    /// Accounts of the embedded ledger at the start: a line each, PUBLIC_KEY:BALANCE, the key as 64 hex digits
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
enum GenesisCommandError {
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("the clock of this machine is before 1970")]
    Clock,
    #[error("cannot write to standard output")]
    Output(#[from] std::io::Error),
}

pub(super) fn main(arguments: &GenesisArguments, output: &mut dyn Write) -> ExitCode {
    match make(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn make(arguments: &GenesisArguments, output: &mut dyn Write) -> Result<(), GenesisCommandError> {
    let accounts = arguments.accounts.as_deref().map(read_accounts).transpose()?.unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| GenesisCommandError::Clock)?;
    let network = write_network(&NetworkOptions {
        authorities: arguments.authorities,
        out: arguments.out.clone(),
        name: arguments.name.clone(),
        base_port: arguments.base_port,
        timestamp_ms: u64::try_from(now.as_millis()).map_err(|_| GenesisCommandError::Clock)?,
        accounts,
        ..NetworkOptions::default()
    })?;
    writeln!(output, "genesis {}\nchain   {}", network.genesis.display(), network.chain_id)?;
    for authority in &network.authorities {
        writeln!(
            output,
            "authority {}: {}  peers {}  api {}",
            authority.index,
            authority.folder.display(),
            authority.peer_address,
            authority.api_address
        )?;
    }
    Ok(())
}
