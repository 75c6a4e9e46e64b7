//! The two connections to a master, which live and die together.
//!
//! Two sockets may reach two lives of a process, an answer that is late may be read as that of the next query, and a buffer of an old
//! connection may still be drained. So both are taken out while one of them is used, and put back only when that went
//! well: whatever ends a use early, an error, a time-out or a caller that gives up, closes both.

use std::{fmt, time::Duration};

use futures::FutureExt;
use metanode_proto::legacy::v1::{request, response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{
    address::{Address, Duplex},
    error::LegacyError,
    frame,
};

/// Time for a query and its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an error of the master that are kept.
const MAX_TEXT_BYTES: usize = 256;

const BLOCKS: &str = "blocks";
const QUERIES: &str = "queries";

/// Both connections; closed when dropped.
pub(super) struct Link {
    sockets: Option<Sockets>,
    /// When blocks were connected, or a block was sent.
    fed: Instant,
    /// When anything was sent.
    spoken: Instant,
}

struct Sockets {
    blocks: Box<dyn Duplex>,
    queries: Box<dyn Duplex>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("open", &self.sockets.is_some()).finish_non_exhaustive()
    }
}

impl Link {
    /// Connects both anew, to one process.
    ///
    /// # Errors
    /// [`LegacyError::Connect`], [`LegacyError::OtherProcess`].
    pub(super) async fn connect(blocks: &Address, queries: &Address) -> Result<Self, LegacyError> {
        let connect = async |address: &Address| {
            let connected = address.connect().await;
            connected.map_err(|source| LegacyError::Connect { address: address.clone(), source })
        };
        let (blocks, queries) = (connect(blocks).await?, connect(queries).await?);
        if let (Some(blocks), Some(queries)) = (blocks.peer, queries.peer)
            && blocks != queries
        {
            return Err(LegacyError::OtherProcess { blocks, queries });
        }
        let sockets = Sockets { blocks: blocks.stream, queries: queries.stream };
        let now = Instant::now();
        Ok(Self { sockets: Some(sockets), fed: now, spoken: now })
    }

    /// Sends a block. That it was sent says nothing of what became of it.
    ///
    /// # Errors
    /// [`LegacyError::Broken`], [`LegacyError::Closed`].
    pub(super) async fn feed(&mut self, frame: &[u8]) -> Result<(), LegacyError> {
        let mut sockets = self.take()?;
        let broken = |source| LegacyError::Broken { channel: BLOCKS, source };
        sockets.blocks.write_all(frame).await.map_err(broken)?;
        sockets.blocks.flush().await.map_err(broken)?;
        self.put_back(sockets);
        self.fed = Instant::now();
        Ok(())
    }

    /// Asks one query.
    ///
    /// # Errors
    /// [`LegacyError::Refused`], after which the link goes on; any other closed it.
    pub(super) async fn ask(
        &mut self,
        query: &'static str,
        payload: request::Payload,
    ) -> Result<response::Payload, LegacyError> {
        let mut sockets = self.take()?;
        // What is known to be there already is no answer to this.
        if let Some(error) = end_of(&mut sockets).now_or_never() {
            return Err(error);
        }
        let question = frame::query(payload);
        let exchange = async {
            let broken = |source| LegacyError::Broken { channel: QUERIES, source };
            sockets.queries.write_all(&question).await.map_err(broken)?;
            sockets.queries.flush().await.map_err(broken)?;
            let answer = frame::answer(&mut sockets.queries).await;
            answer.map_err(|source| LegacyError::Frame { query, source })
        };
        let limit = ANSWER_TIMEOUT;
        let answer = timeout(limit, exchange).await.map_err(|_| LegacyError::TimedOut { query, limit })??;
        self.put_back(sockets);
        match answer {
            response::Payload::Error(text) => Err(LegacyError::Refused { query, text: cut(&text) }),
            answer => Ok(answer),
        }
    }

    /// Resolves when the master closes one of them, or sends what it was not asked; then both are closed. Nothing is lost if
    /// it is dropped while it waits.
    pub(super) async fn ended(&mut self) -> LegacyError {
        let error = match &mut self.sockets {
            Some(sockets) => end_of(sockets).await,
            None => LegacyError::Closed { channel: QUERIES },
        };
        self.close();
        error
    }

    /// Waits.
    ///
    /// # Errors
    /// What [`Link::ended`] resolves to, as soon as it does.
    pub(super) async fn pause(&mut self, pause: Duration) -> Result<(), LegacyError> {
        tokio::select! {
            error = self.ended() => Err(error),
            () = sleep(pause) => Ok(()),
        }
    }

    /// Closes both.
    pub(super) fn close(&mut self) {
        self.sockets = None;
    }

    /// When blocks were connected, or a block was sent.
    pub(super) const fn fed(&self) -> Instant {
        self.fed
    }

    /// When anything was sent.
    pub(super) const fn spoken(&self) -> Instant {
        self.spoken
    }

    fn take(&mut self) -> Result<Sockets, LegacyError> {
        self.sockets.take().ok_or(LegacyError::Closed { channel: QUERIES })
    }

    fn put_back(&mut self, sockets: Sockets) {
        self.sockets = Some(sockets);
        self.spoken = Instant::now();
    }
}

