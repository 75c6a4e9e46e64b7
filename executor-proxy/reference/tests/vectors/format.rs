//! The format of the vector files; shared by the test that reads them and the example that writes them.

#![allow(unreachable_pub, dead_code, missing_docs)]

use reference_ledger::{AccountKey, ChainId, Commit, Digest, Execution, Ledger, Outcome, Transaction};
use serde::{Deserialize, Serialize};

/// One file: a ledger from genesis on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    pub description: String,
    pub chain_id: String,
    pub accounts: Vec<Holding>,
    pub genesis_state_root: String,
    pub commits: Vec<CommitVector>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    pub public_key: String,
    pub balance: u64,
}

/// One commit with what must come out of it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitVector {
    pub index: u64,
    pub epoch: u64,
    pub previous_digest: String,
    pub digest: String,
    pub timestamp_ms: u64,
    pub transactions: Vec<TransactionVector>,
    pub results: Vec<ResultVector>,
    pub changes: Vec<ChangeVector>,
    pub state_root: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionVector {
    pub bytes: String,
    pub duplicate: bool,
}

/// `code` is 0 unless the outcome is REJECTED.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultVector {
    pub digest: String,
    pub outcome: String,
    pub code: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeVector {
    pub public_key: String,
    pub balance: u64,
    pub nonce: u64,
}

pub fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

impl Vector {
    /// The ledger that the file starts with.
    pub fn ledger(&self) -> Ledger {
        let balances =
            self.accounts.iter().map(|holding| (AccountKey(bytes32(&holding.public_key)), holding.balance));
        Ledger::genesis(ChainId(bytes32(&self.chain_id)), balances).expect("distinct accounts")
    }

    /// Runs the ledger over the commits and writes down what comes out.
    pub fn computed(&self) -> Self {
        let mut ledger = self.ledger();
        let genesis_state_root = ledger.state_root().to_string();
        let commits = self.commits.iter().map(|commit| commit.computed(&mut ledger)).collect();
        let accounts = self
            .accounts
            .iter()
            .map(|holding| Holding { public_key: holding.public_key.clone(), balance: holding.balance })
            .collect();
        Self {
            description: self.description.clone(),
            chain_id: self.chain_id.clone(),
            accounts,
            genesis_state_root,
            commits,
        }
    }
}

impl CommitVector {
    fn computed(&self, ledger: &mut Ledger) -> Self {
        let bytes: Vec<_> = self
            .transactions
            .iter()
            .map(|transaction| hex::decode(&transaction.bytes).expect("hex"))
            .collect();
        let transactions = bytes
            .iter()
            .zip(&self.transactions)
            .map(|(bytes, transaction)| Transaction { bytes, duplicate: transaction.duplicate })
            .collect();
        let execution = ledger
            .execute(&Commit {
                index: self.index,
                epoch: self.epoch,
                previous_digest: Digest(bytes32(&self.previous_digest)),
                digest: Digest(bytes32(&self.digest)),
                timestamp_ms: self.timestamp_ms,
                transactions,
            })
            .expect("commits in order");
        Self {
            index: self.index,
            epoch: self.epoch,
            previous_digest: self.previous_digest.clone(),
            digest: self.digest.clone(),
            timestamp_ms: self.timestamp_ms,
            transactions: self.transactions.clone(),
            results: results(&execution),
            changes: changes(&execution),
            state_root: execution.state_root.to_string(),
        }
    }
}

fn results(execution: &Execution) -> Vec<ResultVector> {
    let name = |outcome: &Outcome| match outcome {
        Outcome::Executed => ("EXECUTED", 0),
        Outcome::Duplicate => ("DUPLICATE", 0),
        Outcome::Rejected(rejection) => ("REJECTED", rejection.code.number()),
    };
    execution
        .results
        .iter()
        .map(|result| {
            let (outcome, code) = name(&result.outcome);
            ResultVector { digest: result.digest.to_string(), outcome: outcome.to_owned(), code }
        })
        .collect()
}

/// Sorted by key.
fn changes(execution: &Execution) -> Vec<ChangeVector> {
    execution
        .changes
        .iter()
        .map(|(key, account)| ChangeVector {
            public_key: key.to_string(),
            balance: account.balance,
            nonce: account.nonce,
        })
        .collect()
}
