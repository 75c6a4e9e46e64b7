//! A listener whose connections are bounded in number and in time.

use axum::serve::Listener;
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Connections at a time. One more closes the oldest: a scrape takes milliseconds.
pub(super) const MAX_CONNECTIONS: usize = 16;
/// Time for all that comes and goes on a connection.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted: trying at once again would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub(super) struct Bounded {
    listener: TcpListener,
    /// The newest ones, oldest first; those that have ended by themselves are dead.
    open: VecDeque<(Weak<()>, CancellationToken)>,
}

impl Bounded {
    pub(super) const fn new(listener: TcpListener) -> Self {
        Self { listener, open: VecDeque::new() }
    }

    fn enter(&mut self, stream: TcpStream) -> Connection {
        self.open.retain(|(alive, _)| alive.strong_count() > 0);
        while self.open.len() >= MAX_CONNECTIONS {
            if let Some((_, oldest)) = self.open.pop_front() {
                oldest.cancel();
            }
        }
        let (alive, closed) = (Arc::new(()), CancellationToken::new());
        self.open.push_back((Arc::downgrade(&alive), closed.clone()));
        Connection {
            stream,
            deadline: Box::pin(sleep(DEADLINE)),
            closed: Box::pin(closed.cancelled_owned()),
            _alive: alive,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (self.enter(stream), address),
                Err(error) => {
                    tracing::warn!(%error, "connection to the metrics not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection until its deadline, or until it makes room.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    _alive: Arc<()>,
}

impl Connection {
    /// Its end, once it has come; whoever waits is woken then.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    async fn connected(listener: &mut Bounded) -> (TcpStream, Connection) {
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        (client, listener.accept().await.0)
    }

    async fn bound() -> Bounded {
        Bounded::new(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    #[tokio::test]
    async fn t06_one_connection_more_closes_the_oldest_and_no_other() {
        let mut listener = bound().await;
        let mut open = VecDeque::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push_back(connected(&mut listener).await);
        }
        // One that has ended makes room itself.
        open.pop_back();
        open.push_back(connected(&mut listener).await);
        let (mut client, mut connection) = open.pop_front().unwrap();
        client.write_all(b"a").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'a');
        open.push_back(connected(&mut listener).await);
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        for (client, connection) in &mut open {
            client.write_all(b"a").await.unwrap();
            assert_eq!(connection.read_u8().await.unwrap(), b'a');
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t06_a_connection_ends_at_its_deadline_in_the_middle_of_whatever_it_does() {
        let mut listener = bound().await;
        let (_client, mut connection) = connected(&mut listener).await;
        let begun = tokio::time::Instant::now();
        let silent = timeout(2 * DEADLINE, connection.read_u8()).await.expect("an end").unwrap_err();
        assert_eq!((silent.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, DEADLINE.as_secs()));
        let unread = connection.write_all(b"a").await.unwrap_err();
        assert_eq!(unread.kind(), io::ErrorKind::TimedOut);
    }
}
