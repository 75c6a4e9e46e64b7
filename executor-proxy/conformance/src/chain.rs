//! The commits that the suite sends, and what they must come to.
//!
//! One honest chain a row, grown as far as it is asked for. Its digests cover what is executed, as those of consensus do,
//! so that a digest stands for one content on every row. The reference ledger executes each commit as it is made: the
//! expected root and rejections are known before the master is asked.

use std::sync::Arc;

use bytes::Bytes;
use metanode_proto::{
    consensus::v1::{BlockRef, Commit, CommittedBlock},
    limits::{BLOCK_OVERHEAD_BYTES, TRANSACTION_OVERHEAD_BYTES},
};
use reference_ledger::{
    Digest, Ledger, MIN_TRANSFER_BYTES, Outcome, SigningKey, Transaction, TransferBody, account_key,
};

use crate::network::{Network, SENDERS, sender};

/// A commit with what executing it comes to.
#[derive(Clone, Debug)]
pub struct Made {
    /// The commit.
    pub commit: Commit,
    /// State root of the reference ledger after it.
    pub root: Digest,
    /// Position and code of each transaction that the reference ledger rejects.
    pub rejected: Vec<(u32, u32)>,
}

/// The honest chain.
#[derive(Debug)]
pub struct Chain {
    network: Arc<Network>,
    ledger: Ledger,
    genesis_root: Digest,
    senders: Vec<SigningKey>,
    /// Transfers that each sender has signed.
    nonces: [u64; SENDERS],
    made: Vec<Made>,
    epoch: u64,
    /// Shared by all commits that are to be large and nothing else.
    filler: Bytes,
}

impl Chain {
    /// Before the first commit.
    ///
    /// # Panics
    /// Where the genesis file lists an account twice.
    #[must_use]
    pub fn new(network: Arc<Network>) -> Self {
        let ledger = Ledger::genesis(network.chain_id, network.accounts.iter().copied())
            .expect("the accounts of genesis are distinct");
        Self {
            genesis_root: ledger.state_root(),
            ledger,
            senders: (0..SENDERS).map(sender).collect(),
            nonces: [0; SENDERS],
            made: Vec::new(),
            epoch: 0,
            filler: Bytes::new(),
            network,
        }
    }

    /// The commit at an index from 1, made if it is not yet.
    pub fn at(&mut self, index: u64) -> &Made {
        while self.last() < index {
            self.grow();
        }
        &self.made[place(index)]
    }

    /// Commits from one index to another, both included.
    pub fn range(&mut self, from: u64, to: u64) -> Vec<Commit> {
        (from..=to).map(|index| self.at(index).commit.clone()).collect()
    }

    /// Digest at an index that was made; all zero at 0.
    #[must_use]
    pub fn digest(&self, index: u64) -> Bytes {
        match index.checked_sub(1).and_then(|before| self.made.get(place(before + 1))) {
            Some(made) => made.commit.digest.clone(),
            None => Bytes::from_static(&[0; 32]),
        }
    }

    /// Root of the reference ledger after an index that was made; that of genesis at 0.
    #[must_use]
    pub fn root(&self, index: u64) -> Digest {
        match index {
            0 => self.genesis_root,
            index => self.made[place(index)].root,
        }
    }

    /// Root after a commit that was made, and its rejections: index, position, code.
    #[must_use]
    pub fn root_and_rejected(&self, index: u64) -> (Digest, Vec<(u64, u32, u32)>) {
        let made = &self.made[place(index)];
        (made.root, made.rejected.iter().map(|(position, code)| (index, *position, *code)).collect())
    }

    /// Index of the newest commit that was made.
    #[must_use]
    pub fn last(&self) -> u64 {
        u64::try_from(self.made.len()).unwrap_or(u64::MAX)
    }

    /// The epoch that commits are made for.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// From here on commits are made for the next epoch.
    pub fn begin_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Forgets what was made above an index: another history may follow there.
    ///
    /// The ledger is executed again from genesis, so this is for short chains.
    #[must_use]
    pub fn fork_after(&self, index: u64) -> Self {
        let mut fork = Self::new(Arc::clone(&self.network));
        for made in &self.made[..place(index + 1)] {
            fork.nonces_from(made);
            fork.push_made(made.commit.clone());
        }
        fork.epoch = self.epoch;
        fork
    }

