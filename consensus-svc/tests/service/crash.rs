//! kill -9 of the real program, and what its executor is sent afterwards.

use metanode_proto::consensus::v1::{Commit, ExecutorState, WaitFor};

use crate::{
    executor::{Executor, Stream, digest, position},
    lone_node::{LoneNetwork, Process},
    soon,
};
use consensus_core::CommitDigest;

const TEN: [&str; 10] = ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10"];

/// Makes commits 1 to 10, durable, one transaction each.
async fn ten_commits(process: &Process) {
    for (expected, transaction) in (1..).zip(TEN) {
        let outcome = process.submit(&[transaction], WaitFor::Committed).await.unwrap().remove(0);
        assert_eq!((outcome.commit_index, outcome.position), (expected, 0));
    }
    assert_eq!(process.status().await.commit_index, 10);
}

/// The handshake of a fresh process with an executor that stands at `commit`, or at none.
async fn handshake(
    executor: &mut Executor,
    network: &LoneNetwork,
    at: Option<&Commit>,
    incarnation: u64,
) -> Stream {
    executor.answer_committee(network.genesis.committee()).await;
    let (index, last) = at.map_or((0, CommitDigest::ZERO), |commit| (commit.index, digest(commit)));
    executor.answer_position(position(&network.chain_id(), index, last)).await;
    let stream = executor.stream().await;
    assert_eq!(
        stream.opening.lease.as_ref().unwrap().incarnation,
        0,
        "a new process asks for a new incarnation"
    );
    stream.opened(incarnation, index).await;
    stream
}

async fn executed(process: &Process, index: u64) {
    soon("the acknowledgement", async {
        while process.status().await.executed_index < index {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_crash_after_seven_of_ten_replays_exactly_eight_to_ten() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = handshake(&mut executor, &network, None, 1).await;
    ten_commits(&process).await;
    let first = stream.commits(1..=10).await;
    for commit in &first[..7] {
        stream.acknowledge(commit).await;
    }
    executed(&process, 7).await;
    // The executor dies after its seventh acknowledgement; 8, 9 and 10 are sent and not acknowledged.
    let status = process.status().await;
    assert_eq!((status.sent_total, status.executed_index, status.commit_index), (10, 7, 10));
    drop(stream);
    executor.kill().await;
    process.kill().await;

    let mut executor = Executor::start().await;
    let mut process = network.start(&executor.uri()).await;
    let mut stream = handshake(&mut executor, &network, Some(&first[6]), 2).await;
    let read = process.event("[STARTUP] executor position read").await;
    assert_eq!(
        [&read["synced_block_number"], &read["commit_index"], &read["replay_from"], &read["skipped"]],
        [7, 10, 8, 7]
    );
    assert_eq!((stream.opening.after_index, &stream.opening.after_digest), (7, &first[6].digest));
    // D19: byte for byte what was sent before.
    assert_eq!(stream.commits(8..=10).await, first[7..]);
    let new = process.submit(&["t11"], WaitFor::Committed).await.unwrap().remove(0);
    assert_eq!(new.commit_index, 11);
    let eleventh = stream.commit().await;
    assert_eq!((eleventh.index, &eleventh.previous_digest), (11, &first[9].digest));
    stream.acknowledge(&eleventh).await;
    executed(&process, 11).await;
    let status = process.status().await;
    assert_eq!((status.replay_from, status.sent_total, status.duplicates_total), (8, 4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_restart_with_nothing_new_sends_nothing() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = handshake(&mut executor, &network, None, 1).await;
    ten_commits(&process).await;
    let first = stream.commits(1..=10).await;
    stream.acknowledge(&first[9]).await;
    executed(&process, 10).await;
    executor.kill().await;
    process.kill().await;

    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = handshake(&mut executor, &network, Some(&first[9]), 2).await;
    process.submit(&["new"], WaitFor::Committed).await.unwrap();
    // The first thing that comes is new.
    assert_eq!(stream.commit().await.index, 11);
    let status = process.status().await;
    assert_eq!((status.replay_from, status.sent_total, status.earliest_index), (11, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d19_a_replay_is_byte_for_byte_the_first_delivery() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = handshake(&mut executor, &network, None, 1).await;
    ten_commits(&process).await;
    let first = stream.commits(1..=10).await;
    executor.kill().await;
    process.kill().await;

    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    let mut stream = handshake(&mut executor, &network, None, 2).await;
    assert_eq!(stream.commits(1..=10).await, first);
    assert_eq!(process.commit(10).await.unwrap(), first[9], "readers get the same bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x04_an_executor_ahead_of_the_store_stops_intake_and_says_what_to_do() {
    let network = LoneNetwork::new();
    let mut executor = Executor::start().await;
    let mut process = network.start(&executor.uri()).await;
    executor.answer_committee(network.genesis.committee()).await;
    executor.answer_position(position(&network.chain_id(), 5, CommitDigest::new([1; 32]))).await;
    let stopped = process.event("[EXECUTOR-REQ] delivery to the executor has stopped").await;
    assert_eq!(stopped["reason"], "EXECUTOR_AHEAD");
    process.event("this authority has stopped proposing").await;
    let status = process.status().await;
    assert_eq!(status.executor_state(), ExecutorState::Stopped);
    assert!(status.stop_reason.contains("restore the newest store"), "{}", status.stop_reason);
    for wait_for in [WaitFor::Accepted, WaitFor::Committed] {
        let refused = process.submit(&["late"], wait_for).await.unwrap_err();
        assert_eq!(metanode_shell::status::reason_of(&refused).as_deref(), Some("NOT_PROPOSING"));
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "a client must not try again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_a_second_process_on_one_store_is_refused() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let _first = network.start(&executor.uri()).await;
    let mut second = network.spawn(&executor.uri(), &[("STORE__LOCK_TIMEOUT_MS", "0")]);
    let words = second.last_words().await;
    assert_eq!(second.ended().await.code(), Some(1));
    assert!(words.contains("is in use by process"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_guard_that_was_lost_beside_own_blocks_keeps_the_node_down() {
    let network = LoneNetwork::new();
    let executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    process.submit(&["signed"], WaitFor::Committed).await.unwrap();
    process.kill().await;
    let guard = network.guard();
    let kept = guard.with_extension("kept");
    std::fs::rename(&guard, &kept).unwrap();
    for _ in 0..2 {
        let mut process = network.spawn(&executor.uri(), &[]);
        assert_eq!(process.ended().await.code(), Some(1));
        let words = process.last_words().await;
        assert!(words.contains("is missing, but the store holds own blocks"), "{words}");
        assert!(!guard.exists());
    }
    std::fs::rename(&kept, &guard).unwrap();
    network.start(&executor.uri()).await;
}
