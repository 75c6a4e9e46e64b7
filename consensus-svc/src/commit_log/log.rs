//! Opening the log, and reading from it at any time from any thread.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, BlockRef, Certificate, ChainId, Commit, CommitDigest, CommitIndex, CommittedSubDag,
    Epoch, Progress, Round, VerifiedBlock,
};
use metanode_shell::durable::{Group, Store, StoreOptions, WriteBatch, Writer};

use super::{
    error::{Entry, LogError, OpenError},
    keys, progress,
};

/// What can be chosen when the log is opened.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The database beneath.
    pub store: StoreOptions,
    /// Batches that may wait for the storage thread, at least 1. Default 64. So many are also the most that one sync
    /// serves; a submitter waits when they are reached.
    pub queue_bound: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { store: StoreOptions::default(), queue_bound: 64 }
    }
}

/// The open log. Shared as `Arc<CommitLog>`. Reads block on the disk: from async code, many at once belong on a blocking
/// thread ([`super::CommitFeed`] does that for commits).
#[derive(Debug)]
pub struct CommitLog {
    /// Before `store`, so that the storage thread has ended when the database is closed.
    pub(super) writer: Writer,
    pub(super) store: Arc<Store>,
    /// Newest acknowledged index that was handed to the store.
    pub(super) acknowledged: AtomicU64,
    earliest: CommitIndex,
}

impl CommitLog {
    /// Opens the log in folder `path` for a chain, or creates it. Blocks, for some seconds when it is large or while a
    /// predecessor lets go of it.
    ///
    /// # Errors
    /// [`OpenError`]: in use by another process, of another chain, damaged, of another version.
    pub fn open(path: &Path, chain_id: ChainId, options: &LogOptions) -> Result<Self, OpenError> {
        Self::open_observed(path, chain_id, options, |_| {})
    }

