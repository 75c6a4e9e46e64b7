//! The wire format of a signed transfer. Frozen: these bytes are signed, stored and hashed.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version, 1 |
//! | 32 | chain id |
//! | 32 | sender, ed25519 public key |
//! | 32 | recipient |
//! | 8 | amount, little-endian |
//! | 8 | nonce, little-endian |
//! | 4 | memo length, little-endian |
//! | .. | memo |
//! | 64 | signature over the domain string and all bytes before it |

use ed25519_zebra::{Signature, SigningKey, VerificationKey, VerificationKeyBytes};
use thiserror::Error;

use crate::bytes32::{AccountKey, ChainId};

/// The only version of the format.
pub const TRANSFER_VERSION: u8 = 1;

/// Longest memo, in bytes.
pub const MAX_MEMO_BYTES: usize = 1 << 20;

/// Size of a transfer without a memo, in bytes; the memo comes on top.
pub const MIN_TRANSFER_BYTES: usize = 181;

/// What is signed starts with this.
const DOMAIN: &[u8] = b"metanode/transfer/v1";

/// The account that a signing key holds.
#[must_use]
pub fn account_key(key: &SigningKey) -> AccountKey {
    AccountKey(VerificationKeyBytes::from(key).into())
}

/// What a holder decides: signing it makes a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferBody<'a> {
    /// The chain it is valid on.
    pub chain_id: ChainId,
    /// The account that receives.
    pub recipient: AccountKey,
    /// Units to move; 0 is allowed and only uses the nonce.
    pub amount: u64,
    /// Number of transfers that the sender has executed before, from 0.
    pub nonce: u64,
    /// Free bytes; at most [`MAX_MEMO_BYTES`].
    pub memo: &'a [u8],
}

/// The memo does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the memo has {size_bytes} bytes, at most {MAX_MEMO_BYTES} are allowed")]
pub struct MemoTooLong {
    /// Bytes of the memo.
    pub size_bytes: usize,
}

impl TransferBody<'_> {
    /// Signs, and returns the whole transaction's bytes: [`MIN_TRANSFER_BYTES`] plus the memo.
    ///
    /// # Errors
    /// [`MemoTooLong`] for a memo above [`MAX_MEMO_BYTES`].
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, MemoTooLong> {
        let too_long = MemoTooLong { size_bytes: self.memo.len() };
        if self.memo.len() > MAX_MEMO_BYTES {
            return Err(too_long);
        }
        let memo_length = u32::try_from(self.memo.len()).map_err(|_| too_long)?;
        let mut bytes = Vec::with_capacity(MIN_TRANSFER_BYTES.saturating_add(self.memo.len()));
        bytes.push(TRANSFER_VERSION);
        bytes.extend_from_slice(self.chain_id.as_bytes());
        bytes.extend_from_slice(account_key(key).as_bytes());
        bytes.extend_from_slice(self.recipient.as_bytes());
        bytes.extend_from_slice(&self.amount.to_le_bytes());
        bytes.extend_from_slice(&self.nonce.to_le_bytes());
        bytes.extend_from_slice(&memo_length.to_le_bytes());
        bytes.extend_from_slice(self.memo);
        let signature = key.sign(&signed_message(&bytes));
        bytes.extend_from_slice(&signature.to_bytes());
        Ok(bytes)
    }
}

/// The fields of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// The account that pays.
    pub sender: AccountKey,
    /// What the sender decided.
    pub body: TransferBody<'a>,
}

/// A decoded transfer whose signature nobody has looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnverifiedTransfer<'a> {
    transfer: Transfer<'a>,
    signed: &'a [u8],
    signature: [u8; 64],
}

/// The signature is not the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signature is not the sender's")]
pub struct BadSignature;

impl<'a> UnverifiedTransfer<'a> {
    /// Decodes exactly one transfer.
    ///
    /// # Errors
    /// [`DecodeError`] unless the bytes are a whole transfer of version 1 and nothing else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        let version = u8::from_le_bytes(take(&mut rest, "version")?);
        if version != TRANSFER_VERSION {
            return Err(DecodeError::UnknownVersion { version });
        }
        let chain_id = ChainId(take(&mut rest, "chain id")?);
        let sender = AccountKey(take(&mut rest, "sender")?);
        let recipient = AccountKey(take(&mut rest, "recipient")?);
        let amount = u64::from_le_bytes(take(&mut rest, "amount")?);
        let nonce = u64::from_le_bytes(take(&mut rest, "nonce")?);
        let memo_length = u32::from_le_bytes(take(&mut rest, "memo length")?);
        let size_bytes = usize::try_from(memo_length).unwrap_or(usize::MAX);
        if size_bytes > MAX_MEMO_BYTES {
            return Err(DecodeError::MemoTooLong { size_bytes });
        }
        let (memo, tail) =
            rest.split_at_checked(size_bytes).ok_or(DecodeError::Truncated { field: "memo" })?;
        rest = tail;
        let signature = take(&mut rest, "signature")?;
        if !rest.is_empty() {
            return Err(DecodeError::TrailingBytes { count: rest.len() });
        }
        let signed_bytes = bytes.len().saturating_sub(signature.len());
        let (signed, _) =
            bytes.split_at_checked(signed_bytes).ok_or(DecodeError::Truncated { field: "signature" })?;
        let body = TransferBody { chain_id, recipient, amount, nonce, memo };
        Ok(Self { transfer: Transfer { sender, body }, signed, signature })
    }

    /// Verifies the signature by the rules of ZIP 215, and gives out the transfer.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<Transfer<'a>, BadSignature> {
        let key = VerificationKey::try_from(self.transfer.sender.0).map_err(|_| BadSignature)?;
        let signature = Signature::from_bytes(&self.signature);
        key.verify(&signature, &signed_message(self.signed)).map_err(|_| BadSignature)?;
        Ok(self.transfer)
    }

    /// The fields, as somebody claims them.
    #[must_use]
    pub const fn claimed(&self) -> &Transfer<'a> {
        &self.transfer
    }

    /// Key, signature and message, as the batch verifier takes them.
    pub(crate) fn batch_parts(&self) -> (VerificationKeyBytes, [u8; 64], Vec<u8>) {
        (VerificationKeyBytes::from(self.transfer.sender.0), self.signature, signed_message(self.signed))
    }
}

/// The bytes are not a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before a field does.
    #[error("the bytes end within the {field}")]
    Truncated {
        /// The field that is cut.
        field: &'static str,
    },
    /// The first byte names no known version.
    #[error("unknown version {version}, this ledger knows {TRANSFER_VERSION}")]
    UnknownVersion {
        /// The version read.
        version: u8,
    },
    /// The memo is longer than allowed.
    #[error("the memo has {size_bytes} bytes, at most {MAX_MEMO_BYTES} are allowed")]
    MemoTooLong {
        /// Bytes of the memo, as the length field says.
        size_bytes: usize,
    },
    /// Bytes follow the signature.
    #[error("{count} bytes follow the signature")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

fn signed_message(signed: &[u8]) -> Vec<u8> {
    [DOMAIN, signed].concat()
}

fn take<const N: usize>(rest: &mut &[u8], field: &'static str) -> Result<[u8; N], DecodeError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
    *rest = tail;
    Ok(*head)
}
