//! Rules of execution, one by one.

#![allow(clippy::unwrap_used)]

use reference_ledger::{
    Account, AccountKey, ChainId, Commit, Digest, ExecuteError, Execution, GenesisError, Ledger, Outcome,
    Position, RejectionCode, SigningKey, Transaction, TransferBody, account_key,
};

const CHAIN: ChainId = ChainId([1; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from([seed; 32])
}

fn account(seed: u8) -> AccountKey {
    account_key(&key(seed))
}

fn transfer(from: u8, to: u8, amount: u64, nonce: u64) -> Vec<u8> {
    TransferBody { chain_id: CHAIN, recipient: account(to), amount, nonce, memo: b"" }
        .sign(&key(from))
        .unwrap()
}

fn ledger() -> Ledger {
    Ledger::genesis(CHAIN, [(account(1), 100)]).unwrap()
}

fn execute(ledger: &mut Ledger, transactions: &[Vec<u8>]) -> Execution {
    let position = ledger.position();
    let index = position.index + 1;
    let transactions = transactions.iter().map(|bytes| Transaction { bytes, duplicate: false }).collect();
    ledger
        .execute(&Commit {
            index,
            epoch: 0,
            previous_digest: position.digest,
            digest: Digest([u8::try_from(index).unwrap(); 32]),
            timestamp_ms: 0,
            transactions,
        })
        .unwrap()
}

fn outcome(execution: &Execution, position: usize) -> Option<RejectionCode> {
    match &execution.results[position].outcome {
        Outcome::Executed => None,
        Outcome::Rejected(rejection) => Some(rejection.code),
        Outcome::Duplicate => panic!("a duplicate at {position}"),
    }
}

#[test]
fn the_whole_balance_can_be_sent_and_one_more_cannot() {
    let mut ledger = ledger();
    let execution = execute(&mut ledger, &[transfer(1, 2, 101, 0), transfer(1, 2, 100, 0)]);
    assert_eq!(outcome(&execution, 0), Some(RejectionCode::InsufficientFunds));
    assert_eq!(outcome(&execution, 1), None);
    assert_eq!(ledger.account(&account(1)), Account { balance: 0, nonce: 1 });
    assert_eq!(ledger.account(&account(2)), Account { balance: 100, nonce: 0 });
}

#[test]
fn only_the_next_nonce_executes() {
    let mut ledger = ledger();
    let transactions =
        [transfer(1, 2, 1, 0), transfer(1, 2, 2, 0), transfer(1, 2, 1, 2), transfer(1, 2, 1, 1)];
    let execution = execute(&mut ledger, &transactions);
    assert_eq!(outcome(&execution, 0), None);
    assert_eq!(outcome(&execution, 1), Some(RejectionCode::NonceTooLow));
    assert_eq!(outcome(&execution, 2), Some(RejectionCode::NonceTooHigh));
    assert_eq!(outcome(&execution, 3), None);
}

#[test]
fn a_transfer_to_oneself_moves_nothing_but_the_nonce() {
    let mut ledger = ledger();
    execute(&mut ledger, &[transfer(1, 1, 100, 0)]);
    assert_eq!(ledger.account(&account(1)), Account { balance: 100, nonce: 1 });
}

#[test]
fn a_zero_amount_uses_the_nonce_and_makes_no_account() {
    let mut ledger = ledger();
    let execution = execute(&mut ledger, &[transfer(1, 2, 0, 0)]);
    assert_eq!(execution.changes.keys().copied().collect::<Vec<_>>(), [account(1)]);
    assert_eq!(ledger.account_count(), 1);
}

#[test]
fn a_recipient_at_the_limit_takes_nothing_more() {
    let mut ledger =
        Ledger::genesis(CHAIN, [(account(1), 5), (account(2), u64::MAX - 1), (account(3), 5)]).unwrap();
    let transactions = [transfer(1, 2, 1, 0), transfer(3, 2, 1, 0)];
    let execution = execute(&mut ledger, &transactions);
    assert_eq!(outcome(&execution, 0), None);
    assert_eq!(outcome(&execution, 1), Some(RejectionCode::Overflow));
    assert_eq!(ledger.account(&account(3)), Account { balance: 5, nonce: 0 });
}

#[test]
fn a_nonce_at_the_limit_sends_nothing_more() {
    let stored = [(account(1), Account { balance: 5, nonce: u64::MAX })];
    let mut ledger = Ledger::restore(CHAIN, Position::GENESIS, stored);
    let execution = execute(&mut ledger, &[transfer(1, 2, 1, u64::MAX)]);
    assert_eq!(outcome(&execution, 0), Some(RejectionCode::Overflow));
}

#[test]
fn rejections_change_nothing_but_the_position() {
    let mut ledger = ledger();
    let execution = execute(&mut ledger, &[b"garbage".to_vec(), transfer(2, 1, 0, 0)]);
    assert!(execution.changes.is_empty());
    assert_eq!(ledger.position().index, 1);
    assert_eq!(execution.state_root, ledger.state_root());
    assert_eq!(outcome(&execution, 1), Some(RejectionCode::UnknownSender));
}

#[test]
fn a_commit_that_does_not_follow_changes_nothing() {
    let mut ledger = ledger();
    execute(&mut ledger, &[transfer(1, 2, 1, 0)]);
    let root = ledger.state_root();
    let mut commit = Commit {
        index: 3,
        epoch: 0,
        previous_digest: Digest([1; 32]),
        digest: Digest([3; 32]),
        timestamp_ms: 0,
        transactions: Vec::new(),
    };
    assert_eq!(ledger.execute(&commit), Err(ExecuteError::NotNext { expected: 2, index: 3 }));
    commit.index = 1;
    assert_eq!(ledger.execute(&commit), Err(ExecuteError::NotNext { expected: 2, index: 1 }));
    commit.index = 2;
    commit.previous_digest = Digest([9; 32]);
    let (ours, theirs) = (Digest([1; 32]), Digest([9; 32]));
    assert_eq!(ledger.execute(&commit), Err(ExecuteError::OtherPredecessor { index: 1, ours, theirs }));
    assert_eq!(ledger.state_root(), root);
    commit.previous_digest = Digest([1; 32]);
    assert!(ledger.execute(&commit).is_ok());
}

#[test]
fn a_restored_ledger_has_the_same_root() {
    let mut ledger = ledger();
    execute(&mut ledger, &[transfer(1, 2, 10, 0), transfer(1, 3, 10, 1)]);
    let stored: Vec<_> = ledger.accounts().map(|(key, account)| (*key, *account)).collect();
    let restored = Ledger::restore(CHAIN, ledger.position(), stored);
    assert_eq!(restored.state_root(), ledger.state_root());
}

#[test]
fn genesis_refuses_an_account_that_is_listed_twice() {
    let twice = Ledger::genesis(CHAIN, [(account(1), 1), (account(1), 1)]);
    assert_eq!(twice.unwrap_err(), GenesisError::DuplicateAccount { key: account(1) });
}
