//! The pool keeps account: what it took is queued, proposed or gone, each transaction once, to the byte.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use consensus_core::{Params, Round, SubmitOutcome, Timestamp, Transaction, TransactionDigest, pool::Pool};
use proptest::{collection::vec, prelude::*};

const MAX_TRANSACTIONS: usize = 12;
const MAX_BYTES: u64 = 400;

#[derive(Clone, Debug)]
enum Step {
    Submit(Vec<u8>),
    Propose { most: usize },
    Commit(u8),
    Collect { back: u64 },
    Pass { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        vec(0u8..30, 0..5).prop_map(Step::Submit),
        (0usize..6).prop_map(|most| Step::Propose { most }),
        (0u8..30).prop_map(Step::Commit),
        (0u64..4).prop_map(|back| Step::Collect { back }),
        (0u64..400).prop_map(|millis| Step::Pass { millis }),
    ];
    vec(step, 0..80)
}

/// Transactions are known by a number; the number decides the size.
fn tx(number: u8) -> Transaction {
    Transaction::new(Bytes::from(vec![number; 1 + usize::from(number) / 2]))
}

#[derive(Default)]
struct Account {
    held: BTreeMap<TransactionDigest, u64>,
    taken: u64,
    committed: u64,
    dropped: u64,
}

impl Account {
    fn drop_all(&mut self, digests: Vec<TransactionDigest>) {
        for digest in digests {
            assert!(self.held.remove(&digest).is_some(), "dropped twice, or never taken");
            self.dropped += 1;
        }
    }
}

proptest! {
    #[test]
    fn what_was_taken_is_in_the_pool_or_committed_or_dropped(steps in steps()) {
        let mut pool = Pool::new(&Params {
            max_pool_transactions: MAX_TRANSACTIONS,
            max_pool_bytes: MAX_BYTES,
            transaction_lifetime: Duration::from_millis(900),
            ..Params::default()
        });
        let (mut account, mut round, mut now) = (Account::default(), Round::GENESIS, Timestamp::from_millis(1));
        for step in steps {
            match step {
                Step::Submit(numbers) => {
                    let batch: Vec<_> = numbers.iter().copied().map(tx).collect();
                    if pool.submit(now, batch.clone()) == SubmitOutcome::Accepted {
                        account.taken += batch.len() as u64;
                        account.held.extend(batch.iter().map(|tx| (tx.digest(), tx.counted_bytes())));
                    }
                }
                Step::Propose { most } => {
                    round = round.next();
                    let proposed = pool.propose(round, most, 200);
                    prop_assert!(proposed.len() <= most);
                    prop_assert!(proposed.iter().map(Transaction::counted_bytes).sum::<u64>() <= 200);
                    prop_assert!(proposed.iter().all(|tx| account.held.contains_key(&tx.digest())));
                }
                Step::Commit(number) => {
                    let digest = tx(number).digest();
                    pool.committed(digest);
                    account.committed += u64::from(account.held.remove(&digest).is_some());
                }
                Step::Collect { back } => account.drop_all(pool.collect(now, round.minus(back))),
                Step::Pass { millis } => {
                    now = now.plus(Duration::from_millis(millis));
                    account.drop_all(pool.expire(now));
                }
            }
            prop_assert_eq!(pool.len(), account.held.len());
            prop_assert_eq!(pool.bytes(), account.held.values().sum::<u64>());
            prop_assert!(pool.len() <= MAX_TRANSACTIONS && pool.bytes() <= MAX_BYTES);
            let mut digests: Vec<_> = pool.digests().collect();
            digests.sort_unstable();
            prop_assert_eq!(digests, account.held.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(account.taken, account.held.len() as u64 + account.committed + account.dropped);
        }
    }
}
