//! The Merkle tree over all accounts, and the state root.
//!
//! Fixed depth 4, fan-out 16: the leaves are the 65,536 buckets. All hashes are BLAKE3 in key derivation mode, so each
//! kind has a domain of its own. An empty bucket, and a node whose 16 children are all empty, is 32 zero bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    accounts::{Accounts, Bucket},
    bytes32::{ChainId, Digest},
    ledger::Position,
};

const BUCKET_DOMAIN: &str = "metanode/ledger/bucket/v1";
const NODE_DOMAIN: &str = "metanode/ledger/node/v1";
const STATE_DOMAIN: &str = "metanode/ledger/state/v1";

/// Levels of inner nodes; level 0 is the root, level 4 the buckets.
const DEPTH: u8 = 4;

/// Hash of everything that is empty.
const EMPTY: Digest = Digest::ZERO;

/// A node: its level, and its place among the level's nodes from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    level: u8,
    place: u16,
}

/// Hashes of all nodes that are not empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountsTree {
    hashes: BTreeMap<Node, Digest>,
}

impl AccountsTree {
    /// The tree over these accounts, from scratch.
    pub(crate) fn build(accounts: &Accounts) -> Self {
        let mut tree = Self::default();
        tree.update(accounts, accounts.buckets().collect());
        tree
    }

    /// Hashes the changed buckets and the nodes above them anew.
    pub(crate) fn update(&mut self, accounts: &Accounts, changed: BTreeSet<Bucket>) {
        let mut places = BTreeSet::new();
        for Bucket(place) in changed {
            self.set(Node { level: DEPTH, place }, bucket_hash(accounts, Bucket(place)));
            places.insert(place >> 4);
        }
        for level in (0..DEPTH).rev() {
            let mut above = BTreeSet::new();
            for place in places {
                let node = Node { level, place };
                let hash = self.node_hash(node);
                self.set(node, hash);
                above.insert(place >> 4);
            }
            places = above;
        }
    }

    /// Hash over all accounts.
    pub(crate) fn root(&self) -> Digest {
        self.get(Node { level: 0, place: 0 })
    }

    fn get(&self, node: Node) -> Digest {
        self.hashes.get(&node).copied().unwrap_or(EMPTY)
    }

    fn set(&mut self, node: Node, hash: Digest) {
        if hash == EMPTY {
            self.hashes.remove(&node);
        } else {
            self.hashes.insert(node, hash);
        }
    }

    fn node_hash(&self, node: Node) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key(NODE_DOMAIN);
        let mut empty = true;
        for child in 0..16 {
            let place = (node.place << 4) | child;
            let hash = self.get(Node { level: node.level.saturating_add(1), place });
            empty &= hash == EMPTY;
            hasher.update(hash.as_bytes());
        }
        if empty { EMPTY } else { Digest(*hasher.finalize().as_bytes()) }
    }
}

fn bucket_hash(accounts: &Accounts, bucket: Bucket) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(BUCKET_DOMAIN);
    let mut empty = true;
    for (key, account) in accounts.in_bucket(bucket) {
        empty = false;
        hasher.update(key.as_bytes());
        hasher.update(&account.balance.to_le_bytes());
        hasher.update(&account.nonce.to_le_bytes());
    }
    if empty { EMPTY } else { Digest(*hasher.finalize().as_bytes()) }
}

/// The state root at a position.
pub(crate) fn state_root(chain_id: ChainId, position: Position, accounts_root: Digest) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(STATE_DOMAIN);
    hasher.update(chain_id.as_bytes());
    hasher.update(&position.index.to_le_bytes());
    hasher.update(position.digest.as_bytes());
    hasher.update(&position.epoch.to_le_bytes());
    hasher.update(accounts_root.as_bytes());
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{accounts::Account, bytes32::AccountKey};

    fn key(number: u16) -> AccountKey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        AccountKey(bytes)
    }

    #[test]
    fn no_accounts_hash_to_zero() {
        assert_eq!(AccountsTree::build(&Accounts::default()).root(), EMPTY);
    }

    #[test]
    fn a_bucket_that_empties_leaves_no_trace() {
        let mut accounts = Accounts::default();
        let first = accounts.set(key(1), Account { balance: 5, nonce: 0 });
        let mut tree = AccountsTree::build(&accounts);
        let before = tree.clone();
        let second = accounts.set(key(2), Account { balance: 1, nonce: 0 });
        tree.update(&accounts, BTreeSet::from([second]));
        assert_ne!(tree.root(), before.root());
        accounts.set(key(2), Account::default());
        tree.update(&accounts, BTreeSet::from([first, second]));
        assert_eq!(tree.hashes, before.hashes);
    }

    proptest! {
        #[test]
        fn the_incremental_root_is_the_root_from_scratch(
            rounds in prop::collection::vec(prop::collection::vec((0_u16..200, 0_u64..3, 0_u64..3), 1..40), 1..12),
        ) {
            let mut accounts = Accounts::default();
            let mut tree = AccountsTree::default();
            for round in rounds {
                let changed = round
                    .into_iter()
                    .map(|(number, balance, nonce)| accounts.set(key(number), Account { balance, nonce }))
                    .collect();
                tree.update(&accounts, changed);
                let scratch = AccountsTree::build(&accounts);
                prop_assert_eq!(&tree.hashes, &scratch.hashes);
            }
        }
    }
}
