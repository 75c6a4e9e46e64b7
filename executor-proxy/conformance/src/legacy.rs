//! The framed protocol of existing masters: where they listen, and which of its forms they speak.

mod block;
mod link;

pub(crate) use block::frame;
pub(crate) use link::{Feed, Queries, asked};

use std::{fmt, path::PathBuf, str::FromStr};

/// A socket of the file system, or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `/absolute/path`
    Path(PathBuf),
    /// `tcp://host:port`
    Tcp(String),
}

/// An address has neither form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither /absolute/path nor tcp://host:port")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("tcp://") {
            Some(host_port) if host_port.contains(':') => Ok(Self::Tcp(host_port.to_owned())),
            None if text.starts_with('/') => Ok(Self::Path(text.into())),
            _ => Err(AddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Tcp(host_port) => write!(f, "tcp://{host_port}"),
        }
    }
}

/// Which message a master reads from its socket of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// One list of transactions, with the block's number and the commit's digest.
    ExecutableBlock,
    /// A list of blocks, without a digest.
    CommittedEpochData,
}

/// A master behind the framed protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyMaster {
    /// Where blocks go.
    pub blocks: Address,
    /// Where queries go.
    pub queries: Address,
    /// Form of the blocks.
    pub layout: Layout,
    /// True where `is_ready` means something.
    pub reports_ready: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_port() {
        for text in ["/run/blocks.sock", "tcp://127.0.0.1:7"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["blocks.sock", "tcp://nowhere", "http://a:1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError));
        }
    }
}
