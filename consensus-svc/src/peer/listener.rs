//! Takes connections in: handshakes with a deadline and a bound, connections of one authority with a bound.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use consensus_core::AuthorityIndex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::{config::PeerLimits, tls::PeerTls};

/// Wait after the operating system refused to take a connection in, such as for want of file descriptors: there is no
/// event that would tell when it will again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Who calls: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller(pub(super) AuthorityIndex);

/// Takes connections in and hands those of members on.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) tls: Arc<PeerTls>,
    pub(super) acceptor: AcceptorConfig,
    pub(super) connections: Arc<Connections>,
    pub(super) members: mpsc::Sender<io::Result<PeerIo>>,
}

/// TLS and limits of an [`Acceptor`].
#[derive(Clone)]
pub(super) struct AcceptorConfig {
    pub(super) tls: TlsAcceptor,
    pub(super) handshakes: usize,
    pub(super) deadline: Duration,
}

impl std::fmt::Debug for AcceptorConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcceptorConfig").field("handshakes", &self.handshakes).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Runs until `shutdown`, then lets go of the listener and of what is not through its handshake.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut handshakes = JoinSet::new();
        let mut under_way: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = handshakes.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        under_way.retain(|handshake| !handshake.is_finished());
                        if under_way.len() >= self.acceptor.handshakes
                            && let Some(oldest) = under_way.pop_front()
                        {
                            // The newest is more likely honest: an honest handshake takes milliseconds.
                            oldest.abort();
                        }
                        under_way.push_back(handshakes.spawn(self.handshake(stream)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no connection from peers can be taken in");
                        time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        }
    }

    fn handshake(&self, stream: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let (tls, acceptor) = (Arc::clone(&self.tls), self.acceptor.clone());
        let (connections, members) = (Arc::clone(&self.connections), self.members.clone());
        async move {
            match time::timeout(acceptor.deadline, authenticate(&tls, &acceptor.tls, stream)).await {
                Ok(Ok((stream, authority))) => {
                    let io = connections.admit(authority, stream);
                    // An error says that the server is gone, and the connection goes with it.
                    members.send(Ok(io)).await.ok();
                }
                Ok(Err(error)) => {
                    connections.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "a connection is no member's");
                }
                Err(_elapsed) => {
                    connections.refused.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!("a handshake has not ended in time");
                }
            }
        }
    }
}

async fn authenticate(
    tls: &PeerTls,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> io::Result<(TlsStream<TcpStream>, AuthorityIndex)> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let authority = tls.authority_of(stream.get_ref().1.peer_certificates());
    let authority = authority.ok_or_else(|| io::Error::from(io::ErrorKind::PermissionDenied))?;
    Ok((stream, authority))
}

/// Open connections by authority.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Vec<VecDeque<(u64, CancellationToken)>>>,
    next: AtomicU64,
    refused: AtomicU64,
    limit: usize,
    all: CancellationToken,
}

impl Connections {
    pub(super) fn new(authorities: usize, limits: &PeerLimits) -> Self {
        Self {
            open: Mutex::new(vec![VecDeque::new(); authorities]),
            next: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            limit: limits.connections_per_peer,
            all: CancellationToken::new(),
        }
    }

    /// Connections that did not get through their handshake.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Open connections of an authority.
    pub(super) fn open_count(&self, authority: AuthorityIndex) -> usize {
        self.open().get(authority.as_usize()).map_or(0, VecDeque::len)
    }

    /// Closes all that are open.
    pub(super) fn close_all(&self) {
        self.all.cancel();
    }

    fn admit(self: &Arc<Self>, authority: AuthorityIndex, stream: TlsStream<TcpStream>) -> PeerIo {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let close = self.all.child_token();
        if let Some(open) = self.open().get_mut(authority.as_usize()) {
            if open.len() >= self.limit
                && let Some((_, oldest)) = open.pop_front()
            {
                oldest.cancel();
            }
            open.push_back((id, close.clone()));
        }
        let entry = Entry { connections: Arc::clone(self), authority, id };
        PeerIo { stream, closed: Box::pin(close.cancelled_owned()), entry }
    }

    fn open(&self) -> MutexGuard<'_, Vec<VecDeque<(u64, CancellationToken)>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
struct Entry {
    connections: Arc<Connections>,
    authority: AuthorityIndex,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(open) = self.connections.open().get_mut(self.authority.as_usize()) {
            open.retain(|(id, _)| *id != self.id);
        }
    }
}

/// A connection of a member; it ends when its place is taken by a newer one.
#[derive(Debug)]
pub(super) struct PeerIo {
    stream: TlsStream<TcpStream>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    entry: Entry,
}

impl Connected for PeerIo {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        Caller(self.entry.authority)
    }
}

impl AsyncRead for PeerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
