//! Certified commits over a real connection: served, judged, and refused where they are not what they seem.

use std::time::Duration;

use consensus_core::{
    AuthorityIndex, ChainPoint, CommitDigest, CommitIndex, Fork, Params,
    testkit::network::{TestNetwork, TestStore},
};
use consensus_svc::peer::{CommitsAnswer, PeerEvent};
use metanode_proto::peer::v1::FetchCommitsRequest;
use tonic::Code;

use super::support::{Node, TestCommittee, client, within};

const PEER: u16 = 2;
const NODE: u16 = 0;

/// What an authority of this committee has stored after some seconds of load.
fn history(committee: &TestCommittee) -> TestStore {
    let (genesis, signers) = ((*committee.genesis).clone(), committee.signers.clone());
    let mut network = TestNetwork::start(genesis, signers, Params::default(), Duration::from_millis(20));
    for number in 0..30u64 {
        network.submit(AuthorityIndex::new(0), number, &number.to_be_bytes());
        network.run(Duration::from_millis(100));
    }
    network.node(AuthorityIndex::new(0)).store.clone()
}

async fn ask(node: &mut Node, after: ChainPoint) -> CommitsAnswer {
    let peer = AuthorityIndex::new(PEER);
    assert!(node.handle.fetch_commits(peer, after));
    loop {
        if let PeerEvent::Commits { from, answer } = node.any_event().await {
            assert_eq!(from, peer);
            return answer;
        }
    }
}

#[tokio::test]
async fn l04_certified_commits_are_served_and_judged() {
    let committee = TestCommittee::new(4);
    let history = history(&committee);
    let last = *history.certificates.keys().next_back().unwrap();
    let server = Node::plain(&committee, PEER, &[]).await;
    *server.store.commits.lock().unwrap() = history.clone();
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;

    let answer = ask(&mut node, ChainPoint::default()).await;
    let CommitsAnswer::Range { range, highest } = answer else { panic!("{answer:?}") };
    assert_eq!((range.certificate().index, highest), (last, last));
    for sub_dag in range.commits() {
        assert_eq!(Some(sub_dag), history.sub_dag(sub_dag.commit.index).as_ref());
    }
    let end = ChainPoint { index: last, digest: range.certificate().digest };
    let answer = ask(&mut node, end).await;
    assert!(matches!(answer, CommitsAnswer::NoLater { after } if after == last), "{answer:?}");

    // What a quorum stands for and does not follow the own chain is no fault of the peer.
    let own = ChainPoint { index: CommitIndex::new(1), digest: CommitDigest::new([1; 32]) };
    let answer = ask(&mut node, own).await;
    let fork = Fork { index: own.index, own: own.digest, certified: history.commits[0].1 };
    assert!(matches!(answer, CommitsAnswer::Failed { fork: Some(found) } if found == fork), "{answer:?}");
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn f03_uncertified_commits_are_a_fault_of_their_server() {
    let committee = TestCommittee::new(4);
    let mut history = history(&committee);
    for certificate in history.certificates.values_mut() {
        certificate.blocks.truncate(2);
    }
    let server = Node::plain(&committee, PEER, &[]).await;
    *server.store.commits.lock().unwrap() = history;
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;
    assert!(node.handle.fetch_commits(AuthorityIndex::new(PEER), ChainPoint::default()));
    let event = node.event().await;
    assert!(matches!(event, PeerEvent::Invalid { label: "range_not_certified", .. }), "{event:?}");
    let event = node.event().await;
    let failed =
        PeerEvent::Commits { from: AuthorityIndex::new(PEER), answer: CommitsAnswer::Failed { fork: None } };
    assert_eq!(format!("{event:?}"), format!("{failed:?}"));
    node.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_for_commits_names_a_first_and_a_last_one() {
    let committee = TestCommittee::new(4);
    let server = Node::plain(&committee, PEER, &[]).await;
    let secret = committee.secrets[usize::from(NODE)].clone();
    let mut client = client(&committee, secret, PEER, &server.address).await.unwrap();
    for (first_index, last_index) in [(0, 5), (3, 2)] {
        let request = FetchCommitsRequest { first_index, last_index };
        let refused = within(client.fetch_commits(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let request = FetchCommitsRequest { first_index: 1, last_index: u64::MAX };
    let empty = within(client.fetch_commits(request)).await.unwrap().into_inner();
    assert!(empty.commits.is_empty() && empty.highest_certified_index == 0);
    server.stop().await;
}
