//! The second connection of a doubled one.

use crate::{pump::CHUNKS, stream::Stream};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    io::{AsyncWriteExt, copy, sink, split},
    sync::mpsc,
};

/// Sends the bytes of a connection to the server once more.
pub(crate) struct Shadow {
    bytes: Option<mpsc::Sender<Bytes>>,
    lost: Arc<AtomicU64>,
}

impl Shadow {
    /// A shadow, and what it does; that ends with it, or when the server closes. `lost` counts those that fell behind or broke.
    pub(crate) fn cast(
        server: Box<dyn Stream>,
        lost: Arc<AtomicU64>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(CHUNKS);
        let (mut reading, mut writing) = split(server);
        let work = async move {
            let answers = async { copy(&mut reading, &mut sink()).await.map(drop) };
            let sent = async {
                while let Some(bytes) = receiver.recv().await {
                    writing.write_all(&bytes).await?;
                }
                writing.shutdown().await
            };
            // Either end is the end of a shadow; who casts it finds the channel closed.
            let _ = tokio::try_join!(answers, sent);
        };
        (Self { bytes: Some(sender), lost }, work)
    }

    /// Sends bytes, unless the server does not keep up with them or has closed.
    pub(crate) fn send(&mut self, bytes: Bytes) {
        let failed = self.bytes.as_ref().is_some_and(|sender| sender.try_send(bytes).is_err());
        if failed {
            self.bytes = None;
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
