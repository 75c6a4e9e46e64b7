//! Links over real sockets, with each fault. Times are only ever compared with what they must at least be.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use fault_proxy::{Address, Control, ControlError, Direction, FaultProxy, Order, Side, tell};
use std::{
    io::ErrorKind,
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::timeout,
};

/// For what must not come.
const A_WHILE: Duration = Duration::from_millis(100);
/// For what must: many times what it takes on a slow machine.
const LONG: Duration = Duration::from_secs(60);

/// A server whose connections the test takes itself, and a proxy before it.
struct Bench {
    server: TcpListener,
    proxy: FaultProxy,
}

impl Bench {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Address::Tcp(server.local_addr().unwrap().to_string());
        let proxy = FaultProxy::start(&"127.0.0.1:0".parse().unwrap(), upstream).await.unwrap();
        Self { server, proxy }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address().to_string()).await.unwrap()
    }

    async fn taken(&self) -> TcpStream {
        timeout(LONG, self.server.accept()).await.unwrap().unwrap().0
    }

    /// A client, and the server's end of its connection. Both ends are joined.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let (mut client, mut server) = tokio::join!(self.client(), self.taken());
        // The server is connected before the link knows it: only what has passed shows that the link is whole.
        client.write_all(b"-").await.unwrap();
        assert_eq!(byte(&mut server).await.unwrap(), b'-');
        (client, server)
    }
}

async fn byte(stream: &mut TcpStream) -> std::io::Result<u8> {
    timeout(LONG, stream.read_u8()).await.unwrap()
}

fn text(count: usize) -> Vec<u8> {
    (0..count).map(|index| u8::try_from(index * index % 251).unwrap()).collect()
}

#[tokio::test]
async fn bytes_and_the_end_of_each_direction_pass_unchanged() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    let (sent, answered) = (text(3_000_000), text(70_000));
    let asking = async {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        got
    };
    let answering = async {
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        server.write_all(&answered).await.unwrap();
        drop(server);
        got
    };
    let (answer, question) = tokio::join!(asking, answering);
    assert!(answer == answered && question == sent);
    let status = bench.proxy.status();
    assert_eq!((status.bytes_up, status.bytes_down), (3_000_001, 70_000));
    bench.proxy.stop().await;
}

#[tokio::test]
async fn both_ends_may_be_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| Address::Unix(folder.path().join(name));
    let server = UnixListener::bind(folder.path().join("server")).unwrap();
    let proxy = FaultProxy::start(&at("proxy"), at("server")).await.unwrap();
    let mut client = UnixStream::connect(folder.path().join("proxy")).await.unwrap();
    let (mut taken, _) = server.accept().await.unwrap();
    client.write_all(b"up").await.unwrap();
    let mut got = [0; 2];
    taken.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"up");

    // One that listens is not pushed aside; what it leaves behind when it is killed is.
    let second = FaultProxy::start(&at("proxy"), at("server")).await.unwrap_err();
    assert_eq!(second.source.kind(), ErrorKind::AddrInUse);
    proxy.stop().await;
    assert!(!folder.path().join("proxy").exists(), "the socket's file goes with the proxy");
    drop(server);
    assert!(folder.path().join("server").exists());
    FaultProxy::start(&at("server"), at("nowhere")).await.unwrap();
}

#[tokio::test]
async fn a_delay_holds_for_one_direction_and_for_the_end() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    bench.proxy.change(|faults| faults.up.delay = A_WHILE);
    let begun = Instant::now();
    client.write_all(b"a").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(byte(&mut server).await.unwrap(), b'a');
    assert!(begun.elapsed() >= A_WHILE);
    assert_eq!(byte(&mut server).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);

    // Taken back, it holds back nothing that is on the way.
    let (mut client, mut server) = bench.pair().await;
    bench.proxy.change(|faults| faults.up.delay = Duration::from_secs(3600));
    client.write_all(b"b").await.unwrap();
    assert!(timeout(A_WHILE, server.read_u8()).await.is_err());
    bench.proxy.heal();
    assert_eq!(byte(&mut server).await.unwrap(), b'b');
}

