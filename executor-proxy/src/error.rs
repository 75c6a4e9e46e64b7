//! Errors on the wire: the one place that makes a `tonic::Status`.

use std::time::Duration;

use metanode_proto::reason;
use metanode_shell::status::{self, WithRetry};
use sequencer_core::Refusal;
use tonic::{Code, Status};

use crate::wire::Malformed;

/// When a caller that came too early may ask again.
const RETRY_NOT_READY: Duration = Duration::from_millis(200);
/// When a caller may look for the next process after a shutdown.
const RETRY_DRAINING: Duration = Duration::from_secs(1);

/// A refusal of the sequencer.
#[must_use]
pub fn refused(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    let failed = Code::FailedPrecondition;
    match refusal {
        Refusal::Gap { expected, index } => {
            let metadata: [(&str, &dyn std::fmt::Display); 2] =
                [("expected_index", expected), ("index", index)];
            status::reason(failed, reason::COMMIT_GAP, message, &metadata)
        }
        Refusal::Fork { index, ours, theirs } => status::reason(
            failed,
            reason::COMMIT_FORK,
            message,
            &[("index", index), ("ours", ours), ("theirs", theirs)],
        ),
        Refusal::Fenced { incarnation } => {
            status::reason(Code::Aborted, reason::FENCED, message, &[("incarnation", incarnation)])
        }
        Refusal::WrongChain { ours, theirs } => {
            status::reason(failed, reason::WRONG_CHAIN, message, &[("ours", ours), ("theirs", theirs)])
        }
        Refusal::WrongAuthority { ours, theirs } => {
            status::reason(failed, reason::WRONG_AUTHORITY, message, &[("ours", ours), ("theirs", theirs)])
        }
        Refusal::WrongEpoch { ours, theirs } => {
            status::reason(failed, reason::WRONG_EPOCH, message, &[("ours", ours), ("theirs", theirs)])
        }
        Refusal::BeyondBoundary { boundary, accepted } => status::reason(
            failed,
            reason::WRONG_EPOCH,
            message,
            &[("boundary_index", boundary), ("commit_index", accepted)],
        ),
        Refusal::Malformed { field, .. } => {
            let metadata: [(&str, &dyn std::fmt::Display); 1] = [("field", field)];
            status::reason(Code::InvalidArgument, reason::MALFORMED_STREAM, message, &metadata)
        }
    }
}

/// An existing master refuses to begin an epoch, with a text for people.
#[must_use]
pub fn epoch_refused(ours: u64, theirs: u64, text: &str) -> Status {
    let message = format!("the master refuses to begin epoch {theirs}: {text}");
    status::reason(
        Code::FailedPrecondition,
        reason::WRONG_EPOCH,
        message,
        &[("ours", &ours), ("theirs", &theirs)],
    )
}

/// A commit whose form is wrong, or whose bytes are no commit: the stream stops at this index.
#[must_use]
pub fn malformed_commit(index: u64, problem: impl std::fmt::Display) -> Status {
    let message = format!("commit {index} is malformed: {problem}");
    status::reason(Code::InvalidArgument, reason::MALFORMED_COMMIT, message, &[("index", &index)])
}

/// A stream whose messages are in the wrong order or of the wrong kind.
#[must_use]
pub fn malformed_stream(problem: impl std::fmt::Display) -> Status {
    status::reason(Code::InvalidArgument, reason::MALFORMED_STREAM, problem.to_string(), &[])
}

/// A stream without a first message in time. Opening again helps.
#[must_use]
pub fn no_opening(deadline: Duration) -> Status {
    let message = format!("no opening within {} s", deadline.as_secs());
    status::reason(Code::DeadlineExceeded, reason::OPENING_TIMEOUT, message, &[])
}

/// A field of a request that is no stream.
#[must_use]
pub fn invalid_field(malformed: &Malformed) -> Status {
    status::invalid_field(malformed.field, malformed.problem.clone())
}

/// The executor has not loaded its state.
#[must_use]
pub fn not_ready() -> Status {
    let message = "the executor is loading its state";
    status::reason(Code::Unavailable, reason::NOT_READY, message, &[]).with_retry(RETRY_NOT_READY)
}

/// The service shuts down.
#[must_use]
pub fn draining() -> Status {
    let message = "the proxy shuts down";
    status::reason(Code::Unavailable, reason::DRAINING, message, &[]).with_retry(RETRY_DRAINING)
}

/// The executor failed; the service stops.
#[must_use]
pub fn storage_failed() -> Status {
    let message = "the executor failed; its log tells why";
    status::reason(Code::Internal, reason::STORAGE_FAILED, message, &[])
}

/// A committee that is not known.
#[must_use]
pub fn unknown_epoch(epoch: u64) -> Status {
    let message = format!("the committee of epoch {epoch} is not known");
    status::reason(Code::NotFound, reason::UNKNOWN_EPOCH, message, &[("epoch", &epoch)])
}
