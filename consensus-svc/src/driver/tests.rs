//! The driver with a real machine, and a disk that takes as long as the test says.

use std::sync::{Arc, mpsc as sync};

use consensus_core::{
    AuthorityIndex, ChainPoint, CoreStatus, Fetch, Params, RecoveredLog, Round, Transaction, VerifiedBlock,
    testkit,
};
use metanode_shell::durable::WriteError;
use metanode_telemetry::{Telemetry, metrics::ConsensusMetrics};
use tokio::sync::watch;

use super::{
    effects::tests::{Begun, Script},
    *,
};
use crate::{
    commit_log::{CommitFeed, CommitLog, FeedOptions, LogOptions},
    commit_stream::MachineLine,
    peer::AcceptedRounds,
    submit::{CommittedWindow, Stage, Tracker, WaitsEnded},
};

/// Tells what was sent.
struct Recorder(mpsc::Sender<Round>);

impl Network for Recorder {
    fn broadcast(&self, block: VerifiedBlock) {
        self.0.try_send(block.round()).unwrap();
    }

    fn wake(&self, _round: Round) {}

    fn fetch(&self, _fetch: Fetch) -> bool {
        false
    }

    fn fetch_commits(&self, _peer: AuthorityIndex, _after: ChainPoint) -> bool {
        false
    }

