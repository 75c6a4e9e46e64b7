//! What an error of the executor means for the stream: decided by its stable reason, never by its text. Pure.

use consensus_core::CommitIndex;
use metanode_proto::reason;
use metanode_shell::status;
use tonic::{Code, Status};

use super::StopReason;

/// What follows from an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ask for the position again, at once; the executor expects this commit, where it says so.
    HandshakeAgain {
        /// The commit that the executor expects.
        expected: Option<CommitIndex>,
    },
    /// Pause, then connect again.
    Reconnect,
    /// End delivery for this process life.
    Stop(StopReason),
}

/// Judges an error of any call to the executor. `next` is the first commit that it has not acknowledged, `incarnation` what this
/// process was issued, 0 before that.
///
/// Order is by incarnation alone: only a higher one is another process. A stream that was ended by one of our own incarnation
/// was repeated by the network on its way, or is an earlier one of ours; it is opened again.
pub(crate) fn judge(error: &Status, next: CommitIndex, incarnation: u64) -> Verdict {
    let Some(found) = status::reason_of(error) else {
        return judge_by_code(error, None, next);
    };
    match found.as_str() {
        reason::COMMIT_GAP => Verdict::HandshakeAgain {
            expected: number(error, "expected_index").filter(|index| *index > 0).map(CommitIndex::new),
        },
        reason::FENCED if incarnation > 0 && number(error, "incarnation") == Some(incarnation) => {
            Verdict::Reconnect
        }
        reason::FENCED => Verdict::Stop(StopReason::Fenced {
            incarnation: status::metadata_of(error, "incarnation").unwrap_or_default(),
        }),
        reason::NOT_READY | reason::DRAINING => Verdict::Reconnect,
        reason::COMMIT_FORK
        | reason::WRONG_CHAIN
        | reason::WRONG_AUTHORITY
        | reason::WRONG_EPOCH
        | reason::MALFORMED_COMMIT
        | reason::MALFORMED_STREAM => refused(&found, error, next),
        _ => judge_by_code(error, Some(&found), next),
    }
}

/// A code that says that the same call will be refused the same way again ends delivery; any other is tried again.
fn judge_by_code(error: &Status, found: Option<&str>, next: CommitIndex) -> Verdict {
    let code = match error.code() {
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::DataLoss => "DATA_LOSS",
        _ => return Verdict::Reconnect,
    };
    refused(found.unwrap_or(code), error, next)
}

fn refused(reason: &str, error: &Status, next: CommitIndex) -> Verdict {
    Verdict::Stop(StopReason::Refused {
        index: number(error, "index").map_or(next, CommitIndex::new),
        reason: reason.chars().take(100).collect(),
        message: error.message().chars().take(500).collect(),
    })
}

fn number(error: &Status, key: &str) -> Option<u64> {
    status::metadata_of(error, key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code, text: &'static str) -> Status {
        status::reason(
            code,
            text,
            "words",
            &[("expected_index", &8_u64), ("index", &9_u64), ("incarnation", &3)],
        )
    }

    const NEXT: CommitIndex = CommitIndex::new(5);

    /// Judged by a process of incarnation 2.
    fn judge(error: &Status) -> Verdict {
        super::judge(error, NEXT, 2)
    }

    #[test]
    fn d08_a_gap_asks_for_the_position_again() {
        let verdict = judge(&error(Code::FailedPrecondition, reason::COMMIT_GAP));
        assert_eq!(verdict, Verdict::HandshakeAgain { expected: Some(CommitIndex::new(8)) });
    }

    #[test]
    fn d12_fencing_is_final() {
        let verdict = judge(&error(Code::Aborted, reason::FENCED));
        assert_eq!(verdict, Verdict::Stop(StopReason::Fenced { incarnation: "3".to_owned() }));
        // Whoever does not say by whom is taken at the worst.
        let unnamed = status::reason(Code::Aborted, reason::FENCED, "words", &[]);
        assert_eq!(judge(&unnamed), Verdict::Stop(StopReason::Fenced { incarnation: String::new() }));
    }

    #[test]
    fn d11_a_stream_that_our_own_incarnation_ended_is_opened_again() {
        let by = |incarnation: u64| {
            status::reason(Code::Aborted, reason::FENCED, "words", &[("incarnation", &incarnation)])
        };
        assert_eq!(judge(&by(2)), Verdict::Reconnect);
        assert!(matches!(judge(&by(3)), Verdict::Stop(StopReason::Fenced { .. })));
        // Before it was issued one, a process has none that could be its own.
        let none = super::judge(&by(0), NEXT, 0);
        assert!(matches!(none, Verdict::Stop(StopReason::Fenced { .. })));
    }

    #[test]
    fn contradictions_stop_delivery_by_their_name() {
        for name in [
            reason::COMMIT_FORK,
            reason::WRONG_CHAIN,
            reason::WRONG_AUTHORITY,
            reason::WRONG_EPOCH,
            reason::MALFORMED_COMMIT,
            reason::MALFORMED_STREAM,
        ] {
            let Verdict::Stop(stop) = judge(&error(Code::FailedPrecondition, name)) else {
                panic!("{name} must stop")
            };
            assert_eq!(stop.name(), name);
            assert!(!stop.halts_core() || name == reason::COMMIT_FORK);
        }
    }

    #[test]
    fn x10_a_refusal_that_would_come_again_stops_delivery_at_its_commit() {
        let stopped = |index, reason: &str, message: &str| {
            let (reason, message) = (reason.to_owned(), message.to_owned());
            Verdict::Stop(StopReason::Refused { index: CommitIndex::new(index), reason, message })
        };
        for (code, name) in [
            (Code::FailedPrecondition, "FAILED_PRECONDITION"),
            (Code::InvalidArgument, "INVALID_ARGUMENT"),
            (Code::PermissionDenied, "PERMISSION_DENIED"),
            (Code::Unimplemented, "UNIMPLEMENTED"),
            (Code::OutOfRange, "OUT_OF_RANGE"),
            (Code::DataLoss, "DATA_LOSS"),
        ] {
            let named = status::reason(code, "A_LATER_ONE", "words", &[("index", &9_u64)]);
            assert_eq!(judge(&named), stopped(9, "A_LATER_ONE", "words"));
            assert_eq!(judge(&Status::new(code, "words")), stopped(5, name, "words"));
        }
    }

    #[test]
    fn everything_else_is_tried_again() {
        for code in [
            Code::ResourceExhausted,
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::Cancelled,
            Code::Aborted,
            Code::Internal,
            Code::Unknown,
        ] {
            assert_eq!(judge(&error(code, "A_LATER_ONE")), Verdict::Reconnect);
            assert_eq!(judge(&Status::new(code, "words")), Verdict::Reconnect);
        }
        assert_eq!(judge(&error(Code::Unavailable, reason::NOT_READY)), Verdict::Reconnect);
        assert_eq!(judge(&error(Code::Unavailable, reason::DRAINING)), Verdict::Reconnect);
        assert_eq!(judge(&Status::unavailable("transport")), Verdict::Reconnect);
        assert_eq!(judge(&Status::aborted("FENCED")), Verdict::Reconnect);
    }
}
