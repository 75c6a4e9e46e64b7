//! X07 with the real program: an executor that comes to another state than a quorum is stopped, with evidence, over restarts.
//!
//! The one authority is its own quorum, so an executor that is set back and makes another root contradicts it.

use consensus_core::CommitDigest;
use metanode_proto::{
    consensus::v1::{Commit, ExecutorState, NodeRole, WaitFor},
    executor::v1::Acknowledgement,
    reason,
};
use metanode_shell::status;

use crate::{
    executor::{Executor, Stream, digest, position, root},
    lone_node::{LoneNetwork, Process},
    soon,
};

const STOPPED: &str = "[EXECUTOR-REQ] delivery to the executor has stopped";

/// A process with an executor, and what it was sent.
struct Running {
    process: Process,
    executor: Executor,
}

async fn start(network: &LoneNetwork) -> Running {
    let mut executor = Executor::start().await;
    let process = network.start(&executor.uri()).await;
    executor.answer_committee(network.genesis.committee()).await;
    Running { process, executor }
}

impl Running {
    /// Answers the question for the position: the executor stands at this commit, or at none.
    async fn stands_at(&mut self, network: &LoneNetwork, at: Option<&Commit>) {
        let (index, last) = at.map_or((0, CommitDigest::ZERO), |commit| (commit.index, digest(commit)));
        self.executor.answer_position(position(&network.chain_id(), index, last)).await;
    }

    async fn stream(&mut self, incarnation: u64, at: u64) -> Stream {
        let stream = self.executor.stream().await;
        stream.opened(incarnation, at).await;
        stream
    }

    /// Makes one commit after the other, until a quorum agrees on the root at this index; all that were made meanwhile.
    async fn until_agreed(&self, stream: &mut Stream, index: u64, acknowledges: bool) -> Vec<Commit> {
        let mut commits = Vec::new();
        while self.process.status().await.agreed_root_index < index {
            let text: &'static str = Box::leak(format!("{index} {}", commits.len()).into_boxed_str());
            self.process.submit(&[text], WaitFor::Committed).await.unwrap();
            let commit = stream.commit().await;
            if acknowledges {
                stream.acknowledge(&commit).await;
            }
            commits.push(commit);
        }
        commits
    }
}

fn wrong(commit: &Commit) -> Acknowledgement {
    let (index, digest) = (commit.index, commit.digest.clone());
    Acknowledgement { index, digest, state_root: vec![9; 32].into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x07_an_executor_that_contradicts_a_quorum_is_stopped_with_evidence_until_it_is_set_back() {
    let network = LoneNetwork::new();
    let mut first = start(&network).await;
    first.stands_at(&network, None).await;
    let mut stream = first.stream(1, 0).await;
    let commits = first.until_agreed(&mut stream, 2, true).await;
    let status = first.process.status().await;
    assert_eq!((status.agreed_root_index, &status.agreed_root), (2, &root(2)));
    assert_eq!(status.root_contradiction, None);

    // It loses the second commit, and makes another state of it.
    drop(stream);
    first.stands_at(&network, Some(&commits[0])).await;
    let mut stream = first.stream(1, 1).await;
    let again = stream.commit().await;
    stream.acknowledge_with(wrong(&again)).await;
    let event = first.process.event(STOPPED).await;
    assert_eq!((&event["reason"], &event["halts_consensus"]), (&"ROOT_CONTRADICTED".into(), &false.into()));
    stream.given_up().await;
    let status = first.process.status().await;
    assert_eq!((status.executor_state(), status.role()), (ExecutorState::Stopped, NodeRole::Authority));
    assert!(status.stop_reason.contains("the executor is wrong: after commit 2"), "{}", status.stop_reason);
    let found = status.root_contradiction.unwrap();
    assert_eq!((found.commit_index, &found.own_root[..], found.agreed_root), (2, &[9; 32][..], root(2)));
    assert_eq!(found.votes.len(), 1, "a quorum of one");
    let refused = first.process.submit(&["wait"], WaitFor::Executed).await.unwrap_err();
    assert_eq!(status::reason_of(&refused).as_deref(), Some(reason::DELIVERY_STOPPED));
    first.process.submit(&["consensus goes on"], WaitFor::Committed).await.unwrap();
    first.process.kill().await;

    let mut second = start(&network).await;
    second.stands_at(&network, Some(&commits[2])).await;
    assert_eq!(second.process.event(STOPPED).await["reason"], "ROOT_CONTRADICTED", "as wrong as before");
    assert_eq!(second.process.status().await.root_contradiction.map(|found| found.commit_index), Some(2));
    second.process.kill().await;

    let mut third = start(&network).await;
    third.stands_at(&network, Some(&commits[0])).await;
    let mut stream = third.stream(3, 1).await;
    let newest = third.process.status().await.commit_index;
    for commit in stream.commits(2..=newest).await {
        stream.acknowledge(&commit).await;
    }
    // What the machine hears of it, it hears in order.
    let more = third.until_agreed(&mut stream, newest + 2, true).await;
    third.process.kill().await;

    let mut fourth = start(&network).await;
    fourth.stands_at(&network, more.first()).await;
    let opening = soon("the stream", fourth.executor.stream()).await.opening;
    assert_eq!(opening.after_index, newest + 1, "it has been right since");
    assert!(fourth.process.status().await.root_contradiction.is_some(), "the evidence stays");
}
