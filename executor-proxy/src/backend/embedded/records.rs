//! Stored values of the embedded ledger, and their keys.
//!
//! | key | value |
//! |---|---|
//! | `m\|genesis` | chain id 32, state root before the first commit 32 |
//! | `m\|state` | last index u64, its digest 32, its epoch u64, state root 32 |
//! | `m\|lease` | authority 32, incarnation u64 |
//! | `m\|epoch` | epoch u64, committee digest 32 |
//! | `a\|` key 32 | balance u64, nonce u64 |
//! | `x\|` index u64 big-endian | a [`StoredCommit`]: digest 32, state root 32, count u32, then each transaction: digest 32, outcome u8 (0 executed, 1 duplicate, 2 rejected: code u32, reason length u16, reason) |
//!
//! Integers are little-endian, except in keys.

use metanode_shell::durable::{Store, WriteBatch};
use reference_ledger::{Account, AccountKey, ChainId, Digest, Execution, Outcome, Position};
use sequencer_core::{Authority, Incarnation, LeaseRecord};

use crate::backend::{BackendError, EpochRecord, Executed, RejectedTransaction};

const GENESIS: &[u8] = b"m|genesis";
const STATE: &[u8] = b"m|state";
const LEASE: &[u8] = b"m|lease";
const EPOCH: &[u8] = b"m|epoch";
const ACCOUNTS: &[u8] = b"a|";
const COMMITS: &[u8] = b"x|";

/// What the ledger was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenesisRecord {
    pub(super) chain_id: ChainId,
    pub(super) state_root: Digest,
}

impl GenesisRecord {
    pub(super) fn put(&self, batch: &mut WriteBatch) {
        batch.put(GENESIS, [self.chain_id.0, self.state_root.0].concat());
    }

    pub(super) fn read(store: &Store) -> Result<Option<Self>, BackendError> {
        read(store, GENESIS, |rest| {
            Some(Self { chain_id: ChainId(take(rest)?), state_root: Digest(take(rest)?) })
        })
    }
}

/// Where the ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateRecord {
    pub(super) position: Position,
    pub(super) state_root: Digest,
}

impl StateRecord {
    pub(super) fn put(&self, batch: &mut WriteBatch) {
        let mut value = self.position.index.to_le_bytes().to_vec();
        value.extend_from_slice(&self.position.digest.0);
        value.extend_from_slice(&self.position.epoch.to_le_bytes());
        value.extend_from_slice(&self.state_root.0);
        batch.put(STATE, value);
    }

    pub(super) fn read(store: &Store) -> Result<Option<Self>, BackendError> {
        read(store, STATE, |rest| {
            let index = u64::from_le_bytes(take(rest)?);
            let digest = Digest(take(rest)?);
            let epoch = u64::from_le_bytes(take(rest)?);
            Some(Self { position: Position { index, digest, epoch }, state_root: Digest(take(rest)?) })
        })
    }
}

pub(super) fn put_lease(batch: &mut WriteBatch, lease: &LeaseRecord) {
    let mut value = lease.authority.0.to_vec();
    value.extend_from_slice(&lease.incarnation.0.to_le_bytes());
    batch.put(LEASE, value);
}

pub(super) fn read_lease(store: &Store) -> Result<Option<LeaseRecord>, BackendError> {
    read(store, LEASE, |rest| {
        let authority = Authority(take(rest)?);
        Some(LeaseRecord { authority, incarnation: Incarnation(u64::from_le_bytes(take(rest)?)) })
    })
}

pub(super) fn put_epoch(batch: &mut WriteBatch, record: &EpochRecord) {
    let mut value = record.epoch.to_le_bytes().to_vec();
    value.extend_from_slice(&record.committee_digest);
    batch.put(EPOCH, value);
}

