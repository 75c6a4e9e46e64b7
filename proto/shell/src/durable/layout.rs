//! How entries lie in the tree.
//!
//! | stored key | stored value |
//! |---|---|
//! | `e` key | `0`, checksum (16 B), value: a value of at most 64 KiB |
//! | `e` key | `1`, checksum (16 B), length of the value (u32, big-endian): a longer value, in parts |
//! | `p` key number (u32, big-endian) | a part of 64 KiB, the last one shorter |
//! | `m\|version` | schema version (u32, big-endian) |
//!
//! The first byte keeps the three apart, so parts never show in a scan of entries. Two part keys are equal only for
//! equal key and number: the number has a fixed length, so the length of the key is known from the length of the whole.
//! The checksum is the first half of BLAKE3 over length of the key (u32, big-endian), key and value, so a value under a
//! wrong key is found too.

/// Longest value that is stored in one piece, and the length of a part, in bytes. Larger ones would make sled write
/// blob files, which it never syncs.
pub(crate) const PART_BYTES: usize = 64 << 10;

/// Key of the version stamp.
pub(crate) const VERSION_KEY: &[u8] = b"m|version";

const ENTRY: u8 = b'e';
const PART: u8 = b'p';
const WHOLE: u8 = 0;
const IN_PARTS: u8 = 1;
const CHECKSUM_BYTES: usize = 16;

/// A decoded entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head<'a> {
    /// The value itself and its checksum.
    Whole { checksum: [u8; CHECKSUM_BYTES], value: &'a [u8] },
    /// The value lies in parts.
    InParts { checksum: [u8; CHECKSUM_BYTES], length: u32 },
}

/// Stored key of an entry, or of the first entry with a prefix.
pub(crate) fn entry_key(key: &[u8]) -> Vec<u8> {
    with_space(ENTRY, key)
}

/// Smallest stored key above all entries with this prefix.
pub(crate) fn entries_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = entry_key(prefix);
    // The first byte is never 0xff, so there is always one to increment.
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The key of an entry, from its stored key.
pub(crate) fn entry_of(stored: &[u8]) -> Option<&[u8]> {
    stored.split_first().filter(|(space, _)| **space == ENTRY).map(|(_, key)| key)
}

/// Stored key of a part.
pub(crate) fn part_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut stored = with_space(PART, key);
    stored.extend_from_slice(&number.to_be_bytes());
    stored
}

/// Number of parts of a value of this length.
pub(crate) fn parts_of(length: u32) -> u32 {
    length.div_ceil(u32::try_from(PART_BYTES).unwrap_or(u32::MAX))
}

/// Stored value of an entry that holds its value itself.
pub(crate) fn encode_whole(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + CHECKSUM_BYTES + value.len());
    stored.push(WHOLE);
    stored.extend_from_slice(&checksum(key, value));
    stored.extend_from_slice(value);
    stored
}

/// Stored value of an entry whose value lies in parts; `length` is that of `value`.
pub(crate) fn encode_in_parts(key: &[u8], value: &[u8], length: u32) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + CHECKSUM_BYTES + 4);
    stored.push(IN_PARTS);
    stored.extend_from_slice(&checksum(key, value));
    stored.extend_from_slice(&length.to_be_bytes());
    stored
}

/// Reads a stored entry; `None` if it is malformed.
pub(crate) fn decode(stored: &[u8]) -> Option<Head<'_>> {
    let (kind, rest) = stored.split_first()?;
    let (checksum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    match *kind {
        WHOLE => Some(Head::Whole { checksum: *checksum, value: rest }),
        IN_PARTS => {
            Some(Head::InParts { checksum: *checksum, length: u32::from_be_bytes(rest.try_into().ok()?) })
        }
        _ => None,
    }
}

/// Checksum of a value under its key.
pub(crate) fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    checksum
}

fn with_space(space: u8, key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(1 + key.len() + 4);
    stored.push(space);
    stored.extend_from_slice(key);
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_entry_come_back() {
        let whole = encode_whole(b"k", b"value");
        assert_eq!(decode(&whole), Some(Head::Whole { checksum: checksum(b"k", b"value"), value: b"value" }));
        let parts = encode_in_parts(b"k", b"value", 5);
        assert_eq!(decode(&parts), Some(Head::InParts { checksum: checksum(b"k", b"value"), length: 5 }));
    }

    #[test]
    fn malformed_entries_are_told_apart_from_values() {
        let whole = encode_whole(b"k", b"");
        assert_eq!(decode(&whole[..whole.len() - 1]), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[7; 30]), None);
        assert_eq!(decode(&[IN_PARTS; 30]), None);
    }

    #[test]
    fn end_of_a_prefix_is_above_all_its_keys_and_below_the_next() {
        assert_eq!(entries_end(b"a"), b"eb");
        assert_eq!(entries_end(b"a\xff\xff"), b"eb");
        assert_eq!(entries_end(b"\xff"), b"f");
        assert_eq!(entries_end(b""), b"f");
    }

    #[test]
    fn parts_are_counted_on_both_sides_of_the_border() {
        let border = u32::try_from(PART_BYTES).unwrap();
        assert_eq!((parts_of(border), parts_of(border + 1), parts_of(2 * border)), (1, 2, 2));
    }

    #[test]
    fn a_part_of_a_key_is_never_an_entry_of_a_longer_key() {
        let part = part_key(b"k", 3);
        assert_eq!(entry_of(&part), None);
        assert_ne!(part, entry_key(b"k\0\0\0\x03"));
    }
}
