//! Who may talk to whom: keys are pinned to the committee, on both sides.

use std::{sync::Arc, time::Duration};

use consensus_core::{AuthorityIndex, Round};
use consensus_svc::identity::SecretKey;
use consensus_svc::peer::{
    AcceptedRounds, BlockStore, PeerConfig, PeerError, PeerLimits, PeerNetwork, PeerView, tls::PeerTls,
};
use metanode_proto::peer::v1::{
    FetchBoundaryRequest, SubscribeBlocksRequest, peer_service_client::PeerServiceClient,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_rustls::rustls::{
    crypto::ring::sign::any_eddsa_type,
    pki_types::PrivatePkcs8KeyDer,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::support::{
    Node, NodeOptions, ScriptedPeer, TestCommittee, client, client_of, quick_limits, within,
};

#[tokio::test]
async fn a_key_outside_the_committee_is_refused() {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, 0, &[]).await;
    // In TLS 1.3 the client is told only after its own handshake is done.
    let outcome = within(async {
        let mut client = client(&committee, SecretKey::new([250; 32]), 0, &node.address).await?;
        client.fetch_boundary(FetchBoundaryRequest { epoch: 0 }).await.map_err(std::io::Error::other)
    });
    let error = outcome.await.unwrap_err().to_string();
    assert!(!error.contains("is not served"), "{error}");
    assert_eq!(node.handle.refused_connections(), 1);
    assert!((0..4).all(|peer| node.handle.open_connections(AuthorityIndex::new(peer)) == 0));
    node.stop().await;
}

/// A certificate says anything: here it names a member's key, in the hands of somebody who does not have that key.
struct StolenName {
    name: [u8; 32],
    hands: KeyPair,
}

impl PublicKeyData for StolenName {
    fn der_bytes(&self) -> &[u8] {
        &self.name
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for StolenName {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.hands.sign(message)
    }
}

#[tokio::test]
async fn the_name_of_a_member_without_its_key_is_refused() {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, 0, &[]).await;
    let hands = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(hands.serialize_der())).unwrap();
    let stolen = StolenName { name: committee.secrets[1].public_bytes(), hands };
    let certificate = CertificateParams::default().self_signed(&stolen).unwrap();
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let tls = PeerTls::new(&SecretKey::new([250; 32]), committee.genesis.committee()).unwrap();
    let mut config = (*tls.client_config(AuthorityIndex::new(0)).unwrap()).clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    let outcome = within(async {
        let mut client = client_of(Arc::new(config), &node.address).await?;
        client.fetch_boundary(FetchBoundaryRequest { epoch: 0 }).await.map_err(std::io::Error::other)
    });
    assert!(!outcome.await.unwrap_err().to_string().contains("is not served"));
    assert_eq!(node.handle.refused_connections(), 1);
    assert_eq!(node.handle.open_connections(AuthorityIndex::new(1)), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_member_is_let_in_by_the_same_steps() {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, 0, &[]).await;
    let mut client = client(&committee, committee.secrets[3].clone(), 0, &node.address).await.unwrap();
    let status = within(client.fetch_boundary(FetchBoundaryRequest { epoch: 0 })).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(node.handle.open_connections(AuthorityIndex::new(3)), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_member_at_the_address_of_another_is_refused() {
    let committee = TestCommittee::new(4);
    let impostor = ScriptedPeer::start(&committee, 3).await;
    let node = Node::plain(&committee, 0, &[(2, &impostor.address)]).await;
    let mut status = node.handle.status(AuthorityIndex::new(2)).unwrap();
    let lost = within(status.wait_for(|status| status.last_loss.is_some())).await.unwrap().clone();
    assert!(lost.last_loss.unwrap().contains("TLS"));
    assert_eq!((lost.sessions, lost.connected), (0, false));
    node.stop().await;
}

#[tokio::test]
async fn a_client_without_tls_is_refused() {
    let committee = TestCommittee::new(4);
    let node = Node::plain(&committee, 0, &[]).await;
    let outcome = within(async {
        let channel = metanode_shell::grpc::channel(&format!("http://{}", node.address))?;
        let mut client = PeerServiceClient::new(channel);
        client.subscribe_blocks(SubscribeBlocksRequest::default()).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    });
    assert!(outcome.await.is_err());
    assert_eq!(node.handle.refused_connections(), 1);
    node.stop().await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let committee = TestCommittee::new(4);
    let limits = PeerLimits { handshake_deadline: Duration::from_millis(20), ..quick_limits() };
    let options = NodeOptions { limits, ..NodeOptions::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::start(&committee, 0, listener, &[], options).await;
    let mut silent = TcpStream::connect(&node.address).await.unwrap();
    assert_eq!(within(silent.read(&mut [0; 8])).await.unwrap_or(0), 0);
    assert_eq!(node.handle.refused_connections(), 1);
    node.stop().await;
}

#[tokio::test]
async fn silent_connections_do_not_keep_a_member_out() {
    let committee = TestCommittee::new(4);
    let limits = PeerLimits { handshakes: 2, ..quick_limits() };
    let options = NodeOptions { limits, ..NodeOptions::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::start(&committee, 0, listener, &[], options).await;
    let mut silent = vec![];
    for _ in 0..3 {
        silent.push(TcpStream::connect(&node.address).await.unwrap());
    }
    // The oldest makes room.
    assert_eq!(within(silent[0].read(&mut [0; 8])).await.unwrap_or(0), 0);
    let mut member = client(&committee, committee.secrets[1].clone(), 0, &node.address).await.unwrap();
    let status = within(member.fetch_boundary(FetchBoundaryRequest { epoch: 0 })).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    node.stop().await;
}

#[tokio::test]
async fn a_member_has_few_connections_and_the_oldest_is_closed() {
    let committee = TestCommittee::new(4);
    let limits = PeerLimits { connections_per_peer: 2, ..quick_limits() };
    let options = NodeOptions { limits, ..NodeOptions::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::start(&committee, 0, listener, &[], options).await;
    let request = SubscribeBlocksRequest {
        chain_id: committee.genesis.chain_id().as_bytes().to_vec().into(),
        epoch: 0,
        after_round: 0,
    };
    let mut streams = vec![];
    for _ in 0..3 {
        let mut client = client(&committee, committee.secrets[1].clone(), 0, &node.address).await.unwrap();
        let stream = within(client.subscribe_blocks(request.clone())).await.unwrap().into_inner();
        streams.push((client, stream));
    }
    assert!(within(streams[0].1.message()).await.is_err());
    assert_eq!(node.handle.open_connections(AuthorityIndex::new(1)), 2);
    node.propose(&committee.chain(0, 1, 0)[0]);
    for (_, stream) in &mut streams[1..] {
        assert!(within(stream.message()).await.unwrap().is_some());
    }
    node.stop().await;
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_refused_before_anything_starts() {
    let committee = TestCommittee::new(4);
    let spawn = async |change: fn(&mut PeerConfig)| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = AuthorityIndex::new(0);
        let secret = committee.secrets[0].clone();
        let mut config =
            PeerConfig::new(listener, own, Round::GENESIS, Arc::clone(&committee.genesis), secret);
        change(&mut config);
        let store: Arc<dyn BlockStore> = Arc::new(super::support::MemoryStore::default());
        let accepted = AcceptedRounds::new(committee.genesis.committee());
        let view = PeerView {
            accepted,
            clock_round: watch::channel(Round::GENESIS).1,
            start_answered: watch::channel(true).1,
        };
        PeerNetwork::spawn(config, store, mpsc::channel(1).0, view, CancellationToken::new()).unwrap_err()
    };
    let error = spawn(|config| config.own = AuthorityIndex::new(4)).await;
    assert!(matches!(error, PeerError::NotInCommittee { size: 4, .. }));
    let error = spawn(|config| config.own = AuthorityIndex::new(1)).await;
    assert!(matches!(error, PeerError::NetworkKey { .. }));
    let error = spawn(|config| drop(config.addresses.pop())).await;
    assert!(matches!(error, PeerError::Addresses { expected: 4, found: 3 }));
    let error = spawn(|config| config.limits.handshakes = 0).await;
    assert!(matches!(error, PeerError::ZeroLimit { field: "handshakes" }));
}
