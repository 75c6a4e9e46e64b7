//! Execution: commits in, results and state roots out.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{
    accounts::{Account, Accounts},
    bytes32::{AccountKey, ChainId, Digest, transaction_digest},
    commit::{Commit, Transaction},
    rejection::{Rejection, RejectionCode},
    root::{AccountsTree, state_root},
    signatures::verify_batch,
    transfer::{Transfer, UnverifiedTransfer},
};

/// How far the ledger has executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Last commit executed; 0 before the first.
    pub index: u64,
    /// Its digest; all zero before the first.
    pub digest: Digest,
    /// Its epoch; 0 before the first.
    pub epoch: u64,
}

impl Position {
    /// Before the first commit.
    pub const GENESIS: Self = Self { index: 0, digest: Digest::ZERO, epoch: 0 };
}

/// What became of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had its effect.
    Executed,
    /// It had no effect, not even on the nonce.
    Rejected(Rejection),
    /// It was marked as committed before, and skipped without being looked at.
    Duplicate,
}

/// One transaction's digest and outcome; its position is its place in [`Execution::results`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionResult {
    /// BLAKE3-256 of its bytes.
    pub digest: Digest,
    /// What became of it.
    pub outcome: Outcome,
}

/// What one commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Accounts that changed, with what they hold now.
    pub changes: BTreeMap<AccountKey, Account>,
    /// One result a transaction, in the order of the commit.
    pub results: Vec<TransactionResult>,
    /// State root after the commit.
    pub state_root: Digest,
}

/// The commit does not follow the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExecuteError {
    /// Its index is not the next.
    #[error("commit {index} does not follow: commit {expected} is next")]
    NotNext {
        /// The index that is next.
        expected: u64,
        /// The index that came.
        index: u64,
    },
    /// It was made after another predecessor.
    #[error("the commit follows {theirs}, but commit {index} is {ours}")]
    OtherPredecessor {
        /// Index of the predecessor.
        index: u64,
        /// Digest of what was executed there.
        ours: Digest,
        /// Digest that the commit names.
        theirs: Digest,
    },
}

/// The whole state.
#[derive(Clone, Debug)]
pub struct Ledger {
    chain_id: ChainId,
    position: Position,
    accounts: Accounts,
    tree: AccountsTree,
}

impl Ledger {
    pub(crate) fn from_parts(chain_id: ChainId, position: Position, accounts: Accounts) -> Self {
        let tree = AccountsTree::build(&accounts);
        Self { chain_id, position, accounts, tree }
    }

    /// Executes the next commit. Whatever its transactions hold, it succeeds: those without effect are recorded.
    ///
    /// # Errors
    /// [`ExecuteError`], with nothing changed, unless the commit follows the last one by index and digest.
    pub fn execute(&mut self, commit: &Commit<'_>) -> Result<Execution, ExecuteError> {
        let expected = self.position.index.saturating_add(1);
        if commit.index != expected || commit.index == self.position.index {
            return Err(ExecuteError::NotNext { expected, index: commit.index });
        }
        if commit.previous_digest != self.position.digest {
            let (ours, theirs) = (self.position.digest, commit.previous_digest);
            return Err(ExecuteError::OtherPredecessor { index: self.position.index, ours, theirs });
        }
        let mut changes = BTreeMap::new();
        let results = judge(self.chain_id, &commit.transactions)
            .into_iter()
            .zip(&commit.transactions)
            .map(|(judged, transaction)| TransactionResult {
                digest: transaction_digest(transaction.bytes),
                outcome: match judged {
                    Err(unfit) => unfit.into(),
                    Ok(transfer) => match self.apply(&transfer, &mut changes) {
                        Ok(()) => Outcome::Executed,
                        Err(rejection) => Outcome::Rejected(rejection),
                    },
                },
            })
            .collect();
        let changed: BTreeSet<_> =
            changes.iter().map(|(key, account)| self.accounts.set(*key, *account)).collect();
        self.tree.update(&self.accounts, changed);
        self.position = Position { index: commit.index, digest: commit.digest, epoch: commit.epoch };
        Ok(Execution { changes, results, state_root: self.state_root() })
    }

    /// State root at the position.
    #[must_use]
    pub fn state_root(&self) -> Digest {
        state_root(self.chain_id, self.position, self.tree.root())
    }

