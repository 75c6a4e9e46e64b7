//! Feeds the executor: connects, asks for its position, opens a stream after it, and does so again when that ends.
//!
//! [`super::handshake`] holds what is decided from the position, [`super::session`] what happens on an open stream.

use std::{sync::Arc, time::Duration};

use consensus_core::{CommitDigest, CommitIndex, Epoch, Genesis};
use metanode_proto::{
    consensus::v1::ExecutorStep,
    executor::v1::{Lease, StreamOpening},
    reason,
};
use metanode_shell::{
    backoff::Backoff,
    executor::{CallError, ExecutorClient, answer_limit},
    status,
};
use metanode_telemetry::{
    metrics::ConsensusMetrics,
    names::{TARGET_STARTUP, as_i64},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use super::{
    CommitSource, ExecutorView, MachineLine, SourceError, StopReason, Window,
    handshake::{self, ExecutorPosition, HandshakeDecision, OurPosition},
    machine_line::ExecutorVerdict,
    outlets::Outlets,
    session::{Session, SessionEnd, warn_call},
    stream_error::{self, Verdict},
    view::Delivery,
};
use crate::{submit::Tracker, wire};

/// What to do while the executor cannot be asked when this process starts (X01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Take part in consensus, and let delivery wait.
    Wait,
    /// Send from commit 1 as soon as the executor can be reached; it drops what it has.
    Genesis,
}

/// How the executor is fed.
#[derive(Clone, Debug)]
pub struct BridgeSettings {
    /// Where the executor listens.
    pub endpoint: Endpoint,
    /// Whether the executor is asked for its position. Without, delivery starts at commit 1 and goes on after what was
    /// acknowledged to this process.
    pub read_enabled: bool,
    /// What to do while it cannot be asked at the start.
    pub on_unavailable: OnUnavailable,
    /// Most commits in flight; at least 1.
    pub window_commits: usize,
    /// Most counted bytes in flight, but for a single commit.
    pub window_bytes: u64,
    /// How long something may be in flight without an acknowledgement.
    pub acknowledge_timeout: Duration,
    /// How long one question, or the opening of the stream, may take.
    pub call_timeout: Duration,
}

/// Why the bridge ends with an error. All else is retried, or shown as a [`StopReason`].
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Delivery is configured to start at commit 1, which is no longer held.
    #[error(
        "delivery without asking the executor starts at commit 1, but the earliest commit held is {earliest}: set \
         `executor.executor_read_enabled = true` and `executor.on_executor_unavailable = \"wait\"`"
    )]
    NeedsHistory {
        /// The earliest commit held.
        earliest: CommitIndex,
    },
    /// The log failed: the node stops.
    #[error("delivery to the executor cannot go on")]
    Log(#[from] SourceError),
}

/// The one feeder of this node's executor. See the module.
#[derive(Debug)]
pub struct Bridge<S> {
    source: Arc<S>,
    genesis: Arc<Genesis>,
    /// Protocol key of this authority: the holder of the lease.
    authority_key: [u8; 32],
    settings: BridgeSettings,
    outlets: Outlets,
    /// Cancelled when our own store is in doubt: this authority must not sign any more.
    halt: CancellationToken,
    verdict: ExecutorVerdict,
    backoff: Backoff,
    /// 0 until the executor has issued one; then kept for the life of this process.
    incarnation: u64,
    committee_checked: bool,
    /// Set while delivery goes on without asking: the commit after which it does.
    unasked_after: Option<CommitIndex>,
    /// Streams opened by this process.
    opened: u64,
    /// Attempts since the last open stream.
    failures: u64,
    /// A handshake was repeated without a pause, and no commit was acknowledged since: the next one pauses.
    hurried: bool,
}

/// Where a stream begins.
struct Start {
    after: CommitIndex,
    digest: CommitDigest,
}

/// Why there was no stream, or how it ended.
enum AttemptError {
    Call(CallError),
    /// The executor expects another commit than the one after the position that it was asked for.
    Moved {
        expected: Option<CommitIndex>,
    },
    NotReady,
    Stop(StopReason),
    Log(SourceError),
}

