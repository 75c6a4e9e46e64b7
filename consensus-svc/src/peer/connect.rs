//! One connection to one authority: TCP, TLS with its pinned key, HTTP/2.

use std::{future, io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use metanode_shell::grpc::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use tokio::{net::TcpStream, time};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tonic::transport::{Channel, Endpoint};

/// Stands where HTTP and TLS want a name. It is not sent in the clear and not checked: the key says who it is.
const NAME: &str = "peer.metanode";
/// The same, as the origin of requests.
const ORIGIN: &str = "http://peer.metanode";

/// Why a peer cannot be connected to. Trying again may help in every case.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("not connected within {deadline:?}")]
    Deadline { deadline: Duration },
    #[error("no TCP connection: {0}")]
    Tcp(#[source] io::Error),
    #[error("no TLS connection: {0}")]
    Tls(#[source] io::Error),
    #[error("no HTTP/2 connection")]
    Http(#[source] tonic::transport::Error),
}

/// Connects once. The channel does not connect again by itself: a loss ends the session that it belongs to.
pub(super) async fn connect(
    address: &str,
    tls: &Arc<ClientConfig>,
    deadline: Duration,
) -> Result<Channel, ConnectError> {
    let connecting = time::timeout(deadline, establish(address, tls));
    connecting.await.map_err(|_elapsed| ConnectError::Deadline { deadline })?
}

async fn establish(address: &str, tls: &Arc<ClientConfig>) -> Result<Channel, ConnectError> {
    let stream = TcpStream::connect(address).await.map_err(ConnectError::Tcp)?;
    stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let name = ServerName::try_from(NAME).map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
    let stream =
        TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(ConnectError::Tls)?;
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        future::ready(once.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    Endpoint::from_static(ORIGIN)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(ConnectError::Http)
}