    /// How far the ledger has executed.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// What an account holds; the default for one that never received.
    #[must_use]
    pub fn account(&self, key: &AccountKey) -> Account {
        self.accounts.get(key).unwrap_or_default()
    }

    /// All accounts that hold something or have sent, in the order of the state tree.
    pub fn accounts(&self) -> impl Iterator<Item = (&AccountKey, &Account)> {
        self.accounts.iter()
    }

    /// How many accounts there are.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.accounts.len()
    }

    /// Applies one transfer on top of the changes of this commit, or leaves them as they are.
    fn apply(
        &self,
        transfer: &Transfer<'_>,
        changes: &mut BTreeMap<AccountKey, Account>,
    ) -> Result<(), Rejection> {
        let read = |key: &AccountKey, changes: &BTreeMap<AccountKey, Account>| {
            changes.get(key).copied().or_else(|| self.accounts.get(key))
        };
        let Transfer { sender, body } = transfer;
        let Some(payer) = read(sender, changes) else {
            return Err(Rejection::new(RejectionCode::UnknownSender, "the sender has no account"));
        };
        check_nonce(payer.nonce, body.nonce)?;
        let Some(rest) = payer.balance.checked_sub(body.amount) else {
            let reason = format!("the balance is {}, the amount {}", payer.balance, body.amount);
            return Err(Rejection::new(RejectionCode::InsufficientFunds, reason));
        };
        let overflow =
            |what| Rejection::new(RejectionCode::Overflow, format!("the {what} would exceed 64 bits"));
        let nonce = payer.nonce.checked_add(1).ok_or_else(|| overflow("sender's nonce"))?;
        if *sender == body.recipient {
            changes.insert(*sender, Account { balance: payer.balance, nonce });
            return Ok(());
        }
        if body.amount > 0 {
            let mut payee = read(&body.recipient, changes).unwrap_or_default();
            payee.balance =
                payee.balance.checked_add(body.amount).ok_or_else(|| overflow("recipient's balance"))?;
            changes.insert(body.recipient, payee);
        }
        changes.insert(*sender, Account { balance: rest, nonce });
        Ok(())
    }
}

fn check_nonce(expected: u64, nonce: u64) -> Result<(), Rejection> {
    let code = match nonce.cmp(&expected) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => RejectionCode::NonceTooLow,
        std::cmp::Ordering::Greater => RejectionCode::NonceTooHigh,
    };
    Err(Rejection::new(code, format!("the nonce is {nonce}, {expected} is next")))
}

/// Why a transaction is not even tried.
enum Unfit {
    Duplicate,
    Refused(Rejection),
}

impl Unfit {
    fn refused(code: RejectionCode, reason: impl Into<String>) -> Self {
        Self::Refused(Rejection::new(code, reason))
    }
}

impl From<Unfit> for Outcome {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Duplicate => Self::Duplicate,
            Unfit::Refused(rejection) => Self::Rejected(rejection),
        }
    }
}

/// Decodes all transactions, and checks chain and signature, in this order.
fn judge<'a>(chain_id: ChainId, transactions: &[Transaction<'a>]) -> Vec<Result<Transfer<'a>, Unfit>> {
    let decoded: Vec<_> = transactions.iter().map(|transaction| decode(chain_id, transaction)).collect();
    let candidates: Vec<_> = decoded.iter().filter_map(|decoded| decoded.as_ref().ok().copied()).collect();
    let mut verdicts = verify_batch(&candidates).into_iter();
    let judged = decoded.into_iter().map(|decoded| {
        let transfer = decoded?;
        // One verdict a candidate, in their order; a missing one would count as a bad signature.
        match verdicts.next() {
            Some(true) => Ok(*transfer.claimed()),
            _ => Err(Unfit::refused(RejectionCode::BadSignature, "the signature is not the sender's")),
        }
    });
    judged.collect()
}

fn decode<'a>(chain_id: ChainId, transaction: &Transaction<'a>) -> Result<UnverifiedTransfer<'a>, Unfit> {
    if transaction.duplicate {
        return Err(Unfit::Duplicate);
    }
    let transfer = UnverifiedTransfer::decode(transaction.bytes)
        .map_err(|error| Unfit::refused(RejectionCode::Malformed, error.to_string()))?;
    let theirs = transfer.claimed().body.chain_id;
    if theirs != chain_id {
        return Err(Unfit::refused(RejectionCode::WrongChain, format!("the transfer is for chain {theirs}")));
    }
    Ok(transfer)
}
