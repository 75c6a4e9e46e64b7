//! What a real program says of itself when it does not go on, and of authorities that lie.

use std::process::Output;

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockVerifier, Equivocation, EquivocationProof, Round, Timestamp, Transaction,
    VerifiedBlock, WriteBatch,
};
use consensus_svc::{
    commit_log::{CommitLog, LogOptions},
    config::Config,
};
use metanode_proto::consensus::v1::{
    ExecutorStep, ExplainRequest, ListEquivocationsRequest, ProposalReason, StallReason, WaitFor,
    node_service_client::NodeServiceClient,
};
use serde_json::Value;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    executor::Executor,
    lone_node::{LoneNetwork, Process},
    soon,
};

/// A command of the program over the node's API.
async fn command(process: &Process, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_consensus-svc"));
    command.args(arguments).args(["--endpoint", &process.api]);
    soon("the end of the command", command.output()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l06_one_of_four_that_is_alone_turns_its_health_and_says_whom_it_waits_for() {
    let network = LoneNetwork::of(4);
    let executor = Executor::start().await;
    let mut process = network.start_with(&executor.uri(), &[("HEALTH__STALLED_AFTER_MS", "1000")]).await;
    let mut client = HealthClient::new(process.channel());
    let mut changes = client.watch(HealthCheckRequest { service: String::new() }).await.unwrap().into_inner();
    let mut becomes = async |expected| {
        soon("the health", async { while changes.message().await.unwrap().unwrap().status() != expected {} })
            .await;
    };
    becomes(ServingStatus::Serving).await;
    assert_eq!(process.status().await.stall, None);

    process.submit(&["a"], WaitFor::Accepted).await.unwrap();
    becomes(ServingStatus::NotServing).await;
    let event = process.event("no commit comes, though there is something to do").await;
    assert_eq!(event["pooled_transactions"], 1);
    let stall = process.status().await.stall.expect("it says so");
    assert_eq!(stall.reason(), StallReason::NoCommit);
    assert!(
        stall.since_ms >= 1_000 && stall.pooled_transactions == 1 && stall.rounds_behind == 0,
        "{stall:?}"
    );

    let mut client = NodeServiceClient::new(process.channel());
    let explained = soon("an explanation", client.explain(ExplainRequest {})).await.unwrap().into_inner();
    let proposal = explained.proposal.expect("the machine answers");
    assert_eq!(proposal.reason(), ProposalReason::StartQuestion);
    let own = explained.peers.iter().map(|peer| peer.authority).collect::<Vec<_>>();
    assert_eq!((own.len(), proposal.support.unwrap().silent), (3, own));
    assert!(explained.peers.iter().all(|peer| !peer.connected && peer.heard_ms_ago.is_none()));
    assert!(explained.stall.is_some() && !explained.machine_silent);
    assert_ne!(explained.executor.unwrap().step(), ExecutorStep::Unspecified);

    let output = command(&process, &["explain"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("stalled ") && text.contains("waits for answers to which own block"), "{text}");
    let output = command(&process, &["explain", "--json"]).await;
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["proposal"]["reason"], "start_question");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l08_each_decided_slot_is_an_event_and_in_the_explanation() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let settings = [("LOG__FILTER", "info,consensus_svc::driver=debug")];
    let mut process = network.start_with(&executor.uri(), &settings).await;
    process.submit(&["a"], WaitFor::Committed).await.unwrap();
    let event = process.event("leader slot decided").await;
    assert_eq!(
        (&event["round"], &event["committed"], &event["reason"]),
        (&1.into(), &true.into(), &"certified".into())
    );
    let mut client = NodeServiceClient::new(process.channel());
    let explained = soon("an explanation", client.explain(ExplainRequest {})).await.unwrap().into_inner();
    assert!(!explained.decisions.is_empty() && explained.stall.is_none());
    assert!(process.status().await.last_commit_ms_ago.is_some());
}

/// A block of round 1 that carries `text`, by the one authority.
fn twin(config: &Config, text: &'static str) -> VerifiedBlock {
    let own = AuthorityIndex::new(0);
    let block = Block {
        chain_id: config.genesis.chain_id(),
        epoch: config.genesis.committee().epoch(),
        round: Round::FIRST,
        author: own,
        timestamp: Timestamp::from_millis(1),
        ancestors: vec![VerifiedBlock::genesis(&config.genesis, own).reference()],
        transactions: vec![Transaction::new(Bytes::from_static(text.as_bytes()))],
        commit_votes: vec![],
        executed_roots: vec![],
        epoch_vote: None,
    };
    block.sign(&config.identity.signer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_proofs_of_equivocation_are_exported_after_a_restart() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    process.submit(&["a"], WaitFor::Committed).await.unwrap();
    let output = command(&process, &["evidence", "--json"]).await;
    assert!(output.status.success() && output.stdout.is_empty(), "there is none yet");
    process.terminate().await;

    let config = Config::load(network.config()).unwrap();
    let found = Equivocation::new(twin(&config, "one"), twin(&config, "other")).unwrap();
    let log =
        CommitLog::open(&config.store_path(), config.genesis.chain_id(), &LogOptions::default()).unwrap();
    let progress = log.progress().unwrap().unwrap();
    let batch = WriteBatch { evidence: vec![found.clone()], progress, ..WriteBatch::default() };
    log.submit(batch).await.unwrap().await.unwrap();
    log.close().await.unwrap();

    let process = network.start(&executor.uri()).await;
    let mut client = NodeServiceClient::new(process.channel());
    let call = client.list_equivocations(ListEquivocationsRequest::default());
    let page = soon("the proofs", call).await.unwrap().into_inner();
    assert_eq!((page.equivocations.len(), page.next_page_token.as_str()), (1, ""));
    let told = &page.equivocations[0];
    assert_eq!((told.epoch, told.authority, told.round), (0, 0, 1));
    let proof = EquivocationProof { first: told.first_block.clone(), second: told.second_block.clone() };
    let verifier = BlockVerifier::new(network.genesis.clone());
    assert_eq!(proof.verify(&verifier).unwrap(), found, "whoever has the genesis file can judge it");

    let output = command(&process, &["evidence", "--json"]).await;
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["first_block"], hex::encode(&proof.first));
    let output = command(&process, &["evidence"]).await;
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("epoch 0 authority 0 round 1: two signed"));
}
