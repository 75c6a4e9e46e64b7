//! A peer that says what the test tells it to say.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use consensus_core::VerifiedBlock;
use consensus_svc::peer::tls::PeerTls;
use futures::Stream;
use metanode_proto::peer::v1::{
    FetchBlocksRequest, FetchBlocksResponse, FetchBoundaryRequest, FetchBoundaryResponse,
    FetchCommitsRequest, FetchCommitsResponse, FetchOwnLastBlockRequest, FetchOwnLastBlockResponse,
    SubscribeBlocksRequest, SubscribeBlocksResponse,
    peer_service_server::{PeerService, PeerServiceServer},
    subscribe_blocks_response::Event,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::Connected},
};

use super::{TestCommittee, node::listener, within};

/// One subscription of the node under test.
pub(crate) struct Session {
    pub(crate) request: SubscribeBlocksRequest,
    events: mpsc::Sender<Result<SubscribeBlocksResponse, Status>>,
}

impl Session {
    pub(crate) async fn send(&self, event: Option<Event>) {
        // The other side may have hung up by then; what the test expects of it shows elsewhere.
        within(self.events.send(Ok(SubscribeBlocksResponse { event }))).await.ok();
    }

    pub(crate) async fn bytes(&self, bytes: impl Into<Bytes>) {
        self.send(Some(Event::Block(bytes.into()))).await;
    }

    pub(crate) async fn blocks(&self, blocks: &[VerifiedBlock]) {
        for block in blocks {
            self.bytes(block.signed_bytes().clone()).await;
        }
    }

    /// Waits until the other side has hung up.
    pub(crate) async fn closed(&self) {
        within(self.events.closed()).await;
    }
}

/// A scripted peer.
pub(crate) struct ScriptedPeer {
    pub(crate) address: String,
    sessions: mpsc::Receiver<Session>,
    script: Script,
}

#[derive(Clone)]
struct Script {
    sessions: mpsc::Sender<Session>,
    answers: Arc<Mutex<VecDeque<Vec<Bytes>>>>,
    callers_last: Arc<Mutex<Bytes>>,
    own_last: Arc<Mutex<Bytes>>,
}

impl ScriptedPeer {
    /// Serves on a free port with the key of authority `own`.
    pub(crate) async fn start(committee: &TestCommittee, own: u16) -> Self {
        let listener = listener().await;
        let address = listener.local_addr().unwrap().to_string();
        let tls = PeerTls::new(&committee.secrets[usize::from(own)], committee.genesis.committee());
        let acceptor = TlsAcceptor::from(tls.unwrap().server_config().unwrap());
        let (streams, incoming) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    streams.send(Ok::<_, io::Error>(TestIo(stream))).await.ok();
                }
            }
        });
        let (sender, sessions) = mpsc::channel(16);
        let script = Script {
            sessions: sender,
            answers: Arc::default(),
            callers_last: Arc::default(),
            own_last: Arc::default(),
        };
        let service = PeerServiceServer::new(script.clone());
        tokio::spawn(
            Server::builder().add_service(service).serve_with_incoming(ReceiverStream::new(incoming)),
        );
        Self { address, sessions, script }
    }

    /// Waits for the next subscription.
    pub(crate) async fn session(&mut self) -> Session {
        within(self.sessions.recv()).await.unwrap()
    }

    /// What the question for the own last block is answered with from now on.
    pub(crate) fn callers_last(&self, block: Bytes) {
        *self.script.callers_last.lock().unwrap() = block;
    }

    /// What it says of its own last block in that answer.
    pub(crate) fn own_last(&self, block: Bytes) {
        *self.script.own_last.lock().unwrap() = block;
    }

    /// What the next call of `FetchBlocks` is answered with.
    pub(crate) fn answer(&self, blocks: &[VerifiedBlock]) {
        self.answer_raw(blocks.iter().map(|block| block.signed_bytes().clone()).collect());
    }

    /// As [`ScriptedPeer::answer`], with any bytes in place of blocks.
    pub(crate) fn answer_raw(&self, blocks: Vec<Bytes>) {
        self.script.answers.lock().unwrap().push_back(blocks);
    }
}

#[tonic::async_trait]
impl PeerService for Script {
    type SubscribeBlocksStream = Pin<Box<dyn Stream<Item = Result<SubscribeBlocksResponse, Status>> + Send>>;

    async fn subscribe_blocks(
        &self,
        request: Request<SubscribeBlocksRequest>,
    ) -> Result<Response<Self::SubscribeBlocksStream>, Status> {
        let (events, receiver) = mpsc::channel(1);
        let session = Session { request: request.into_inner(), events };
        self.sessions.send(session).await.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn fetch_blocks(
        &self,
        _request: Request<FetchBlocksRequest>,
    ) -> Result<Response<FetchBlocksResponse>, Status> {
        let blocks = self.answers.lock().unwrap().pop_front();
        blocks
            .map(|blocks| Response::new(FetchBlocksResponse { blocks }))
            .ok_or_else(|| Status::unavailable("no answer is scripted"))
    }

    async fn fetch_commits(
        &self,
        _request: Request<FetchCommitsRequest>,
    ) -> Result<Response<FetchCommitsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_boundary(
        &self,
        _request: Request<FetchBoundaryRequest>,
    ) -> Result<Response<FetchBoundaryResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_own_last_block(
        &self,
        _request: Request<FetchOwnLastBlockRequest>,
    ) -> Result<Response<FetchOwnLastBlockResponse>, Status> {
        let callers_last_block = self.callers_last.lock().unwrap().clone();
        let own_last_block = self.own_last.lock().unwrap().clone();
        Ok(Response::new(FetchOwnLastBlockResponse { callers_last_block, own_last_block }))
    }
}

struct TestIo(TlsStream<TcpStream>);

impl Connected for TestIo {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for TestIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for TestIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