    /// As [`CommitLog::open`]; `observe` is called on the storage thread for each group that was made durable, and must
    /// not block.
    ///
    /// # Errors
    /// As [`CommitLog::open`].
    pub fn open_observed(
        path: &Path,
        chain_id: ChainId,
        options: &LogOptions,
        observe: impl FnMut(Group) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let store = Store::open(path, &options.store)?;
        let log_error = |source| OpenError::Log { path: path.to_owned(), source };
        match stored_chain(&store).map_err(log_error)? {
            Some(found) if found != chain_id => {
                return Err(OpenError::OtherChain { path: path.to_owned(), found, expected: chain_id });
            }
            Some(_) => {}
            None => record_chain(&store, chain_id)
                .map_err(|source| OpenError::Prepare { path: path.to_owned(), source })?,
        }
        let acknowledged = stored_acknowledged(&store).map_err(log_error)?;
        let earliest = stored_earliest(&store).map_err(log_error)?;
        let store = Arc::new(store);
        let writer = Writer::spawn_observed(Arc::clone(&store), options.queue_bound, observe)
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { writer, store, acknowledged: AtomicU64::new(acknowledged), earliest })
    }

    /// Where the machine stood after the newest batch; `None` before the first.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn progress(&self) -> Result<Option<Progress>, LogError> {
        let entry = Entry::Record("progress");
        let bytes = self.store.get(keys::PROGRESS).map_err(entry.unreadable())?;
        bytes
            .map(|bytes| progress::decode(&bytes).ok_or_else(|| entry.damaged("unknown format or length")))
            .transpose()
    }

    /// Newest commit that was handed to the store; none before the first. It may be a moment from durable: readers go
    /// by [`super::CommitFeed::last_index`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn last_index(&self) -> Result<CommitIndex, LogError> {
        Ok(self.progress()?.map_or(CommitIndex::NONE, |progress| progress.last_commit))
    }

    /// Earliest commit that is held; 1 while nothing is pruned.
    pub fn earliest_index(&self) -> CommitIndex {
        self.earliest
    }

    /// One commit; `None` if it is not held.
    ///
    /// # Errors
    /// [`LogError::Read`], [`LogError::Damaged`].
    pub fn commit(&self, index: CommitIndex) -> Result<Option<Commit>, LogError> {
        let entry = Entry::Commit(index);
        let Some(bytes) = self.store.get(&keys::commit(index)).map_err(entry.unreadable())? else {
            return Ok(None);
        };
        let commit = Commit::decode(Bytes::from(bytes)).map_err(|error| entry.damaged(error.to_string()))?;
        if commit.index != index {
            return Err(entry.damaged(format!("it holds commit {}", commit.index)));
        }
        Ok(Some(commit))
    }

    /// Digest of one commit, computed from its bytes; `None` if it is not held, zero for index 0.
    ///
    /// # Errors
    /// As [`CommitLog::commit`].
    pub fn digest(&self, index: CommitIndex) -> Result<Option<CommitDigest>, LogError> {
        if index == CommitIndex::NONE {
            return Ok(Some(CommitDigest::ZERO));
        }
        Ok(self.commit(index)?.map(|commit| commit.digest()))
    }

    /// Newest commit with a certificate that was handed to the store; none before the first.
    ///
    /// # Errors
    /// [`LogError::Read`], [`LogError::Damaged`].
    pub fn last_certified(&self) -> Result<CommitIndex, LogError> {
        let newest = self.store.last_with_prefix(keys::CERTIFICATES).map_err(Entry::Commits.unreadable())?;
        newest.map_or(Ok(CommitIndex::NONE), |(key, _)| parse_certified(&key))
    }

    /// The certificate of a commit; `None` if there is none.
    ///
    /// # Errors
    /// As [`CommitLog::commit`].
    pub fn certificate(&self, index: CommitIndex) -> Result<Option<Certificate>, LogError> {
        let entry = Entry::Commit(index);
        let bytes = self.store.get(&keys::certificate(index)).map_err(entry.unreadable())?;
        let decode = |bytes| {
            let certificate = Certificate::decode(Bytes::from(bytes));
            certificate.map_err(|error| entry.damaged(format!("its certificate: {error}")))
        };
        bytes.map(decode).transpose()
    }

    /// The first commit from `first` on that has a certificate; `None` if there is none.
    ///
    /// # Errors
    /// As [`CommitLog::commit`].
    pub fn next_certified(&self, first: CommitIndex) -> Result<Option<CommitIndex>, LogError> {
        let found = self.store.scan_prefix(keys::CERTIFICATES, &keys::certificate(first)).next();
        let found = found.transpose().map_err(Entry::Commits.unreadable())?;
        found.map(|(key, _)| parse_certified(&key)).transpose()
    }

    /// One commit with its blocks, byte for byte as it was first delivered; `None` if it is not held.
    ///
    /// # Errors
    /// As [`CommitLog::commit`] and [`CommitLog::block`]; [`LogError::MissingBlock`].
    pub fn sub_dag(&self, index: CommitIndex) -> Result<Option<CommittedSubDag>, LogError> {
        let Some(commit) = self.commit(index)? else { return Ok(None) };
        let blocks = commit.blocks.iter().map(|reference| {
            let block = self.block(commit.epoch, reference)?;
            block.ok_or(LogError::MissingBlock { commit: index, block: *reference })
        });
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        let digest = commit.digest();
        Ok(Some(CommittedSubDag { commit, digest, blocks }))
    }

    /// One block; `None` if it is not held.
    ///
    /// # Errors
    /// [`LogError::Read`]; [`LogError::Damaged`] also for an intact block that is not the one asked for.
    pub fn block(&self, epoch: Epoch, reference: &BlockRef) -> Result<Option<VerifiedBlock>, LogError> {
        let bytes =
            self.store.get(&keys::block(epoch, reference)).map_err(Entry::Block(*reference).unreadable())?;
        bytes.map(|bytes| decode_block(epoch, reference, bytes)).transpose()
    }

    /// Blocks of an author above one round and up to another, rising by round; at least one if there is any, then as
    /// long as neither `limit_count` nor `limit_bytes` of signed bytes is exceeded.
    ///
    /// For own blocks `through` is the highest round that was released for sending: one above it may not be durable
    /// yet, and whoever saw it would hold us to it.
    ///
    /// # Errors
    /// As [`CommitLog::block`].
    pub fn blocks_by(
        &self,
        epoch: Epoch,
        author: AuthorityIndex,
        after: Round,
        through: Round,
        limit_count: usize,
        limit_bytes: u64,
    ) -> Result<Vec<VerifiedBlock>, LogError> {
        let (prefix, from) = (keys::author(epoch, author), keys::by_author_from(epoch, author, after.next()));
        let mut found = Vec::new();
        let mut size_bytes = 0u64;
        for entry in self.store.scan_prefix(&prefix, &from) {
            let (key, _) = entry.map_err(Entry::Blocks.unreadable())?;
            let reference = parse_index(&key)?;
            if reference.round <= after {
                // Only where `after` is the highest round there is.
                continue;
            }
            if reference.round > through || found.len() >= limit_count.max(1) {
                break;
            }
            let block = self.indexed_block(epoch, &reference)?;
            size_bytes = size_bytes.saturating_add(block.signed_bytes().len() as u64);
            if !found.is_empty() && size_bytes > limit_bytes {
                break;
            }
            found.push(block);
        }
        Ok(found)
    }

    /// The block of the highest round of an author up to `through`; for own blocks as in [`CommitLog::blocks_by`].
    ///
    /// # Errors
    /// As [`CommitLog::block`].
    pub fn latest_block_by(
        &self,
        epoch: Epoch,
        author: AuthorityIndex,
        through: Round,
    ) -> Result<Option<VerifiedBlock>, LogError> {
        for entry in self.store.scan_prefix(&keys::author(epoch, author), &[]).rev() {
            let (key, _) = entry.map_err(Entry::Blocks.unreadable())?;
            let reference = parse_index(&key)?;
            if reference.round <= through {
                return self.indexed_block(epoch, &reference).map(Some);
            }
        }
        Ok(None)
    }

    /// Newest index that the executor acknowledged, as far as it was recorded; it only ever lags.
    pub fn acknowledged(&self) -> CommitIndex {
        CommitIndex::new(self.acknowledged.load(Ordering::Acquire))
    }

    /// Syncs down to the device since the log was opened.
    pub fn syncs_total(&self) -> u64 {
        self.store.syncs()
    }

    /// Bytes of all files of the database on disk.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub fn size_on_disk(&self) -> Result<u64, LogError> {
        self.store.size_on_disk().map_err(Entry::Record("size").unreadable())
    }

    fn indexed_block(&self, epoch: Epoch, reference: &BlockRef) -> Result<VerifiedBlock, LogError> {
        self.block(epoch, reference)?
            .ok_or_else(|| Entry::Block(*reference).damaged("it is in the index by author, and not there"))
    }
}