impl<S: CommitSource> Bridge<S> {
    /// Prepares delivery of the commits of `source`. `machine` is told of the executor's roots, and
    /// halted when the executor shows that our own store is in doubt; the view is replaced at every change.
    ///
    /// # Errors
    /// [`BridgeError::NeedsHistory`], [`BridgeError::Log`].
    pub async fn new(
        source: Arc<S>,
        genesis: Arc<Genesis>,
        authority_key: [u8; 32],
        settings: BridgeSettings,
        tracker: Arc<Tracker>,
        metrics: Arc<ConsensusMetrics>,
        machine: MachineLine,
    ) -> Result<(Self, watch::Receiver<ExecutorView>), BridgeError> {
        let earliest = source.earliest_index();
        let from_genesis = !settings.read_enabled || settings.on_unavailable == OnUnavailable::Genesis;
        if from_genesis && earliest > CommitIndex::new(1) {
            return Err(BridgeError::NeedsHistory { earliest });
        }
        let acknowledged = source.acknowledged();
        let digest = source.digest(acknowledged).await?.unwrap_or(CommitDigest::ZERO);
        let (view, receiver) = watch::channel(ExecutorView::new(acknowledged, digest));
        let MachineLine { halt, roots, verdict } = machine;
        let unasked_after = (!settings.read_enabled).then_some(CommitIndex::NONE);
        let bridge = Self {
            source,
            genesis,
            authority_key,
            settings,
            outlets: Outlets::new(view, tracker, metrics, roots),
            halt,
            verdict,
            backoff: Backoff::new(),
            incarnation: 0,
            committee_checked: false,
            unasked_after,
            opened: 0,
            failures: 0,
            hurried: false,
        };
        Ok((bridge, receiver))
    }

