//! One open stream, from its opening to its end: commits out, acknowledgements in, one cursor.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use consensus_core::{CommitIndex, CommittedSubDag};
use metanode_proto::executor::v1::{ExecuteCommitsRequest, ExecuteCommitsResponse, execute_commits_request};
use metanode_shell::executor::{CallError, OpenStream};
use metanode_telemetry::names::{TARGET_STARTUP, as_i64};
use tokio::{
    sync::mpsc::Permit,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    AcknowledgeError, CommitSource, SourceError, StopReason, Window,
    bridge::BridgeSettings,
    executor::CheckedAcknowledgement,
    outlets::Outlets,
    progress::ReplayProgress,
    stream_error::{self, Verdict},
    view::Delivery,
};
use crate::wire;

/// Commits read from the log at a time; their bytes are bounded by the window.
const PAGE_COMMITS: usize = 64;

/// How a stream ended.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The service goes down.
    Shutdown,
    /// Ask for the position again, at once. Where the executor does not answer questions, it expects this commit.
    HandshakeAgain { expected: Option<CommitIndex> },
    /// Pause, then connect again.
    Reconnect,
    /// End delivery for this process life.
    Stop(StopReason),
    /// The log failed: the node stops.
    Failed(SourceError),
}

type Page = Result<Vec<Arc<CommittedSubDag>>, SourceError>;
type Reading = Pin<Box<dyn Future<Output = Page> + Send>>;

/// The state of one stream.
pub(super) struct Session<S> {
    source: Arc<S>,
    outlets: Outlets,
    stream: OpenStream,
    window: Window,
    /// Read and not sent.
    page: VecDeque<Arc<CommittedSubDag>>,
    /// A read that is under way, so that an acknowledgement does not start it over.
    reading: Option<Reading>,
    settings: BridgeSettings,
    progress: ReplayProgress,
    opened_at: Instant,
    /// Something is in flight, and this is when its executor is given up (X08).
    deadline: Option<Instant>,
    held_back: bool,
}

impl<S: CommitSource> Session<S> {
    pub(super) fn new(
        source: Arc<S>,
        outlets: Outlets,
        stream: OpenStream,
        window: Window,
        settings: BridgeSettings,
    ) -> Self {
        let progress = ReplayProgress::new(window.executed(), source.last_index());
        Self {
            source,
            outlets,
            stream,
            window,
            page: VecDeque::new(),
            reading: None,
            settings,
            progress,
            opened_at: Instant::now(),
            deadline: None,
            held_back: false,
        }
    }

    /// Highest index acknowledged on this stream, or the one it was opened after.
    pub(super) const fn executed(&self) -> CommitIndex {
        self.window.executed()
    }

    /// Runs the stream to its end.
    pub(super) async fn run(&mut self, shutdown: &CancellationToken) -> SessionEnd {
        self.tell_delivery();
        loop {
            self.start_reading();
            self.tell_window();
            let sendable = self.page.front().is_some_and(|next| self.window.admits(next.counted_bytes()));
            let deadline = self.deadline.unwrap_or_else(Instant::now);
            let step = tokio::select! {
                () = shutdown.cancelled() => Step::End(SessionEnd::Shutdown),
                answer = self.stream.answers.message() => Step::Answer(answer),
                page = read(&mut self.reading) => Step::Page(page),
                permit = self.stream.commits.reserve(), if sendable => match permit {
                    Ok(permit) => {
                        send(permit, &mut self.page, &mut self.window);
                        Step::Sent(self.window.last_sent())
                    }
                    // The request side is gone; the answer side tells why.
                    Err(_) => last_word(&mut self.stream.answers, self.settings.call_timeout).await,
                },
                () = sleep_until(deadline), if self.deadline.is_some() => Step::Late,
            };
            if let Some(end) = self.take(step).await {
                return end;
            }
        }
    }

    async fn take(&mut self, step: Step) -> Option<SessionEnd> {
        match step {
            Step::End(end) => Some(end),
            Step::Page(Err(error)) => Some(SessionEnd::Failed(error)),
            Step::Page(Ok(page)) => {
                self.page.extend(page);
                None
            }
            Step::Sent(index) => {
                self.deadline.get_or_insert_with(|| Instant::now() + self.settings.acknowledge_timeout);
                self.outlets.sent(index);
                None
            }
            Step::Late => {
                tracing::warn!(
                    target: TARGET_STARTUP,
                    expected_index = as_i64(self.window.executed().next().get()),
                    in_flight = self.window.in_flight(),
                    timeout_ms = as_i64(millis(self.settings.acknowledge_timeout)),
                    "[EXECUTOR-REQ] no acknowledgement in time, connecting again"
                );
                Some(SessionEnd::Reconnect)
            }
            Step::Answer(answer) => self.take_answer(answer).await,
        }
    }

    async fn take_answer(
        &mut self,
        answer: Result<Option<ExecuteCommitsResponse>, Status>,
    ) -> Option<SessionEnd> {
        let response = match answer {
            Ok(Some(response)) => response,
            Ok(None) => {
                tracing::warn!(
                    target: TARGET_STARTUP,
                    in_flight = self.window.in_flight(),
                    "[EXECUTOR-REQ] executor closed the stream"
                );
                return Some(SessionEnd::Reconnect);
            }
            Err(status) => return Some(self.judge(&status)),
        };
        match CheckedAcknowledgement::read(response) {
            Ok(acknowledgement) => self.acknowledge(&acknowledgement).await.err(),
            Err(error) => {
                warn_call(&error);
                Some(SessionEnd::Reconnect)
            }
        }
    }

