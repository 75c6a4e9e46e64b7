//! What operators and readers see of the real program.

use metanode_proto::{
    consensus::v1::{
        ExecutorState, ExplainRequest, GetCommitRangeRequest, ListEquivocationsRequest, NodeRole,
        StreamCommitsRequest, WaitFor, commit_service_client::CommitServiceClient,
        node_service_client::NodeServiceClient,
    },
    reason,
};
use metanode_shell::{grpc, status};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    executor::{Executor, position},
    lone_node::{LoneNetwork, Process},
    soon,
};
use consensus_core::CommitDigest;
use consensus_svc::node::EXECUTOR_HEALTH;

/// Waits until a service has this health.
async fn health(process: &Process, service: &str, expected: ServingStatus) {
    let mut client = HealthClient::new(process.channel());
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut changes = client.watch(request).await.unwrap().into_inner();
    soon("the health", async { while changes.message().await.unwrap().unwrap().status() != expected {} })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_node_and_its_executor() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    for service in [
        "",
        "metanode.consensus.v1.TransactionService",
        "metanode.consensus.v1.CommitService",
        "metanode.consensus.v1.NodeService",
    ] {
        health(&process, service, ServingStatus::Serving).await;
    }
    // X01: consensus takes part, delivery waits, and health says so.
    health(&process, EXECUTOR_HEALTH, ServingStatus::NotServing).await;
    assert_eq!(process.status().await.executor_state(), ExecutorState::Connecting);
    executor.answer_committee(network.genesis.committee()).await;
    let stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    health(&process, EXECUTOR_HEALTH, ServingStatus::Serving).await;
    stream.fail(status::reason(Code::Aborted, reason::FENCED, "a newer one", &[("incarnation", &2)])).await;
    health(&process, "", ServingStatus::NotServing).await;
    health(&process, EXECUTOR_HEALTH, ServingStatus::NotServing).await;
    health(&process, "metanode.consensus.v1.NodeService", ServingStatus::Serving).await;
    let told = process.status().await;
    assert_eq!((told.executor_state(), told.role()), (ExecutorState::Stopped, NodeRole::Authority));
    assert!(told.stop_reason.contains("incarnation 2"), "{}", told.stop_reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_the_services_of_this_port() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(process.channel());
    let mut answers = client.server_reflection_info(tokio_stream::once(question)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else { panic!("a list must come") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "metanode.consensus.v1.CommitService",
        "metanode.consensus.v1.NodeService",
        "metanode.consensus.v1.TransactionService",
    ];
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_get_every_commit_once_from_the_log_and_then_live() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    for transaction in ["a", "b", "c"] {
        process.submit(&[transaction], WaitFor::Committed).await.unwrap();
    }
    let mut client = CommitServiceClient::new(process.channel());
    let mut stream =
        client.stream_commits(StreamCommitsRequest { after_index: 1 }).await.unwrap().into_inner();
    let mut next = async || soon("a commit", stream.message()).await.unwrap().unwrap().commit.unwrap();
    let (second, third) = (next().await, next().await);
    process.submit(&["d"], WaitFor::Committed).await.unwrap();
    let fourth = next().await;
    assert_eq!([second.index, third.index, fourth.index], [2, 3, 4]);
    assert_eq!(fourth.previous_digest, third.digest);

    let range = GetCommitRangeRequest { first_index: 3, last_index: 99 };
    let range = client.get_commit_range(range).await.unwrap().into_inner().commits;
    assert_eq!(range, [third, fourth.clone()]);
    assert_eq!(process.commit(4).await.unwrap(), fourth);
    let status = process.status().await;
    assert_eq!((status.commit_index, &status.commit_digest), (4, &fourth.digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_outside_the_log_are_told_its_ends() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    process.submit(&["a"], WaitFor::Committed).await.unwrap();
    let ahead = process.commit(2).await.unwrap_err();
    assert_eq!(ahead.code(), Code::NotFound);
    assert_eq!(status::reason_of(&ahead).as_deref(), Some(reason::COMMIT_AHEAD));
    assert_eq!(process.commit(0).await.unwrap_err().code(), Code::InvalidArgument);
    let mut client = CommitServiceClient::new(process.channel());
    assert!(client.stream_commits(StreamCommitsRequest { after_index: 1 }).await.is_ok());
    let ahead = client.stream_commits(StreamCommitsRequest { after_index: 2 }).await.unwrap_err();
    assert_eq!(ahead.code(), Code::OutOfRange);
    assert_eq!(status::metadata_of(&ahead, "commit_index").as_deref(), Some("1"));
    let backwards = GetCommitRangeRequest { first_index: 2, last_index: 1 };
    assert_eq!(client.get_commit_range(backwards).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_one_commit_stream_more_than_there_may_be_is_refused_until_one_ends() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let request = StreamCommitsRequest { after_index: 0 };
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut client = CommitServiceClient::new(process.channel());
        for _ in 0..16 {
            streams.push(client.stream_commits(request).await.unwrap());
        }
        // A quarter is what one connection may have.
        let refused = client.stream_commits(request).await.unwrap_err();
        assert_eq!(status::metadata_of(&refused, "connection_limit").as_deref(), Some("16"));
    }
    let mut client = CommitServiceClient::new(process.channel());
    let refused = client.stream_commits(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::TOO_MANY_CALLS));
    assert!(status::retry_delay(&refused).is_some());
    let text = scrape(&process).await;
    assert!(text.contains("\nmetanode_consensus_api_commit_streams 64\n"), "{text}");
    for line in ["commit_answers 0", "incomplete_size_bytes 0"] {
        assert!(text.contains(&format!("\nmetanode_consensus_api_{line}\n")), "{line} is missing in {text}");
    }
    streams.pop();
    soon("room", async { while client.stream_commits(request).await.is_err() {} }).await;
}

/// A client that asks and takes no byte of an answer keeps what it holds; others are answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l06_one_connection_that_reads_no_explanation_leaves_them_to_others() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let endpoint = grpc::endpoint(&process.api).unwrap().initial_stream_window_size(0);
    let client = NodeServiceClient::new(endpoint.connect_lazy());
    let mut unread: Vec<_> = (0..4)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.explain(ExplainRequest {}).await.map(drop) })
        })
        .collect();
    // Three are refused: then the first has what it waits for.
    let mut refused = 0;
    while refused < 3 {
        let (answer, _, rest) = soon("a refusal", futures::future::select_all(unread)).await;
        assert_eq!(answer.unwrap().unwrap_err().code(), Code::ResourceExhausted);
        (unread, refused) = (rest, refused + 1);
    }
    let mut other = NodeServiceClient::new(process.channel());
    soon("an explanation", other.explain(ExplainRequest {})).await.unwrap();
    let page = ListEquivocationsRequest::default();
    soon("the evidence", other.list_equivocations(page)).await.unwrap();
    assert!(!unread[0].is_finished(), "the first answer is still not read");
}

