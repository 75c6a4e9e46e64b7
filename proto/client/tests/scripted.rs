//! The kit against a scripted service over a real connection.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use metanode_client::{
    CallError, Commit, CommitPosition, CommitReader, ReadError, RetryPolicy, SubmitClient,
    TransactionOutcome, TransactionState, WaitFor,
};
use metanode_proto::{
    consensus::v1::{
        GetCommitRangeRequest, GetCommitRangeResponse, GetCommitRequest, GetCommitResponse,
        StreamCommitsRequest, StreamCommitsResponse, SubmitRequest, SubmitResponse, WatchTransactionRequest,
        WatchTransactionResponse,
        commit_service_server::{CommitService, CommitServiceServer},
        transaction_service_server::{TransactionService, TransactionServiceServer},
    },
    reason,
};
use metanode_shell::{
    grpc,
    status::{self, WithRetry},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tonic::{Code, Request, Response, Status};

type Answers<T> = Arc<Mutex<VecDeque<T>>>;

/// Answers calls by a script, and notes the `after_index` of each opened stream.
#[derive(Clone, Default)]
struct Script {
    submits: Answers<Result<SubmitResponse, Status>>,
    watches: Answers<Result<Vec<TransactionOutcome>, Status>>,
    streams: Answers<Vec<Result<Commit, Status>>>,
    opened_after: Arc<Mutex<Vec<u64>>>,
}

impl Script {
    async fn serve(&self) -> String {
        let listener = grpc::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let routes = grpc::server()
            .add_service(TransactionServiceServer::new(self.clone()))
            .add_service(CommitServiceServer::new(self.clone()));
        tokio::spawn(routes.serve_with_incoming(grpc::incoming(listener)));
        uri
    }
}

#[tonic::async_trait]
impl TransactionService for Script {
    type WatchTransactionStream = BoxStream<'static, Result<WatchTransactionResponse, Status>>;

    async fn submit(&self, _: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        self.submits.lock().unwrap().pop_front().expect("a scripted answer").map(Response::new)
    }

    async fn watch_transaction(
        &self,
        _: Request<WatchTransactionRequest>,
    ) -> Result<Response<Self::WatchTransactionStream>, Status> {
        let outcomes = self.watches.lock().unwrap().pop_front().expect("a scripted answer")?;
        let stages = outcomes.into_iter().map(|outcome| WatchTransactionResponse { outcome: Some(outcome) });
        Ok(Response::new(stream::iter(stages.map(Ok)).boxed()))
    }
}

#[tonic::async_trait]
impl CommitService for Script {
    type StreamCommitsStream = BoxStream<'static, Result<StreamCommitsResponse, Status>>;

    async fn stream_commits(
        &self,
        request: Request<StreamCommitsRequest>,
    ) -> Result<Response<Self::StreamCommitsStream>, Status> {
        self.opened_after.lock().unwrap().push(request.into_inner().after_index);
        let items = self.streams.lock().unwrap().pop_front().expect("a scripted stream");
        let messages =
            items.into_iter().map(|item| item.map(|commit| StreamCommitsResponse { commit: Some(commit) }));
        Ok(Response::new(stream::iter(messages).boxed()))
    }

    async fn get_commit(&self, _: Request<GetCommitRequest>) -> Result<Response<GetCommitResponse>, Status> {
        Err(status::not_served_yet("GetCommit"))
    }

    async fn get_commit_range(
        &self,
        _: Request<GetCommitRangeRequest>,
    ) -> Result<Response<GetCommitRangeResponse>, Status> {
        Err(status::not_served_yet("GetCommitRange"))
    }
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        min_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(4),
        deadline: Duration::from_secs(10),
    }
}

fn one_outcome() -> SubmitResponse {
    SubmitResponse { outcomes: vec![TransactionOutcome { commit_index: 7, ..Default::default() }] }
}

fn full() -> Status {
    status::reason(Code::ResourceExhausted, reason::POOL_FULL, "full", &[])
        .with_retry(Duration::from_millis(120))
}

fn pooled() -> Status {
    status::reason(Code::AlreadyExists, reason::TRANSACTION_POOLED, "pooled", &[("position", &0)])
}

fn commit(index: u64, previous: u64) -> Commit {
    let digest = |index: u64| Bytes::copy_from_slice(&[u8::try_from(index).unwrap(); 32]);
    Commit { index, digest: digest(index), previous_digest: digest(previous), ..Default::default() }
}

async fn submit(
    answers: Vec<Result<SubmitResponse, Status>>,
) -> Result<metanode_client::Submission, CallError> {
    let script = Script { submits: Arc::new(Mutex::new(answers.into())), ..Default::default() };
    let client = SubmitClient::new(&script.serve().await)?.with_policy(quick());
    let answer = client.submit(&[Bytes::from_static(b"tx")], WaitFor::Executed).await;
    assert!(script.submits.lock().unwrap().is_empty(), "all answers are used");
    answer
}

#[tokio::test]
async fn a_full_pool_is_tried_again_after_the_delay_it_asks_for() {
    let started = Instant::now();
    let submission = submit(vec![Err(full()), Ok(one_outcome())]).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert_eq!(submission.outcomes[0].commit_index, 7);
    assert!(!submission.resubmitted, "a refused batch was not taken");
}

