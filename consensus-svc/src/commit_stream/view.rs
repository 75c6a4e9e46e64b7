//! What is known of the executor and of the stream to it, for status, health, intake and metrics.

use consensus_core::{CommitDigest, CommitIndex, StateRoot};
use metanode_proto::consensus::v1::{ExecutorState, ExecutorStep};

use tokio::time::Instant;

use super::StopReason;

/// What the stream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// No connection, or the executor is not ready; tried again with backoff.
    Connecting,
    /// Commits from the log are being sent.
    Replaying,
    /// Commits are sent as they are made.
    Live,
    /// Ended for this process life.
    Stopped(StopReason),
}

/// A snapshot, replaced as a whole at each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorView {
    /// What the stream does.
    pub delivery: Delivery,
    /// Newest commit known to be executed; before the first handshake, what was written down.
    pub executed_index: CommitIndex,
    /// Its digest; zero where it is not known.
    pub executed_digest: CommitDigest,
    /// State root after it, where the executor gives one.
    pub state_root: Option<StateRoot>,
    /// First index that the newest handshake made this process send; none before the first.
    pub replay_from: CommitIndex,
    /// First commit that was really handed to the newest stream; none before the first.
    pub first_sent: CommitIndex,
    /// Commits sent since this process started, resends included.
    pub sent_total: u64,
    /// Commits that the executor dropped as already executed since this process started.
    pub duplicates_total: u64,
    /// The step at which delivery stands; told to people, nothing follows from it.
    pub step: ExecutorStep,
    /// When it came to this step.
    pub step_since: Instant,
    /// Why the last attempt failed; `None` where none has since the stream was last open.
    pub failure: Option<String>,
}

impl ExecutorView {
    /// Before the first handshake: what was written down as acknowledged.
    pub fn new(executed_index: CommitIndex, executed_digest: CommitDigest) -> Self {
        Self {
            delivery: Delivery::Connecting,
            executed_index,
            executed_digest,
            state_root: None,
            replay_from: CommitIndex::NONE,
            first_sent: CommitIndex::NONE,
            sent_total: 0,
            duplicates_total: 0,
            step: ExecutorStep::Connecting,
            step_since: Instant::now(),
            failure: None,
        }
    }

    /// As status tells it.
    pub const fn executor_state(&self) -> ExecutorState {
        match self.delivery {
            Delivery::Connecting => ExecutorState::Connecting,
            Delivery::Replaying => ExecutorState::Replaying,
            Delivery::Live => ExecutorState::Live,
            Delivery::Stopped(_) => ExecutorState::Stopped,
        }
    }

    /// Why delivery has stopped, if it has.
    pub const fn stop_reason(&self) -> Option<&StopReason> {
        match &self.delivery {
            Delivery::Stopped(reason) => Some(reason),
            _ => None,
        }
    }
}
