//! A slow or hanging executor, seen by the driver alone: no sockets, so that time can be paused.

use std::time::Duration;

use executor_proxy::{
    backend::{BackendError, Commit},
    driver::{self, DriverError, Inbound, Outbound, Request, Settings, Standing},
};
use metanode_proto::{
    executor::v1::{ExecuteCommitsResponse, execute_commits_response::Message},
    reason,
};
use metanode_telemetry::{Telemetry, metrics::ExecutorMetrics};
use sequencer_core::{Authority, ChainId, Digest, Opening, Params, Position};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::{
    harness::{AUTHORITY, CHAIN, assert_error, digest, write_files},
    scripted::{Answer, Scripted, executed},
};

const LIMIT: Duration = Duration::from_secs(30);

struct Driver {
    requests: mpsc::Sender<Request>,
    standing: watch::Receiver<Standing>,
    commits: mpsc::Receiver<(u64, Answer)>,
    running: JoinHandle<Result<(), DriverError>>,
}

impl Driver {
    /// Starts with requests that wait for it already.
    fn start(waiting: Vec<Request>) -> Self {
        Self::start_with(waiting, Params::default())
    }

    fn start_with(waiting: Vec<Request>, params: Params) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = write_files(folder.path());
        let (requests, queue) = mpsc::channel(32);
        for request in waiting {
            requests.try_send(request).unwrap();
        }
        let (told, standing) = watch::channel(Standing::LOADING);
        let (taken, commits) = mpsc::channel(16);
        let settings = Settings {
            network: config.network,
            authority: config.authority,
            params,
            requests: queue,
            standing: told,
            metrics: ExecutorMetrics::new(&Telemetry::for_test().unwrap().meter()),
            execute_timeout: LIMIT,
            shutdown: CancellationToken::new(),
        };
        let running = tokio::spawn(driver::run(settings, Scripted(taken)));
        Self { requests, standing, commits, running }
    }

    /// Sends a request, and waits until the driver has taken it.
    async fn take(&self, request: Request) {
        self.requests.send(request).await.unwrap();
        drop(self.requests.reserve_many(self.requests.max_capacity()).await.unwrap());
    }
}

/// A client's side of a stream.
struct Client {
    commits: mpsc::Sender<Inbound>,
    answers: mpsc::Receiver<Result<ExecuteCommitsResponse, Status>>,
}

impl Client {
    fn open() -> (Request, Self) {
        Self::open_as(0)
    }

    fn open_as(incarnation: u64) -> (Request, Self) {
        let (commits, inbound) = mpsc::channel(16);
        let (outbound, answers): (Outbound, _) = mpsc::channel(16);
        let opening = Opening {
            chain_id: ChainId(CHAIN),
            authority: Authority(AUTHORITY),
            incarnation,
            after: Position::GENESIS,
        };
        (Request::Open { opening, inbound, outbound }, Self { commits, answers })
    }

    async fn answer(&mut self) -> Result<Message, Status> {
        Ok(self.answers.recv().await.expect("the stream goes on")?.message.unwrap())
    }

    async fn incarnation(&mut self) -> u64 {
        match self.answer().await.unwrap() {
            Message::Opened(opened) => opened.incarnation,
            other @ Message::Acknowledgement(_) => panic!("{other:?}"),
        }
    }

    async fn acknowledged(&mut self) -> u64 {
        match self.answer().await.unwrap() {
            Message::Acknowledgement(acknowledgement) => acknowledgement.index,
            other @ Message::Opened(_) => panic!("{other:?}"),
        }
    }

    async fn commit(&self, index: u64) {
        let digest_at = |index| Digest::from_slice(&digest(index)).unwrap();
        let commit = Commit {
            index,
            epoch: 0,
            previous_digest: digest_at(index - 1),
            digest: digest_at(index),
            timestamp_ms: index,
            message: Box::new(crate::harness::commit(index)),
            size_bytes: 128,
        };
        self.commits.send(Inbound::Commit(commit)).await.unwrap();
    }

    /// Waits until the driver has taken all commits that were sent.
    async fn all_taken(&self) {
        drop(self.commits.reserve_many(self.commits.max_capacity()).await.unwrap());
    }
}

