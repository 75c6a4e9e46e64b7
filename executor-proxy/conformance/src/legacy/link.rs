//! The two connections to an existing master.

use std::time::Duration;

use bytes::Bytes;
use metanode_proto::legacy::v1::{Request, Response, request::Payload as Query, response::Payload as Reply};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use super::Address;
use crate::{
    client::within,
    row::{Failure, Outcome},
};

/// Longest answer of the protocol.
const ANSWER_BYTES: u32 = 10 << 20;

/// Either kind of socket.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

async fn connect(address: &Address, patience: Duration) -> Outcome<Box<dyn Duplex>> {
    let expected = format!("a connection to {address}");
    let connected = within(patience, &expected, async {
        Ok::<Box<dyn Duplex>, std::io::Error>(match address {
            Address::Path(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(host_port) => Box::new(TcpStream::connect(host_port).await?),
        })
    });
    connected.await?.map_err(|error| Failure::new(expected, error.to_string()))
}

/// A connection that blocks go in on.
pub(crate) struct Feed {
    stream: Box<dyn Duplex>,
    patience: Duration,
}

impl Feed {
    /// Connects anew.
    pub(crate) async fn connect(address: &Address, patience: Duration) -> Outcome<Self> {
        Ok(Self { stream: connect(address, patience).await?, patience })
    }

    /// Sends bytes. A connection that the master has closed is no failure here: what it executed tells.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Outcome {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let _ = within(self.patience, "a connection that takes blocks", sent).await?;
        Ok(())
    }

    /// Waits until the master closes the connection.
    pub(crate) async fn closed(&mut self, why: &str) -> Outcome {
        closed(&mut self.stream, self.patience, why).await
    }
}

/// A connection for queries.
pub(crate) struct Queries {
    stream: Box<dyn Duplex>,
    patience: Duration,
}

impl Queries {
    /// Connects anew.
    pub(crate) async fn connect(address: &Address, patience: Duration) -> Outcome<Self> {
        Ok(Self { stream: connect(address, patience).await?, patience })
    }

    /// Sends a query.
    pub(crate) async fn send(&mut self, query: Query) -> Outcome {
        let body = Request { payload: Some(query) }.encode_to_vec();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.bytes(&[&length[..], &body].concat()).await
    }

    /// Sends any bytes. As [`Feed::send`].
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let _ = within(self.patience, "a connection that takes queries", sent).await?;
        Ok(())
    }

    /// Reads an answer.
    pub(crate) async fn reply(&mut self) -> Outcome<Reply> {
        const EXPECTED: &str = "an answer to a query";
        let read = async {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).await?;
            let length = u32::from_be_bytes(length);
            if length > ANSWER_BYTES {
                return Err(std::io::Error::other(format!(
                    "an answer of {length} bytes, at most 10 MiB are allowed"
                )));
            }
            let mut body = Vec::new();
            (&mut self.stream).take(u64::from(length)).read_to_end(&mut body).await?;
            Ok(body)
        };
        let body = within(self.patience, EXPECTED, read).await?;
        let body = body.map_err(|error| Failure::new(EXPECTED, error.to_string()))?;
        let reply = Response::decode(Bytes::from(body)).ok().and_then(|response| response.payload);
        reply.ok_or_else(|| Failure::new(EXPECTED, "bytes that are no answer of the protocol"))
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, query: Query) -> Outcome<Reply> {
        self.send(query).await?;
        self.reply().await
    }

    /// Waits until the master closes the connection.
    pub(crate) async fn closed(&mut self, why: &str) -> Outcome {
        closed(&mut self.stream, self.patience, why).await
    }
}

async fn closed(stream: &mut Box<dyn Duplex>, patience: Duration, why: &str) -> Outcome {
    let expected = format!("the connection is closed: {why}");
    let mut byte = [0];
    match within(patience, &expected, stream.read(&mut byte)).await? {
        // A reset is an end as well.
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err(Failure::new(expected, "an answer")),
    }
}

/// Asks, and takes the one kind of answer that belongs to the query.
macro_rules! asked {
    ($queries:expr, $query:ident($request:expr), $reply:ident) => {{
        let query = metanode_proto::legacy::v1::request::Payload::$query($request);
        match $queries.ask(query).await? {
            metanode_proto::legacy::v1::response::Payload::$reply(reply) => reply,
            other => {
                return Err(crate::row::Failure::new(
                    concat!("an answer to ", stringify!($query)),
                    format!("{other:?}").chars().take(200).collect::<String>(),
                ));
            }
        }
    }};
}
pub(crate) use asked;
