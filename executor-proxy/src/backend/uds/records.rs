//! What the proxy keeps of a master that keeps no digests and no leases.
//!
//! | key | value |
//! |---|---|
//! | `m\|chain` | chain id 32 |
//! | `m\|lease` | authority 32, incarnation u64 |
//! | `m\|acknowledged` | highest index that was ever acknowledged, u64 |
//! | `c\|` index u64 big-endian | digest 32; once acknowledged with a state root, that root 32 |
//!
//! Integers are little-endian, except in keys. A digest is durable before its block is sent, so wherever the master stands by what
//! it was sent, the digest there is known.

use std::{path::Path, sync::Arc};

use metanode_shell::durable::{ReadError, Store, StoreError, StoreOptions, WriteBatch, WriteError};
use sequencer_core::{Authority, ChainId, Digest, Incarnation, LeaseRecord, Position, Refusal};
use tokio::task;

use super::error::LegacyError;

const CHAIN: &[u8] = b"m|chain";
const LEASE: &[u8] = b"m|lease";
const ACKNOWLEDGED: &[u8] = b"m|acknowledged";
const COMMITS: &[u8] = b"c|";

/// Memory that sled may use for its pages. Little is read.
const CACHE_BYTES: u64 = 16 << 20;

/// A database of its own. Each write is durable when it has returned.
#[derive(Clone, Debug)]
pub(super) struct Records(Arc<Store>);

/// What is kept of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitRecord {
    pub(super) digest: Digest,
    pub(super) state_root: Option<Digest>,
}

impl Records {
    /// Opens the folder, or makes it; it must be of this chain and authority.
    ///
    /// # Errors
    /// [`LegacyError`]; always final.
    pub(super) async fn open(
        path: &Path,
        chain_id: ChainId,
        authority: Authority,
    ) -> Result<Self, LegacyError> {
        let path = path.to_owned();
        blocking(move || {
            let options = StoreOptions { cache_bytes: CACHE_BYTES, ..StoreOptions::default() };
            let store = Store::open(&path, &options)?;
            match read(&store, CHAIN, |rest| take(rest).map(ChainId))? {
                Some(stored) if stored != chain_id => {
                    let (stored, configured) = (stored.to_string(), chain_id.to_string());
                    return Err(LegacyError::OtherChain { stored, configured });
                }
                Some(_) => {}
                None => {
                    let mut batch = WriteBatch::default();
                    batch.put(CHAIN, chain_id.0);
                    apply(&store, &batch)?;
                }
            }
            match lease(&store)? {
                Some(lease) if lease.authority != authority => {
                    Err(LegacyError::OtherAuthority { stored: lease.authority, configured: authority })
                }
                _ => Ok(Self(Arc::new(store))),
            }
        })
        .await
    }

    /// The recorded lease; `None` before the first.
    pub(super) async fn lease(&self) -> Result<Option<LeaseRecord>, LegacyError> {
        self.with(lease).await
    }

    /// Records a lease.
    pub(super) async fn put_lease(&self, lease: LeaseRecord) -> Result<(), LegacyError> {
        let mut batch = WriteBatch::default();
        batch.put(LEASE, [&lease.authority.0[..], &lease.incarnation.0.to_le_bytes()].concat());
        self.with(move |store| apply(store, &batch)).await
    }

    /// The highest index that was ever acknowledged; 0 before the first. It never falls, also where the master does.
    pub(super) async fn acknowledged(&self) -> Result<u64, LegacyError> {
        self.with(acknowledged).await
    }

    /// What is kept of a commit.
    pub(super) async fn commit(&self, index: u64) -> Result<Option<CommitRecord>, LegacyError> {
        self.with(move |store| commit(store, index)).await
    }

    /// Notes the digest of what is sent next.
    ///
    /// # Errors
    /// [`LegacyError::Fork`] where another commit was sent at this index before: the master may have executed that one (D07).
    pub(super) async fn intend(&self, position: Position) -> Result<(), LegacyError> {
        self.with(move |store| match commit(store, position.index)? {
            Some(known) if known.digest != position.digest => Err(LegacyError::Fork(Refusal::Fork {
                index: position.index,
                ours: known.digest,
                theirs: position.digest,
            })),
            Some(_) => Ok(()),
            None => {
                let mut batch = WriteBatch::default();
                batch.put(commit_key(position.index), position.digest.0);
                apply(store, &batch)
            }
        })
        .await
    }

