//! All accounts, in the order in which the state root walks them.

use std::collections::BTreeMap;

use crate::bytes32::AccountKey;

/// What an account holds. The default is what every key has before it first receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Units.
    pub balance: u64,
    /// Transfers executed so far, which is the nonce that its next one must carry.
    pub nonce: u64,
}

/// One of the 65,536 buckets that accounts fall in: the first two bytes of BLAKE3 of the key, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(pub(crate) u16);

impl Bucket {
    pub(crate) fn of(key: &AccountKey) -> Self {
        let [first, second, ..] = *blake3::hash(key.as_bytes()).as_bytes();
        Self(u16::from_be_bytes([first, second]))
    }
}

/// Accounts that differ from the default, by bucket, then key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    by_place: BTreeMap<(Bucket, AccountKey), Account>,
}

impl Accounts {
    /// The account, where it has ever received; `None` otherwise.
    pub(crate) fn get(&self, key: &AccountKey) -> Option<Account> {
        self.by_place.get(&(Bucket::of(key), *key)).copied()
    }

    /// Stores an account, and says which bucket it changed. One that equals the default is not stored.
    pub(crate) fn set(&mut self, key: AccountKey, account: Account) -> Bucket {
        let bucket = Bucket::of(&key);
        if account == Account::default() {
            self.by_place.remove(&(bucket, key));
        } else {
            self.by_place.insert((bucket, key), account);
        }
        bucket
    }

    /// The accounts of a bucket, sorted by key.
    pub(crate) fn in_bucket(&self, bucket: Bucket) -> impl Iterator<Item = (&AccountKey, &Account)> {
        let places = (bucket, AccountKey([0; 32]))..=(bucket, AccountKey([u8::MAX; 32]));
        self.by_place.range(places).map(|((_, key), account)| (key, account))
    }

    /// All accounts, by bucket, then key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AccountKey, &Account)> {
        self.by_place.iter().map(|((_, key), account)| (key, account))
    }

    /// Buckets that hold an account.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.by_place.keys().map(|(bucket, _)| *bucket)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_place.len()
    }
}
