//! The keys of the store, all in one place: what is stored under a name is never misread as something else.
//!
//! | key | value |
//! |---|---|
//! | `b\|` epoch round author digest | signed bytes of a block |
//! | `a\|` epoch author round digest | empty: finds an author's blocks without a walk over everybody's |
//! | `c\|` index | canonical bytes of a commit |
//! | `v\|` index | certificate of a closing commit: the refs of the blocks whose votes make a quorum |
//! | `q\|` epoch author round | a proof of equivocation ([`super::evidence`]) |
//! | `r\|` index | a state root that a quorum agreed on, with the refs of the blocks whose votes make the quorum |
//! | `m\|root_verified` | newest own state root that is the agreed one ([`super::roots`]) |
//! | `m\|root_contradiction` | the last own state root that a quorum contradicts, with the refs of its votes |
//! | `m\|chain_id` | 32 bytes |
//! | `m\|progress` | where the machine stands ([`super::progress`]) |
//! | `m\|acknowledged` | newest index that the executor acknowledged, u64 |
//!
//! All numbers are big-endian and of fixed width (epoch, round, index: 8 bytes; author: 2), so that keys sort as the
//! numbers do. Blocks lie by round because recovery reads all of them above one round.

use consensus_core::{AuthorityIndex, BlockDigest, BlockRef, CommitIndex, Epoch, Round, Slot};

/// Prefix of all commits.
pub(super) const COMMITS: &[u8] = b"c|";
/// Prefix of all certificates.
pub(super) const CERTIFICATES: &[u8] = b"v|";
/// Prefix of all proofs of equivocation.
pub(super) const EQUIVOCATIONS: &[u8] = b"q|";
/// Prefix of all agreed state roots.
pub(super) const AGREED_ROOTS: &[u8] = b"r|";
/// Newest own state root that is the agreed one.
pub(super) const ROOT_VERIFIED: &[u8] = b"m|root_verified";
/// The evidence against the executor.
pub(super) const ROOT_CONTRADICTION: &[u8] = b"m|root_contradiction";
/// The chain that the store belongs to.
pub(super) const CHAIN_ID: &[u8] = b"m|chain_id";
/// Where the machine stands.
pub(super) const PROGRESS: &[u8] = b"m|progress";
/// Newest acknowledged commit.
pub(super) const ACKNOWLEDGED: &[u8] = b"m|acknowledged";

/// Key of a block.
pub(super) fn block(epoch: Epoch, reference: &BlockRef) -> Vec<u8> {
    let mut key = blocks_from(epoch, reference.round);
    key.extend_from_slice(&reference.author.get().to_be_bytes());
    key.extend_from_slice(reference.digest.as_bytes());
    key
}

/// Prefix of all blocks of an epoch.
pub(super) fn blocks_of(epoch: Epoch) -> Vec<u8> {
    [b"b|", epoch.get().to_be_bytes().as_slice()].concat()
}

/// First key that a block of `round` can have.
pub(super) fn blocks_from(epoch: Epoch, round: Round) -> Vec<u8> {
    [blocks_of(epoch).as_slice(), &round.get().to_be_bytes()].concat()
}

/// Reads the reference out of a block's key.
pub(super) fn parse_block(key: &[u8]) -> Option<BlockRef> {
    let (round, rest) = split_number(key.strip_prefix(b"b|")?.get(8..)?)?;
    let (author, digest) = rest.split_at_checked(2)?;
    reference(round, author, digest)
}

/// Key of a block in the index by author.
pub(super) fn by_author(epoch: Epoch, reference: &BlockRef) -> Vec<u8> {
    let mut key = by_author_from(epoch, reference.author, reference.round);
    key.extend_from_slice(reference.digest.as_bytes());
    key
}

/// Prefix of an author's entries in the index by author.
pub(super) fn author(epoch: Epoch, author: AuthorityIndex) -> Vec<u8> {
    [b"a|", epoch.get().to_be_bytes().as_slice(), &author.get().to_be_bytes()].concat()
}

/// First key in the index by author that a block of `round` can have.
pub(super) fn by_author_from(epoch: Epoch, of: AuthorityIndex, round: Round) -> Vec<u8> {
    [author(epoch, of).as_slice(), &round.get().to_be_bytes()].concat()
}

/// Reads the reference out of a key of the index by author.
pub(super) fn parse_by_author(key: &[u8]) -> Option<BlockRef> {
    let (author, rest) = key.strip_prefix(b"a|")?.get(8..)?.split_at_checked(2)?;
    let (round, digest) = split_number(rest)?;
    reference(round, author, digest)
}

/// Key of a commit.
pub(super) fn commit(index: CommitIndex) -> Vec<u8> {
    [COMMITS, &index.get().to_be_bytes()].concat()
}

/// Key of a certificate.
pub(super) fn certificate(index: CommitIndex) -> Vec<u8> {
    [CERTIFICATES, &index.get().to_be_bytes()].concat()
}

