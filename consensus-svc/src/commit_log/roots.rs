//! Stored state roots: what quorums agreed on, and what became of the own executor's.
//!
//! An agreed root and a contradiction are stored as the core writes them; the verified root as index u64, big-endian, and root 32.

use bytes::Bytes;
use consensus_core::{
    CommitIndex, ExecutedRoot, MAX_AGREED_ROOTS, RootAgreement, RootContradiction, RootRecords, StateRoot,
};
use metanode_shell::durable::WriteBatch;

use super::{
    error::{Entry, LogError},
    keys,
    log::CommitLog,
};

const VERIFIED: Entry = Entry::Record("root_verified");
const CONTRADICTION: Entry = Entry::Record("root_contradiction");

impl CommitLog {
    /// The newest agreed roots, the newest verified one, and the last contradiction: what the machine and the handshake go by.
    ///
    /// # Errors
    /// [`LogError::Read`], [`LogError::Damaged`].
    pub fn roots(&self) -> Result<RootRecords, LogError> {
        let newest = self.store.scan_prefix(keys::AGREED_ROOTS, &[]).rev().take(MAX_AGREED_ROOTS);
        let agreed = newest.map(|entry| {
            let (_, bytes) = entry.map_err(Entry::Roots.unreadable())?;
            RootAgreement::decode(Bytes::from(bytes)).map_err(|error| Entry::Roots.damaged(error.to_string()))
        });
        let mut agreed = agreed.collect::<Result<Vec<_>, _>>()?;
        agreed.reverse();
        let verified = self.store.get(keys::ROOT_VERIFIED).map_err(VERIFIED.unreadable())?;
        let verified = verified
            .map(|bytes| decode_verified(&bytes).ok_or_else(|| VERIFIED.damaged("unknown length")))
            .transpose()?;
        let contradiction = self.store.get(keys::ROOT_CONTRADICTION).map_err(CONTRADICTION.unreadable())?;
        let contradiction = contradiction
            .map(|bytes| RootContradiction::decode(Bytes::from(bytes)))
            .transpose()
            .map_err(|error| CONTRADICTION.damaged(error.to_string()))?;
        Ok(RootRecords { agreed, verified, contradiction })
    }
}

/// Adds what a batch of the machine says of roots.
pub(super) fn put(writes: &mut WriteBatch, roots: &RootRecords) {
    for agreement in &roots.agreed {
        writes.put(keys::agreed_root(agreement.index), agreement.canonical_bytes());
    }
    if let Some(contradiction) = &roots.contradiction {
        writes.put(keys::ROOT_CONTRADICTION, contradiction.canonical_bytes());
        writes.remove(keys::ROOT_VERIFIED);
    }
    if let Some(verified) = &roots.verified {
        writes.put(keys::ROOT_VERIFIED, encode_verified(verified));
    }
}

fn encode_verified(verified: &ExecutedRoot) -> Vec<u8> {
    [&verified.index.get().to_be_bytes()[..], verified.root.as_bytes()].concat()
}

fn decode_verified(bytes: &[u8]) -> Option<ExecutedRoot> {
    let (index, root) = bytes.split_first_chunk::<8>()?;
    let index = CommitIndex::new(u64::from_be_bytes(*index));
    Some(ExecutedRoot { index, root: StateRoot::from_slice(root)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored bytes: a change here makes existing stores unreadable.
    #[test]
    fn a_verified_root_has_its_golden_bytes() {
        let verified = ExecutedRoot { index: CommitIndex::new(300), root: StateRoot::new([0xab; 32]) };
        let bytes = encode_verified(&verified);
        assert_eq!(hex::encode(&bytes), format!("000000000000012c{}", "ab".repeat(32)));
        assert_eq!(decode_verified(&bytes), Some(verified));
        assert_eq!(decode_verified(&bytes[..39]), None);
    }
}
