//! The load against a scripted authority with a real ledger behind it, over a real connection.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use futures::{StreamExt, stream, stream::BoxStream};
use loadgen::{Accounts, Fate, Load, LoadError, LoadOptions, LoadReport, Settled};
use metanode_proto::{
    consensus::v1::{
        self as wire, SubmitRequest, SubmitResponse, TransactionOutcome, TransactionState,
        WatchTransactionRequest, WatchTransactionResponse,
        commit_service_server::{CommitService, CommitServiceServer},
        transaction_service_server::{TransactionService, TransactionServiceServer},
    },
    genesis::{GenesisAccount, GenesisFile, GenesisParameters},
    reason,
};
use metanode_shell::{grpc, status};
use reference_ledger::{ChainId, Commit, Digest, Ledger, Outcome, RejectionCode, Transaction};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;
use tonic::{Code, Request, Response, Status};

const CHAIN: ChainId = ChainId([3; 32]);

/// What the authority does with a batch beside executing it.
#[derive(Clone, Copy)]
enum Mood {
    /// Answers.
    Good,
    /// Executes, and breaks the connection before the answer of every third batch.
    Forgetful,
    /// Executes, and tells only that it is in the order: COMMITTED and DUPLICATE in turn.
    Terse,
    /// Never answers.
    Silent,
}

#[derive(Clone)]
struct Authority {
    mood: Mood,
    state: Arc<Mutex<State>>,
}

struct State {
    ledger: Ledger,
    batches: u64,
    sizes: BTreeSet<usize>,
    commits: Vec<wire::Commit>,
    /// Codes that its ledger rejected with.
    rejections: BTreeSet<u32>,
}

impl Authority {
    async fn serve(mood: Mood, accounts: &Accounts, balance: u64) -> (String, Arc<Mutex<State>>) {
        let balances = accounts.keys().map(|key| (key, balance));
        let ledger = Ledger::genesis(CHAIN, balances).unwrap();
        let (sizes, commits, rejections) = Default::default();
        let state = Arc::new(Mutex::new(State { ledger, batches: 0, sizes, commits, rejections }));
        let service = Self { mood, state: Arc::clone(&state) };
        let listener = grpc::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let routes = grpc::server()
            .add_service(TransactionServiceServer::new(service.clone()))
            .add_service(CommitServiceServer::new(service));
        tokio::spawn(routes.serve_with_incoming(grpc::incoming(listener)));
        (uri, state)
    }
}

#[tonic::async_trait]
impl TransactionService for Authority {
    type WatchTransactionStream = BoxStream<'static, Result<WatchTransactionResponse, Status>>;

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        if matches!(self.mood, Mood::Silent) {
            return std::future::pending().await;
        }
        let batch = request.into_inner().transactions;
        let mut state = self.state.lock().unwrap();
        state.batches += 1;
        state.sizes.extend(batch.iter().map(|bytes| bytes.len()));
        let position = state.ledger.position();
        let execution = state
            .ledger
            .execute(&Commit {
                index: position.index + 1,
                epoch: 0,
                previous_digest: position.digest,
                digest: Digest([7; 32]),
                timestamp_ms: 0,
                transactions: batch.iter().map(|bytes| Transaction { bytes, duplicate: false }).collect(),
            })
            .unwrap();
        let index = position.index + 1;
        state.rejections.extend(execution.results.iter().filter_map(|result| match &result.outcome {
            Outcome::Rejected(rejection) => Some(rejection.code.number()),
            _ => None,
        }));
        state.commits.push(wire::Commit {
            index,
            previous_digest: position.digest.0.to_vec().into(),
            digest: vec![7; 32].into(),
            blocks: vec![wire::CommittedBlock { block: None, transactions: batch }],
            ..Default::default()
        });
        if matches!(self.mood, Mood::Terse) {
            let in_turn = if index.is_multiple_of(2) {
                TransactionState::Committed
            } else {
                TransactionState::Duplicate
            };
            let one = TransactionOutcome { state: in_turn.into(), commit_index: index, ..Default::default() };
            return Ok(Response::new(SubmitResponse { outcomes: vec![one; execution.results.len()] }));
        }
        if matches!(self.mood, Mood::Forgetful) && state.batches.is_multiple_of(3) {
            return Err(status::reason(Code::Unavailable, reason::DRAINING, "drains", &[]));
        }
        let outcomes = execution.results.iter().map(|result| match &result.outcome {
            Outcome::Rejected(rejection) => TransactionOutcome {
                state: TransactionState::Rejected.into(),
                rejection_code: rejection.code.number(),
                ..Default::default()
            },
            _ => TransactionOutcome { state: TransactionState::Executed.into(), ..Default::default() },
        });
        Ok(Response::new(SubmitResponse { outcomes: outcomes.collect() }))
    }

    async fn watch_transaction(
        &self,
        _: Request<WatchTransactionRequest>,
    ) -> Result<Response<Self::WatchTransactionStream>, Status> {
        Err(status::not_served_yet("WatchTransaction"))
    }
}

