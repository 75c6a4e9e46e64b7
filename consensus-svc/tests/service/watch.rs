//! Transactions followed by their digest, by the real program and over its restarts.

use consensus_core::CommitDigest;
use metanode_proto::{
    consensus::v1::{
        TransactionDropReason, TransactionOutcome, TransactionState, WaitFor, WatchTransactionRequest,
        WatchTransactionResponse, transaction_service_client::TransactionServiceClient,
    },
    reason,
};
use metanode_shell::status;
use tonic::{Code, Status, Streaming};

use crate::{
    executor::{Executor, Stream, digest, position, root},
    lone_node::{LoneNetwork, Process},
    soon,
};

type Stages = Streaming<WatchTransactionResponse>;

async fn watch(process: &Process, text: &str) -> Result<Stages, Status> {
    let request =
        WatchTransactionRequest { digest: blake3::hash(text.as_bytes()).as_bytes().to_vec().into() };
    let mut client = TransactionServiceClient::new(process.channel());
    soon("the answer to WatchTransaction", client.watch_transaction(request)).await.map(|it| it.into_inner())
}

async fn stage(stages: &mut Stages) -> TransactionOutcome {
    soon("a stage", stages.message()).await.unwrap().unwrap().outcome.unwrap()
}

async fn last_stage(mut stages: Stages) -> TransactionOutcome {
    let last = stage(&mut stages).await;
    assert_eq!(soon("the end of the watch", stages.message()).await.unwrap(), None);
    last
}

fn place(outcome: &TransactionOutcome) -> (TransactionState, u64, u32) {
    (outcome.state(), outcome.commit_index, outcome.position)
}

async fn first_handshake(executor: &mut Executor, network: &LoneNetwork) -> Stream {
    executor.answer_committee(network.genesis.committee()).await;
    executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_commit_and_execution_and_what_is_not_known_is_named() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = first_handshake(&mut executor, &network).await;
    let unknown = watch(&process, "one").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(status::reason_of(&unknown).as_deref(), Some(reason::TRANSACTION_UNKNOWN));
    process.submit(&["zero", "one"], WaitFor::Committed).await.unwrap();
    let mut stages = watch(&process, "one").await.unwrap();
    let committed = stage(&mut stages).await;
    assert_eq!(place(&committed), (TransactionState::Committed, 1, 1));
    assert!(!committed.executed_untold);
    let commit = stream.commit().await;
    stream.acknowledge(&commit).await;
    let executed = last_stage(stages).await;
    assert_eq!(place(&executed), (TransactionState::Executed, 1, 1));
    assert_eq!(executed, last_stage(watch(&process, "one").await.unwrap()).await);

    let request = WatchTransactionRequest { digest: vec![0; 31].into() };
    let mut client = TransactionServiceClient::new(process.channel());
    assert_eq!(client.watch_transaction(request).await.unwrap_err().code(), Code::InvalidArgument);
}

/// The contract: `WatchTransaction` answers also after a restart, within the duplicate window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_knows_the_places_of_the_window_and_claims_no_results_that_it_did_not_hear() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = first_handshake(&mut executor, &network).await;
    for text in ["heard", "lost", "open"] {
        process.submit(&[text], WaitFor::Committed).await.unwrap();
    }
    let commits = stream.commits(1..=3).await;
    stream.acknowledge(&commits[0]).await;
    soon("the acknowledgement", async {
        while process.status().await.executed_index < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.terminate().await;

    let process = network.start(&executor.uri()).await;
    let first = last_stage(watch(&process, "heard").await.unwrap()).await;
    assert_eq!((place(&first), first.executed_untold), ((TransactionState::Committed, 1, 0), true));
    let mut lost = watch(&process, "lost").await.unwrap();
    let mut open = watch(&process, "open").await.unwrap();
    for (stages, index) in [(&mut lost, 2), (&mut open, 3)] {
        let committed = stage(stages).await;
        let expected = ((TransactionState::Committed, index, 0), false);
        assert_eq!((place(&committed), committed.executed_untold), expected);
    }
    // The executor has executed the second as well, and its acknowledgement died with the first process.
    executor.answer_committee(network.genesis.committee()).await;
    executor.answer_position(position(&network.chain_id(), 2, digest(&commits[1]))).await;
    let mut stream = executor.stream().await;
    stream.opened(2, 2).await;
    let lost = last_stage(lost).await;
    assert_eq!((place(&lost), lost.executed_untold), ((TransactionState::Committed, 2, 0), true));
    let commit = stream.commit().await;
    stream.acknowledge(&commit).await;
    let open = last_stage(open).await;
    assert_eq!((place(&open), open.state_root), ((TransactionState::Executed, 3, 0), root(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_own_uncommitted_block_holds_is_accepted_after_a_restart_and_committed() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    // The first own block waits for the transaction; two more rounds commit it, which is time for a restart.
    let slow = [("PROPOSER__MIN_ROUND_INTERVAL_MS", "5000"), ("PROPOSER__IDLE_DELAY_MS", "1000000")];
    let process = network.start_with(&executor.uri(), &slow).await;
    process.submit(&["held"], WaitFor::Accepted).await.unwrap();
    assert_eq!(process.status().await.proposed_round, 1);
    process.terminate().await;

    let process = network.start_with(&executor.uri(), &slow).await;
    let mut stages = watch(&process, "held").await.unwrap();
    assert_eq!(stage(&mut stages).await.state(), TransactionState::Accepted);
    assert_eq!(place(&stage(&mut stages).await), (TransactionState::Committed, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t01_a_transaction_that_waits_too_long_is_dropped_and_everybody_is_told() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let slow = [("PROPOSER__MIN_ROUND_INTERVAL_MS", "10000"), ("PROPOSER__TRANSACTION_LIFETIME_MS", "500")];
    let process = network.start_with(&executor.uri(), &slow).await;
    // The first block takes it at once; the next one is far away.
    process.submit(&["first"], WaitFor::Accepted).await.unwrap();
    let outcomes = process.submit(&["late"], WaitFor::Executed).await.unwrap();
    let expected = (TransactionState::Dropped, TransactionDropReason::Expired);
    assert_eq!((outcomes[0].state(), outcomes[0].drop_reason()), expected);
    let dropped = last_stage(watch(&process, "late").await.unwrap()).await;
    assert_eq!(dropped, outcomes[0]);
    assert_eq!(process.status().await.pooled_transactions, 1);
    process.submit(&["late"], WaitFor::Accepted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_delivery_ends_watches() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = first_handshake(&mut executor, &network).await;
    process.submit(&["one"], WaitFor::Committed).await.unwrap();
    let mut stages = watch(&process, "one").await.unwrap();
    assert_eq!(stage(&mut stages).await.state(), TransactionState::Committed);
    stream.commit().await;
    stream.fail(Status::failed_precondition("not this one")).await;
    let ended = soon("the end of the watch", stages.message()).await.unwrap_err();
    assert_eq!(status::reason_of(&ended).as_deref(), Some(reason::DELIVERY_STOPPED));
}
