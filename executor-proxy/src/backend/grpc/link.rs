//! The open stream to a master: commits out, acknowledgements in, each matched with what it covers.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
};

use metanode_proto::executor::v1::{
    Acknowledgement, ExecuteCommitsRequest, ExecuteCommitsResponse, RejectedTransaction as WireRejected,
    execute_commits_request,
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

/// How a commit is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is the next one.
    New,
    /// It was executed before, and is to be answered as the first time.
    Again,
}

/// A commit that was sent and is not acknowledged.
#[derive(Debug)]
struct Waiting {
    kind: Kind,
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

/// What was sent and is not acknowledged, oldest first.
struct Unacknowledged {
    sent: mpsc::Receiver<Waiting>,
    /// Taken from `sent`: those that are next, and those that come again. The master answers a commit that comes again at once, also
    /// before new ones that were sent before it. What the driver lets through bounds both.
    new: VecDeque<Waiting>,
    again: VecDeque<Waiting>,
}

impl Unacknowledged {
    const fn new(sent: mpsc::Receiver<Waiting>) -> Self {
        Self { sent, new: VecDeque::new(), again: VecDeque::new() }
    }

    /// Answers all that an acknowledgement covers. It is cumulative; the root belongs to the last one, rejections to each.
    fn acknowledge(&mut self, response: ExecuteCommitsResponse) -> Result<(), Ending> {
        let checked = CheckedAcknowledgement::read(response)
            .map_err(|_| Ending::Malformed { field: "acknowledgement" })?;
        let CheckedAcknowledgement { digest, state_root, mut wire } = checked;
        let last = Position { index: wire.index, digest: Digest(digest) };
        let end = epoch_end(&wire)?;
        let mut rejected = by_commit(std::mem::take(&mut wire.rejected));
        let mut covered = false;
        while let Some(waiting) = self.up_to(&wire) {
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
                rejected: rejected.remove(&position.index).unwrap_or_default(),
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

    /// The next one that an acknowledgement covers: of those that come again, only one that says so does.
    fn up_to(&mut self, wire: &Acknowledgement) -> Option<Waiting> {
        while let Ok(waiting) = self.sent.try_recv() {
            match waiting.kind {
                Kind::New => self.new.push_back(waiting),
                Kind::Again => self.again.push_back(waiting),
            }
        }
        let covered = |waiting: Option<&Waiting>| waiting.is_some_and(|one| one.position.index <= wire.index);
        if wire.duplicate && covered(self.again.front()) {
            return self.again.pop_front();
        }
        if covered(self.new.front()) { self.new.pop_front() } else { None }
    }
}

/// The rejections of each commit, as the master told them. Each is looked at once: an acknowledgement may cover a whole window of
/// commits, and all of their transactions may be rejected.
fn by_commit(told: Vec<WireRejected>) -> BTreeMap<u64, Vec<RejectedTransaction>> {
    let mut rejected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for WireRejected { index, position, code, reason } in told {
        rejected.entry(index).or_default().push(RejectedTransaction { position, code, reason: cut(reason) });
    }
    rejected
}

/// At most [`MAX_REASON_BYTES`], cut between characters.
fn cut(mut reason: String) -> String {
    let end = (0..=MAX_REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or(0));
    reason
}

fn epoch_end(wire: &Acknowledgement) -> Result<Option<EpochRecord>, Ending> {
    let Some(end) = &wire.epoch_end else { return Ok(None) };
    let committee_digest = end.committee_digest.as_ref().try_into();
    let committee_digest =
        committee_digest.map_err(|_| Ending::Malformed { field: "acknowledgement.epoch_end" })?;
    Ok(Some(EpochRecord { epoch: end.next_epoch, committee_digest }))
}

#[cfg(test)]
mod tests {
    use metanode_proto::executor::v1::execute_commits_response::Message;

    use super::*;

    fn position(index: u64) -> Position {
        Position { index, digest: Digest([u8::try_from(index).unwrap(); 32]) }
    }

    /// Commits up to `last` that were sent, and where their outcomes go.
    fn sent(last: u64) -> (Unacknowledged, Vec<oneshot::Receiver<Executed>>) {
        let (waiting, sent) = mpsc::channel(16);
        let answers = (1..=last).map(|index| {
            let (answer, answered) = oneshot::channel();
            waiting.try_send(Waiting { kind: Kind::New, position: position(index), answer }).unwrap();
            answered
        });
        let answers = answers.collect();
        (Unacknowledged::new(sent), answers)
    }

    fn response(acknowledgement: Acknowledgement) -> ExecuteCommitsResponse {
        ExecuteCommitsResponse { message: Some(Message::Acknowledgement(acknowledgement)) }
    }

    fn rejected(index: u64, position: u32) -> WireRejected {
        WireRejected { index, position, code: 7, reason: format!("{index}/{position}") }
    }

    #[test]
    fn a_cumulative_acknowledgement_gives_each_commit_its_own_rejections_and_the_root_to_the_last() {
        let (mut unacknowledged, mut answers) = sent(4);
        let acknowledgement = Acknowledgement {
            index: 3,
            digest: vec![3; 32].into(),
            state_root: vec![9; 32].into(),
            // In no order, of one that it does not cover, and of one that was never sent.
            rejected: vec![rejected(3, 1), rejected(1, 5), rejected(4, 0), rejected(3, 0), rejected(99, 0)],
            ..Acknowledgement::default()
        };
        unacknowledged.acknowledge(response(acknowledgement)).unwrap();
        let told: Vec<_> = answers.drain(..3).map(|mut answer| answer.try_recv().unwrap()).collect();
        let positions = |executed: &Executed| executed.rejected.iter().map(|one| one.position).collect();
        let all: Vec<Vec<u32>> = told.iter().map(positions).collect();
        assert_eq!(all, [vec![5], vec![], vec![1, 0]]);
        assert_eq!(told[0].rejected[0].reason, "1/5");
        let roots: Vec<_> = told.iter().map(|executed| executed.state_root.is_some()).collect();
        assert_eq!(roots, [false, false, true]);
        assert!(answers[0].try_recv().is_err(), "not covered");
    }

    #[test]
    fn d09_a_commit_that_comes_again_is_answered_before_new_ones_and_by_its_own_answer_alone() {
        let (waiting, sent) = mpsc::channel(16);
        let mut unacknowledged = Unacknowledged::new(sent);
        let mut answers: Vec<_> = [(Kind::New, 5), (Kind::Again, 2)]
            .map(|(kind, index)| {
                let (answer, answered) = oneshot::channel();
                waiting.try_send(Waiting { kind, position: position(index), answer }).unwrap();
                answered
            })
            .into();
        let acknowledgement = |index: u8, duplicate| {
            let digest = vec![index; 32].into();
            let index = u64::from(index);
            response(Acknowledgement { index, digest, duplicate, ..Acknowledgement::default() })
        };
        unacknowledged.acknowledge(acknowledgement(5, false)).unwrap();
        assert_eq!(answers[0].try_recv().unwrap().position.index, 5);
        assert!(
            answers[1].try_recv().is_err(),
            "the acknowledgement of a new one has no root of an older one"
        );
        unacknowledged.acknowledge(acknowledgement(2, true)).unwrap();
        assert_eq!(answers[1].try_recv().unwrap().position, position(2));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("x".repeat(300)).len(), MAX_REASON_BYTES);
        let two_bytes = format!("x{}", "\u{e9}".repeat(200));
        assert_eq!(cut(two_bytes).len(), MAX_REASON_BYTES - 1);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
