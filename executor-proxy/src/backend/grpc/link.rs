//! The open stream to a master: commits out, acknowledgements in, each matched with what it covers.

use std::future::pending;

use metanode_proto::executor::v1::{
    Acknowledgement, ExecuteCommitsRequest, ExecuteCommitsResponse, execute_commits_request,
};
use metanode_shell::executor::{CallError, CheckedAcknowledgement, OpenStream};
use sequencer_core::{Digest, Position, Refusal};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tonic::Streaming;

use super::judge;
use crate::{
    backend::{BackendError, Commit, EpochRecord, Executed, PendingExecution, RejectedTransaction},
    error,
};

/// Longest reason of a rejection, in bytes, as the contract has it.
const MAX_REASON_BYTES: usize = 256;

/// An open stream. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Link {
    commits: mpsc::Sender<ExecuteCommitsRequest>,
    waiting: mpsc::Sender<Waiting>,
    ending: watch::Receiver<Option<Ending>>,
    /// Aborts the reader with the link.
    _reader: JoinSet<()>,
}

/// A commit that was sent and is not acknowledged.
#[derive(Debug)]
struct Waiting {
    position: Position,
    answer: oneshot::Sender<Executed>,
}

/// Why the stream ended; told to each that waits.
#[derive(Clone, Debug)]
enum Ending {
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
    /// Reads what the master answers from now on. At most `window_commits` wait for it.
    pub(super) fn start(stream: OpenStream, window_commits: usize) -> Self {
        let OpenStream { commits, answers, opened: _ } = stream;
        let (waiting, sent) = mpsc::channel(window_commits.max(1));
        let (told, ending) = watch::channel(None);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            let mut unacknowledged = Unacknowledged { sent, next: None };
            told.send_replace(Some(read(answers, &mut unacknowledged).await));
        });
        Self { commits, waiting, ending, _reader: reader }
    }

    /// Sends a commit. It is listed before, so that no acknowledgement can be faster.
    pub(super) async fn execute(&mut self, commit: Commit) -> Result<PendingExecution, BackendError> {
        let position = Position { index: commit.index, digest: commit.digest };
        let (answer, answered) = oneshot::channel();
        let message = Some(execute_commits_request::Message::Commit(*commit.message));
        let listed = self.waiting.send(Waiting { position, answer }).await.is_ok();
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

/// What was sent and is not acknowledged, oldest first.
struct Unacknowledged {
    sent: mpsc::Receiver<Waiting>,
    /// Taken from `sent`, and above what was acknowledged.
    next: Option<Waiting>,
}

impl Unacknowledged {
    /// Answers all that an acknowledgement covers. It is cumulative; the root belongs to the last one, rejections to each.
    fn acknowledge(&mut self, response: ExecuteCommitsResponse) -> Result<(), Ending> {
        let checked = CheckedAcknowledgement::read(response)
            .map_err(|_| Ending::Malformed { field: "acknowledgement" })?;
        let CheckedAcknowledgement { digest, state_root, wire } = checked;
        let last = Position { index: wire.index, digest: Digest(digest) };
        let end = epoch_end(&wire)?;
        let mut covered = false;
        while let Some(waiting) = self.up_to(last.index) {
            let position = waiting.position;
            let is_last = position.index == last.index;
            if is_last && position.digest != last.digest {
                let (ours, theirs) = (position.digest, last.digest);
                let fork = Refusal::Fork { index: last.index, ours, theirs };
                return Err(Ending::Told(Box::new(error::refused(&fork))));
            }
            covered |= is_last;
            // Whoever waited may have gone; the cursor then is asked anew.
            let _ = waiting.answer.send(Executed {
                position,
                state_root: state_root.filter(|_| is_last).map(Digest),
                rejected: rejected(&wire, position.index),
                results_unknown: wire.results_unknown,
                epoch_end: end.filter(|_| is_last),
            });
        }
        // One that covers nothing new may only repeat: what was never sent cannot be executed.
        if covered || wire.duplicate {
            Ok(())
        } else {
            Err(Ending::Malformed { field: "acknowledgement.index" })
        }
    }

    fn up_to(&mut self, index: u64) -> Option<Waiting> {
        let waiting = self.next.take().or_else(|| self.sent.try_recv().ok())?;
        if waiting.position.index <= index {
            return Some(waiting);
        }
        self.next = Some(waiting);
        None
    }
}

fn rejected(wire: &Acknowledgement, index: u64) -> Vec<RejectedTransaction> {
    let of_this = wire.rejected.iter().filter(|rejected| rejected.index == index);
    of_this
        .map(|rejected| RejectedTransaction {
            position: rejected.position,
            code: rejected.code,
            reason: cut(&rejected.reason),
        })
        .collect()
}

/// At most [`MAX_REASON_BYTES`], cut between characters.
fn cut(reason: &str) -> String {
    let end = reason.char_indices().map(|(place, one)| place + one.len_utf8());
    let end = end.take_while(|end| *end <= MAX_REASON_BYTES).last().unwrap_or(0);
    reason[..end].to_owned()
}

fn epoch_end(wire: &Acknowledgement) -> Result<Option<EpochRecord>, Ending> {
    let Some(end) = &wire.epoch_end else { return Ok(None) };
    let committee_digest = end.committee_digest.as_ref().try_into();
    let committee_digest =
        committee_digest.map_err(|_| Ending::Malformed { field: "acknowledgement.epoch_end" })?;
    Ok(Some(EpochRecord { epoch: end.next_epoch, committee_digest }))
}