pub(super) fn read_epoch(store: &Store) -> Result<Option<EpochRecord>, BackendError> {
    read(store, EPOCH, |rest| {
        Some(EpochRecord { epoch: u64::from_le_bytes(take(rest)?), committee_digest: take(rest)? })
    })
}

pub(super) fn put_account(batch: &mut WriteBatch, key: &AccountKey, account: &Account) {
    let value = [account.balance.to_le_bytes(), account.nonce.to_le_bytes()].concat();
    batch.put([ACCOUNTS, &key.0].concat(), value);
}

/// All accounts, in the order of their keys.
pub(super) fn accounts(
    store: &Store,
) -> impl Iterator<Item = Result<(AccountKey, Account), BackendError>> + '_ {
    store.scan_prefix(ACCOUNTS, &[]).map(|entry| {
        let (name, value) = entry?;
        let decode = |name: &[u8], mut value: &[u8]| {
            let key = AccountKey::from_slice(name.strip_prefix(ACCOUNTS)?)?;
            let balance = u64::from_le_bytes(take(&mut value)?);
            let nonce = u64::from_le_bytes(take(&mut value)?);
            value.is_empty().then_some((key, Account { balance, nonce }))
        };
        decode(&name, &value).ok_or_else(|| form(&name))
    })
}

/// What is kept of an executed commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCommit {
    /// Commit index.
    pub index: u64,
    /// Its digest.
    pub digest: Digest,
    /// State root after it.
    pub state_root: Digest,
    /// One result a transaction, in execution order.
    pub results: Vec<ResultRecord>,
}

/// What became of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRecord {
    /// BLAKE3-256 of its bytes.
    pub digest: Digest,
    /// What became of it.
    pub outcome: StoredOutcome,
}

/// What became of one transaction, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredOutcome {
    /// It had its effect.
    Executed,
    /// It was marked as committed before, and skipped.
    Duplicate,
    /// It had no effect.
    Rejected {
        /// The ledger's code, from 1.
        code: u32,
        /// Why; at most 256 bytes.
        reason: String,
    },
}

impl StoredCommit {
    pub(super) fn new(position: Position, execution: Execution) -> Self {
        let results = execution.results.into_iter().map(|result| ResultRecord {
            digest: result.digest,
            outcome: match result.outcome {
                Outcome::Executed => StoredOutcome::Executed,
                Outcome::Duplicate => StoredOutcome::Duplicate,
                Outcome::Rejected(rejection) => {
                    StoredOutcome::Rejected { code: rejection.code.number(), reason: rejection.reason }
                }
            },
        });
        Self {
            index: position.index,
            digest: position.digest,
            state_root: execution.state_root,
            results: results.collect(),
        }
    }

    pub(super) fn put(&self, batch: &mut WriteBatch) {
        batch.put(commit_key(self.index), self.encode());
    }

    /// Reads the commit at an index; `None` where none was executed.
    ///
    /// # Errors
    /// [`BackendError`] for bytes that cannot be read.
    pub fn read(store: &Store, index: u64) -> Result<Option<Self>, BackendError> {
        let key = commit_key(index);
        store.get(&key)?.map(|value| Self::decode(index, &value).ok_or_else(|| form(&key))).transpose()
    }

