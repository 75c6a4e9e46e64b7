//! The keys of this authority: one that signs its blocks, one for its TLS identity.
//!
//! Each lies in a file of its own as 64 hex digits, readable by its owner only. Secrets are never printed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use consensus_core::{ProtocolKey, Signer};
use metanode_shell::file::{self, KeyFileError};

const FILE_MODE: u32 = 0o600;

/// Why keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Randomness {
        /// What it said.
        #[source]
        source: getrandom::Error,
    },
    /// A key lies there already; it is never overwritten.
    #[error("key file {} exists; a key is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("cannot write key file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// 32 secret bytes of an Ed25519 key (the seed of RFC 8032, section 5.1.5). Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Takes 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|source| KeyError::Randomness { source })?;
        Ok(Self(bytes))
    }

    /// Reads a key file of mode 0600 or 0400.
    ///
    /// # Errors
    /// [`KeyFileError`]: absent, open to others, or not 64 hex digits.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        file::read_secret_key(path).map(Self)
    }

    /// Writes a new key file of mode 0600, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        if path.try_exists().map_err(io)? {
            return Err(KeyError::Exists { path: path.to_owned() });
        }
        let text = hex::encode(self.0) + "\n";
        file::write_atomic(path, text.as_bytes(), FILE_MODE).map_err(io)
    }

    /// The secret bytes, for the TLS library.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn public_bytes(&self) -> [u8; 32] {
        Signer::from_bytes(self.0).public_key().to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// Both keys of an authority.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Signs blocks.
    pub signer: Signer,
    /// TLS identity towards other authorities.
    pub network_secret: SecretKey,
}

impl Identity {
    /// Takes both keys.
    pub fn new(protocol: &SecretKey, network: SecretKey) -> Self {
        Self { signer: Signer::from_bytes(*protocol.expose()), network_secret: network }
    }

    /// The key that blocks are judged by.
    pub fn protocol_key(&self) -> ProtocolKey {
        self.signer.public_key()
    }

    /// Public half of the TLS identity.
    pub fn network_key(&self) -> [u8; 32] {
        self.network_secret.public_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    #[test]
    fn a_generated_key_comes_back_from_its_file_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("protocol.key");
        let key = SecretKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(SecretKey::read(&path).unwrap(), key);
        let other = SecretKey::generate().unwrap();
        assert_ne!(other, key);
        assert!(matches!(other.write(&path), Err(KeyError::Exists { .. })));
        assert_eq!(SecretKey::read(&path).unwrap(), key);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("protocol.key");
        SecretKey::generate().unwrap().write(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SecretKey::read(&path), Err(KeyFileError::Exposed { mode: 0o644, .. })));
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = SecretKey::new([0xab; 32]);
        let identity = Identity::new(&secret, secret.clone());
        assert!(!format!("{secret:?} {identity:?}").contains("abab"));
    }
}
