//! A Unix socket that takes orders, a line each, and answers each with a line: the status as JSON, or `error: ...`.

use crate::{
    address::Address,
    order::Order,
    proxy::FaultProxy,
    stream::{Listener, Stream},
};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, split},
    time::timeout,
};

/// Bytes of an order or of an answer. No order has half as many.
const MAX_LINE_BYTES: u64 = 4096;
/// For an order to come: callers wait for each other.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no control socket, or no answer from it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket.
    #[error("cannot use the control socket {path}: is a fault-proxy running with it?")]
    Socket {
        /// Its path.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The proxy refused the order.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// Takes orders for a proxy.
#[derive(Debug)]
pub struct Control {
    listener: Listener,
    proxy: Arc<FaultProxy>,
}

impl Control {
    /// Listens at `path`, whose file is removed in the end.
    ///
    /// # Errors
    /// [`ControlError::Socket`].
    pub async fn bind(path: &Path, proxy: Arc<FaultProxy>) -> Result<Self, ControlError> {
        let listener = Listener::bind(&Address::Unix(path.to_owned())).await;
        Ok(Self { listener: listener.map_err(|source| socket(path, source))?, proxy })
    }

    /// Takes orders, from one caller at a time, until it is dropped. A caller that says nothing for 10 s is let go.
    ///
    /// # Errors
    /// What the operating system says of the socket.
    pub async fn run(self) -> io::Result<()> {
        loop {
            let caller = self.listener.accept().await?;
            // A caller that breaks off has no more orders.
            let _ = self.serve(caller).await;
        }
    }

    async fn serve(&self, caller: Box<dyn Stream>) -> io::Result<()> {
        let (reading, mut writing) = split(caller);
        let mut reading = BufReader::new(reading);
        loop {
            let mut line = String::new();
            let mut limited = (&mut reading).take(MAX_LINE_BYTES);
            if timeout(LINE_TIMEOUT, limited.read_line(&mut line)).await?? == 0 {
                return Ok(());
            }
            let answer = answer(&line, &self.proxy);
            writing.write_all(answer.as_bytes()).await?;
        }
    }
}

/// Carries out the order in a line, and answers it.
fn answer(line: &str, proxy: &FaultProxy) -> String {
    match Order::parse(line) {
        Ok(order) => {
            order.carry_out(proxy);
            match serde_json::to_string(&proxy.status()) {
                Ok(status) => status + "\n",
                Err(error) => format!("error: {error}\n"),
            }
        }
        Err(reason) => format!("error: {reason}\n"),
    }
}

/// Gives an order to the proxy with this control socket.
///
/// # Returns
/// Its status, as JSON.
///
/// # Errors
/// [`ControlError`].
pub async fn tell(path: &Path, order: Order) -> Result<String, ControlError> {
    let answer = ask(path, order).await.map_err(|source| socket(path, source))?;
    match answer.strip_prefix("error: ") {
        Some(reason) => Err(ControlError::Refused { reason: reason.to_owned() }),
        None => Ok(answer),
    }
}

async fn ask(path: &Path, order: Order) -> io::Result<String> {
    let mut stream = tokio::net::UnixStream::connect(path).await?;
    stream.write_all(format!("{}\n", order.line()).as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).take(MAX_LINE_BYTES).read_line(&mut answer).await?;
    if answer.ends_with('\n') {
        Ok(answer.trim_end().to_owned())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn socket(path: &Path, source: io::Error) -> ControlError {
    ControlError::Socket { path: path.display().to_string(), source }
}