async fn end_of(sockets: &mut Sockets) -> LegacyError {
    let mut byte = [[0; 1]; 2];
    let [of_blocks, of_queries] = &mut byte;
    let (channel, read) = tokio::select! {
        biased;
        read = sockets.blocks.read(of_blocks) => (BLOCKS, read),
        read = sockets.queries.read(of_queries) => (QUERIES, read),
    };
    match read {
        Ok(0) => LegacyError::Closed { channel },
        Ok(_) => LegacyError::Unasked { channel },
        Err(source) => LegacyError::Broken { channel, source },
    }
}

/// At most [`MAX_TEXT_BYTES`], cut between characters.
fn cut(text: &str) -> String {
    let end = text.char_indices().map(|(place, one)| place + one.len_utf8());
    let end = end.take_while(|end| *end <= MAX_TEXT_BYTES).last().unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use metanode_proto::legacy::v1::{CurrentEpoch, GetCurrentEpochRequest, Response};
    use prost::Message;
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// A link, and the master's ends of blocks and queries.
    async fn connected() -> (tempfile::TempDir, Link, UnixStream, UnixStream) {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name| {
            let path = folder.path().join(name);
            (UnixListener::bind(&path).unwrap(), Address::Path(path))
        };
        let ((blocks, blocks_at), (queries, queries_at)) = (listen("blocks"), listen("queries"));
        let link = Link::connect(&blocks_at, &queries_at).await.unwrap();
        let (blocks, _) = blocks.accept().await.unwrap();
        let (queries, _) = queries.accept().await.unwrap();
        (folder, link, blocks, queries)
    }

    fn question() -> request::Payload {
        request::Payload::GetCurrentEpoch(GetCurrentEpochRequest {})
    }

    fn epoch(epoch: u64) -> Vec<u8> {
        let payload = Some(response::Payload::CurrentEpoch(CurrentEpoch { epoch }));
        let body = Response { payload }.encode_to_vec();
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    /// The master's end of a connection that the proxy has closed.
    async fn is_closed(mut stream: UnixStream) -> bool {
        let mut rest = Vec::new();
        // What the proxy had not read makes this end a reset.
        timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn d13_a_time_out_closes_both_connections_before_the_answer_comes() {
        let (_folder, mut link, blocks, mut queries) = connected().await;
        let late = link.ask("GetCurrentEpoch", question()).await;
        assert!(matches!(late, Err(LegacyError::TimedOut { query: "GetCurrentEpoch", .. })), "{late:?}");
        // It comes now, and is that of no other query.
        let _ = queries.write_all(&epoch(1)).await;
        let next = link.ask("GetCurrentEpoch", question()).await;
        assert!(matches!(next, Err(LegacyError::Closed { .. })), "{next:?}");
        assert!(is_closed(blocks).await && is_closed(queries).await);
    }

    #[tokio::test]
    async fn d13_a_caller_that_gives_up_closes_both_connections() {
        let (_folder, mut link, blocks, mut queries) = connected().await;
        assert!(link.ask("GetCurrentEpoch", question()).now_or_never().is_none());
        let _ = queries.write_all(&epoch(1)).await;
        assert!(matches!(link.ask("GetCurrentEpoch", question()).await, Err(LegacyError::Closed { .. })));
        assert!(is_closed(blocks).await && is_closed(queries).await);
    }

    #[tokio::test]
    async fn d13_bytes_that_nobody_asked_for_end_the_link() {
        let (_folder, mut link, blocks, mut queries) = connected().await;
        queries.write_all(&epoch(1)).await.unwrap();
        assert!(matches!(link.ended().await, LegacyError::Unasked { channel: QUERIES }));
        let next = link.ask("GetCurrentEpoch", question()).await;
        assert!(matches!(next, Err(LegacyError::Closed { .. })), "{next:?}");
        assert!(is_closed(blocks).await && is_closed(queries).await);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_its_text_is_cut() {
        let (_folder, mut link, _blocks, mut queries) = connected().await;
        let answered = tokio::spawn(async move {
            let mut question = [0; 6];
            queries.read_exact(&mut question).await.unwrap();
            let body =
                Response { payload: Some(response::Payload::Error("\u{e9}".repeat(200))) }.encode_to_vec();
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            queries.write_all(&[&length[..], &body].concat()).await.unwrap();
            queries.read_exact(&mut question).await.unwrap();
            queries.write_all(&epoch(7)).await.unwrap();
            queries
        });
        let Err(LegacyError::Refused { text, .. }) = link.ask("GetCurrentEpoch", question()).await else {
            panic!("an error is no answer")
        };
        assert_eq!(text.len(), MAX_TEXT_BYTES);
        assert_eq!(link.current_epoch().await.unwrap(), 7);
        drop(answered.await.unwrap());
    }

    #[tokio::test]
    async fn d14_the_end_of_either_connection_is_seen_while_nothing_is_asked() {
        let (_folder, mut link, blocks, queries) = connected().await;
        assert!(link.ended().now_or_never().is_none());
        drop(blocks);
        assert!(matches!(link.ended().await, LegacyError::Closed { channel: BLOCKS }));
        drop(queries);
        let (_folder, mut link, _blocks, queries) = connected().await;
        drop(queries);
        assert!(matches!(link.ended().await, LegacyError::Closed { channel: QUERIES }));
    }
}
