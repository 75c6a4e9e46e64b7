//! Stored proofs of equivocation: how they are written, and how they are read a page at a time.
//!
//! ```text
//! format u8 = 1 | length of the first block u32, big-endian | first block | second block
//! ```

use bytes::Bytes;
use consensus_core::{Epoch, EquivocationProof, Slot};

use super::{
    error::{Entry, LogError},
    keys,
    log::CommitLog,
};

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 4;

/// A proof as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEquivocation {
    /// The epoch of both blocks.
    pub epoch: Epoch,
    /// Their slot.
    pub slot: Slot,
    /// Their signed bytes.
    pub proof: EquivocationProof,
}

impl CommitLog {
    /// Proofs of equivocation of all epochs, by epoch, authority and round, from behind `after` on: at least one if there is
    /// any, then as long as neither `limit_count` nor `limit_bytes` of signed bytes is exceeded. Also whether there are more.
    ///
    /// # Errors
    /// [`LogError::Read`], [`LogError::Damaged`].
    pub fn equivocations(
        &self,
        after: Option<(Epoch, Slot)>,
        limit_count: usize,
        limit_bytes: u64,
    ) -> Result<(Vec<StoredEquivocation>, bool), LogError> {
        let mut from = after.map(|(epoch, slot)| keys::equivocation(epoch, slot)).unwrap_or_default();
        if after.is_some() {
            // The first key behind it.
            from.push(0);
        }
        let (mut found, mut size_bytes) = (Vec::new(), 0u64);
        for entry in self.store.scan_prefix(keys::EQUIVOCATIONS, &from) {
            let (key, bytes) = entry.map_err(Entry::Evidence.unreadable())?;
            let (epoch, slot) = keys::parse_equivocation(&key)
                .ok_or_else(|| Entry::Evidence.damaged("a key of a proof is malformed"))?;
            size_bytes = size_bytes.saturating_add(bytes.len() as u64);
            if found.len() >= limit_count.max(1) || (!found.is_empty() && size_bytes > limit_bytes) {
                return Ok((found, true));
            }
            let proof = decode(Bytes::from(bytes))
                .ok_or_else(|| Entry::Equivocation(slot).damaged("unknown format or length"))?;
            found.push(StoredEquivocation { epoch, slot, proof });
        }
        Ok((found, false))
    }

    /// Slots of an epoch whose proofs are held; a few of each authority.
    pub(super) fn equivocation_slots(&self, epoch: Epoch) -> Result<Vec<Slot>, LogError> {
        let entries = self.store.scan_prefix(&keys::equivocations_of(epoch), &[]);
        entries
            .map(|entry| {
                let (key, _) = entry.map_err(Entry::Evidence.unreadable())?;
                let parsed = keys::parse_equivocation(&key);
                parsed
                    .map(|(_, slot)| slot)
                    .ok_or_else(|| Entry::Evidence.damaged("a key of a proof is malformed"))
            })
            .collect()
    }
}

/// The stored bytes.
pub(super) fn encode(proof: &EquivocationProof) -> Vec<u8> {
    let length = u32::try_from(proof.first.len()).expect("a block has at most 64 MiB and a few KiB");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + proof.first.len() + proof.second.len());
    bytes.push(FORMAT);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&proof.first);
    bytes.extend_from_slice(&proof.second);
    bytes
}

/// Reads stored bytes.
fn decode(bytes: Bytes) -> Option<EquivocationProof> {
    let (&format, rest) = bytes.split_first()?;
    let (length, blocks) = rest.split_first_chunk::<4>()?;
    let end = HEAD_BYTES.checked_add(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let is_whole = format == FORMAT && end - HEAD_BYTES <= blocks.len();
    is_whole.then(|| EquivocationProof { first: bytes.slice(HEAD_BYTES..end), second: bytes.slice(end..) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored bytes: a change here makes existing stores unreadable.
    #[test]
    fn a_proof_has_its_golden_bytes() {
        let proof =
            EquivocationProof { first: Bytes::from_static(b"one"), second: Bytes::from_static(b"other") };
        let bytes = encode(&proof);
        assert_eq!(hex::encode(&bytes), format!("0100000003{}{}", hex::encode("one"), hex::encode("other")));
        assert_eq!(decode(bytes.into()), Some(proof));
    }

    #[test]
    fn a_length_beyond_the_bytes_and_another_format_are_refused() {
        for bytes in [&b""[..], b"\x01", b"\x01\0\0\0", b"\x01\0\0\0\x04one", b"\x02\0\0\0\x01ab"] {
            assert_eq!(decode(Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
