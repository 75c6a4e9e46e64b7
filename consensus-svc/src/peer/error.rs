//! Why the peer network does not start, or ends by itself.

use consensus_core::AuthorityIndex;

use super::tls::TlsError;

/// Why the peer network does not start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The configured index is not in the committee.
    #[error("authority {own} is not in the committee of {size}")]
    NotInCommittee {
        /// The configured index.
        own: AuthorityIndex,
        /// The committee's size.
        size: usize,
    },
    /// The secret network key is not that of this authority in the genesis.
    #[error("the network key is not that of authority {own} in the genesis")]
    NetworkKey {
        /// This authority.
        own: AuthorityIndex,
    },
    /// Not one address an authority.
    #[error("{found} addresses for {expected} authorities")]
    Addresses {
        /// Size of the committee.
        expected: usize,
        /// Addresses given.
        found: usize,
    },
    /// A limit that lets nothing through.
    #[error("{field} is 0, at least 1 is needed")]
    ZeroLimit {
        /// The limit.
        field: &'static str,
    },
    /// The own certificate could not be made or used.
    #[error("TLS identity cannot be set up")]
    Tls(#[from] TlsError),
    /// The server ended.
    #[error("the peer server failed")]
    Server(#[source] tonic::transport::Error),
    /// A task ended in a panic: a bug of ours.
    #[error("a peer task panicked: {reason}")]
    Panicked {
        /// Text of the panic.
        reason: String,
    },
}