    /// Notes that a commit is about to be acknowledged.
    pub(super) async fn acknowledge(
        &self,
        position: Position,
        state_root: Option<Digest>,
    ) -> Result<(), LegacyError> {
        self.with(move |store| {
            let highest = acknowledged(store)?.max(position.index);
            let mut batch = WriteBatch::default();
            batch.put(ACKNOWLEDGED, highest.to_le_bytes());
            if let Some(state_root) = state_root {
                batch.put(commit_key(position.index), [position.digest.0, state_root.0].concat());
            }
            apply(store, &batch)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, LegacyError> + Send + 'static,
    ) -> Result<T, LegacyError> {
        let store = Arc::clone(&self.0);
        blocking(move || call(&store)).await
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, LegacyError> + Send + 'static,
) -> Result<T, LegacyError> {
    task::spawn_blocking(call).await.unwrap_or(Err(LegacyError::Ended))
}

fn apply(store: &Store, batch: &WriteBatch) -> Result<(), LegacyError> {
    let failed = |source: StoreError| WriteError::Failed { source: Arc::new(source) };
    store.apply(batch).map_err(failed)?;
    Ok(store.sync().map_err(failed)?)
}

fn lease(store: &Store) -> Result<Option<LeaseRecord>, LegacyError> {
    read(store, LEASE, |rest| {
        let authority = Authority(take(rest)?);
        Some(LeaseRecord { authority, incarnation: Incarnation(u64::from_le_bytes(take(rest)?)) })
    })
}

fn acknowledged(store: &Store) -> Result<u64, LegacyError> {
    Ok(read(store, ACKNOWLEDGED, |rest| take(rest).map(u64::from_le_bytes))?.unwrap_or(0))
}

fn commit(store: &Store, index: u64) -> Result<Option<CommitRecord>, LegacyError> {
    read(store, &commit_key(index), |rest| {
        let digest = Digest(take(rest)?);
        let state_root = if rest.is_empty() { None } else { Some(Digest(take(rest)?)) };
        Some(CommitRecord { digest, state_root })
    })
}

fn commit_key(index: u64) -> Vec<u8> {
    [COMMITS, &index.to_be_bytes()].concat()
}

fn read<T>(
    store: &Store,
    key: &[u8],
    decode: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Result<Option<T>, LegacyError> {
    let Some(value) = store.get(key).map_err(|error: ReadError| LegacyError::Read(error))? else {
        return Ok(None);
    };
    let mut rest = value.as_slice();
    let decoded = decode(&mut rest).filter(|_| rest.is_empty());
    decoded.map(Some).ok_or_else(|| LegacyError::Form { key: key.escape_ascii().to_string() })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN_ID: ChainId = ChainId([1; 32]);
    const OWNER: Authority = Authority([2; 32]);

    fn position(index: u64, digest: u8) -> Position {
        Position { index, digest: Digest([digest; 32]) }
    }

    #[tokio::test]
    async fn s01_what_was_recorded_is_there_after_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path(), CHAIN_ID, OWNER).await.unwrap();
        let lease = LeaseRecord { authority: OWNER, incarnation: Incarnation(3) };
        records.put_lease(lease).await.unwrap();
        records.intend(position(1, 7)).await.unwrap();
        records.acknowledge(position(1, 7), Some(Digest([9; 32]))).await.unwrap();
        records.intend(position(2, 8)).await.unwrap();
        drop(records);
        let records = Records::open(folder.path(), CHAIN_ID, OWNER).await.unwrap();
        assert_eq!(records.lease().await.unwrap(), Some(lease));
        assert_eq!(records.acknowledged().await.unwrap(), 1, "what was sent is not acknowledged");
        let kept = |digest, state_root| Some(CommitRecord { digest: Digest([digest; 32]), state_root });
        assert_eq!(records.commit(1).await.unwrap(), kept(7, Some(Digest([9; 32]))));
        assert_eq!(records.commit(2).await.unwrap(), kept(8, None));
        // A master that fell is sent 1 again; what was acknowledged before stays known.
        records.acknowledge(position(5, 5), None).await.unwrap();
        records.acknowledge(position(1, 7), None).await.unwrap();
        assert_eq!(records.acknowledged().await.unwrap(), 5);
    }

    #[tokio::test]
    async fn d07_another_commit_at_an_index_that_was_sent_is_a_fork() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path(), CHAIN_ID, OWNER).await.unwrap();
        records.intend(position(1, 7)).await.unwrap();
        records.intend(position(1, 7)).await.unwrap();
        let Err(LegacyError::Fork(fork)) = records.intend(position(1, 8)).await else {
            panic!("overwritten")
        };
        let (ours, theirs) = (Digest([7; 32]), Digest([8; 32]));
        assert_eq!(fork, Refusal::Fork { index: 1, ours, theirs });
    }

    #[tokio::test]
    async fn records_of_another_chain_or_authority_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path(), CHAIN_ID, OWNER).await.unwrap();
        records.put_lease(LeaseRecord { authority: OWNER, incarnation: Incarnation(1) }).await.unwrap();
        drop(records);
        let other = Records::open(folder.path(), ChainId([9; 32]), OWNER).await;
        assert!(matches!(other, Err(LegacyError::OtherChain { .. })));
        let other = Records::open(folder.path(), CHAIN_ID, Authority([9; 32])).await;
        assert!(matches!(other, Err(LegacyError::OtherAuthority { .. })));
    }
}
