//! The open stream to a master: commits out, acknowledgements in.

use std::future::pending;

use metanode_proto::executor::v1::{ExecuteCommitsRequest, ExecuteCommitsResponse, execute_commits_request};
use metanode_shell::executor::{CallError, OpenStream};
use sequencer_core::Position;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tonic::Streaming;

use super::{
    judge,
    unacknowledged::{Kind, Unacknowledged, Waiting},
};
use crate::backend::{BackendError, Commit, PendingExecution};

/// An open stream. Dropping it ends it.
///
/// A commit that was let through never waits for the master here: the queue has room for the whole window, which bounds its bytes, and
/// for one that comes again, of which there is one at a time. Else
/// a master with a smaller window of its own would hold the driver, which then sees neither its acknowledgements nor anybody's
/// questions, and takes a slow master for one that hangs.
#[derive(Debug)]
pub(super) struct Link {
    commits: mpsc::Sender<ExecuteCommitsRequest>,
    waiting: mpsc::Sender<Waiting>,
    ending: watch::Receiver<Option<Ending>>,
    /// Aborts reader and writer with the link.
    _tasks: JoinSet<()>,
}

/// Why the stream ended; told to each that waits.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Told(Box<tonic::Status>),
    Lost { call: &'static str, status: Box<tonic::Status> },
    Malformed { field: &'static str },
}

impl Ending {
    fn error(self) -> BackendError {
        const CALL: &str = "ExecuteCommits";
        match self {
            Self::Told(status) => BackendError::Told(status),
            Self::Lost { call, status } => CallError::Refused { call, status }.into(),
            Self::Malformed { field } => CallError::Malformed { call: CALL, field }.into(),
        }
    }
}

impl Link {
    /// Reads what the master answers from now on. At most `window_commits` wait for it, and one that comes again.
    pub(super) fn start(stream: OpenStream, window_commits: usize) -> Self {
        let OpenStream { commits: outgoing, answers, opened: _ } = stream;
        let room = window_commits.max(1) + 1;
        let (waiting, sent) = mpsc::channel(room);
        let (commits, queue) = mpsc::channel(room);
        let (told, ending) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut unacknowledged = Unacknowledged::new(sent);
            told.send_replace(Some(read(answers, &mut unacknowledged).await));
        });
        tasks.spawn(write(queue, outgoing));
        Self { commits, waiting, ending, _tasks: tasks }
    }

    /// Sends a commit. It is listed before, so that no acknowledgement can be faster.
    pub(super) async fn send(
        &mut self,
        commit: Commit,
        kind: Kind,
    ) -> Result<PendingExecution, BackendError> {
        let position = Position { index: commit.index, digest: commit.digest };
        let (answer, answered) = oneshot::channel();
        let message = Some(execute_commits_request::Message::Commit(*commit.message));
        let listed = self.waiting.send(Waiting { kind, position, answer }).await.is_ok();
        if !listed || self.commits.send(ExecuteCommitsRequest { message }).await.is_err() {
            return Err(told(&mut self.ending).await);
        }
        let mut ending = self.ending.clone();
        Ok(Box::pin(async move {
            match answered.await {
                Ok(executed) => Ok(executed),
                Err(_) => Err(told(&mut ending).await),
            }
        }))
    }
}

/// Resolves when the stream has ended; never without one. Nothing is lost if it is dropped while it waits.
pub(super) async fn ended(link: &mut Option<Link>) -> BackendError {
    match link {
        Some(link) => told(&mut link.ending).await,
        None => pending().await,
    }
}

async fn told(ending: &mut watch::Receiver<Option<Ending>>) -> BackendError {
    match ending.wait_for(Option::is_some).await {
        Ok(ending) => ending.clone().map_or(BackendError::Ended, Ending::error),
        Err(_) => BackendError::Ended,
    }
}

/// Hands on what was queued, as fast as the master takes it, until the stream takes no more.
async fn write(
    mut queue: mpsc::Receiver<ExecuteCommitsRequest>,
    outgoing: mpsc::Sender<ExecuteCommitsRequest>,
) {
    while let Some(commit) = queue.recv().await {
        if outgoing.send(commit).await.is_err() {
            return;
        }
    }
}

async fn read(mut answers: Streaming<ExecuteCommitsResponse>, sent: &mut Unacknowledged) -> Ending {
    loop {
        let outcome = match answers.message().await {
            Ok(Some(response)) => sent.acknowledge(response),
            Ok(None) => Err(Ending::Malformed { field: "its end, which no error explains" }),
            Err(status) => Err(match judge::stream(status) {
                BackendError::Told(status) => Ending::Told(status),
                BackendError::Lost(CallError::Refused { call, status }) => Ending::Lost { call, status },
                _ => Ending::Malformed { field: "status" },
            }),
        };
        if let Err(ending) = outcome {
            return ending;
        }
    }
}