/// As many connections as there may be, each with a call that costs its owner nothing and never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_watches_held_on_every_connection_do_not_keep_a_new_client_out() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let hold = || async {
        let mut client = HealthClient::new(process.channel());
        let request = HealthCheckRequest { service: String::new() };
        let mut watch = client.watch(request).await.unwrap().into_inner();
        watch.message().await.unwrap().unwrap();
        (client, watch)
    };
    let held = (0..grpc::MAX_CONNECTIONS).map(|_| hold());
    let mut held = soon("all watches", futures::future::join_all(held)).await;

    process.submit(&["a"], WaitFor::Committed).await.unwrap();
    let first = soon(
        "the end of one",
        futures::future::select_all(held.iter_mut().map(|(_, watch)| Box::pin(watch.message()))),
    )
    .await;
    assert!(first.0.is_err(), "it was closed, to be begun again by whoever wants it");
    let (_, again) = soon("a watch", hold()).await;
    drop(again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t03_a_batch_too_large_to_decode_is_refused_as_other_sizes_are() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let transaction: &'static str = "x".repeat(500 << 10).leak();
    let refused = process.submit(&[transaction; 8], WaitFor::Accepted).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::INVALID_FIELD));
    assert!(refused.message().contains("limit is: 3145728 bytes"), "{}", refused.message());
}

/// One scrape, as Prometheus does it.
async fn scrape(process: &Process) -> String {
    let mut connection = TcpStream::connect(&process.metrics).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the scrape", connection.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scrape_counts_what_was_taken_in_refused_committed_and_sent() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    executor.answer_committee(network.genesis.committee()).await;
    let mut stream = executor.handshake(position(&network.chain_id(), 0, CommitDigest::ZERO)).await;
    process.submit(&["a", "b"], WaitFor::Committed).await.unwrap();
    process.submit(&[""], WaitFor::Committed).await.unwrap_err();
    stream.commit().await;
    // It is counted a moment after it was sent.
    while process.status().await.sent_total < 1 {}
    let text = scrape(&process).await;
    for line in [
        "metanode_consensus_commit_index 1",
        "metanode_consensus_transactions_submitted_total 2",
        "metanode_consensus_transactions_committed_total 2",
        "metanode_consensus_transactions_refused_total{reason=\"invalid_size\"} 1",
        "metanode_consensus_executor_commits_sent_total 1",
        "metanode_consensus_executor_handshakes_total 1",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is missing in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_open_streams_and_waits_and_exits_with_zero() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    process.submit(&["a"], WaitFor::Committed).await.unwrap();
    let mut client = CommitServiceClient::new(process.channel());
    let mut stream =
        client.stream_commits(StreamCommitsRequest { after_index: 0 }).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let status = process.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(matches!(stream.message().await, Ok(None) | Err(_)));
}
