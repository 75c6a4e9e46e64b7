//! What stands behind the proxies of a network.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which executor each authority has. A network is made with one and keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorKind {
    /// The reference ledger inside the proxy.
    #[default]
    Embedded,
    /// A Go master of its own behind the proxy, over gRPC on a Unix socket.
    Go,
    /// The same master behind the framed Unix-socket protocol of existing masters, which tells no results.
    GoUds,
}

impl ExecutorKind {
    /// Its name on the command line and in `network.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Go => "go",
            Self::GoUds => "go-uds",
        }
    }

    /// Whether each authority has a master process.
    pub const fn has_master(self) -> bool {
        !matches!(self, Self::Embedded)
    }
}

impl fmt::Display for ExecutorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