#[tonic::async_trait]
impl CommitService for Authority {
    type StreamCommitsStream = BoxStream<'static, Result<wire::StreamCommitsResponse, Status>>;

    /// What there is; then the stream ends, and the reader asks again.
    async fn stream_commits(
        &self,
        request: Request<wire::StreamCommitsRequest>,
    ) -> Result<Response<Self::StreamCommitsStream>, Status> {
        let after = request.into_inner().after_index;
        let mut commits = self.state.lock().unwrap().commits.clone();
        commits.retain(|commit| commit.index > after);
        let messages =
            commits.into_iter().map(|commit| Ok(wire::StreamCommitsResponse { commit: Some(commit) }));
        Ok(Response::new(stream::iter(messages).boxed()))
    }

    async fn get_commit(
        &self,
        _: Request<wire::GetCommitRequest>,
    ) -> Result<Response<wire::GetCommitResponse>, Status> {
        Err(status::not_served_yet("GetCommit"))
    }

    async fn get_commit_range(
        &self,
        _: Request<wire::GetCommitRangeRequest>,
    ) -> Result<Response<wire::GetCommitRangeResponse>, Status> {
        Err(status::not_served_yet("GetCommitRange"))
    }
}

fn genesis(accounts: &Accounts, balance: u64) -> Arc<GenesisFile> {
    let accounts =
        accounts.keys().map(|key| GenesisAccount { public_key: key.to_string(), balance }).collect();
    Arc::new(GenesisFile {
        chain_id: "03".repeat(32),
        name: "scripted".to_owned(),
        timestamp_ms: 0,
        parameters: GenesisParameters::default(),
        authorities: Vec::new(),
        accounts,
    })
}

async fn run(mood: Mood, rate_per_s: u32) -> (LoadReport, Vec<Settled>) {
    let (report, settled, _) = run_with(mood, rate_per_s, 1_000).await;
    (report, settled)
}

async fn run_with(mood: Mood, rate_per_s: u32, balance: u64) -> (LoadReport, Vec<Settled>, BTreeSet<u32>) {
    let accounts = Accounts::new(1, 40);
    let (first, state) = Authority::serve(mood, &accounts, balance).await;
    let endpoints = vec![first, Authority::serve(mood, &accounts, balance).await.0];
    let (sink, mut settled) = mpsc::channel(16);
    let options = LoadOptions {
        rate_per_s,
        tx_size_bytes: 300,
        duration: Some(Duration::from_millis(300)),
        drain_deadline: Duration::from_millis(if matches!(mood, Mood::Silent) { 50 } else { 10_000 }),
        genesis: Some(genesis(&accounts, balance)),
        settled: Some(sink),
        ..LoadOptions::new(CHAIN, endpoints)
    };
    let load = Load::start(options, accounts).unwrap();
    let collect = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(some) = settled.recv().await {
            all.extend(some);
        }
        all
    });
    let (report, settled) = (load.finish().await, collect.await.unwrap());
    let rejections = state.lock().unwrap().rejections.clone();
    (report, settled, rejections)
}

