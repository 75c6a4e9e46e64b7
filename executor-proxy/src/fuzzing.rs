//! What a fuzzer runs over messages from outside, behind the `testkit` feature: the ordinary tests run the same over random
//! bytes. Nothing here may panic, whatever the bytes are; what must hold is asserted.

use bytes::Bytes;
use metanode_proto::{
    consensus::v1 as consensus,
    executor::v1::{ExecuteCommitsRequest, Lease, StreamOpening, execute_commits_request::Message as Sent},
};
use prost::Message;
use reference_ledger::{Ledger, SigningKey, TransferBody, UnverifiedTransfer, account_key};
use sequencer_core::{
    Authority, ChainId, Decision, Digest, Header, Incarnation, Params, Position, Recovered, Sequencer,
    StreamId,
};

use crate::{
    backend::{Commit, uds},
    network::CommitLimits,
    wire,
};

pub use uds::fuzzing::legacy_answers;

/// A target by name, and what its corpus starts from.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All targets of this crate.
pub const TARGETS: [Target; 3] = [
    ("execute_commits", execute_commits, streams),
    ("transfers", transfers, signed_transfers),
    ("legacy_answers", legacy_answers, uds::fuzzing::answers),
];

const CHAIN: ChainId = ChainId([1; 32]);
const AUTHORITY: Authority = Authority([2; 32]);
const LIMITS: CommitLimits =
    CommitLimits { max_transactions: 20, max_bytes: 4_000, max_transaction_bytes: 600 };

/// Takes pieces (length in two bytes, bytes) for what a consensus service sends on its streams: openings and commits. What
/// the sequencer lets through, the reference ledger executes.
///
/// # Panics
/// If what is executed is not one chain, each index once, or a limit is passed: a bug.
pub fn execute_commits(bytes: &[u8]) {
    let mut executor = Executor::new();
    let mut bytes = bytes;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (message, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        bytes = rest;
        match ExecuteCommitsRequest::decode(Bytes::copy_from_slice(message)).map(|request| request.message) {
            Ok(Some(Sent::Opening(opening))) => executor.open(&opening),
            Ok(Some(Sent::Commit(commit))) => executor.take(commit),
            _ => {}
        }
    }
}

struct Executor {
    sequencer: Sequencer,
    ledger: Ledger,
    /// Executed, from index 1.
    executed: Vec<Digest>,
    stream: StreamId,
    /// The authority that opened first is the only one from then on.
    owner: Option<Authority>,
}

impl Executor {
    fn new() -> Self {
        let recovered = Recovered {
            chain_id: CHAIN,
            authority: None,
            incarnation: Incarnation(0),
            epoch: 0,
            executed: Position::GENESIS,
        };
        let params = Params { window_commits: 2, window_bytes: 5_000, resend_window: 3 };
        Self {
            sequencer: Sequencer::recover(&params, recovered).expect("the bounds are in range"),
            ledger: Ledger::genesis(reference_ledger::ChainId(CHAIN.0), [(account_key(&key(1)), 1_000)])
                .expect("one account"),
            executed: Vec::new(),
            stream: StreamId(0),
            owner: None,
        }
    }

    fn open(&mut self, message: &StreamOpening) {
        let Ok(opening) = wire::opening(message) else { return };
        let before = (self.sequencer.incarnation(), self.sequencer.stream());
        match self.sequencer.open(&opening, self.stored(opening.after.index)) {
            Ok(opened) => {
                assert!(opened.incarnation >= before.0 && opened.ended == before.1);
                let owner = *self.owner.get_or_insert(opening.authority);
                assert_eq!((opening.chain_id, opening.authority), (CHAIN, owner));
                self.stream = opened.stream;
            }
            Err(_) => assert_eq!((self.sequencer.incarnation(), self.sequencer.stream()), before),
        }
    }

    fn take(&mut self, message: consensus::Commit) {
        let Ok(commit) = wire::commit(message, &LIMITS) else { return };
        assert!(
            commit.size_bytes <= LIMITS.max_bytes && commit.transactions().count() <= LIMITS.max_transactions
        );
        let header = Header {
            index: commit.index,
            epoch: commit.epoch,
            previous_digest: commit.previous_digest,
            digest: commit.digest,
            size_bytes: commit.size_bytes,
        };
        match self.sequencer.commit(self.stream, &header, self.stored(header.index)) {
            Ok(Decision::Execute) => self.execute(&commit),
            Ok(Decision::Duplicate) => assert_eq!(self.stored(header.index), Some(header.digest)),
            Ok(Decision::Pending | Decision::Wait) => panic!("nothing is in flight"),
            Err(_) => {}
        }
    }

