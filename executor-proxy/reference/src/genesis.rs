//! The ledger before the first commit.

use thiserror::Error;

use crate::{
    accounts::{Account, Accounts},
    bytes32::{AccountKey, ChainId},
    ledger::{Ledger, Position},
};

/// The genesis accounts contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// An account is listed twice.
    #[error("account {key} is listed twice")]
    DuplicateAccount {
        /// Its key.
        key: AccountKey,
    },
}

impl Ledger {
    /// The ledger of a new chain: these balances, all nonces 0. A balance of 0 is the same as no account.
    ///
    /// # Errors
    /// [`GenesisError::DuplicateAccount`].
    pub fn genesis(
        chain_id: ChainId,
        balances: impl IntoIterator<Item = (AccountKey, u64)>,
    ) -> Result<Self, GenesisError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut accounts = Accounts::default();
        for (key, balance) in balances {
            if !seen.insert(key) {
                return Err(GenesisError::DuplicateAccount { key });
            }
            accounts.set(key, Account { balance, nonce: 0 });
        }
        Ok(Self::from_parts(chain_id, Position::GENESIS, accounts))
    }

    /// The ledger as it was stored after the commit at `position`. The caller compares [`Ledger::state_root`], which
    /// is computed from scratch here, with the one it stored.
    pub fn restore(
        chain_id: ChainId,
        position: Position,
        stored: impl IntoIterator<Item = (AccountKey, Account)>,
    ) -> Self {
        let mut accounts = Accounts::default();
        for (key, account) in stored {
            accounts.set(key, account);
        }
        Self::from_parts(chain_id, position, accounts)
    }
}
