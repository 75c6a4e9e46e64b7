//! Before the state is loaded, and what stops the load.

use executor_proxy::{
    backend::{Backend, BackendError, Loaded, embedded::EmbeddedBackend},
    node::embedded,
};
use metanode_proto::{
    executor::v1::{AdvanceEpochRequest, GetCommitteeRequest},
    reason,
};
use metanode_shell::{grpc, status::retry_delay};
use metanode_telemetry::{Telemetry, metrics::ExecutorMetrics};
use reference_ledger::{AccountKey, ChainId};
use sequencer_core::Authority;
use tokio::sync::oneshot;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{AUTHORITY, Proxy, assert_error, commit, opening, write_files};

fn backend(folder: &std::path::Path) -> EmbeddedBackend {
    let telemetry = Telemetry::for_test().unwrap();
    embedded(&write_files(folder), ExecutorMetrics::new(&telemetry.meter()))
}

/// Loads when the test says so.
struct Held {
    inner: EmbeddedBackend,
    go: oneshot::Receiver<()>,
}

impl Backend for Held {
    type Executor = <EmbeddedBackend as Backend>::Executor;

    async fn load(&mut self) -> Result<(Self::Executor, Loaded), BackendError> {
        let _ = (&mut self.go).await;
        self.inner.load().await
    }
}

async fn health(proxy: &Proxy, service: &str) -> ServingStatus {
    let channel = grpc::channel(&format!("http://{}", proxy.address)).unwrap();
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel).check(request).await.unwrap().into_inner().status()
}

/// A folder whose proxy has executed commit 1 and ended.
async fn folder_with_one_commit() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (mut stream, _) = proxy.client().open(0).await;
    stream.execute(commit(1)).await;
    drop(stream);
    proxy.stop().await.unwrap();
    folder
}

const SERVICES: [&str; 2] = ["", "metanode.executor.v1.ExecutorService"];

#[tokio::test]
async fn x02_before_the_state_is_loaded_the_answer_is_not_ready_rather_than_zero() {
    let folder = folder_with_one_commit().await;

    let (release, go) = oneshot::channel();
    let config = write_files(folder.path());
    let proxy = Proxy::start_with(&config, Held { inner: backend(folder.path()), go }).await;
    let client = proxy.client();
    assert!(!client.position().await.ready);
    for service in SERVICES {
        assert_eq!(health(&proxy, service).await, ServingStatus::NotServing);
    }
    let refused = client.try_open(opening(0, 0)).await.err().unwrap();
    assert_error(&refused, Code::Unavailable, reason::NOT_READY, &[]);
    assert!(retry_delay(&refused).is_some());
    let refused = client.0.clone().get_committee(GetCommitteeRequest { epoch: 0 }).await.unwrap_err();
    assert_error(&refused, Code::Unavailable, reason::NOT_READY, &[]);
    let refused = client.0.clone().advance_epoch(AdvanceEpochRequest::default()).await.unwrap_err();
    assert_error(&refused, Code::Unavailable, reason::NOT_READY, &[]);

    release.send(()).unwrap();
    client.wait_until_ready().await;
    assert_eq!(client.position().await.block_number, 1);
    for service in SERVICES {
        let channel = grpc::channel(&format!("http://{}", proxy.address)).unwrap();
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut changes = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
        while changes.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    }
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn the_committee_of_genesis_is_answered_and_later_ones_are_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let mut client = proxy.client().0;
    let committee = client.get_committee(GetCommitteeRequest { epoch: 0 }).await.unwrap().into_inner();
    assert_eq!(committee.members.len(), 1);
    assert_eq!(committee.members[0].protocol_key[..], AUTHORITY);
    let unknown = client.get_committee(GetCommitteeRequest { epoch: 1 }).await.unwrap_err();
    assert_error(&unknown, Code::NotFound, reason::UNKNOWN_EPOCH, &[("epoch", "1")]);
    proxy.stop().await.unwrap();
}

#[tokio::test]
async fn a_ledger_of_another_network_or_authority_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path()).await;
    let (stream, _) = proxy.client().open(0).await;
    drop(stream);
    proxy.stop().await.unwrap();
    let stored = || backend(folder.path());

    let mut other = EmbeddedBackend { chain_id: ChainId([7; 32]), ..stored() };
    assert!(matches!(other.load().await, Err(BackendError::OtherChain { .. })));
    let mut other = EmbeddedBackend { accounts: vec![(AccountKey([7; 32]), 1)], ..stored() };
    assert!(matches!(other.load().await, Err(BackendError::OtherGenesis { .. })));
    let mut other = EmbeddedBackend { authority: Authority([7; 32]), ..stored() };
    assert!(matches!(other.load().await, Err(BackendError::OtherAuthority { .. })));
    assert!(stored().load().await.is_ok());
}

#[tokio::test]
async fn s04_accounts_that_do_not_hash_to_the_stored_root_are_not_loaded() {
    use metanode_shell::durable::{Store, StoreOptions, WriteBatch};
    let folder = folder_with_one_commit().await;

    let mut stored = backend(folder.path());
    let store = Store::open(&stored.path, &StoreOptions::default()).unwrap();
    let (key, _) = store.scan_prefix(b"a|", &[]).next().unwrap().unwrap();
    let mut batch = WriteBatch::default();
    batch.remove(key);
    store.apply(&batch).unwrap();
    store.sync().unwrap();
    drop(store);
    assert!(matches!(stored.load().await, Err(BackendError::OtherRoot { index: 1, .. })));
}
