//! The proxy and the executor of one authority: a real sequencer and a real ledger, a disk that keeps what was synced, and a
//! process that dies.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use consensus_core::{CommittedSubDag, is_marked};
use reference_ledger::{Ledger, SigningKey, account_key};
use sequencer_core::{
    Authority, ChainId, Decision, Digest, Header, Incarnation, LeaseRecord, Opened, Opening, Params,
    Position, Recovered, Refusal, Sequencer, StreamId,
};

/// What the sequencer allows at a time: little, so that it is reached.
const PARAMS: Params = Params { window_commits: 4, window_bytes: 1 << 20, resend_window: 8 };

/// What was executed at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Executed {
    pub(crate) position: Position,
    pub(crate) root: reference_ledger::Digest,
}

/// What a crash leaves.
#[derive(Debug)]
struct Disk {
    ledger: Ledger,
    /// From index 1.
    executed: Vec<Executed>,
    lease: Option<LeaseRecord>,
}

/// What a crash takes.
#[derive(Debug)]
struct Process {
    sequencer: Sequencer,
    ledger: Ledger,
    /// The stream of each connection that opened one.
    streams: BTreeMap<u64, StreamId>,
    /// An opening that is answered once nothing is in flight: its connection.
    opening: Option<(u64, Opened)>,
    in_flight: VecDeque<Arc<CommittedSubDag>>,
    /// Taken and not let through: there was no room.
    held: VecDeque<(u64, Arc<CommittedSubDag>)>,
    unsynced: Vec<Executed>,
}

/// What goes back to the consensus service.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Opened { incarnation: u64 },
    Acknowledged { executed: Executed, duplicate: bool },
}

#[derive(Debug)]
pub(crate) struct Executor {
    chain_id: ChainId,
    disk: Disk,
    process: Option<Process>,
    /// Answers that are ready, by connection.
    pub(crate) answers: Vec<(u64, Answer)>,
    /// Commits that came again and were dropped.
    pub(crate) duplicates: u64,
    /// Messages of a stream that had ended.
    pub(crate) fenced: u64,
}

/// Those who pay in these tests.
pub(crate) fn payer(number: u8) -> SigningKey {
    SigningKey::from([number.wrapping_add(1); 32])
}

/// The ledger of everybody before the first commit.
pub(crate) fn genesis_ledger(chain_id: consensus_core::ChainId) -> Ledger {
    let accounts = (0..4).map(|number| (account_key(&payer(number)), 1_000_000));
    Ledger::genesis(reference_ledger::ChainId(*chain_id.as_bytes()), accounts).expect("accounts of genesis")
}

/// Executes a commit on a ledger.
pub(crate) fn execute(ledger: &mut Ledger, sub_dag: &CommittedSubDag) -> Executed {
    let commit = &sub_dag.commit;
    let transactions = sub_dag.transactions().enumerate().map(|(position, transaction)| {
        let duplicate = is_marked(&commit.duplicate_marks, position);
        reference_ledger::Transaction { bytes: transaction.bytes(), duplicate }
    });
    let execution = ledger.execute(&reference_ledger::Commit {
        index: commit.index.get(),
        epoch: commit.epoch.get(),
        previous_digest: reference_ledger::Digest(*commit.previous_digest.as_bytes()),
        digest: reference_ledger::Digest(*sub_dag.digest.as_bytes()),
        timestamp_ms: commit.timestamp.as_millis(),
        transactions: transactions.collect(),
    });
    let root = execution.expect("in order, each once").state_root;
    Executed { position: position(sub_dag), root }
}

fn position(sub_dag: &CommittedSubDag) -> Position {
    Position { index: sub_dag.commit.index.get(), digest: Digest(*sub_dag.digest.as_bytes()) }
}