/// Consensus waits for an answer for a while, goes, and tries again; on a slow disk many such openings wait for the driver.
/// Each used to be issued a number, durably, and to fence the one before it.
#[tokio::test]
async fn openings_whose_clients_have_gone_are_issued_nothing() {
    let mut waiting: Vec<_> = (0..10).map(|_| Client::open().0).collect();
    let (open, mut client) = Client::open();
    waiting.push(open);
    waiting.push(Client::open().0);
    let driver = Driver::start(waiting);
    assert_eq!(client.incarnation().await, 1);
    // Nor did the one that came after it, and had gone too, end its stream.
    let (open, mut next) = Client::open();
    driver.requests.send(open).await.unwrap();
    assert_eq!(next.incarnation().await, 2);
    let fenced = client.answer().await.unwrap_err();
    assert_error(&fenced, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
}

/// A stream of incarnation 2 that has a full window of one commit in flight, and the next one waiting for room.
async fn with_a_full_window() -> (Driver, Client, Answer) {
    let (earlier, mut replaced) = Client::open();
    let (open, mut client) = Client::open();
    let params = Params { window_commits: 1, ..Params::default() };
    let mut driver = Driver::start_with(vec![earlier, open], params);
    assert_eq!((replaced.incarnation().await, client.incarnation().await), (1, 2));
    client.commit(1).await;
    client.commit(2).await;
    client.all_taken().await;
    let (first, answer) = driver.commits.recv().await.unwrap();
    assert_eq!(first, 1);
    (driver, client, answer)
}

/// The process that was replaced asks once more. What is in flight is finished before it is refused, so nothing else would wake
/// the commit that waits for room.
#[tokio::test(start_paused = true)]
async fn d12_an_opening_that_is_refused_leaves_the_open_stream_going() {
    let (mut driver, mut client, first) = with_a_full_window().await;
    let (open, mut stale) = Client::open_as(1);
    driver.take(open).await;
    first.send(Ok(executed(1))).unwrap();
    let refused = stale.answer().await.unwrap_err();
    assert_error(&refused, Code::Aborted, reason::FENCED, &[("incarnation", "2")]);
    assert_eq!(client.acknowledged().await, 1);
    let next = time::timeout(LIMIT, driver.commits.recv()).await.expect("the open stream stands still");
    let (second, answer) = next.unwrap();
    answer.send(Ok(executed(second))).unwrap();
    assert_eq!(client.acknowledged().await, 2);
}

/// Its client goes while what is in flight is finished for it.
#[tokio::test(start_paused = true)]
async fn d12_an_opening_whose_client_goes_while_it_waits_for_the_executor_is_issued_nothing() {
    let (mut driver, mut client, first) = with_a_full_window().await;
    let (open, impatient) = Client::open();
    driver.take(open).await;
    drop(impatient);
    first.send(Ok(executed(1))).unwrap();
    assert_eq!(client.acknowledged().await, 1);
    let next = time::timeout(LIMIT, driver.commits.recv()).await.expect("the open stream stands still");
    let (second, answer) = next.expect("the open stream goes on");
    answer.send(Ok(executed(second))).unwrap();
    assert_eq!(client.acknowledged().await, 2);
    let (open, mut later) = Client::open();
    driver.take(open).await;
    assert_eq!(later.incarnation().await, 3);
}

#[tokio::test(start_paused = true)]
async fn x08_an_executor_that_hangs_ends_the_service_and_acknowledges_nothing() {
    let (open, mut client) = Client::open();
    let mut driver = Driver::start(vec![open]);
    client.incarnation().await;
    client.commit(1).await;
    client.commit(2).await;
    let (_, _first) = driver.commits.recv().await.unwrap();
    let (_, second) = driver.commits.recv().await.unwrap();
    // The second is durable; the first never will be, so neither is acknowledged.
    second.send(Ok(executed(2))).unwrap();
    let started = Instant::now();
    let last_word = client.answer().await.unwrap_err();
    assert_error(&last_word, Code::Internal, reason::STORAGE_FAILED, &[]);
    assert_eq!(started.elapsed(), LIMIT);
    let standing = *driver.standing.borrow_and_update();
    assert_eq!((standing.ready, standing.executed), (false, Position::GENESIS));
    let error = driver.running.await.unwrap().unwrap_err();
    assert!(matches!(error, DriverError::Executor(BackendError::Late { limit: LIMIT })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn x08_an_executor_that_is_slow_and_goes_on_is_waited_for() {
    let (open, mut client) = Client::open();
    let mut driver = Driver::start(vec![open]);
    client.incarnation().await;
    let mut answers = Vec::new();
    for index in 1..=4 {
        client.commit(index).await;
        answers.push(driver.commits.recv().await.unwrap());
    }
    // The last one takes four times as long as almost too long.
    for (index, answer) in answers {
        time::advance(LIMIT - Duration::from_millis(1)).await;
        answer.send(Ok(executed(index))).unwrap();
        assert_eq!(client.acknowledged().await, index);
    }
    assert!(!driver.running.is_finished());
}
