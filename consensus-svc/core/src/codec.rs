//! Canonical bytes: little-endian fixed-width integers, `u32` counts before lists. One encoding per value, and decoding
//! refuses everything else.

use bytes::{Buf, Bytes};

use crate::types::{AuthorityIndex, BlockDigest, BlockRef, Round};

/// Bytes of one encoded [`BlockRef`].
pub const BLOCK_REF_BYTES: usize = 8 + 2 + 32;

/// Why bytes are not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("bytes end inside {field}")]
    Truncated {
        /// The field that was read.
        field: &'static str,
    },
    /// Bytes follow after the last field.
    #[error("{count} bytes follow after the last field")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A format that this version does not know.
    #[error("{field} is {found}, expected {expected}")]
    Unexpected {
        /// The field that was read.
        field: &'static str,
        /// What stands there.
        found: u64,
        /// What must stand there.
        expected: u64,
    },
    /// A list is longer than allowed.
    #[error("{field} has {count} entries, at most {limit} are allowed")]
    TooMany {
        /// The list.
        field: &'static str,
        /// Its announced length.
        count: u64,
        /// The limit.
        limit: u64,
    },
}

/// Writes canonical bytes.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A list's length. Lists are bounded far below `u32::MAX` before they are encoded.
    pub(crate) fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("lists are bounded below u32::MAX"))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    pub(crate) fn block_ref(&mut self, reference: &BlockRef) -> &mut Self {
        self.u64(reference.round.get()).u16(reference.author.get()).raw(reference.digest.as_bytes())
    }

    pub(crate) fn block_refs(&mut self, references: &[BlockRef]) -> &mut Self {
        self.count(references.len());
        for reference in references {
            self.block_ref(reference);
        }
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads canonical bytes without copying payloads.
#[derive(Debug)]
pub(crate) struct Decoder(Bytes);

impl Decoder {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    fn need(&self, count: usize, field: &'static str) -> Result<(), DecodeError> {
        if self.0.remaining() < count { Err(DecodeError::Truncated { field }) } else { Ok(()) }
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.need(1, field)?;
        Ok(self.0.get_u8())
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.need(2, field)?;
        Ok(self.0.get_u16_le())
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.need(4, field)?;
        Ok(self.0.get_u32_le())
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.need(8, field)?;
        Ok(self.0.get_u64_le())
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        self.need(N, field)?;
        let mut array = [0; N];
        self.0.copy_to_slice(&mut array);
        Ok(array)
    }

    /// Reads a list's length; each entry takes at least `entry_bytes`, so a length that cannot fit is refused before
    /// anything is allocated for it.
    pub(crate) fn count(
        &mut self,
        field: &'static str,
        entry_bytes: usize,
        limit: u64,
    ) -> Result<usize, DecodeError> {
        let announced = self.u32(field)?;
        let count = u64::from(announced);
        if count > limit {
            return Err(DecodeError::TooMany { field, count, limit });
        }
        let count = usize::try_from(announced).map_err(|_| DecodeError::Truncated { field })?;
        self.need(count.saturating_mul(entry_bytes), field)?;
        Ok(count)
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<Bytes, DecodeError> {
        let count = self.count(field, 1, u64::from(u32::MAX))?;
        Ok(self.0.split_to(count))
    }

    pub(crate) fn block_ref(&mut self, field: &'static str) -> Result<BlockRef, DecodeError> {
        Ok(BlockRef {
            round: Round::new(self.u64(field)?),
            author: AuthorityIndex::new(self.u16(field)?),
            digest: BlockDigest::new(self.array(field)?),
        })
    }

    pub(crate) fn block_refs(
        &mut self,
        field: &'static str,
        limit: u64,
    ) -> Result<Vec<BlockRef>, DecodeError> {
        let count = self.count(field, BLOCK_REF_BYTES, limit)?;
        (0..count).map(|_| self.block_ref(field)).collect()
    }

    pub(crate) fn version(&mut self, field: &'static str, expected: u16) -> Result<(), DecodeError> {
        let found = self.u16(field)?;
        if found == expected {
            Ok(())
        } else {
            Err(DecodeError::Unexpected { field, found: u64::from(found), expected: u64::from(expected) })
        }
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        let count = self.0.remaining();
        if count == 0 { Ok(()) } else { Err(DecodeError::Trailing { count }) }
    }
}