    fn execute(&mut self, commit: &Commit) {
        let transactions = commit.transactions().map(|transaction| reference_ledger::Transaction {
            bytes: transaction.bytes,
            duplicate: transaction.duplicate,
        });
        let executed = self.ledger.execute(&reference_ledger::Commit {
            index: commit.index,
            epoch: commit.epoch,
            previous_digest: reference_ledger::Digest(commit.previous_digest.0),
            digest: reference_ledger::Digest(commit.digest.0),
            timestamp_ms: commit.timestamp_ms,
            transactions: transactions.collect(),
        });
        let executed = executed.expect("the sequencer lets one chain through");
        assert_eq!(executed.results.len(), commit.transactions().count());
        let total: u64 = self.ledger.accounts().map(|(_, account)| account.balance).sum();
        assert_eq!(total, 1_000, "units are made or lost");
        self.sequencer
            .executed_one(Position { index: commit.index, digest: commit.digest })
            .expect("the oldest in flight");
        self.executed.push(commit.digest);
        assert_eq!(self.executed.len() as u64, commit.index);
    }

    /// The store's digest at an index, where it is asked for or stands.
    fn stored(&self, index: u64) -> Option<Digest> {
        let place = usize::try_from(index).ok()?.checked_sub(1)?;
        self.executed.get(place).copied()
    }
}

/// Takes bytes for a signed transfer.
///
/// # Panics
/// If one transfer has two encodings: a bug.
pub fn transfers(bytes: &[u8]) {
    let Ok(transfer) = UnverifiedTransfer::decode(bytes) else { return };
    let claimed = *transfer.claimed();
    if transfer.verify().is_ok() && claimed.sender == account_key(&key(1)) {
        assert_eq!(claimed.body.sign(&key(1)).as_deref(), Ok(bytes), "a transfer has two encodings");
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from([number; 32])
}

fn transfer(nonce: u64, amount: u64, memo: &[u8]) -> Vec<u8> {
    let chain_id = reference_ledger::ChainId(CHAIN.0);
    let body = TransferBody { chain_id, recipient: account_key(&key(2)), amount, nonce, memo };
    body.sign(&key(1)).expect("a short memo")
}

fn signed_transfers() -> Vec<Vec<u8>> {
    vec![transfer(0, 5, b""), transfer(1, u64::MAX, b"a memo")]
}

/// A stream from the start, a break with a resend, a fork.
fn streams() -> Vec<Vec<u8>> {
    let digest = |number: u64| if number == 0 { [0; 32] } else { [u8::try_from(number).unwrap_or(255); 32] };
    let commit = |index: u64, digest_of: u64| {
        let reference = consensus::BlockRef { round: index, author: 1, digest: vec![7; 32].into() };
        piece(Sent::Commit(consensus::Commit {
            index,
            epoch: 0,
            previous_digest: digest(index - 1).to_vec().into(),
            digest: digest(digest_of).to_vec().into(),
            leaders: vec![reference.clone()],
            timestamp_ms: index,
            closing: true,
            blocks: vec![consensus::CommittedBlock {
                block: Some(reference),
                transactions: vec![transfer(index - 1, 3, b"").into(), transfer(index - 1, 3, b"").into()],
            }],
            duplicate_marks: vec![2].into(),
        }))
    };
    let opening = |incarnation: u64, after_index: u64| {
        piece(Sent::Opening(StreamOpening {
            chain_id: CHAIN.0.to_vec().into(),
            lease: Some(Lease { authority: AUTHORITY.0.to_vec().into(), incarnation }),
            after_index,
            after_digest: digest(after_index).to_vec().into(),
        }))
    };
    vec![
        [opening(0, 0), commit(1, 1), commit(2, 2), commit(3, 3), commit(4, 4), commit(5, 5)].concat(),
        [opening(0, 0), commit(1, 1), commit(2, 2), opening(1, 1), commit(2, 2), commit(3, 3)].concat(),
        [opening(0, 0), commit(1, 1), opening(0, 1), commit(2, 2), commit(2, 9), commit(4, 4)].concat(),
    ]
}

fn piece(message: Sent) -> Vec<u8> {
    let bytes = ExecuteCommitsRequest { message: Some(message) }.encode_to_vec();
    let length = u16::try_from(bytes.len()).expect("a small message");
    [&length.to_le_bytes()[..], &bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_executed_as_far_as_they_are_one_chain() {
        let executed = streams().into_iter().map(|stream| {
            let mut executor = Executor::new();
            let mut bytes = &stream[..];
            while let Some((length, rest)) = bytes.split_first_chunk() {
                let (message, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)));
                bytes = rest;
                match ExecuteCommitsRequest::decode(message).expect("a seed").message {
                    Some(Sent::Opening(opening)) => executor.open(&opening),
                    Some(Sent::Commit(commit)) => executor.take(commit),
                    None => {}
                }
            }
            executor.executed.len()
        });
        assert_eq!(executed.collect::<Vec<_>>(), [5, 3, 2]);
    }
}
