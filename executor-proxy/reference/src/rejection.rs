//! Why a transaction had no effect.

use thiserror::Error;

/// A [`Rejection`]'s reason is never longer than this, in bytes.
pub const MAX_REASON_BYTES: usize = 256;

/// Stable codes of rejections; the numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum RejectionCode {
    /// The bytes are not a transfer.
    Malformed = 1,
    /// The transfer is for another chain.
    WrongChain = 2,
    /// The signature does not verify.
    BadSignature = 3,
    /// The sender has no account: it never received anything.
    UnknownSender = 4,
    /// The nonce was used already.
    NonceTooLow = 5,
    /// An earlier nonce is missing.
    NonceTooHigh = 6,
    /// The sender has less than the amount.
    InsufficientFunds = 7,
    /// The recipient's balance, or the sender's nonce, would exceed 64 bits.
    Overflow = 8,
}

impl RejectionCode {
    /// The number, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The name, as documents and tables show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::WrongChain => "WRONG_CHAIN",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::UnknownSender => "UNKNOWN_SENDER",
            Self::NonceTooLow => "NONCE_TOO_LOW",
            Self::NonceTooHigh => "NONCE_TOO_HIGH",
            Self::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Self::Overflow => "OVERFLOW",
        }
    }
}

/// A recorded refusal. Its text is for people and no part of any digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {reason}", code.name())]
pub struct Rejection {
    /// Stable code.
    pub code: RejectionCode,
    /// Why, for people; ASCII, at most [`MAX_REASON_BYTES`].
    pub reason: String,
}

impl Rejection {
    /// Makes a rejection; all reasons of this crate are short, and a longer one would be cut.
    pub(crate) fn new(code: RejectionCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = MAX_REASON_BYTES.min(reason.len());
        while !reason.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        reason.truncate(end);
        Self { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_256_bytes_on_a_character() {
        let exact = Rejection::new(RejectionCode::Malformed, "a".repeat(256));
        assert_eq!(exact.reason.len(), 256);
        let cut = Rejection::new(RejectionCode::Malformed, format!("{}\u{e9}", "a".repeat(255)));
        assert_eq!(cut.reason.len(), 255);
    }
}