    async fn acknowledge(&mut self, acknowledgement: &CheckedAcknowledgement) -> Result<(), SessionEnd> {
        let covered = self
            .window
            .acknowledge(acknowledgement.index, acknowledgement.digest)
            .map_err(|error| SessionEnd::Stop(contradiction(&error)))?;
        if acknowledgement.wire.duplicate {
            tracing::info!(
                target: TARGET_STARTUP,
                commit_index = as_i64(acknowledgement.index.get()),
                "[SEQUENTIAL-BUFFER] executor dropped a commit that it had executed before"
            );
            self.outlets.duplicates(covered.max(1));
        }
        if covered == 0 {
            return Ok(());
        }
        self.deadline =
            (self.window.in_flight() > 0).then(|| Instant::now() + self.settings.acknowledge_timeout);
        self.source.record_acknowledged(acknowledgement.index).await.map_err(SessionEnd::Failed)?;
        self.outlets.executed(acknowledgement);
        if let Some(report) = self.progress.acknowledged(acknowledgement.index, self.opened_at.elapsed()) {
            tracing::info!(
                target: TARGET_STARTUP,
                done = as_i64(report.done),
                total = as_i64(report.total),
                remaining_ms = as_i64(millis(report.remaining)),
                "[SEQUENTIAL-BUFFER] replay progresses"
            );
        }
        self.tell_delivery();
        Ok(())
    }

    fn judge(&self, status: &Status) -> SessionEnd {
        match stream_error::judge(status, self.window.executed().next(), self.stream.opened.incarnation) {
            Verdict::HandshakeAgain { expected } => {
                tracing::warn!(
                    target: TARGET_STARTUP,
                    expected_index = as_i64(expected.map_or(0, CommitIndex::get)),
                    last_sent = as_i64(self.window.last_sent().get()),
                    "[SEQUENTIAL-BUFFER] executor misses a commit, asking for its position again"
                );
                SessionEnd::HandshakeAgain { expected }
            }
            Verdict::Reconnect => {
                tracing::warn!(
                    target: TARGET_STARTUP,
                    code = ?status.code(),
                    message = status.message(),
                    in_flight = self.window.in_flight(),
                    "[EXECUTOR-REQ] stream broke, connecting again"
                );
                SessionEnd::Reconnect
            }
            Verdict::Stop(reason) => SessionEnd::Stop(reason),
        }
    }

    /// Reads the next page once the last one has been sent.
    fn start_reading(&mut self) {
        if self.reading.is_some() || !self.page.is_empty() {
            return;
        }
        let (source, after) = (Arc::clone(&self.source), self.window.last_sent());
        let max_bytes = self.settings.window_bytes;
        self.reading = Some(Box::pin(async move {
            source.wait_beyond(after).await;
            source.read_after(after, PAGE_COMMITS, max_bytes).await
        }));
    }

    fn tell_delivery(&self) {
        let live = self.progress.is_over(self.window.executed());
        self.outlets.delivery(if live { Delivery::Live } else { Delivery::Replaying });
    }

    /// Tells when the window fills and when it opens again.
    fn tell_window(&mut self) {
        self.outlets.in_flight(self.window.in_flight());
        let held_back = self.page.front().is_some_and(|next| !self.window.admits(next.counted_bytes()));
        if held_back == self.held_back {
            return;
        }
        self.held_back = held_back;
        let (commits, bytes) = (self.window.in_flight(), as_i64(self.window.in_flight_bytes()));
        if held_back {
            tracing::debug!(
                target: TARGET_STARTUP,
                commits, bytes,
                "[SEQUENTIAL-BUFFER] window is full, sending waits"
            );
        } else {
            tracing::debug!(
                target: TARGET_STARTUP,
                commits, bytes,
                "[SEQUENTIAL-BUFFER] window has room, sending goes on"
            );
        }
    }
}

enum Step {
    End(SessionEnd),
    Page(Page),
    Sent(CommitIndex),
    Late,
    Answer(Result<Option<ExecuteCommitsResponse>, Status>),
}

/// The page that is being read; never resolves while none is.
async fn read(reading: &mut Option<Reading>) -> Page {
    match reading {
        None => std::future::pending().await,
        Some(page) => {
            let page = page.await;
            *reading = None;
            page
        }
    }
}

/// What the executor says after it has stopped reading.
async fn last_word(answers: &mut Streaming<ExecuteCommitsResponse>, limit: Duration) -> Step {
    match timeout(limit, answers.message()).await {
        Ok(answer) => Step::Answer(answer),
        Err(_) => Step::End(SessionEnd::Reconnect),
    }
}

fn send(
    permit: Permit<'_, ExecuteCommitsRequest>,
    page: &mut VecDeque<Arc<CommittedSubDag>>,
    window: &mut Window,
) {
    let Some(sub_dag) = page.pop_front() else { return };
    tracing::trace!(
        target: TARGET_STARTUP,
        commit_index = as_i64(sub_dag.commit.index.get()),
        "[EXECUTOR-REQ] commit sent"
    );
    window.sent(sub_dag.digest, sub_dag.counted_bytes());
    let commit = wire::commit_to_proto(&sub_dag);
    permit.send(ExecuteCommitsRequest { message: Some(execute_commits_request::Message::Commit(commit)) });
}

fn contradiction(error: &AcknowledgeError) -> StopReason {
    match *error {
        AcknowledgeError::Unsent { index, last_sent } => StopReason::AcknowledgedUnsent { index, last_sent },
        AcknowledgeError::OtherDigest { index, ours, theirs } => StopReason::Fork { index, ours, theirs },
    }
}

pub(super) fn warn_call(error: &CallError) {
    tracing::warn!(
        target: TARGET_STARTUP,
        error = error as &dyn std::error::Error,
        "[EXECUTOR-REQ] no answer that can be used"
    );
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
