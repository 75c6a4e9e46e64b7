//! Certified commits over a real connection: served, judged, and refused where they are not what they seem.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, BlockVerifier, Certificate, ChainPoint, Commit, CommitDigest, CommitIndex, Fork, Params,
    VerifiedBlock, max_range_bytes,
    testkit::network::{TestNetwork, TestStore},
};
use consensus_svc::peer::{CommitsAnswer, PeerEvent};
use metanode_proto::{peer::v1::FetchCommitsRequest, reason};
use metanode_shell::{
    grpc::decode_limit,
    status::{metadata_of, reason_of},
};
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
    let fork = Fork { index: own.index, own: Some(own.digest), certified: history.commits[0].1 };
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

/// Whoever says "nothing later" ends catch-ups. A peer that has pruned what is asked for, or cannot give it now, says
/// neither that nor anything wrong.
#[tokio::test]
async fn l04_a_peer_that_cannot_give_what_is_asked_for_has_not_shown_that_there_is_nothing_later() {
    let committee = TestCommittee::new(4);
    let history = history(&committee);
    let last = *history.certificates.keys().next_back().unwrap();
    let server = Node::plain(&committee, PEER, &[]).await;
    *server.store.commits.lock().unwrap() = history.clone();
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;

    *server.store.earliest.lock().unwrap() = CommitIndex::new(3);
    let secret = committee.secrets[usize::from(NODE)].clone();
    let mut client = client(&committee, secret, PEER, &server.address).await.unwrap();
    let request = FetchCommitsRequest { first_index: 2, last_index: u64::MAX };
    let refused = within(client.fetch_commits(request)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason_of(&refused).as_deref()),
        (Code::OutOfRange, Some(reason::COMMIT_PRUNED))
    );
    assert_eq!(metadata_of(&refused, "earliest_index").as_deref(), Some("3"));

    let answer = ask(&mut node, ChainPoint::default()).await;
    assert!(matches!(answer, CommitsAnswer::Failed { fork: None }), "pruned: {answer:?}");
    let after = ChainPoint { index: CommitIndex::new(2), digest: history.commits[1].1 };
    let answer = ask(&mut node, after).await;
    assert!(matches!(answer, CommitsAnswer::Range { .. }), "the earliest one that is held: {answer:?}");

    // The blocks of the certificates are gone: there are later commits, and none that could be given.
    server.store.commits.lock().unwrap().certificates.retain(|index, _| *index == last);
    let certifiers = history.certificates[&last].blocks.clone();
    server.store.commits.lock().unwrap().blocks.retain(|block, _| !certifiers.contains(block));
    let answer = ask(&mut node, after).await;
    assert!(matches!(answer, CommitsAnswer::Failed { fork: None }), "not now: {answer:?}");
    let status = node.handle.status(AuthorityIndex::new(PEER)).unwrap().borrow().clone();
    assert!(status.connected && status.faults.is_empty(), "{status:?}");
    node.stop().await;
    server.stop().await;
}

/// One group of so many blocks of 2 MiB, certified by three more of them.
fn large_group(committee: &TestCommittee, blocks: u64) -> TestStore {
    let parent = committee.chain(0, 1, 0)[0].reference();
    // None of them is valid; only their sizes count here.
    let large = |author, round| committee.block(author, round, parent, 2 << 20);
    let blocks: Vec<_> = (1..=blocks).map(|round| large(0, round)).collect();
    let certifiers: Vec<_> = (1..4).map(|author| large(author, 1)).collect();
    let commit = Commit {
        index: CommitIndex::new(1),
        epoch: committee.genesis.committee().epoch(),
        previous_digest: CommitDigest::ZERO,
        timestamp: committee.genesis.timestamp(),
        closing: true,
        leaders: vec![blocks[0].reference()],
        blocks: blocks.iter().map(VerifiedBlock::reference).collect(),
        duplicate_marks: Bytes::new(),
    };
    let references = certifiers.iter().map(VerifiedBlock::reference).collect();
    let certificate = Certificate { index: commit.index, digest: commit.digest(), blocks: references };
    TestStore {
        certificates: [(commit.index, certificate)].into(),
        commits: vec![(commit.clone(), commit.digest())],
        blocks: blocks.into_iter().chain(certifiers).map(|block| (block.reference(), block)).collect(),
        ..TestStore::default()
    }
}

/// Commits and certifiers count: what is served can be decoded, and what could not be is not served.
#[tokio::test]
async fn t07_an_answer_with_commits_is_never_larger_than_its_reader_decodes() {
    let committee = TestCommittee::new(4);
    let server = Node::plain(&committee, PEER, &[]).await;
    let secret = committee.secrets[usize::from(NODE)].clone();
    let client = client(&committee, secret, PEER, &server.address).await.unwrap();
    let verifier = BlockVerifier::new(Arc::clone(&committee.genesis));
    let mut client = client.max_decoding_message_size(decode_limit(max_range_bytes(&verifier)));
    let request = FetchCommitsRequest { first_index: 1, last_index: u64::MAX };
    // 62 MiB and a little with three certifiers of 2 MiB on top, then 64 MiB and a little.
    for (blocks, commits) in [(31, 1), (32, 0)] {
        *server.store.commits.lock().unwrap() = large_group(&committee, blocks);
        let answer = within(client.fetch_commits(request)).await.unwrap().into_inner();
        assert_eq!((answer.commits.len(), answer.highest_certified_index), (commits, 1), "{blocks} blocks");
    }
    // A node that asks decodes as much, and finds that the certifiers are none.
    *server.store.commits.lock().unwrap() = large_group(&committee, 31);
    let mut node = Node::plain(&committee, NODE, &[(PEER, &server.address)]).await;
    node.connected(PEER, true).await;
    let answer = ask(&mut node, ChainPoint::default()).await;
    assert!(matches!(answer, CommitsAnswer::Failed { fork: None }), "{answer:?}");
    let faults = node.handle.status(AuthorityIndex::new(PEER)).unwrap().borrow().faults.clone();
    assert_eq!(faults.keys().copied().collect::<Vec<_>>(), ["range_not_certified"]);
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
