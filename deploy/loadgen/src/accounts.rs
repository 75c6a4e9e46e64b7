//! Accounts of the load, from a seed.

use bytes::Bytes;
use reference_ledger::{
    AccountKey, ChainId, Digest, MAX_MEMO_BYTES, MIN_TRANSFER_BYTES, SigningKey, TransferBody, account_key,
};
use std::collections::VecDeque;

const KEY_DOMAIN: &str = "metanode/loadgen/account/v1";

/// Accounts with the nonces that their next transfers carry. The same seed gives the same keys: a larger set begins with the
/// smaller one.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(crate) accounts: Vec<Account>,
}

impl Accounts {
    /// Units that a genesis should give each account: enough for any run, and all together within 64 bits for up to a
    /// million accounts.
    pub const GENESIS_BALANCE: u64 = 1_000_000_000_000;

    /// `count` accounts that have not sent yet.
    pub fn new(seed: u64, count: usize) -> Self {
        let accounts = (0_u64..).take(count).map(|number| Account::new(seed, number)).collect();
        Self { accounts }
    }

    /// Their keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = AccountKey> + Clone {
        self.accounts.iter().map(|account| account.address)
    }

    /// Sets the nonces that the chain expects next.
    #[must_use]
    pub fn with_nonces(mut self, nonce_of: impl Fn(&AccountKey) -> u64) -> Self {
        for account in &mut self.accounts {
            account.nonce = nonce_of(&account.address);
        }
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Signed transfers of so many bytes, without end: the accounts take turns, and each sends to the one after it. `None` where no
    /// transfer has that size, or there are no accounts.
    pub fn transfers(self, chain_id: ChainId, size_bytes: usize) -> Option<impl Iterator<Item = Bytes>> {
        let memo_bytes = size_bytes.checked_sub(MIN_TRANSFER_BYTES).filter(|memo| *memo <= MAX_MEMO_BYTES)?;
        let memo = vec![b'.'; memo_bytes];
        let mut senders: VecDeque<_> = self.deal(1).into_iter().flatten().collect();
        (!senders.is_empty()).then_some(std::iter::from_fn(move || {
            let mut sender = senders.pop_front()?;
            let signed = sender.sign(chain_id, &memo)?;
            sender.advance();
            senders.push_back(sender);
            Some(signed.bytes)
        }))
    }

    /// Deals the accounts out to authorities in turn; each sends to the one after it.
    pub(crate) fn deal(self, lanes: usize) -> Vec<Vec<Sender>> {
        let mut dealt: Vec<_> = std::iter::repeat_with(Vec::new).take(lanes).collect();
        let recipients: Vec<_> = self.keys().cycle().skip(1).take(self.len()).collect();
        for (place, (account, recipient)) in self.accounts.into_iter().zip(recipients).enumerate() {
            if let Some(lane) = place.checked_rem(lanes).and_then(|lane| dealt.get_mut(lane)) {
                lane.push(Sender { account, recipient, amount: 1 });
            }
        }
        dealt
    }
}

/// One account of the load.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    key: SigningKey,
    address: AccountKey,
    nonce: u64,
}

impl Account {
    fn new(seed: u64, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_DOMAIN);
        hasher.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
        let key = SigningKey::from(*hasher.finalize().as_bytes());
        Self { address: account_key(&key), key, nonce: 0 }
    }
}

/// An account and whom it pays.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    account: Account,
    recipient: AccountKey,
    /// Units of the next transfer.
    amount: u64,
}

impl Sender {
    /// The next transfer, padded by `memo`. The same until [`Sender::advance`] or [`Sender::vary`].
    pub(crate) fn sign(&self, chain_id: ChainId, memo: &[u8]) -> Option<Signed> {
        let (recipient, amount, nonce) = (self.recipient, self.amount, self.account.nonce);
        let bytes = TransferBody { chain_id, recipient, amount, nonce, memo }.sign(&self.account.key).ok()?;
        Some(Signed { digest: reference_ledger::transaction_digest(&bytes), bytes: bytes.into() })
    }

    /// The account.
    pub(crate) const fn address(&self) -> &AccountKey {
        &self.account.address
    }

    /// The nonce of the next transfer.
    pub(crate) const fn nonce(&self) -> u64 {
        self.account.nonce
    }

    /// The nonce is used.
    pub(crate) fn advance(&mut self) {
        self.account.nonce = self.account.nonce.saturating_add(1);
        self.amount = 1;
    }

    /// The nonce is not used: the next transfer has it again, with other bytes, as the same ones would be a duplicate.
    pub(crate) fn vary(&mut self) {
        self.amount = self.amount.saturating_add(1);
    }
}

/// A transaction's bytes and digest.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_set_begins_with_the_smaller_one() {
        let (small, large) = (Accounts::new(7, 3), Accounts::new(7, 9));
        assert!(large.keys().take(3).eq(small.keys()));
        assert!(Accounts::new(8, 3).keys().zip(small.keys()).all(|(other, key)| other != key));
    }

    #[test]
    fn transfers_have_their_size_and_no_two_are_alike() {
        let transfers = Accounts::new(7, 3).transfers(ChainId([1; 32]), 200).unwrap();
        let some: Vec<_> = transfers.take(9).collect();
        assert!(some.iter().all(|bytes| bytes.len() == 200));
        assert_eq!(some.iter().collect::<std::collections::BTreeSet<_>>().len(), 9);
        assert!(Accounts::new(7, 3).transfers(ChainId([1; 32]), MIN_TRANSFER_BYTES - 1).is_none());
        assert!(Accounts::new(7, 0).transfers(ChainId([1; 32]), 200).is_none());
    }

    #[test]
    fn every_account_is_dealt_once_and_pays_another() {
        let accounts = Accounts::new(7, 10);
        let keys: Vec<_> = accounts.keys().collect();
        let dealt = accounts.deal(4);
        assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2, 2]);
        for (place, key) in keys.iter().enumerate() {
            let sender = &dealt[place % 4][place / 4];
            assert_eq!((sender.account.address, sender.recipient), (*key, keys[(place + 1) % 10]));
        }
    }
}