    /// Makes a commit with one transfer whose memo fills it up to so many bytes, as commits are counted.
    pub fn grow_to(&mut self, size_bytes: u64) -> &Made {
        let overhead = BLOCK_OVERHEAD_BYTES + TRANSACTION_OVERHEAD_BYTES;
        let mut rest = size_bytes - BLOCK_OVERHEAD_BYTES;
        let mut transactions = Vec::new();
        while rest > 0 {
            let longest = u64::try_from(self.network.max_transaction_bytes).unwrap_or(u64::MAX);
            // What is left after this one must have room for another transfer.
            let least = u64::try_from(MIN_TRANSFER_BYTES).unwrap_or(u64::MAX) + TRANSACTION_OVERHEAD_BYTES;
            let mut length = longest.min(rest - TRANSACTION_OVERHEAD_BYTES);
            let left = rest - TRANSACTION_OVERHEAD_BYTES - length;
            if left > 0 && left < least {
                length -= least;
            }
            transactions.push(self.transfer(0, length));
            rest -= length + TRANSACTION_OVERHEAD_BYTES;
        }
        debug_assert!(size_bytes >= overhead);
        self.push(vec![transactions], Bytes::new())
    }

    /// Makes a commit with one transaction that is no transfer and fills it up to so many bytes, as commits are counted.
    pub fn grow_by_filler(&mut self, size_bytes: u64) -> &Made {
        let length = size_bytes - BLOCK_OVERHEAD_BYTES - TRANSACTION_OVERHEAD_BYTES;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.network.max_transaction_bytes);
        if self.filler.len() != length {
            self.filler = vec![0xf1; length].into();
        }
        self.push(vec![vec![self.filler.clone()]], Bytes::new())
    }

    /// The next commit, of a kind that its index decides: transfers, several blocks, none, some without effect.
    fn grow(&mut self) {
        let least = u64::try_from(MIN_TRANSFER_BYTES).unwrap_or(u64::MAX);
        let mut marks = Bytes::new();
        let blocks = match self.last() % 8 {
            0 => vec![vec![self.transfer(0, least)]],
            1 => vec![
                vec![self.transfer(0, least), self.transfer(1, least)],
                vec![],
                vec![self.transfer(2, least + 9)],
            ],
            2 => vec![vec![]],
            3 => vec![vec![Bytes::from_static(b"no transfer"), self.transfer(1, least)]],
            4 => {
                let again = self.made.first().map(|made| made.commit.blocks[0].transactions[0].clone());
                vec![vec![self.transfer(2, least), again.unwrap_or_default()]]
            }
            5 => {
                // The second one was committed before, so consensus has marked it: it is not even looked at.
                marks = Bytes::from_static(&[2]);
                vec![vec![self.transfer(0, least), Bytes::from_static(b"marked"), self.transfer(1, least)]]
            }
            6 => Vec::new(),
            _ => {
                let mut forged = self.transfer(1, least).to_vec();
                self.nonces[1] -= 1;
                if let Some(byte) = forged.last_mut() {
                    *byte ^= 1;
                }
                vec![vec![forged.into()], vec![self.transfer(2, least)]]
            }
        };
        self.push(blocks, marks);
    }

    /// A transfer of 1 by a sender, of so many bytes.
    fn transfer(&mut self, from: usize, length: u64) -> Bytes {
        let memo = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(MIN_TRANSFER_BYTES);
        let body = TransferBody {
            chain_id: self.network.chain_id,
            recipient: account_key(&self.senders[(from + 1) % SENDERS]),
            amount: 1,
            nonce: self.nonces[from],
            memo: &vec![0x6d; memo],
        };
        self.nonces[from] += 1;
        body.sign(&self.senders[from]).expect("a memo is shorter than a transaction may be").into()
    }

    fn push(&mut self, blocks: Vec<Vec<Bytes>>, duplicate_marks: Bytes) -> &Made {
        let index = self.last() + 1;
        let reference = |author| BlockRef { round: index, author, digest: vec![9; 32].into() };
        let blocks = (0..)
            .zip(blocks)
            .map(|(author, transactions)| CommittedBlock { block: Some(reference(author)), transactions });
        let mut commit = Commit {
            index,
            epoch: self.epoch,
            previous_digest: self.digest(index - 1),
            digest: Bytes::new(),
            leaders: vec![reference(0)],
            timestamp_ms: 1_700_000_000_000 + index,
            closing: true,
            blocks: blocks.collect(),
            duplicate_marks,
        };
        commit.digest = digest_of(&commit);
        self.push_made(commit)
    }

    fn push_made(&mut self, commit: Commit) -> &Made {
        let bytes32 = |bytes: &Bytes| Digest::from_slice(bytes).expect("a digest of this chain has 32 bytes");
        let marks = &commit.duplicate_marks;
        let marked = |place: usize| marks.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0);
        let transactions = commit.blocks.iter().flat_map(|block| &block.transactions).enumerate();
        let execution = self
            .ledger
            .execute(&reference_ledger::Commit {
                index: commit.index,
                epoch: commit.epoch,
                previous_digest: bytes32(&commit.previous_digest),
                digest: bytes32(&commit.digest),
                timestamp_ms: commit.timestamp_ms,
                transactions: transactions
                    .map(|(place, bytes)| Transaction { bytes, duplicate: marked(place) })
                    .collect(),
            })
            .expect("the chain is without holes");
        let rejected = (0..).zip(execution.results).filter_map(|(place, result)| match result.outcome {
            Outcome::Rejected(rejection) => Some((place, rejection.code.number())),
            Outcome::Executed | Outcome::Duplicate => None,
        });
        let made = Made { commit, root: execution.state_root, rejected: rejected.collect() };
        self.made.push(made);
        &self.made[self.made.len() - 1]
    }

    /// Takes over the nonces after a commit of another chain.
    fn nonces_from(&mut self, made: &Made) {
        for transaction in made.commit.blocks.iter().flat_map(|block| &block.transactions) {
            let Ok(transfer) = reference_ledger::UnverifiedTransfer::decode(transaction) else { continue };
            let claimed = transfer.claimed();
            for (place, key) in self.senders.iter().enumerate() {
                if transfer.verify().is_ok() && claimed.sender == account_key(key) {
                    self.nonces[place] = self.nonces[place].max(claimed.body.nonce + 1);
                }
            }
        }
    }
}

