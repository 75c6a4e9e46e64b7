//! Values of 32 bytes, each of a type of its own.

use std::fmt;

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// All bytes zero.
            pub const ZERO: Self = Self([0; 32]);

            /// Reads exactly 32 bytes; `None` for any other length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

bytes32!(
    /// Names the chain; shown as lower-case hex.
    ChainId
);
bytes32!(
    /// A BLAKE3-256 digest: of a commit, a transaction or a state; shown as lower-case hex.
    Digest
);
bytes32!(
    /// The ed25519 public key of an account's holder, which names the account; shown as lower-case hex.
    ///
    /// Any 32 bytes may receive; only those that are a key can ever send.
    AccountKey
);

/// Digest of a transaction: plain BLAKE3-256 of its bytes, whatever they hold.
#[must_use]
pub fn transaction_digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}
