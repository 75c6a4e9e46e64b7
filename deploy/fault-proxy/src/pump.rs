//! One direction of one connection: bytes pass late, slowly, or not at all, but unchanged and in order.

use crate::{
    faults::{Direction, Faults},
    shadow::Shadow,
};
use bytes::{Bytes, BytesMut};
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Bytes read at once, at most.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks on the way: 4 MiB, what a delay of 100 ms needs at 40 MB/s.
pub(crate) const CHUNKS: usize = 256;
/// A slow link is slow all the time, not in bursts: it gets a share of each second at once.
const SHARES_A_SECOND: u64 = 20;

/// What was read, and when. No bytes are the end of the stream, which takes its time like any byte.
struct Chunk {
    read: Instant,
    bytes: Bytes,
}

/// Passes bytes on until the sender has ended, and then its end.
///
/// # Errors
/// What either socket says.
pub(crate) async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    faults: watch::Receiver<Faults>,
    direction: Direction,
    passed: &AtomicU64,
    shadow: Option<Shadow>,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let writing = Writer { faults, direction, shadow }.write(receiver, to, passed);
    tokio::try_join!(read(from, sender), writing)?;
    Ok(())
}

async fn read(from: &mut (impl AsyncRead + Unpin), chunks: mpsc::Sender<Chunk>) -> io::Result<()> {
    loop {
        let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
        let count = from.read_buf(&mut bytes).await?;
        let sent = chunks.send(Chunk { read: Instant::now(), bytes: bytes.freeze() }).await;
        if count == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

struct Writer {
    faults: watch::Receiver<Faults>,
    direction: Direction,
    shadow: Option<Shadow>,
}

impl Writer {
    async fn write(
        mut self,
        mut chunks: mpsc::Receiver<Chunk>,
        to: &mut (impl AsyncWrite + Unpin),
        passed: &AtomicU64,
    ) -> io::Result<()> {
        while let Some(Chunk { read, mut bytes }) = chunks.recv().await {
            self.until_due(read).await;
            if bytes.is_empty() {
                break;
            }
            while !bytes.is_empty() {
                let share = bytes.split_to(self.share().min(bytes.len()));
                to.write_all(&share).await?;
                passed.fetch_add(share.len() as u64, Ordering::Relaxed);
                self.pace(share.len()).await;
                if let Some(shadow) = &mut self.shadow {
                    shadow.send(share);
                }
            }
        }
        to.shutdown().await
    }

    /// Waits until what was read then may arrive, under the faults as they are from moment to moment.
    async fn until_due(&mut self, read: Instant) {
        loop {
            let way = *self.faults.borrow_and_update().way(self.direction);
            let due = read + way.delay;
            if way.stalled {
                self.changed().await;
            } else if due <= Instant::now() {
                return;
            } else {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.changed() => {}
                }
            }
        }
    }

    /// How many bytes may be written at once.
    fn share(&self) -> usize {
        let rate = self.faults.borrow().way(self.direction).bytes_per_s;
        let share = rate.map_or(u64::MAX, |rate| (rate.get() / SHARES_A_SECOND).max(1));
        usize::try_from(share).unwrap_or(usize::MAX)
    }

    /// Waits for as long as so many bytes take, and while nothing passes.
    async fn pace(&mut self, count: usize) {
        let written = Instant::now();
        loop {
            let way = *self.faults.borrow_and_update().way(self.direction);
            let took = way.bytes_per_s.map_or(Duration::ZERO, |rate| time_of(count, rate.get()));
            let due = written + took;
            if !way.stalled && due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due), if !way.stalled => {}
                () = self.changed() => {}
            }
        }
    }

    /// The faults have changed. They do as long as the proxy is there; a link does not outlive it.
    async fn changed(&mut self) {
        if self.faults.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

fn time_of(count: usize, bytes_per_s: u64) -> Duration {
    let nanoseconds = (count as u64).saturating_mul(1_000_000_000) / bytes_per_s;
    Duration::from_nanos(nanoseconds)
}
