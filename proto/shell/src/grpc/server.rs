//! Listeners, and the services that every server has.

use super::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_CONCURRENT_STREAMS};
use metanode_proto::FILE_DESCRIPTOR_SET;
use std::io;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

/// Largest request to health and reflection, in bytes: a name or two.
const NAME_BYTES: usize = 64 << 10;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address as configured.
    pub address: String,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// Listens on `host:port`; port 0 takes a free one.
///
/// # Errors
/// [`BindError`].
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address: address.to_owned(), source })
}

/// A server builder with keepalive and the limit on streams.
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(MAX_CONCURRENT_STREAMS))
}

/// Reflection v1: lists `services` (full names) beside health and itself, and describes every type of the contract.
///
/// # Errors
/// If the compiled descriptors cannot be decoded.
pub fn reflection(
    services: &[&str],
) -> Result<ServerReflectionServer<impl ServerReflection + use<>>, tonic_reflection::server::Error> {
    let described = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection");
    let server =
        services.iter().fold(described, |builder, name| builder.with_service_name(*name)).build_v1()?;
    Ok(server.max_decoding_message_size(NAME_BYTES))
}

/// The health service, NOT_SERVING as a whole (service name `""`) until the reporter says otherwise.
pub async fn health() -> (HealthReporter, HealthServer<impl Health>) {
    let (reporter, server) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    (reporter, server.max_decoding_message_size(NAME_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::{channel, incoming};
    use tokio_util::sync::CancellationToken;
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus as Wire, health_client::HealthClient,
    };

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let first = bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = bind(&address).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {address}"));
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn health_starts_not_serving_and_follows_the_reporter() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let (reporter, health) = health().await;
        let stop = CancellationToken::new();
        let routes = server().add_service(health).add_service(reflection(&[]).unwrap());
        let serving = tokio::spawn(
            routes.serve_with_incoming_shutdown(incoming(listener), stop.clone().cancelled_owned()),
        );
        let mut client = HealthClient::new(channel(&uri).unwrap());
        let request = HealthCheckRequest { service: String::new() };
        let status = client.check(request.clone()).await.unwrap().into_inner().status();
        assert_eq!(status, Wire::NotServing);
        reporter.set_service_status("", ServingStatus::Serving).await;
        let status = client.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, Wire::Serving);
        drop(client);
        stop.cancel();
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_channel_reaches_a_unix_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("executor.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let stop = CancellationToken::new();
        let routes = server().add_service(health().await.1);
        let connections = tokio_stream::wrappers::UnixListenerStream::new(listener);
        let serving =
            tokio::spawn(routes.serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned()));
        let mut client = HealthClient::new(channel(&format!("unix:{}", path.display())).unwrap());
        let answer = client.check(HealthCheckRequest { service: String::new() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), Wire::NotServing);
        drop(client);
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
