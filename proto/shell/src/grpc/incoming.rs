//! Connections of a listener: bounded in number, and closed if nothing comes on them, or nothing that is sent is taken.
//!
//! HTTP/2 keepalive begins after the handshake; until then only the deadline here ends a silent connection. Afterwards it
//! lasts until its place is needed: see [`Caller`].

use super::{
    Caller, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_CONNECTIONS, RECEIVE_TIMEOUT,
    callers::{PATIENCE, Place, Places},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

/// The connection preface of HTTP/2 and the header of the first frame (RFC 9113, 3.4 and 4.1).
const GREETING_BYTES: usize = 24 + 9;

/// Pause after a connection could not be accepted: file descriptors or memory are short, and trying at once again would
/// only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// How long the other end may take nothing of what is written: as long as one that answers no ping.
const WRITE_TIMEOUT: Duration = KEEPALIVE_INTERVAL.saturating_add(KEEPALIVE_TIMEOUT);

/// Connections of `listener`, at most [`MAX_CONNECTIONS`] at a time, with TCP_NODELAY: messages are small and answers
/// are waited for. Ends never, and yields no errors.
pub fn incoming(listener: TcpListener) -> Incoming {
    Incoming { listener, places: Places::new(MAX_CONNECTIONS), waiting: None, patience: None, pause: None }
}

/// See [`incoming`].
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    places: Places,
    /// Accepted, without a place yet.
    waiting: Option<TcpStream>,
    /// How long it may wait before a call that is worked on ends for it.
    patience: Option<Pin<Box<Sleep>>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Has at most `connections` open at a time.
    #[must_use]
    pub fn at_most(self, connections: usize) -> Self {
        Self { places: Places::new(connections), ..self }
    }

    /// Tells how many connections are open, whenever it is called.
    pub fn open_connections(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let places = self.places.clone();
        move || places.taken() as u64
    }
}

impl Incoming {
    fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Place> {
        if let Poll::Ready(place) = self.places.poll_enter(cx, false) {
            return Poll::Ready(place);
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(patience.as_mut().poll(cx));
        // The next one of them may be asked to go only after another wait.
        self.patience = None;
        self.places.poll_enter(cx, true)
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            if let Some(stream) = this.waiting.take() {
                let Poll::Ready(place) = this.poll_enter(cx) else {
                    this.waiting = Some(stream);
                    return Poll::Pending;
                };
                this.patience = None;
                return Poll::Ready(Some(Ok(Connection::new(stream, place))));
            }
            let accepted = ready!(this.listener.poll_accept(cx));
            match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => this.waiting = Some(stream),
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    this.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Until it has come.
    greeting: Option<Greeting>,
    place: Place,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Of a write that the other end takes nothing of.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn new(stream: TcpStream, place: Place) -> Self {
        let deadline = Box::pin(sleep(RECEIVE_TIMEOUT));
        let closed = Box::pin(place.closed.clone().cancelled_owned());
        let greeting = Some(Greeting { missing_bytes: GREETING_BYTES, deadline });
        Self { stream, greeting, place, closed, stalled: None }
    }

    /// Looks whether the place is needed. Asked before every read and every write: HTTP/2 does not read while it has something to
    /// write that the other end does not take.
    fn check_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let closed = self.closed.as_mut().poll(cx).is_ready();
        if closed { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Writes, unless the other end takes nothing for too long: keepalive cannot find it out, since its pings wait behind.
    fn poll_write_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.check_open(cx)?;
        let written = write(Pin::new(&mut self.stream), cx);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

#[derive(Debug)]
struct Greeting {
    missing_bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_open(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Some(greeting) = &mut this.greeting {
            greeting.missing_bytes = greeting.missing_bytes.saturating_sub(buf.filled().len() - before);
            if greeting.missing_bytes == 0 {
                this.greeting = None;
            } else if greeting.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream, cx| stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_with(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_with(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.place.caller()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::bind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    async fn connected(connections: &mut Incoming, address: std::net::SocketAddr) -> (TcpStream, Connection) {
        let client = TcpStream::connect(address).await.unwrap();
        (client, connections.next().await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn t06_one_connection_more_closes_the_longest_idle_one_and_takes_its_place() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener).at_most(2);
        let open = connections.open_connections();
        let (_a, first) = connected(&mut connections, address).await;
        let (_b, mut second) = connected(&mut connections, address).await;
        let call = first.connect_info().begin(false);
        call.received();
        let _c = TcpStream::connect(address).await.unwrap();
        let next = tokio::spawn(async move { connections.next().await.unwrap().unwrap() });
        let error = second.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(open(), 2);
        drop(second);
        let third = next.await.unwrap();
        assert_eq!(open(), 2);
        drop((first, third, call));
        assert_eq!(open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn t06_one_connection_more_waits_a_moment_for_calls_that_are_worked_on() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener).at_most(1);
        let (_a, mut first) = connected(&mut connections, address).await;
        let call = first.connect_info().begin(false);
        call.received();
        let _b = TcpStream::connect(address).await.unwrap();
        let begun = tokio::time::Instant::now();
        let next = tokio::spawn(async move { connections.next().await.unwrap().unwrap() });
        let error = first.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(begun.elapsed() >= PATIENCE, "after {:?}", begun.elapsed());
        drop((call, first));
        next.await.unwrap();
    }

    /// Writes until the other end takes no more.
    async fn fill(connection: &mut Connection) -> io::Error {
        loop {
            if let Err(error) = connection.write_all(&[0; 64 * 1024]).await {
                return error;
            }
        }
    }

    #[tokio::test]
    async fn t06_a_connection_that_is_not_read_makes_room_too() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener).at_most(1);
        let (_a, mut first) = connected(&mut connections, address).await;
        let filled = tokio::spawn(async move { fill(&mut first).await });
        let _b = TcpStream::connect(address).await.unwrap();
        connections.next().await.unwrap().unwrap();
        assert_eq!(filled.await.unwrap().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_read_at_all_is_dropped_after_a_while() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener);
        let (client, mut connection) = connected(&mut connections, address).await;
        let begun = tokio::time::Instant::now();
        assert_eq!(fill(&mut connection).await.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_TIMEOUT);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_too_little_is_dropped_at_the_deadline() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener);
        for said in [0, GREETING_BYTES - 1] {
            let (mut client, mut connection) = connected(&mut connections, address).await;
            client.write_all(&vec![0; said]).await.unwrap();
            let begun = tokio::time::Instant::now();
            let error = connection.read_exact(&mut [0; GREETING_BYTES]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() <= RECEIVE_TIMEOUT + Duration::from_millis(1));
        }
        let (mut client, mut connection) = connected(&mut connections, address).await;
        client.write_all(&[0; GREETING_BYTES]).await.unwrap();
        connection.stream.readable().await.unwrap();
        connection.read_exact(&mut [0; GREETING_BYTES]).await.unwrap();
        assert!(connection.greeting.is_none());
    }
}