/// Key of an agreed state root.
pub(super) fn agreed_root(index: CommitIndex) -> Vec<u8> {
    [AGREED_ROOTS, &index.get().to_be_bytes()].concat()
}

/// Reads the index out of a certificate's key.
pub(super) fn parse_certificate(key: &[u8]) -> Option<CommitIndex> {
    let (index, rest) = split_number(key.strip_prefix(CERTIFICATES)?)?;
    rest.is_empty().then_some(CommitIndex::new(index))
}

/// Reads the index out of a commit's key.
pub(super) fn parse_commit(key: &[u8]) -> Option<CommitIndex> {
    let (index, rest) = split_number(key.strip_prefix(COMMITS)?)?;
    rest.is_empty().then_some(CommitIndex::new(index))
}

/// Prefix of all proofs of equivocation of an epoch.
pub(super) fn equivocations_of(epoch: Epoch) -> Vec<u8> {
    [EQUIVOCATIONS, epoch.get().to_be_bytes().as_slice()].concat()
}

/// Key of a proof of equivocation.
pub(super) fn equivocation(epoch: Epoch, slot: Slot) -> Vec<u8> {
    let (author, round) = (slot.authority.get().to_be_bytes(), slot.round.get().to_be_bytes());
    [equivocations_of(epoch).as_slice(), &author, &round].concat()
}

/// Reads epoch and slot out of the key of a proof.
pub(super) fn parse_equivocation(key: &[u8]) -> Option<(Epoch, Slot)> {
    let (epoch, rest) = split_number(key.strip_prefix(EQUIVOCATIONS)?)?;
    let (author, rest) = rest.split_first_chunk::<2>()?;
    let (round, rest) = split_number(rest)?;
    let slot = Slot { round: Round::new(round), authority: AuthorityIndex::new(u16::from_be_bytes(*author)) };
    rest.is_empty().then_some((Epoch::new(epoch), slot))
}

fn split_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn reference(round: u64, author: &[u8], digest: &[u8]) -> Option<BlockRef> {
    Some(BlockRef {
        round: Round::new(round),
        author: AuthorityIndex::new(u16::from_be_bytes(author.try_into().ok()?)),
        digest: BlockDigest::from_slice(digest)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: u64, author: u16) -> BlockRef {
        BlockRef {
            round: Round::new(round),
            author: AuthorityIndex::new(author),
            digest: BlockDigest::new([0xab; 32]),
        }
    }

    /// Stored bytes: a change here makes existing stores unreadable.
    #[test]
    fn keys_have_their_golden_bytes() {
        let reference = sample(0x0102, 0x0304);
        let digest = "ab".repeat(32);
        let hex_of = |key: Vec<u8>| hex::encode(key);
        assert_eq!(
            hex_of(block(Epoch::new(5), &reference)),
            format!("627c000000000000000500000000000001020304{digest}")
        );
        assert_eq!(
            hex_of(by_author(Epoch::new(5), &reference)),
            format!("617c000000000000000503040000000000000102{digest}")
        );
        assert_eq!(hex_of(commit(CommitIndex::new(7))), "637c0000000000000007");
        assert_eq!(hex_of(certificate(CommitIndex::new(7))), "767c0000000000000007");
        assert_eq!(hex_of(agreed_root(CommitIndex::new(7))), "727c0000000000000007");
        assert_eq!(
            hex_of(equivocation(Epoch::new(5), reference.slot())),
            "717c000000000000000503040000000000000102"
        );
    }

    #[test]
    fn references_come_back_out_of_keys() {
        let reference = sample(300, 7);
        assert_eq!(parse_block(&block(Epoch::new(1), &reference)), Some(reference));
        assert_eq!(parse_by_author(&by_author(Epoch::new(1), &reference)), Some(reference));
        assert_eq!(parse_commit(&commit(CommitIndex::new(9))), Some(CommitIndex::new(9)));
        let key = equivocation(Epoch::new(1), reference.slot());
        assert_eq!(parse_equivocation(&key), Some((Epoch::new(1), reference.slot())));
        assert_eq!(parse_equivocation(&key[..key.len() - 1]), None);
        let key = certificate(CommitIndex::new(9));
        assert_eq!((parse_certificate(&key), parse_commit(&key)), (Some(CommitIndex::new(9)), None));
        for key in [&b""[..], b"b|", b"b|123456781234567812", b"c|1234567", b"c|123456789"] {
            assert_eq!((parse_block(key), parse_by_author(key), parse_commit(key)), (None, None, None));
        }
    }

    #[test]
    fn keys_sort_as_their_numbers() {
        let keys: Vec<_> =
            [(1, 9), (2, 0), (255, 0), (256, 0)].map(|(r, a)| block(Epoch::GENESIS, &sample(r, a))).into();
        assert!(keys.is_sorted());
        assert!(block(Epoch::GENESIS, &sample(u64::MAX, 0)) < blocks_of(Epoch::new(1)));
        assert!(block(Epoch::GENESIS, &sample(3, 0)) > blocks_from(Epoch::GENESIS, Round::new(3)));
    }
}
