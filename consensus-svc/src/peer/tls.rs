//! TLS identities of authorities: self-signed Ed25519 certificates, pinned to the network keys of the committee.
//!
//! TLS 1.3 only, on both sides with a certificate, never resumed, so that every connection proves its key. The
//! certificate is an envelope for the key and nothing else of it is judged: no names, for the key says who it is; no
//! time of validity, for a wrong clock must not cut an authority off; no issuer, for the committee is the authority.
//! A key leaves with the committee that it is in.
//!
//! The certificate is made anew at each start from the secret network key; no file beside that key is needed.

mod verifier;

use std::{fmt, sync::Arc};

use consensus_core::{AuthorityIndex, Committee};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};
use tokio_rustls::rustls::{
    self, ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
    version::TLS13,
};

use crate::identity::SecretKey;
use verifier::PinnedVerifier;

/// The only application protocol: HTTP/2.
const ALPN_HTTP2: &[u8] = b"h2";

/// RFC 8410, section 7: PKCS#8 version 1 of an Ed25519 key, up to the seed of 32 bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why a TLS identity cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("the certificate cannot be made")]
    Certificate(#[source] rcgen::Error),
    /// The key pair is not an Ed25519 one.
    #[error("the network key is not an Ed25519 key")]
    KeyKind,
    /// The TLS configuration was refused.
    #[error("the TLS configuration is refused")]
    Config(#[source] rustls::Error),
    /// No such authority to connect to.
    #[error("authority {authority} is not in the committee")]
    UnknownAuthority {
        /// The authority.
        authority: AuthorityIndex,
    },
}

/// This node's certificate, and the keys of those whom it talks to.
pub struct PeerTls {
    provider: Arc<CryptoProvider>,
    certificate: CertificateDer<'static>,
    secret: SecretKey,
    public_key: [u8; 32],
    members: Vec<[u8; 32]>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

impl PeerTls {
    /// Makes the certificate of `secret`, for connections between members of `committee`. The key itself need not be a
    /// member's; then no member will talk to it.
    ///
    /// # Errors
    /// If the library refuses the key.
    pub fn new(secret: &SecretKey, committee: &Committee) -> Result<Self, TlsError> {
        let key_pair = KeyPair::try_from(&pkcs8(secret)).map_err(TlsError::Certificate)?;
        let public_key = key_pair.der_bytes().try_into().map_err(|_| TlsError::KeyKind)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let certificate = params.self_signed(&key_pair).map_err(TlsError::Certificate)?.der().clone();
        let members = committee.authorities().iter().map(|authority| authority.network_key).collect();
        Ok(Self {
            provider: Arc::new(ring::default_provider()),
            certificate,
            secret: secret.clone(),
            public_key,
            members,
        })
    }

    /// The public half of the own key.
    pub const fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// Configuration for connecting to one authority: no other key is accepted.
    ///
    /// # Errors
    /// If the authority is unknown, or the library refuses the certificate.
    pub fn client_config(&self, expected: AuthorityIndex) -> Result<Arc<ClientConfig>, TlsError> {
        let key = self.members.get(expected.as_usize());
        let key = *key.ok_or(TlsError::UnknownAuthority { authority: expected })?;
        let verifier = PinnedVerifier::new(vec![key], &self.provider);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(vec![self.certificate.clone()], pkcs8(&self.secret))
            .map_err(TlsError::Config)?;
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    /// Configuration for serving: the key of any member is accepted, none else.
    ///
    /// # Errors
    /// If the library refuses the certificate.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = PinnedVerifier::new(self.members.clone(), &self.provider);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(vec![self.certificate.clone()], pkcs8(&self.secret))
            .map_err(TlsError::Config)?;
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }

    /// Who stands at the other end of a connection whose handshake is done, by its certificates.
    pub fn authority_of(&self, certificates: Option<&[CertificateDer<'_>]>) -> Option<AuthorityIndex> {
        let [certificate] = certificates? else { return None };
        let key = verifier::certificate_key(certificate)?;
        (0u16..)
            .zip(&self.members)
            .find(|(_, member)| **member == key)
            .map(|(place, _)| AuthorityIndex::new(place))
    }
}

fn pkcs8(secret: &SecretKey) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from([PKCS8_PREFIX.as_slice(), secret.expose()].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Authority, Epoch, Stake};

    #[test]
    fn the_certificate_carries_the_public_half_of_the_secret() {
        let secret = SecretKey::new([9; 32]);
        let authority = Authority {
            stake: Stake::new(1),
            protocol_key: consensus_core::Signer::from_bytes([1; 32]).public_key(),
            network_key: secret.public_bytes(),
            address: "here:1".to_owned(),
        };
        let committee = Committee::new(Epoch::GENESIS, vec![authority]).unwrap();
        let tls = PeerTls::new(&secret, &committee).unwrap();
        assert_eq!(tls.public_key(), secret.public_bytes());
        let certificates = [tls.certificate.clone()];
        assert_eq!(tls.authority_of(Some(&certificates)), Some(AuthorityIndex::new(0)));
        let stranger = PeerTls::new(&SecretKey::new([8; 32]), &committee).unwrap();
        assert_eq!(stranger.authority_of(Some(std::slice::from_ref(&stranger.certificate))), None);
        let two = [tls.certificate.clone(), tls.certificate.clone()];
        assert_eq!(tls.authority_of(Some(&two)), None);
        assert_eq!(tls.authority_of(None), None);
    }

    #[test]
    fn what_is_not_exactly_a_certificate_has_no_key() {
        let secret = SecretKey::new([9; 32]);
        let key_pair = KeyPair::try_from(&pkcs8(&secret)).unwrap();
        let certificate = CertificateParams::default().self_signed(&key_pair).unwrap();
        assert_eq!(verifier::certificate_key(certificate.der()), Some(secret.public_bytes()));
        let trailing = [certificate.der().as_ref(), &[0]].concat();
        assert_eq!(verifier::certificate_key(&CertificateDer::from(trailing)), None);
        for length in 0..certificate.der().len() {
            let cut = CertificateDer::from(certificate.der()[..length].to_vec());
            assert_eq!(verifier::certificate_key(&cut), None);
        }
        let other_kind = rcgen::generate_simple_self_signed(vec![]).unwrap();
        assert_eq!(verifier::certificate_key(other_kind.cert.der()), None);
    }
}
