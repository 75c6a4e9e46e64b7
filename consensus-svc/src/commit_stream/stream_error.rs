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

/// Judges an error of any call to the executor.
pub(crate) fn judge(error: &Status) -> Verdict {
    let Some(found) = status::reason_of(error) else { return judge_by_code(error) };
    match found.as_str() {
        reason::COMMIT_GAP => Verdict::HandshakeAgain {
            expected: number(error, "expected_index").filter(|index| *index > 0).map(CommitIndex::new),
        },
        reason::FENCED => Verdict::Stop(StopReason::Fenced {
            incarnation: status::metadata_of(error, "incarnation").unwrap_or_default(),
        }),
        reason::COMMIT_FORK => refused(reason::COMMIT_FORK, error),
        reason::WRONG_CHAIN => refused(reason::WRONG_CHAIN, error),
        reason::WRONG_AUTHORITY => refused(reason::WRONG_AUTHORITY, error),
        reason::MALFORMED_COMMIT => refused(reason::MALFORMED_COMMIT, error),
        _ => Verdict::Reconnect,
    }
}

/// A service that does not know the call never will.
fn judge_by_code(error: &Status) -> Verdict {
    match error.code() {
        Code::Unimplemented => refused("UNIMPLEMENTED", error),
        _ => Verdict::Reconnect,
    }
}

fn refused(reason: &'static str, error: &Status) -> Verdict {
    Verdict::Stop(StopReason::Refused { reason, message: error.message().chars().take(500).collect() })
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

    #[test]
    fn d08_a_gap_asks_for_the_position_again() {
        let verdict = judge(&error(Code::FailedPrecondition, reason::COMMIT_GAP));
        assert_eq!(verdict, Verdict::HandshakeAgain { expected: Some(CommitIndex::new(8)) });
    }

    #[test]
    fn d12_fencing_is_final() {
        let verdict = judge(&error(Code::Aborted, reason::FENCED));
        assert_eq!(verdict, Verdict::Stop(StopReason::Fenced { incarnation: "3".to_owned() }));
    }

    #[test]
    fn contradictions_stop_delivery_by_their_name() {
        for name in
            [reason::COMMIT_FORK, reason::WRONG_CHAIN, reason::WRONG_AUTHORITY, reason::MALFORMED_COMMIT]
        {
            let Verdict::Stop(stop) = judge(&error(Code::FailedPrecondition, name)) else {
                panic!("{name} must stop")
            };
            assert_eq!(stop.name(), name);
            assert!(!stop.halts_core() || name == reason::COMMIT_FORK);
        }
    }

    #[test]
    fn everything_else_is_tried_again() {
        assert_eq!(judge(&error(Code::Unavailable, reason::NOT_READY)), Verdict::Reconnect);
        assert_eq!(judge(&error(Code::Unavailable, reason::DRAINING)), Verdict::Reconnect);
        assert_eq!(judge(&Status::unavailable("transport")), Verdict::Reconnect);
        assert_eq!(judge(&Status::aborted("FENCED")), Verdict::Reconnect);
    }
}
