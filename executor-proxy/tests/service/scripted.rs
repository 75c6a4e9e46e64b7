//! An executor that answers when the test says so.

use std::future::pending;

use executor_proxy::backend::{
    Backend, BackendError, Commit, EpochAnswer, EpochStart, Executed, Executor, Loaded, PendingExecution,
};
use futures::FutureExt;
use metanode_proto::{executor::v1::AdvanceEpochRequest, reason};
use metanode_shell::tasks::TaskError;
use sequencer_core::{Incarnation, LeaseRecord, Position};
use tokio::sync::{mpsc, oneshot};
use tonic::Code;

use crate::harness::{Proxy, assert_error, commit, write_files};

pub(crate) type Answer = oneshot::Sender<Result<Executed, BackendError>>;

/// Loads at once, at genesis; hands each commit to the test.
pub(crate) struct Scripted(pub(crate) mpsc::Sender<(u64, Answer)>);

impl Backend for Scripted {
    type Executor = Self;

    async fn load(&mut self) -> Result<(Self, Loaded), BackendError> {
        let loaded = Loaded {
            executed: Position::GENESIS,
            state_root: None,
            authority: None,
            incarnation: Incarnation(0),
            epoch: 0,
        };
        Ok((Self(self.0.clone()), loaded))
    }
}

impl Executor for Scripted {
    async fn execute(&mut self, _: Incarnation, commit: Commit) -> Result<PendingExecution, BackendError> {
        let (answer, answered) = oneshot::channel();
        self.0.send((commit.index, answer)).await.map_err(|_| BackendError::Ended)?;
        Ok(Box::pin(async move {
            match answered.await {
                Ok(outcome) => outcome,
                Err(_) => pending().await,
            }
        }))
    }

    async fn record_lease(&mut self, _: LeaseRecord) -> Result<(), BackendError> {
        Ok(())
    }

    async fn begin_epoch(&mut self, _: EpochStart) -> Result<EpochAnswer, BackendError> {
        Ok(EpochAnswer::Begun)
    }

    async fn executed(&self, _: u64) -> Result<Option<Executed>, BackendError> {
        Ok(None)
    }

    async fn again(&mut self, commit: Commit) -> Result<Option<PendingExecution>, BackendError> {
        self.execute(Incarnation(0), commit).await.map(Some)
    }

    async fn close(self) -> Result<(), BackendError> {
        Ok(())
    }
}

pub(crate) fn executed(index: u64) -> Executed {
    let digest = sequencer_core::Digest::from_slice(&crate::harness::digest(index)).unwrap();
    Executed {
        position: Position { index, digest },
        state_root: None,
        rejected: Vec::new(),
        results_unknown: false,
        epoch_end: None,
    }
}

async fn start() -> (tempfile::TempDir, Proxy, mpsc::Receiver<(u64, Answer)>) {
    let folder = tempfile::tempdir().unwrap();
    let config = write_files(folder.path());
    let (taken, commits) = mpsc::channel(16);
    let proxy = Proxy::start_with(&config, Scripted(taken)).await;
    proxy.client().wait_until_ready().await;
    (folder, proxy, commits)
}

#[tokio::test]
async fn d05_a_commit_that_is_not_durable_is_neither_acknowledged_nor_told() {
    let (_folder, proxy, mut commits) = start().await;
    let client = proxy.client();
    let (mut stream, _) = client.open(0).await;
    stream.commit(commit(1)).await;
    stream.commit(commit(2)).await;
    let (one, first) = commits.recv().await.unwrap();
    let (two, second) = commits.recv().await.unwrap();
    assert_eq!((one, two), (1, 2), "the second is taken while the first is executed");
    // The second being durable does not help: acknowledgements are cumulative.
    second.send(Ok(executed(2))).unwrap();
    assert_eq!(client.position().await.block_number, 0);
    assert!(stream.answer().now_or_never().is_none());
    first.send(Ok(executed(1))).unwrap();
    assert_eq!(stream.acknowledgement().await.index, 1);
    assert_eq!(stream.acknowledgement().await.index, 2);
    assert_eq!(client.position().await.block_number, 2);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn d17_no_more_than_the_window_is_handed_to_the_executor() {
    let (_folder, proxy, mut commits) = start().await;
    let (mut stream, _) = proxy.client().open(0).await;
    for index in 1..=6 {
        stream.commit(commit(index)).await;
    }
    let mut answers = Vec::new();
    for index in 1..=4 {
        let (taken, answer) = commits.recv().await.unwrap();
        assert_eq!(taken, index);
        answers.push(answer);
    }
    // A question that the driver answers shows that it had its turn.
    let current = AdvanceEpochRequest {
        boundary_digest: vec![0; 32].into(),
        committee_digest: vec![0; 32].into(),
        ..AdvanceEpochRequest::default()
    };
    proxy.client().0.advance_epoch(current).await.unwrap();
    assert!(commits.try_recv().is_err());
    answers.remove(0).send(Ok(executed(1))).unwrap();
    assert_eq!(stream.acknowledgement().await.index, 1);
    assert_eq!(commits.recv().await.unwrap().0, 5);
    proxy.abort().await;
}

/// What comes again is not in the window: one at a time bounds it.
#[tokio::test]
async fn d17_an_executor_that_answers_what_comes_again_is_asked_one_at_a_time() {
    let (_folder, proxy, mut commits) = start().await;
    let client = proxy.client();
    let (mut stream, _) = client.open(0).await;
    for index in 1..=2 {
        stream.commit(commit(index)).await;
        commits.recv().await.unwrap().1.send(Ok(executed(index))).unwrap();
        assert_eq!(stream.acknowledgement().await.index, index);
    }
    stream.commit(commit(1)).await;
    stream.commit(commit(2)).await;
    let (one, answer) = commits.recv().await.unwrap();
    assert_eq!(one, 1);
    for _ in 0..20 {
        client.position().await;
    }
    assert!(commits.try_recv().is_err(), "the second is handed over while the first is under way");
    answer.send(Ok(executed(1))).unwrap();
    let (two, answer) = commits.recv().await.unwrap();
    answer.send(Ok(executed(2))).unwrap();
    assert_eq!(two, 2);
    for index in 1..=2 {
        let again = stream.acknowledgement().await;
        assert_eq!((again.index, again.duplicate), (index, true));
    }
    assert_eq!(client.position().await.block_number, 2);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn s05_the_first_error_of_the_executor_ends_the_service() {
    let (_folder, proxy, mut commits) = start().await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.commit(commit(1)).await;
    let (_, answer) = commits.recv().await.unwrap();
    answer.send(Err(BackendError::Ended)).unwrap();
    assert_error(&stream.error().await, Code::Internal, reason::STORAGE_FAILED, &[]);
    drop(stream);
    let error = proxy.ended().await.unwrap_err();
    assert!(matches!(error, TaskError::Failed { task: "driver", .. }), "{error:?}");
}