impl Executor {
    pub(crate) fn new(chain_id: consensus_core::ChainId) -> Self {
        let disk = Disk { ledger: genesis_ledger(chain_id), executed: Vec::new(), lease: None };
        let mut executor = Self {
            chain_id: ChainId(*chain_id.as_bytes()),
            disk,
            process: None,
            answers: Vec::new(),
            duplicates: 0,
            fenced: 0,
        };
        executor.start();
        executor
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts from the disk.
    pub(crate) fn start(&mut self) {
        let recovered = Recovered {
            chain_id: self.chain_id,
            authority: self.disk.lease.map(|lease| lease.authority),
            incarnation: self.disk.lease.map_or(Incarnation(0), |lease| lease.incarnation),
            epoch: 0,
            executed: self.executed().last().map_or(Position::GENESIS, |last| last.position),
        };
        self.process = Some(Process {
            sequencer: Sequencer::recover(&PARAMS, recovered).expect("bounds in range"),
            ledger: self.disk.ledger.clone(),
            streams: BTreeMap::new(),
            opening: None,
            in_flight: VecDeque::new(),
            held: VecDeque::new(),
            unsynced: Vec::new(),
        });
    }

    /// What is not synced is lost. True if there was such.
    pub(crate) fn crash(&mut self) -> bool {
        self.answers.clear();
        let process = self.process.take();
        process.is_some_and(|process| !process.unsynced.is_empty() || !process.in_flight.is_empty())
    }

    /// Executed and durable, from index 1.
    pub(crate) fn executed(&self) -> &[Executed] {
        &self.disk.executed
    }

    /// A stream is opened on a connection.
    pub(crate) fn open(&mut self, connection: u64, authority: [u8; 32], incarnation: u64, after: Position) {
        let stored = self.stored(after.index);
        let Some(process) = self.process.as_mut() else { return };
        let opening =
            Opening { chain_id: self.chain_id, authority: Authority(authority), incarnation, after };
        let opened = process.sequencer.open(&opening, stored).expect("the opening of the only authority");
        self.disk.lease = opened.persist.or(self.disk.lease);
        process.streams.insert(connection, opened.stream);
        process.opening = Some((connection, opened));
        // What the earlier stream had sent and was not let through is not looked at any more.
        process.held.clear();
        self.answer_opening();
    }

    fn answer_opening(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        if process.sequencer.in_flight() > 0 {
            return;
        }
        if let Some((connection, opened)) = process.opening.take() {
            self.answers.push((connection, Answer::Opened { incarnation: opened.incarnation.0 }));
        }
    }

    /// A commit comes on a connection.
    pub(crate) fn take(&mut self, connection: u64, sub_dag: Arc<CommittedSubDag>) {
        let Some(process) = self.process.as_mut() else { return };
        if process.held.is_empty() {
            self.judge(connection, sub_dag);
        } else {
            process.held.push_back((connection, sub_dag));
        }
    }

    fn judge(&mut self, connection: u64, sub_dag: Arc<CommittedSubDag>) {
        let index = sub_dag.commit.index.get();
        let stored = self.stored(index);
        let Some(process) = self.process.as_mut() else { return };
        let header = Header {
            index,
            epoch: sub_dag.commit.epoch.get(),
            previous_digest: Digest(*sub_dag.commit.previous_digest.as_bytes()),
            digest: Digest(*sub_dag.digest.as_bytes()),
            size_bytes: sub_dag.counted_bytes(),
        };
        // A connection of an earlier process has no stream in this one.
        let stream = process.streams.get(&connection).copied().unwrap_or(StreamId(0));
        match process.sequencer.commit(stream, &header, stored) {
            Ok(Decision::Execute) => process.in_flight.push_back(sub_dag),
            Ok(Decision::Duplicate) => {
                self.duplicates += 1;
                let place = usize::try_from(index - 1).expect("small");
                let executed = self.disk.executed[place];
                self.answers.push((connection, Answer::Acknowledged { executed, duplicate: true }));
            }
            Ok(Decision::Pending) => self.duplicates += 1,
            Ok(Decision::Wait) => process.held.push_front((connection, sub_dag)),
            Err(Refusal::Fenced { .. }) => self.fenced += 1,
            Err(refusal) => panic!("an honest stream is refused: {refusal}"),
        }
    }

    /// Executes the oldest in flight, in memory. False if there is none.
    pub(crate) fn execute_one(&mut self) -> bool {
        let Some(process) = self.process.as_mut() else { return false };
        let Some(sub_dag) = process.in_flight.pop_front() else { return false };
        let executed = execute(&mut process.ledger, &sub_dag);
        process.unsynced.push(executed);
        true
    }

    pub(crate) fn has_unsynced(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.unsynced.is_empty())
    }

    pub(crate) fn has_in_flight(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.in_flight.is_empty())
    }

    /// Makes durable what was executed, and acknowledges it on the newest stream.
    pub(crate) fn sync(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        self.disk.ledger = process.ledger.clone();
        for executed in std::mem::take(&mut process.unsynced) {
            assert_eq!(
                executed.position.index,
                self.disk.executed.len() as u64 + 1,
                "a commit twice, or a hole"
            );
            self.disk.executed.push(executed);
            process.sequencer.executed_one(executed.position).expect("the oldest in flight");
            let newest = process.sequencer.stream();
            let connection = process.streams.iter().find(|(_, stream)| Some(**stream) == newest);
            // Whoever has opened anew is told by the answer to the opening.
            let is_open = process.opening.is_none();
            if let Some((connection, _)) = connection.filter(|_| is_open) {
                self.answers.push((*connection, Answer::Acknowledged { executed, duplicate: false }));
            }
        }
        self.answer_opening();
        for _ in 0..self.process.as_ref().map_or(0, |process| process.held.len()) {
            let next = self.process.as_mut().and_then(|process| process.held.pop_front());
            let Some((connection, sub_dag)) = next else { break };
            self.judge(connection, sub_dag);
            if self.process.as_ref().is_some_and(|process| process.sequencer.in_flight() >= 4) {
                break;
            }
        }
    }

    fn stored(&self, index: u64) -> Option<Digest> {
        let process = self.process.as_ref()?;
        let place = usize::try_from(index).ok()?.checked_sub(1)?;
        let executed = self.disk.executed.get(place)?;
        process.sequencer.needs_stored(index).then_some(executed.position.digest)
    }
}
