//! The driver's end of the open stream.

use std::future::pending;

use metanode_proto::executor::v1::ExecuteCommitsResponse;
use sequencer_core::StreamId;
use tokio::sync::mpsc;
use tonic::Status;

use crate::backend::Commit;

/// Where the answers of a stream go.
pub type Outbound = mpsc::Sender<Result<ExecuteCommitsResponse, Status>>;

/// Room for one answer.
pub(super) type Permit = mpsc::OwnedPermit<Result<ExecuteCommitsResponse, Status>>;

/// What comes in after the opening.
#[derive(Debug)]
pub enum Inbound {
    /// A commit whose form is right.
    Commit(Commit),
    /// One whose form is wrong; nothing comes after it.
    Malformed {
        /// Its index; `None` if its bytes are no message, then it is the one that was next.
        index: Option<u64>,
        /// What is wrong.
        problem: String,
    },
    /// A message that is no commit; nothing comes after it.
    OutOfOrder {
        /// What is wrong.
        problem: &'static str,
    },
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    inbound: mpsc::Receiver<Inbound>,
    outbound: Outbound,
    /// Room for the error that ends the stream, so that it is never waited for.
    last_word: Permit,
    /// Room for the acknowledgement of what is read next.
    permit: Option<Permit>,
    /// A commit that waits for room in the window.
    parked: Option<Commit>,
}

impl Stream {
    /// Answers the opening; `None` if the client has gone. The channel must be new and have room for three.
    pub(super) fn start(
        id: StreamId,
        inbound: mpsc::Receiver<Inbound>,
        outbound: Outbound,
        opened: ExecuteCommitsResponse,
    ) -> Option<Self> {
        outbound.try_send(Ok(opened)).ok()?;
        let last_word = outbound.clone().try_reserve_owned().ok()?;
        Some(Self { id, inbound, outbound, last_word, permit: None, parked: None })
    }

    pub(super) const fn id(&self) -> StreamId {
        self.id
    }

    /// False while a commit waits for room in the window.
    pub(super) const fn reads(&self) -> bool {
        self.parked.is_none()
    }

    /// Takes the room that [`next`] reserved.
    pub(super) const fn permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    pub(super) fn park(&mut self, commit: Commit, permit: Permit) {
        self.parked = Some(commit);
        self.permit = Some(permit);
    }

    pub(super) const fn unpark(&mut self) -> Option<Commit> {
        self.parked.take()
    }

    /// Ends it with an error.
    pub(super) fn end(self, last_word: Status) {
        drop(self.last_word.send(Err(last_word)));
    }
}

/// Waits for room for an answer, then for a message; `None` when the client has gone or sends no more. Nothing is lost
/// if it is dropped while it waits.
pub(super) async fn next(stream: &mut Option<Stream>) -> Option<Inbound> {
    let Some(stream) = stream else { return pending().await };
    if stream.permit.is_none() {
        stream.permit = Some(stream.outbound.clone().reserve_owned().await.ok()?);
    }
    stream.inbound.recv().await
}