#[tokio::test]
async fn after_a_try_of_unknown_fate_a_pooled_transaction_is_waited_for() {
    let away = status::reason(Code::Unavailable, reason::DRAINING, "drains", &[]);
    let submission = submit(vec![Err(away), Err(pooled()), Ok(one_outcome())]).await.unwrap();
    assert!(submission.resubmitted);
}

#[tokio::test]
async fn a_transaction_that_somebody_else_pooled_is_an_error_at_once() {
    let error = submit(vec![Err(pooled())]).await.unwrap_err();
    assert!(matches!(error, CallError::AlreadyPooled { position: Some(0) }));
}

#[tokio::test]
async fn an_authority_that_has_stopped_is_an_error_at_once() {
    for stopped in [reason::NOT_PROPOSING, reason::DELIVERY_STOPPED] {
        let refused = status::reason(Code::FailedPrecondition, stopped, "stopped", &[]);
        let error = submit(vec![Err(refused)]).await.unwrap_err();
        assert!(matches!(error, CallError::Refused { code: Code::FailedPrecondition, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_with_too_few_outcomes_breaks_the_contract() {
    let error = submit(vec![Ok(SubmitResponse::default())]).await.unwrap_err();
    assert!(matches!(error, CallError::BrokenContract { .. }));
}

#[tokio::test]
async fn nobody_there_is_disconnected_at_the_deadline() {
    let listener = grpc::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let policy = RetryPolicy { deadline: Duration::from_millis(60), ..quick() };
    let client = SubmitClient::new(&uri).unwrap().with_policy(policy);
    let error = client.submit(&[Bytes::from_static(b"tx")], WaitFor::Accepted).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected { .. }), "{error:?}");
}

async fn reader(streams: Vec<Vec<Result<Commit, Status>>>) -> (Script, CommitReader) {
    let script = Script { streams: Arc::new(Mutex::new(streams.into())), ..Default::default() };
    let reader = CommitReader::new(&script.serve().await, CommitPosition::GENESIS).unwrap();
    (script, reader.with_policy(quick()))
}

#[tokio::test]
async fn reading_goes_on_after_the_last_commit_when_the_stream_ends_or_breaks() {
    let away = status::reason(Code::Unavailable, reason::DRAINING, "drains", &[]);
    let streams = vec![
        vec![Ok(commit(1, 0)), Ok(commit(2, 1))],
        vec![Ok(commit(3, 2)), Err(away)],
        vec![Ok(commit(4, 3))],
    ];
    let (script, mut reader) = reader(streams).await;
    for index in 1..=4 {
        assert_eq!(reader.next().await.unwrap().index, index);
    }
    assert_eq!(*script.opened_after.lock().unwrap(), [0, 2, 3]);
    assert_eq!(reader.position(), CommitPosition { index: 4, digest: Some([4; 32]) });
}

#[tokio::test]
async fn a_left_out_index_is_a_gap() {
    let (_script, mut reader) = reader(vec![vec![Ok(commit(1, 0)), Ok(commit(3, 2))]]).await;
    reader.next().await.unwrap();
    assert!(matches!(reader.next().await, Err(ReadError::Gap { expected: 2, found: 3 })));
    assert_eq!(reader.position().index, 1);
}

#[tokio::test]
async fn another_predecessor_is_a_fork() {
    let (_script, mut reader) = reader(vec![vec![Ok(commit(1, 0)), Ok(commit(2, 9))]]).await;
    reader.next().await.unwrap();
    assert!(matches!(reader.next().await, Err(ReadError::Fork { index: 2, ours, .. }) if ours == [1; 32]));
}

#[tokio::test]
async fn a_pruned_commit_ends_reading_with_the_earliest_one() {
    let pruned = status::reason(Code::OutOfRange, reason::COMMIT_PRUNED, "pruned", &[("earliest_index", &5)]);
    let (_script, mut reader) = reader(vec![vec![Err(pruned)]]).await;
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, ReadError::Call(CallError::Pruned { earliest_index: Some(5) })));
}

fn stage(state: TransactionState, executed_untold: bool) -> TransactionOutcome {
    TransactionOutcome { state: state.into(), executed_untold, ..TransactionOutcome::default() }
}

#[tokio::test]
async fn a_watch_tells_each_stage_and_finishes_with_a_final_one() {
    let script = Script::default();
    let client = SubmitClient::new(&script.serve().await).unwrap();
    let stages = [
        stage(TransactionState::Accepted, false),
        stage(TransactionState::Committed, false),
        stage(TransactionState::Committed, true),
    ];
    script.watches.lock().unwrap().extend([
        Ok(stages.to_vec()),
        Ok(stages.to_vec()),
        Ok(stages[..2].to_vec()),
        Err(status::reason(Code::NotFound, reason::TRANSACTION_UNKNOWN, "x", &[])),
    ]);
    let mut watch = client.watch([7; 32]).await.unwrap();
    for expected in &stages {
        assert_eq!(watch.next().await.unwrap().as_ref(), Some(expected));
    }
    assert_eq!(watch.next().await.unwrap(), None);
    assert_eq!(client.watch([7; 32]).await.unwrap().finish().await.unwrap(), stages[2]);
    let cut = client.watch([7; 32]).await.unwrap().finish().await.unwrap_err();
    assert!(matches!(cut, CallError::BrokenContract { .. }), "{cut:?}");
    let unknown = client.watch([7; 32]).await.unwrap_err();
    assert!(matches!(unknown, CallError::UnknownTransaction), "{unknown:?}");
}
