//! Where an existing master listens, and connections to it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A socket of the file system, or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `/absolute/path`
    Path(PathBuf),
    /// `tcp://host:port`, which keeps the host and the port.
    Tcp(String),
}

/// An address has neither form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is neither /absolute/path nor tcp://host:port")]
pub struct AddressError {
    /// What was given.
    pub text: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        if let Some(host_port) = text.strip_prefix("tcp://") {
            let (host, port) = host_port.rsplit_once(':').ok_or_else(wrong)?;
            let valid =
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0);
            return if valid { Ok(Self::Tcp(host_port.to_owned())) } else { Err(wrong()) };
        }
        let path = Path::new(text);
        if path.is_absolute() && path.file_name().is_some() {
            return Ok(Self::Path(path.to_owned()));
        }
        Err(wrong())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Tcp(host_port) => write!(f, "tcp://{host_port}"),
        }
    }
}

/// Bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, and who is at its other end.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Duplex>,
    /// Process id of whoever listens (SO_PEERCRED); `None` over TCP.
    pub(super) peer: Option<i32>,
}

impl Address {
    /// Connects anew.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let connected = timeout(CONNECT_TIMEOUT, async {
            match self {
                Self::Path(path) => {
                    let stream = UnixStream::connect(path).await?;
                    let peer = stream.peer_cred()?.pid();
                    Ok(Connection { stream: Box::new(stream), peer })
                }
                Self::Tcp(host_port) => {
                    let stream = TcpStream::connect(host_port).await?;
                    stream.set_nodelay(true)?;
                    Ok(Connection { stream: Box::new(stream), peer: None })
                }
            }
        });
        connected.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_absolute_path_or_a_port() {
        for text in ["/run/executor0.sock", "tcp://127.0.0.1:7300", "tcp://[::1]:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in
            ["", "/", "executor.sock", "tcp://", "tcp://host", "tcp://host:0", "tcp://:1", "tcp://a/b:1"]
        {
            assert_eq!(text.parse::<Address>(), Err(AddressError { text: text.to_owned() }));
        }
    }
}