fn place(index: u64) -> usize {
    usize::try_from(index - 1).unwrap_or(usize::MAX)
}

/// A digest over everything that is executed, and over all before it.
fn digest_of(commit: &Commit) -> Bytes {
    let mut hasher = blake3::Hasher::new_derive_key("metanode/conformance/commit/v1");
    hasher.update(&commit.previous_digest);
    for number in [commit.index, commit.epoch, commit.timestamp_ms] {
        hasher.update(&number.to_le_bytes());
    }
    for block in &commit.blocks {
        for transaction in &block.transactions {
            hasher.update(blake3::hash(transaction).as_bytes());
        }
        hasher.update(b"block");
    }
    hasher.update(&commit.duplicate_marks);
    Bytes::copy_from_slice(hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        Chain::new(Arc::new(Network::of_the_suite()))
    }

    #[test]
    fn two_chains_are_the_same_commits_with_the_same_roots() {
        let (mut one, mut other) = (chain(), chain());
        one.at(24);
        for index in 1..=24 {
            assert_eq!(one.at(index).commit, other.at(index).commit);
            assert_eq!(one.root(index), other.root(index));
        }
    }

    #[test]
    fn every_kind_of_commit_has_the_results_that_it_is_made_for() {
        let mut chain = chain();
        chain.at(16);
        let codes: Vec<_> = (1..=16).map(|index| chain.at(index).rejected.clone()).collect();
        let round = [vec![], vec![], vec![], vec![(0, 1)], vec![(1, 5)], vec![], vec![], vec![(0, 3)]];
        assert_eq!(codes, [round.clone(), round].concat());
    }

    #[test]
    fn a_fork_has_another_digest_only_where_its_content_is_another() {
        let mut chain = chain();
        chain.at(10);
        let mut same = chain.fork_after(6);
        assert_eq!(same.at(9).commit, chain.at(9).commit);
        let mut other = chain.fork_after(6);
        let size_bytes = 1000;
        assert_ne!(other.grow_to(size_bytes).commit.digest, chain.at(7).commit.digest);
    }

    #[test]
    fn a_commit_is_grown_to_the_byte() {
        let mut chain = chain();
        for size_bytes in [1 << 20, 1000, (512 << 10) + 16 + 128 + 50] {
            let made = chain.grow_to(size_bytes);
            assert!(made.rejected.is_empty(), "{:?}", made.rejected);
            let counted: u64 = made
                .commit
                .blocks
                .iter()
                .map(|block| {
                    let transactions = block.transactions.iter();
                    BLOCK_OVERHEAD_BYTES
                        + transactions
                            .map(|bytes| u64::try_from(bytes.len()).unwrap() + TRANSACTION_OVERHEAD_BYTES)
                            .sum::<u64>()
                })
                .sum();
            assert_eq!(counted, size_bytes);
        }
    }
}