/// What was submitted of the 120 that were due. Where the machine is slow, all accounts may be waiting when one falls due,
/// and that one stays unsent.
fn submitted(report: &LoadReport) -> u64 {
    assert_eq!(report.submitted + report.unsent, 120, "{report:?}");
    assert!(report.submitted >= 40, "each account sends at least one: {report:?}");
    report.submitted
}

#[tokio::test]
async fn all_that_is_due_is_executed_once() {
    let (report, settled) = run(Mood::Good, 400).await;
    let submitted = submitted(&report);
    assert_eq!(report.executed, submitted, "{report:?}");
    assert_eq!((report.rejected, report.lost, report.resubmitted), (0, 0, 0));
    assert_eq!(report.latency.count(), submitted);
    let digests: BTreeSet<_> = settled.iter().map(|one| one.digest).collect();
    assert_eq!(digests.len() as u64, submitted);
    assert!(settled.iter().all(|one| one.fate == Fate::Executed));
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_the_nonce() {
    let (report, _) = run(Mood::Forgetful, 400).await;
    assert_eq!(report.executed, submitted(&report), "{report:?}");
    assert!(report.resubmitted > 0, "{report:?}");
    assert_eq!((report.rejected, report.lost), (0, 0));
}

#[tokio::test]
async fn what_is_only_told_to_be_in_the_order_is_decided_by_the_chain_and_accounts_go_on() {
    let (report, settled, rejections) = run_with(Mood::Terse, 400, 1_000).await;
    assert_eq!(report.executed, submitted(&report), "{report:?}");
    assert_eq!((report.rejected, report.lost, report.resubmitted), (0, 0, 0));
    assert!(settled.iter().all(|one| one.fate == Fate::Executed));
    assert!(rejections.is_empty(), "every account used each nonce once");
}

/// A duplicate whose first place was rejected was once counted as executed, and its account went on with a nonce too high.
#[tokio::test]
async fn a_duplicate_of_what_was_rejected_is_rejected_and_leaves_the_nonce() {
    let (report, settled, rejections) = run_with(Mood::Terse, 400, 0).await;
    let submitted = submitted(&report);
    assert_eq!((report.executed, report.rejected), (0, submitted), "{report:?}");
    assert!(settled.iter().all(|one| one.fate == Fate::Rejected));
    assert_eq!(rejections, BTreeSet::from([RejectionCode::UnknownSender.number()]));
    let digests: BTreeSet<_> = settled.iter().map(|one| one.digest).collect();
    assert_eq!(digests.len() as u64, submitted, "the same bytes again would be a duplicate");
}

#[tokio::test]
async fn what_is_never_answered_is_lost_and_what_found_no_account_is_unsent() {
    let (report, settled) = run(Mood::Silent, 400).await;
    assert_eq!((report.submitted, report.lost, report.unsent), (40, 40, 80), "{report:?}");
    assert!(settled.iter().all(|one| one.fate == Fate::Unresolved));
    assert_eq!(report.latency.p99(), None);
}

#[tokio::test]
async fn a_load_that_cannot_be_made_is_refused_with_the_limit() {
    let endpoints = vec!["http://127.0.0.1:9".to_owned(); 2];
    let options = LoadOptions::new(CHAIN, endpoints);
    let start =
        |options: LoadOptions, accounts| Load::start(options, Accounts::new(0, accounts)).unwrap_err();
    let too_few = start(options.clone(), 1);
    assert!(matches!(too_few, LoadError::TooFewAccounts { accounts: 1, lanes: 2 }));
    let small = start(LoadOptions { tx_size_bytes: 180, ..options.clone() }, 2);
    assert!(matches!(small, LoadError::TransactionSize { size_bytes: 180 }));
    assert!(matches!(start(LoadOptions { endpoints: vec![], ..options }, 2), LoadError::NoEndpoint));
}