    /// Delivers until `shutdown`, or until something is found that only a person can mend; that is then in the view.
    ///
    /// # Errors
    /// [`BridgeError::Log`].
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), BridgeError> {
        let mut verdict = self.verdict.clone();
        loop {
            let attempt = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                reason = verdict.wrong() => Err(AttemptError::Stop(reason)),
                attempt = self.connect() => attempt,
            };
            let end = match attempt {
                Ok(mut session) => {
                    let started = session.executed();
                    let end = tokio::select! {
                        end = session.run(&shutdown) => end,
                        reason = verdict.wrong() => SessionEnd::Stop(reason),
                    };
                    self.session_ended(started, session.executed(), &end);
                    end
                }
                Err(error) => self.attempt_failed(error),
            };
            match end {
                SessionEnd::Shutdown => return Ok(()),
                SessionEnd::Failed(error) => return Err(error.into()),
                SessionEnd::Stop(reason) => {
                    self.stop(&reason);
                    return Ok(());
                }
                SessionEnd::HandshakeAgain { .. } if !self.hurried => {
                    self.hurried = true;
                    self.outlets.delivery(Delivery::Connecting);
                    continue;
                }
                SessionEnd::HandshakeAgain { .. } | SessionEnd::Reconnect => {}
            }
            self.outlets.delivery(Delivery::Connecting);
            self.outlets.step(ExecutorStep::Pausing);
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                // Told at the top.
                _ = verdict.wrong() => {}
                () = sleep(self.backoff.next_delay()) => {}
            }
        }
    }

    /// One connection, one handshake, one open stream.
    async fn connect(&mut self) -> Result<Session<S>, AttemptError> {
        self.outlets.step(ExecutorStep::Connecting);
        let parameters = self.genesis.parameters();
        let limit = answer_limit(parameters.max_commit_bytes, u64::from(parameters.max_commit_transactions));
        let mut client =
            ExecutorClient::connect(&self.settings.endpoint, limit, self.settings.call_timeout).await?;
        let start = match self.unasked_after {
            Some(after) => self.start_after(after).await?,
            None => self.ask(&mut client).await?,
        };
        self.outlets.replay_from(start.after.next());
        self.outlets.step(ExecutorStep::Opening);
        let stream = client.open(self.opening(&start)).await?;
        self.check_incarnation(stream.opened.incarnation)?;
        self.incarnation = stream.opened.incarnation;
        self.check_opened(&start, CommitIndex::new(stream.opened.block_number))?;
        self.opened += 1;
        self.failures = 0;
        self.outlets.opened();
        tracing::info!(
            target: TARGET_STARTUP,
            replay_from = as_i64(start.after.next().get()),
            block_number = as_i64(stream.opened.block_number),
            incarnation = as_i64(self.incarnation),
            "[EXECUTOR-REQ] stream of commits opened"
        );
        let window =
            Window::new(self.settings.window_commits, self.settings.window_bytes, start.after, start.digest);
        let (source, outlets) = (Arc::clone(&self.source), self.outlets.clone());
        Ok(Session::new(source, outlets, stream, window, self.settings.clone()))
    }

    /// Steps 0 to 2 of the handshake.
    async fn ask(&mut self, client: &mut ExecutorClient) -> Result<Start, AttemptError> {
        if !self.committee_checked {
            self.outlets.step(ExecutorStep::Committee);
            tracing::info!(target: TARGET_STARTUP, epoch = 0_i64, "[EXECUTOR-REQ] asking for the committee");
            let members = client.committee(Epoch::GENESIS.get()).await?;
            handshake::compare_committee(self.genesis.committee(), &members).map_err(AttemptError::Stop)?;
            self.committee_checked = true;
        }
        self.outlets.step(ExecutorStep::Position);
        tracing::info!(target: TARGET_STARTUP, "[EXECUTOR-REQ] asking for the last block number");
        let theirs = ExecutorPosition::from(client.position().await?.ok_or(AttemptError::NotReady)?);
        let ours = OurPosition {
            chain_id: self.genesis.chain_id(),
            last_index: self.source.last_index(),
            earliest_index: self.source.earliest_index(),
            acknowledged: self.source.acknowledged(),
            digest_at_theirs: self.source.digest(theirs.block_number).await?,
            epoch: self.genesis.committee().epoch(),
        };
        match handshake::compare(&ours, &theirs) {
            HandshakeDecision::Stop(reason) => Err(AttemptError::Stop(reason)),
            HandshakeDecision::Resume { after, rewound_from } => {
                let roots = self.source.roots().await?;
                if let Some(found) = roots.forbids(after, theirs.state_root) {
                    return Err(AttemptError::Stop(StopReason::contradicted(found)));
                }
                self.tell_position(&ours, &theirs, rewound_from);
                self.outlets.handshaken(&theirs);
                Ok(Start { after, digest: theirs.commit_digest })
            }
        }
    }

    fn tell_position(
        &self,
        ours: &OurPosition,
        theirs: &ExecutorPosition,
        rewound_from: Option<CommitIndex>,
    ) {
        let synced = as_i64(theirs.block_number.get());
        let commit_index = as_i64(ours.last_index.get());
        let replay_from = as_i64(theirs.block_number.next().get());
        if self.opened == 0 {
            tracing::info!(
                target: TARGET_STARTUP,
                synced_block_number = synced,
                commit_index,
                replay_from,
                skipped = synced,
                "[STARTUP] executor position read"
            );
        } else {
            tracing::info!(
                target: TARGET_STARTUP,
                synced_block_number = synced,
                commit_index,
                replay_from,
                "[EXECUTOR-REQ] executor position read"
            );
        }
        if let Some(acknowledged) = rewound_from {
            tracing::warn!(
                target: TARGET_STARTUP,
                synced_block_number = synced,
                acknowledged = as_i64(acknowledged.get()),
                replay_from,
                "[SEQUENTIAL-BUFFER] executor lost commits that it had acknowledged, sending them again"
            );
        }
    }

    /// Without asking: from what this process knows.
    async fn start_after(&self, after: CommitIndex) -> Result<Start, AttemptError> {
        if let Some(found) = self.source.roots().await?.open_contradiction() {
            // Whether it was set back, only the executor could say.
            return Err(AttemptError::Stop(StopReason::contradicted(found)));
        }
        let after = after.min(self.source.last_index());
        let digest = self.source.digest(after).await?.unwrap_or(CommitDigest::ZERO);
        tracing::info!(
            target: TARGET_STARTUP,
            commit_index = as_i64(self.source.last_index().get()),
            replay_from = as_i64(after.next().get()),
            skipped = as_i64(after.get()),
            "[STARTUP] executor is not asked for its position"
        );
        Ok(Start { after, digest })
    }

    fn opening(&self, start: &Start) -> StreamOpening {
        StreamOpening {
            chain_id: wire::bytes32(self.genesis.chain_id().as_bytes()),
            lease: Some(Lease {
                authority: wire::bytes32(&self.authority_key),
                incarnation: self.incarnation,
            }),
            after_index: start.after.get(),
            after_digest: wire::bytes32(start.digest.as_bytes()),
        }
    }

    /// One is always issued, and a process keeps the one that it was issued.
    fn check_incarnation(&self, opened: u64) -> Result<(), CallError> {
        let kept = self.incarnation == 0 || opened == self.incarnation;
        let malformed = CallError::Malformed { call: "ExecuteCommits", field: "opened.incarnation" };
        if opened != 0 && kept { Ok(()) } else { Err(malformed) }
    }

    /// The position may have moved since it was asked, and was perhaps never asked.
    fn check_opened(&self, start: &Start, block_number: CommitIndex) -> Result<(), AttemptError> {
        let ours = self.source.last_index();
        if block_number > ours {
            return Err(AttemptError::Stop(StopReason::ExecutorAhead { executor: block_number, ours }));
        }
        if self.unasked_after.is_none() && block_number != start.after {
            return Err(AttemptError::Moved { expected: Some(block_number.next()) });
        }
        Ok(())
    }

    /// What is kept from a stream that ended.
    fn session_ended(&mut self, started: CommitIndex, executed: CommitIndex, end: &SessionEnd) {
        if executed > started {
            self.backoff.reset();
            self.hurried = false;
        }
        if self.settings.read_enabled {
            // From the first stream on, the executor is asked.
            self.unasked_after = None;
        } else if let SessionEnd::HandshakeAgain { expected: Some(expected) } = end {
            self.unasked_after = Some(CommitIndex::new(expected.get().saturating_sub(1)));
        } else {
            self.unasked_after = Some(executed);
        }
    }

    fn attempt_failed(&mut self, error: AttemptError) -> SessionEnd {
        let unavailable = match &error {
            AttemptError::Stop(reason) => return SessionEnd::Stop(reason.clone()),
            AttemptError::Moved { expected } => return self.moved(*expected),
            AttemptError::Call(CallError::Refused { status, .. }) => {
                match stream_error::judge(status, self.outlets.executed_index().next(), self.incarnation) {
                    Verdict::Stop(reason) => return SessionEnd::Stop(reason),
                    Verdict::HandshakeAgain { expected } => return self.moved(expected),
                    Verdict::Reconnect => true,
                }
            }
            AttemptError::Call(CallError::Connect(_) | CallError::TimedOut { .. })
            | AttemptError::NotReady => true,
            AttemptError::Call(CallError::Malformed { .. } | CallError::NotServing)
            | AttemptError::Log(_) => false,
        };
        self.outlets.failed(failure_text(&error));
        match error {
            AttemptError::Log(error) => return SessionEnd::Failed(error),
            // Worth waking someone once, not at every attempt.
            AttemptError::Call(error) if self.failures == 0 => warn_call(&error),
            AttemptError::Call(error) => tracing::info!(
                target: TARGET_STARTUP,
                attempts = as_i64(self.failures),
                error = &error as &dyn std::error::Error,
                "[EXECUTOR-REQ] still no answer that can be used"
            ),
            AttemptError::NotReady => {
                tracing::info!(
                    target: TARGET_STARTUP,
                    "[EXECUTOR-REQ] executor is not ready, its position is not known yet"
                );
            }
            AttemptError::Stop(_) | AttemptError::Moved { .. } => {}
        }
        self.failures += 1;
        if unavailable && self.opened == 0 && self.settings.on_unavailable == OnUnavailable::Genesis {
            self.unasked_after.get_or_insert(CommitIndex::NONE);
        }
        SessionEnd::Reconnect
    }

    /// Nothing is wrong: the executor, or an earlier stream of ours, went on between the question and the opening.
    fn moved(&mut self, expected: Option<CommitIndex>) -> SessionEnd {
        if let (Some(after), Some(expected)) = (&mut self.unasked_after, expected) {
            *after = CommitIndex::new(expected.get().saturating_sub(1));
        }
        tracing::info!(
            target: TARGET_STARTUP,
            expected_index = as_i64(expected.map_or(0, CommitIndex::get)),
            "[EXECUTOR-REQ] executor expects another commit, asking for its position again"
        );
        SessionEnd::HandshakeAgain { expected }
    }

    /// Whoever reads the event finds the stop in the status, and reads it before that of the machine that it halts.
    fn stop(&self, reason: &StopReason) {
        self.outlets.failed(reason.to_string());
        self.outlets.delivery(Delivery::Stopped(reason.clone()));
        tracing::error!(
            target: TARGET_STARTUP,
            reason = reason.name(),
            detail = %reason,
            halts_consensus = reason.halts_core(),
            "[EXECUTOR-REQ] delivery to the executor has stopped"
        );
        if reason.halts_core() {
            self.halt.cancel();
        }
    }
}

/// An error with all that caused it, in one line.
fn failure_text(error: &AttemptError) -> String {
    let AttemptError::Call(error) = error else { return "the executor is not ready".to_owned() };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

impl From<CallError> for AttemptError {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::Refused { status, .. }
                if status::reason_of(status).as_deref() == Some(reason::NOT_READY) =>
            {
                Self::NotReady
            }
            _ => Self::Call(error),
        }
    }
}

impl From<SourceError> for AttemptError {
    fn from(error: SourceError) -> Self {
        Self::Log(error)
    }
}