#[tokio::test]
async fn a_throttled_connection_carries_so_many_bytes_a_second() {
    let bench = Bench::new().await;
    let (client, mut server) = bench.pair().await;
    bench.proxy.change(|faults| faults.down.bytes_per_s = NonZeroU64::new(100_000));
    let begun = Instant::now();
    server.write_all(&text(30_000)).await.unwrap();
    drop(server);
    let mut got = Vec::new();
    let mut client = client;
    client.read_to_end(&mut got).await.unwrap();
    assert!(got == text(30_000));
    assert!(begun.elapsed() >= Duration::from_millis(299), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_stalled_arrives_when_the_stall_ends() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    bench.proxy.change(|faults| faults.down.stalled = true);
    client.write_all(b"up").await.unwrap();
    assert_eq!(byte(&mut server).await.unwrap(), b'u');
    server.write_all(b"down").await.unwrap();
    assert!(timeout(A_WHILE, client.read_u8()).await.is_err());
    assert_eq!(bench.proxy.status().bytes_down, 0);
    bench.proxy.heal();
    assert_eq!(byte(&mut client).await.unwrap(), b'd');
}

#[tokio::test]
async fn a_reset_ends_what_is_open_and_a_cut_what_comes() {
    let bench = Bench::new().await;
    let (mut client, mut server) = bench.pair().await;
    bench.proxy.reset();
    assert_eq!(byte(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(byte(&mut server).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (mut client, mut server) = bench.pair().await;
    client.write_all(b"a").await.unwrap();
    assert_eq!(byte(&mut server).await.unwrap(), b'a');

    Order::Cut.carry_out(&bench.proxy);
    assert_eq!(byte(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut refused = bench.client().await;
    assert_eq!(byte(&mut refused).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(bench.proxy.status().refused, 1);
    bench.proxy.heal();
    bench.pair().await;
}

#[tokio::test]
async fn a_half_open_link_keeps_one_end_in_the_dark_until_it_is_healed() {
    let bench = Bench::new().await;
    for keep in [Side::Client, Side::Server] {
        let (mut client, mut server) = bench.pair().await;
        bench.proxy.half_open(keep);
        let (kept, closed) = match keep {
            Side::Client => (&mut client, &mut server),
            Side::Server => (&mut server, &mut client),
        };
        assert_eq!(byte(closed).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        kept.write_all(b"is anybody there").await.unwrap();
        assert!(timeout(A_WHILE, kept.read_u8()).await.is_err());
        // The way is free for another connection.
        let (mut other, mut taken) = bench.pair().await;
        taken.write_all(b"b").await.unwrap();
        assert_eq!(byte(&mut other).await.unwrap(), b'b');
        bench.proxy.heal();
        assert_eq!(byte(kept).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_doubled_connection_reaches_the_server_twice_and_is_answered_once() {
    let bench = Bench::new().await;
    bench.proxy.change(|faults| faults.doubles = true);
    let (mut client, mut first, mut second) =
        tokio::join!(bench.client(), async { bench.taken().await }, async { bench.taken().await });
    client.write_all(b"ask").await.unwrap();
    for server in [&mut first, &mut second] {
        let mut got = [0; 3];
        timeout(LONG, server.read_exact(&mut got)).await.unwrap().unwrap();
        assert_eq!(&got, b"ask");
        server.write_all(b"x").await.unwrap();
    }
    assert_eq!(byte(&mut client).await.unwrap(), b'x');
    assert!(timeout(A_WHILE, client.read_u8()).await.is_err(), "the second answer goes nowhere");
    // The ends of both come with the end of the client.
    drop(client);
    for server in [&mut first, &mut second] {
        assert_eq!(byte(server).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_connection_beyond_the_sixty_fourth_waits_for_a_place() {
    let bench = Bench::new().await;
    let mut pairs = Vec::new();
    for _ in 0..64 {
        pairs.push(bench.pair().await);
    }
    let mut waiting = bench.client().await;
    waiting.write_all(b"a").await.unwrap();
    assert!(timeout(A_WHILE, bench.server.accept()).await.is_err());
    assert_eq!(bench.proxy.status().open, 64);
    drop(pairs.pop());
    assert_eq!(byte(&mut bench.taken().await).await.unwrap(), b'a');
}

#[tokio::test]
async fn orders_come_over_a_socket_and_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let bench = Bench::new().await;
    let unreachable = Address::Unix(folder.path().join("nowhere"));
    let proxy = Arc::new(FaultProxy::start(&"127.0.0.1:0".parse().unwrap(), unreachable).await.unwrap());
    let control = Control::bind(&path, Arc::clone(&proxy)).await.unwrap();
    let orders = tokio::spawn(control.run());

    let mut client = TcpStream::connect(proxy.address().to_string()).await.unwrap();
    assert_eq!(byte(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let told = tell(&path, Order::Delay { ms: 250, direction: Some(Direction::Up) }).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["unreachable"], &told["faults"]["up"]["delay_ms"]), (&1.into(), &250.into()));
    assert_eq!(told["faults"]["down"]["delay_ms"], 0);
    tell(&path, Order::Heal).await.unwrap();
    assert_eq!(proxy.faults(), fault_proxy::Faults::default());

    // Whoever says no order is told so, and the next caller is served.
    let mut caller = UnixStream::connect(&path).await.unwrap();
    caller.write_all(b"break everything\n").await.unwrap();
    caller.shutdown().await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("error: ") && answer.ends_with('\n'), "{answer}");
    let mut caller = UnixStream::connect(&path).await.unwrap();
    // Without an end, and longer than any order: it is cut, not kept.
    caller.write_all(&[b'x'; 10_000]).await.unwrap();
    drop(caller);
    tell(&path, Order::Status).await.unwrap();

    orders.abort();
    assert!(orders.await.unwrap_err().is_cancelled());
    assert!(matches!(tell(&path, Order::Status).await, Err(ControlError::Socket { .. })));
    drop(bench);
}
