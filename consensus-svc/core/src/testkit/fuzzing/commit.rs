//! Commits from outside.

use bytes::Bytes;

use crate::commit::Commit;

/// Decodes canonical bytes of a commit; what decodes must be canonical.
///
/// # Panics
/// If one commit has two encodings: a bug.
pub fn commit(bytes: &[u8]) {
    let Ok(commit) = Commit::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(commit.canonical_bytes(), bytes, "a commit has two encodings");
    let again = Commit::decode(commit.canonical_bytes().into());
    assert_eq!(again.as_ref(), Ok(&commit), "a commit changes on its way");
    assert_eq!(again.map(|again| again.digest()), Ok(commit.digest()));
}
