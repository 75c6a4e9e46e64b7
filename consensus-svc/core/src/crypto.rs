//! Ed25519 with ZIP 215 judgement, and BLAKE3 with domain separation.
//!
//! ZIP 215 makes single and batch verification agree on every input, so that no two authorities can judge one
//! signature differently.

use std::fmt;

use ed25519_zebra::{Signature, SigningKey, VerificationKey};

use crate::types::BlockDigest;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

const BLOCK_SIGNATURE_DOMAIN: &[u8] = b"metanode/block-signature/v1";

/// Public key that an authority's blocks are judged by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProtocolKey(VerificationKey);

impl ProtocolKey {
    /// Reads a key; `None` if the bytes are no point of the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        VerificationKey::try_from(bytes).ok().map(Self)
    }

    /// The key's bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.into()
    }

    /// Whether `signature` is this key's over the block named `digest`. Judged by ZIP 215.
    pub(crate) fn verifies(&self, digest: &BlockDigest, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.0.verify(&Signature::from_bytes(signature), &signed_message(digest)).is_ok()
    }
}

impl fmt::Debug for ProtocolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Secret key that signs this authority's blocks. Never printed.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    /// Takes a secret key of 32 bytes (the seed of RFC 8032, section 5.1.5).
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(SigningKey::from(secret))
    }

    /// The public half.
    pub fn public_key(&self) -> ProtocolKey {
        ProtocolKey(self.0.verification_key())
    }

    pub(crate) fn sign(&self, digest: &BlockDigest) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&signed_message(digest)).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({:?})", self.public_key())
    }
}

/// What is signed: the digest stands for the canonical bytes, so that a block of megabytes is hashed once.
fn signed_message(digest: &BlockDigest) -> Vec<u8> {
    [BLOCK_SIGNATURE_DOMAIN, digest.as_bytes()].concat()
}

/// BLAKE3 of `bytes` under a context string (BLAKE3 paper, section 2.2: derive_key mode).
pub(crate) fn hash(context: &'static str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, bytes)
}