    fn fault(&self, _peer: AuthorityIndex, _label: &'static str) {}
}

struct Fixture {
    task: tokio::task::JoinHandle<Result<(), DriverError>>,
    begun: sync::Receiver<Begun>,
    sent: mpsc::Receiver<Round>,
    submissions: mpsc::Sender<Submission>,
    questioner: Questioner,
    status: watch::Receiver<CoreStatus>,
    shutdown: CancellationToken,
    halt: CancellationToken,
    tracker: Arc<Tracker>,
    _peers: mpsc::Sender<PeerEvent>,
    _folder: tempfile::TempDir,
}

/// A committee of one that has just proposed its first block.
async fn start() -> Fixture {
    let (genesis, mut signers) = testkit::genesis(1);
    let genesis = Arc::new(genesis);
    let clock = Clock::at(genesis.timestamp());
    let params = Params { min_round_interval: std::time::Duration::ZERO, ..Params::default() };
    let (core, recovered) =
        Consensus::recover(genesis.clone(), params, signers.remove(0), RecoveredLog::default(), clock.now())
            .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = CommitLog::open(folder.path(), genesis.chain_id(), &LogOptions::default()).unwrap();
    let feed = Arc::new(CommitFeed::new(Arc::new(log), FeedOptions::default()).unwrap());
    let (sender, begun) = sync::sync_channel(1_000);
    let (network, sent) = mpsc::channel(1_000);
    let (status, statuses) = watch::channel(core.status());
    let (clock_round, _) = watch::channel(Round::GENESIS);
    let (start_answered, _) = watch::channel(false);
    let accepted = AcceptedRounds::new(genesis.committee());
    let seen = SeenBlocks::new(genesis.committee());
    let (tracker, halt) =
        (Tracker::new(1, CommittedWindow::new(genesis.parameters())), CancellationToken::new());
    let outlets = Outlets::new(
        Recorder(network),
        feed,
        Arc::clone(&tracker),
        status,
        ShownToPeers { clock_round, start_answered, accepted, seen },
    );
    let (peers, peer_events) = mpsc::channel(1);
    let (submissions, submitted) = mpsc::channel(1);
    let (questioner, questions) = Questioner::new();
    let (_, executor) = MachineLine::new(halt.clone(), genesis.parameters().root_interval);
    let inputs =
        Inputs { peers: peer_events, submissions: submitted, questions, executor, halt: halt.clone() };
    let metrics = Arc::new(ConsensusMetrics::new(&Telemetry::for_test().unwrap().meter()));
    let metrics = CoreMetrics::new(metrics);
    let driver = Driver::new(core, recovered, clock, Script(sender), inputs, outlets, metrics).await.unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(driver.run(shutdown.clone()));
    Fixture {
        task,
        begun,
        sent,
        submissions,
        questioner,
        status: statuses,
        shutdown,
        halt,
        tracker,
        _peers: peers,
        _folder: folder,
    }
}

impl Fixture {
    fn submit(&self, text: &'static str) -> oneshot::Receiver<SubmitOutcome> {
        let (answer, answered) = oneshot::channel();
        let transactions = vec![Transaction::new(text.into())];
        self.submissions.try_send(Submission { transactions, batch: None, answer }).unwrap();
        answered
    }
}

/// The next thing that was begun.
async fn next(begun: &sync::Receiver<Begun>) -> Begun {
    loop {
        match begun.try_recv() {
            Ok(begun) => return begun,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn inputs_are_handled_while_a_batch_is_on_its_way_and_nothing_is_sent_before_it() {
    let mut fixture = start().await;
    let Begun::Persist(batch) = next(&fixture.begun).await else {
        panic!("the own block is persisted first")
    };
    let answered = fixture.submit("a");
    // Taken in; a lone authority may have committed it already, in memory alone.
    let was_taken = |status: &CoreStatus| status.pooled_transactions == 1 || status.pool_committed_total == 1;
    fixture.status.wait_for(was_taken).await.unwrap();
    assert!(fixture.sent.try_recv().is_err());
    batch.send(Ok(())).unwrap();
    // Batches of later rounds may have been begun meanwhile; none is answered.
    let mut later = Vec::new();
    let guard = loop {
        match next(&fixture.begun).await {
            Begun::Raise(round, guard) => break (round, guard),
            persist => later.push(persist),
        }
    };
    assert_eq!(guard.0, Round::FIRST);
    assert!(fixture.sent.try_recv().is_err(), "the guard is not durable");
    guard.1.send(Ok(())).unwrap();
    assert_eq!(fixture.sent.recv().await, Some(Round::FIRST));
    drop(answered);
}

#[tokio::test]
async fn a_halt_ends_the_waits_that_have_begun() {
    let fixture = start().await;
    let digest = Transaction::new("a".into()).digest();
    let waits = fixture.tracker.register(vec![digest], Stage::Committed).unwrap();
    fixture.halt.cancel();
    assert_eq!(waits.answered().await, Some(Err(WaitsEnded::NotProposing)));
}

#[tokio::test]
async fn s05_a_driver_that_cannot_persist_ends_and_sends_nothing() {
    let mut fixture = start().await;
    let Begun::Persist(batch) = next(&fixture.begun).await else {
        panic!("the own block is persisted first")
    };
    batch.send(Err(WriteError::Closed)).unwrap();
    assert!(matches!(fixture.task.await.unwrap(), Err(DriverError::Persist(WriteError::Closed))));
    assert_eq!(fixture.sent.recv().await, None);
}

#[tokio::test]
async fn shutdown_lets_out_what_is_on_its_way() {
    let mut fixture = start().await;
    let Begun::Persist(batch) = next(&fixture.begun).await else {
        panic!("the own block is persisted first")
    };
    fixture.shutdown.cancel();
    batch.send(Ok(())).unwrap();
    let answering = async {
        loop {
            match next(&fixture.begun).await {
                Begun::Persist(batch) => batch.send(Ok(())).unwrap(),
                Begun::Raise(_, guard) => guard.send(Ok(())).unwrap(),
            }
        }
    };
    tokio::select! {
        ended = &mut fixture.task => ended.unwrap().unwrap(),
        () = answering => {}
    }
    assert_eq!(fixture.sent.recv().await, Some(Round::FIRST));
}

/// The disk takes nothing more, and that is when people ask.
#[tokio::test]
async fn l06_a_driver_that_takes_no_input_still_says_what_the_machine_waits_for() {
    let fixture = start().await;
    let (mut under_way, mut answers, mut number) = (Vec::new(), Vec::new(), 0u64);
    let mut submit = |answers: &mut Vec<_>| {
        let (answer, answered) = oneshot::channel();
        number += 1;
        let transactions = vec![Transaction::new(number.to_be_bytes().to_vec().into())];
        let is_sent = fixture.submissions.try_send(Submission { transactions, batch: None, answer }).is_ok();
        answers.push(answered);
        is_sent
    };
    while under_way.len() < effects::MAX_BATCHES_IN_FLIGHT {
        match fixture.begun.try_recv() {
            Ok(begun) => under_way.push(begun),
            Err(_) => {
                submit(&mut answers);
                tokio::task::yield_now().await;
            }
        }
    }
    // The channel holds one that nobody takes.
    submit(&mut answers);
    let answer = fixture.questioner.ask().await.expect("the driver answers");
    assert!(answer.explanation.undecided.len() + answer.explanation.decided.len() > 0);
    assert!(!submit(&mut answers), "and takes nothing in");
}

#[tokio::test(start_paused = true)]
async fn l06_a_driver_that_is_gone_or_hangs_leaves_no_question_open() {
    let (questioner, asked) = Questioner::new();
    assert_eq!(questioner.ask().await, None, "it does not answer");
    drop(asked);
    assert_eq!(questioner.ask().await, None, "it has ended");
}
