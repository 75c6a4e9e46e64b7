//! Intake by the real program.

use bytes::Bytes;
use metanode_proto::{
    consensus::v1::{
        SubmitRequest, TransactionState, WaitFor, transaction_service_client::TransactionServiceClient,
    },
    executor::v1::{Acknowledgement, RejectedTransaction},
    reason,
};
use metanode_shell::status;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    executor::{Executor, digest, position, root},
    lone_node::{LoneNetwork, Process},
    soon,
};
use consensus_core::CommitDigest;

async fn submit_bytes(process: &Process, transactions: Vec<Bytes>) -> Result<(), tonic::Status> {
    let request = SubmitRequest { transactions, wait_for: WaitFor::Accepted.into() };
    let mut client = TransactionServiceClient::new(process.channel());
    soon("the answer to Submit", client.submit(request)).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executed_and_rejected_transactions_are_answered_with_their_place_root_and_reason() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    executor.answer_committee(network.genesis.committee()).await;
    let mut stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    let submitted = process.submit(&["good", "bad"], WaitFor::Executed);
    let executed = async {
        let commit = stream.commit().await;
        let rejected =
            RejectedTransaction { index: commit.index, position: 1, code: 42, reason: "no funds".to_owned() };
        let acknowledgement = Acknowledgement {
            index: commit.index,
            digest: commit.digest.clone(),
            state_root: root(commit.index),
            rejected: vec![rejected],
            ..Acknowledgement::default()
        };
        stream.acknowledge_with(acknowledgement).await;
    };
    let (outcomes, ()) = tokio::join!(submitted, executed);
    let outcomes = outcomes.unwrap();
    assert_eq!(outcomes[0].digest[..], blake3::hash(b"good").as_bytes()[..]);
    assert_eq!(outcomes[0].state(), TransactionState::Executed);
    assert_eq!((outcomes[0].commit_index, outcomes[0].position), (1, 0));
    assert_eq!(outcomes[0].state_root, root(1));
    assert_eq!(outcomes[1].state(), TransactionState::Rejected);
    assert_eq!((outcomes[1].position, outcomes[1].rejection_code), (1, 42));
    assert_eq!(outcomes[1].rejection_reason, "no funds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t03_oversized_input_is_refused_with_limit_and_size() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let sized = |size: usize| Bytes::from(vec![7; size]);
    submit_bytes(&process, vec![sized(1), sized(2), sized(3), sized(1_000)]).await.unwrap();
    let refused = submit_bytes(&process, vec![sized(4), sized(5), sized(6), sized(1_001)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violation = refused.get_details_bad_request().unwrap().field_violations.remove(0);
    assert_eq!(violation.field, "transactions[3]");
    assert_eq!(violation.description, "1001 bytes, 1 to 1000 are allowed");
    // Refused whole: the good ones of that batch are not in the pool.
    submit_bytes(&process, vec![sized(4), sized(5), sized(6)]).await.unwrap();
    let many: Vec<_> = (0..1_001u32).map(|n| Bytes::from(n.to_le_bytes().to_vec())).collect();
    submit_bytes(&process, many[1..].to_vec()).await.unwrap();
    assert_eq!(submit_bytes(&process, many).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_full_pool_refuses_with_a_time_to_come_back() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    // Rounds are far apart, so the pool stays as it is.
    let slow = [
        ("PROPOSER__MAX_POOL_TRANSACTIONS", "3"),
        ("SUBMIT__MAX_BATCH_TRANSACTIONS", "3"),
        ("PROPOSER__MIN_ROUND_INTERVAL_MS", "10000"),
    ];
    let process = network.start_with(&executor.uri(), &slow).await;
    let taken = process.submit(&["a", "b", "c"], WaitFor::Accepted).await.unwrap();
    assert!(taken.iter().all(|outcome| outcome.state() == TransactionState::Accepted));
    let refused = process.submit(&["d"], WaitFor::Accepted).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::POOL_FULL));
    assert!(status::retry_delay(&refused).is_some());
    let pooled = process.submit(&["b"], WaitFor::Accepted).await.unwrap_err();
    assert_eq!(pooled.code(), Code::AlreadyExists);
    assert_eq!(status::reason_of(&pooled).as_deref(), Some(reason::TRANSACTION_POOLED));
    assert_eq!(status::metadata_of(&pooled, "position").as_deref(), Some("0"));
    let digest = blake3::hash(b"b").to_hex().to_string();
    assert_eq!(status::metadata_of(&pooled, "digest"), Some(digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t05_a_client_that_goes_away_frees_its_wait_and_not_its_transaction() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let alone = [("SUBMIT__MAX_WAITING", "1"), ("SUBMIT__MAX_BATCH_TRANSACTIONS", "1")];
    let process = network.start_with(&executor.uri(), &alone).await;
    executor.answer_committee(network.genesis.committee()).await;
    let mut stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    let request = SubmitRequest { transactions: vec!["left".into()], wait_for: WaitFor::Executed.into() };
    let mut client = TransactionServiceClient::new(process.channel());
    let commit = {
        let waiting = client.submit(request);
        tokio::pin!(waiting);
        tokio::select! {
            _ = &mut waiting => panic!("nothing was acknowledged yet"),
            commit = stream.commit() => commit,
        }
    };
    assert_eq!(&commit.blocks.last().unwrap().transactions[0][..], b"left");
    // Only one can wait: there is room again as soon as the server has seen the client go.
    soon("room for another wait", async {
        while let Err(refused) = process.submit(&["next"], WaitFor::Committed).await {
            assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::POOL_FULL));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x09_intake_ends_when_execution_lags_and_comes_back_with_it() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start_with(&executor.uri(), &[("SUBMIT__MAX_EXECUTED_LAG", "1")]).await;
    executor.answer_committee(network.genesis.committee()).await;
    let mut stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    process.submit(&["one"], WaitFor::Committed).await.unwrap();
    process.submit(&["two"], WaitFor::Committed).await.unwrap();
    let refused = process.submit(&["three"], WaitFor::Committed).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::EXECUTOR_LAGS));
    assert!(status::retry_delay(&refused).is_some());
    let commits = stream.commits(1..=2).await;
    stream.acknowledge(&commits[0]).await;
    soon("intake after the acknowledgement", async {
        while process.submit(&["three"], WaitFor::Committed).await.is_err() {}
    })
    .await;
}

/// A master behind the framed protocol does not tell what is durable: what it reports counts until it says less. Its lag is measured
/// from what it says, and the log still holds what it has lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x09_x03_provisional_acknowledgements_count_for_the_lag_until_the_executor_has_less() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start_with(&executor.uri(), &[("SUBMIT__MAX_EXECUTED_LAG", "1")]).await;
    executor.answer_committee(network.genesis.committee()).await;
    let mut stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    process.submit(&["one"], WaitFor::Committed).await.unwrap();
    process.submit(&["two"], WaitFor::Committed).await.unwrap();
    let lags = async |transaction| {
        let refused = process.submit(&[transaction], WaitFor::Committed).await.unwrap_err();
        assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::EXECUTOR_LAGS));
        assert!(status::retry_delay(&refused).is_some());
    };
    lags("three").await;
    let commits = stream.commits(1..=2).await;
    for commit in &commits {
        let provisional = Acknowledgement {
            index: commit.index,
            digest: commit.digest.clone(),
            results_unknown: true,
            ..Acknowledgement::default()
        };
        stream.acknowledge_with(provisional).await;
    }
    soon("intake after what was reported", async {
        while process.submit(&["three"], WaitFor::Committed).await.is_err() {}
    })
    .await;
    assert_eq!(process.status().await.executed_index, 2);

    // Its master restarts with less than it had reported, and the proxy says so.
    stream.fail(tonic::Status::unavailable("the master is asked again")).await;
    let less = position(&network.chain_id(), 1, digest(&commits[0]));
    let mut stream = executor.handshake(less).await;
    assert_eq!((stream.opening.after_index, process.status().await.executed_index), (1, 1));
    lags("four").await;
    let again = stream.commits(2..=3).await;
    assert_eq!(again[0], commits[1], "the same bytes");
    stream.acknowledge(&again[1]).await;
    soon("intake once it has them again", async {
        while process.submit(&["four"], WaitFor::Committed).await.is_err() {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x10_a_stopped_delivery_ends_the_waits_for_execution_and_no_others() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    executor.answer_committee(network.genesis.committee()).await;
    let mut stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    let waiting = process.submit(&["waiting"], WaitFor::Executed);
    let refusing = async {
        stream.commit().await;
        stream.fail(tonic::Status::failed_precondition("not this one")).await;
    };
    let (ended, ()) = tokio::join!(waiting, refusing);
    let later = process.submit(&["later"], WaitFor::Executed).await;
    for error in [ended.unwrap_err(), later.unwrap_err()] {
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert_eq!(status::reason_of(&error).as_deref(), Some(reason::DELIVERY_STOPPED));
    }
    let committed = process.submit(&["committed"], WaitFor::Committed).await.unwrap();
    assert_eq!(committed[0].state(), TransactionState::Committed);
}