    /// Reads the commits from an index on, one at a time.
    pub fn scan(store: &Store, first: u64) -> impl Iterator<Item = Result<Self, BackendError>> + '_ {
        store.scan_prefix(COMMITS, &commit_key(first)).map(|entry| {
            let (name, value) = entry?;
            let number = name.strip_prefix(COMMITS).and_then(|number| number.try_into().ok());
            let decoded = number.and_then(|number| Self::decode(u64::from_be_bytes(number), &value));
            decoded.ok_or_else(|| form(&name))
        })
    }

    /// What an acknowledgement tells of it.
    #[must_use]
    pub fn executed(&self) -> Executed {
        let rejected = (0_u32..).zip(&self.results).filter_map(|(position, result)| match &result.outcome {
            StoredOutcome::Rejected { code, reason } => {
                Some(RejectedTransaction { position, code: *code, reason: reason.clone() })
            }
            _ => None,
        });
        Executed {
            position: sequencer_core::Position {
                index: self.index,
                digest: sequencer_core::Digest(self.digest.0),
            },
            state_root: Some(sequencer_core::Digest(self.state_root.0)),
            rejected: rejected.collect(),
            results_unknown: false,
            epoch_end: None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(68 + self.results.len() * 33);
        value.extend_from_slice(&self.digest.0);
        value.extend_from_slice(&self.state_root.0);
        let count = u32::try_from(self.results.len()).expect("a commit has at most a million transactions");
        value.extend_from_slice(&count.to_le_bytes());
        for result in &self.results {
            value.extend_from_slice(&result.digest.0);
            match &result.outcome {
                StoredOutcome::Executed => value.push(0),
                StoredOutcome::Duplicate => value.push(1),
                StoredOutcome::Rejected { code, reason } => {
                    value.push(2);
                    value.extend_from_slice(&code.to_le_bytes());
                    let length = u16::try_from(reason.len()).expect("a reason has at most 256 bytes");
                    value.extend_from_slice(&length.to_le_bytes());
                    value.extend_from_slice(reason.as_bytes());
                }
            }
        }
        value
    }

    fn decode(index: u64, value: &[u8]) -> Option<Self> {
        let mut rest = value;
        let digest = Digest(take(&mut rest)?);
        let state_root = Digest(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut results = Vec::new();
        for _ in 0..count {
            let digest = Digest(take(&mut rest)?);
            let outcome = match take(&mut rest)? {
                [0] => StoredOutcome::Executed,
                [1] => StoredOutcome::Duplicate,
                [2] => {
                    let code = u32::from_le_bytes(take(&mut rest)?);
                    let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
                    let (reason, tail) = rest.split_at_checked(length)?;
                    rest = tail;
                    StoredOutcome::Rejected { code, reason: String::from_utf8(reason.to_vec()).ok()? }
                }
                _ => return None,
            };
            results.push(ResultRecord { digest, outcome });
        }
        rest.is_empty().then_some(Self { index, digest, state_root, results })
    }
}

fn commit_key(index: u64) -> Vec<u8> {
    [COMMITS, &index.to_be_bytes()].concat()
}

fn read<T>(
    store: &Store,
    key: &[u8],
    decode: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Result<Option<T>, BackendError> {
    let Some(value) = store.get(key)? else { return Ok(None) };
    let mut rest = value.as_slice();
    let decoded = decode(&mut rest).filter(|_| rest.is_empty());
    decoded.map(Some).ok_or_else(|| form(key))
}

fn form(key: &[u8]) -> BackendError {
    BackendError::Form { key: key.escape_ascii().to_string() }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_commit_comes_back_and_its_bytes_are_frozen() {
        let result = |byte, outcome| ResultRecord { digest: Digest([byte; 32]), outcome };
        let commit = StoredCommit {
            index: 7,
            digest: Digest([1; 32]),
            state_root: Digest([2; 32]),
            results: vec![
                result(3, StoredOutcome::Executed),
                result(4, StoredOutcome::Duplicate),
                result(5, StoredOutcome::Rejected { code: 6, reason: "no".to_owned() }),
            ],
        };
        let bytes = commit.encode();
        let golden = format!(
            "{}{}03000000{}00{}01{}020600000002006e6f",
            "01".repeat(32),
            "02".repeat(32),
            "03".repeat(32),
            "04".repeat(32),
            "05".repeat(32),
        );
        assert_eq!(hex::encode(&bytes), golden);
        assert_eq!(StoredCommit::decode(7, &bytes), Some(commit));
        for end in 0..bytes.len() {
            assert_eq!(StoredCommit::decode(7, &bytes[..end]), None, "cut at {end}");
        }
    }
}