/// Reads a stored block, and checks that it is the one that its key names.
pub(super) fn decode_block(
    epoch: Epoch,
    reference: &BlockRef,
    bytes: Vec<u8>,
) -> Result<VerifiedBlock, LogError> {
    let entry = Entry::Block(*reference);
    let block =
        VerifiedBlock::from_store(Bytes::from(bytes)).map_err(|error| entry.damaged(error.to_string()))?;
    if block.reference() != *reference || block.block().epoch != epoch {
        return Err(entry.damaged(format!(
            "it holds block {} of epoch {}",
            block.reference(),
            block.block().epoch
        )));
    }
    Ok(block)
}

fn parse_index(key: &[u8]) -> Result<BlockRef, LogError> {
    keys::parse_by_author(key)
        .ok_or_else(|| Entry::Blocks.damaged("a key of the index by author is malformed"))
}

fn stored_chain(store: &Store) -> Result<Option<ChainId>, LogError> {
    let entry = Entry::Record("chain_id");
    let bytes = store.get(keys::CHAIN_ID).map_err(entry.unreadable())?;
    bytes
        .map(|bytes| {
            ChainId::from_slice(&bytes).ok_or_else(|| entry.damaged("it has another length than 32"))
        })
        .transpose()
}

fn record_chain(store: &Store, chain_id: ChainId) -> Result<(), metanode_shell::durable::StoreError> {
    let mut batch = WriteBatch::default();
    batch.put(keys::CHAIN_ID, chain_id.as_bytes().to_vec());
    store.apply(&batch)?;
    store.sync()
}

fn stored_acknowledged(store: &Store) -> Result<u64, LogError> {
    let entry = Entry::Record("acknowledged");
    match store.get(keys::ACKNOWLEDGED).map_err(entry.unreadable())? {
        None => Ok(0),
        Some(bytes) => bytes
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| entry.damaged("it has another length than 8")),
    }
}

fn stored_earliest(store: &Store) -> Result<CommitIndex, LogError> {
    match store.scan_prefix(keys::COMMITS, &[]).next() {
        None => Ok(CommitIndex::new(1)),
        Some(entry) => {
            let (key, _) = entry.map_err(Entry::Commits.unreadable())?;
            keys::parse_commit(&key).ok_or_else(|| Entry::Commits.damaged("a key is malformed"))
        }
    }
}

fn parse_certified(key: &[u8]) -> Result<CommitIndex, LogError> {
    keys::parse_certificate(key).ok_or_else(|| Entry::Commits.damaged("a certificate's key is malformed"))
}
