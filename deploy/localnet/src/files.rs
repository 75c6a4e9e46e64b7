//! Where things lie in the folder of a network.
//!
//! ```text
//! D/genesis.toml   network.json   settled.bin   go-master
//! D/authority-K/{consensus,executor}.{toml,log}   protocol.key   network.key   consensus-data/   executor-data/
//! D/authority-K/master.{log,sock}   master-data/   blocks.sock   queries.sock        with Go masters
//! ```

use crate::process::Role;
use std::path::{Path, PathBuf};

/// The folder of a network.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// A network in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What all authorities agree on. Written last when a network is made.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// Who runs where, for people and scripts: see [`crate::network_file`].
    pub fn network_file(&self) -> PathBuf {
        self.root.join("network.json")
    }

    /// What became of each transaction of the newest load: see [`crate::settled`].
    pub fn settled(&self) -> PathBuf {
        self.root.join("settled.bin")
    }

    /// The program of the Go masters, where the network has some: see [`crate::go_master`].
    pub fn go_master(&self) -> PathBuf {
        self.root.join("go-master")
    }

    /// What belongs to one authority.
    pub fn authority(&self, index: usize) -> PathBuf {
        self.root.join(format!("authority-{index}"))
    }

    /// Output of one process.
    pub fn log(&self, index: usize, role: Role) -> PathBuf {
        self.authority(index).join(match role {
            Role::Consensus => "consensus.log",
            Role::Executor => "executor.log",
            Role::Master => "master.log",
        })
    }
}
