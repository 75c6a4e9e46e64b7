//! Which errors of a master are meant for the sender of the commits, and which say that the master is lost. Decided by stable
//! reasons and codes, never by text. Pure.

use metanode_proto::reason;
use metanode_shell::{executor::CallError, status};
use tonic::{Code, Status};

use crate::backend::BackendError;

/// True where the sender must know: a reason of the contract, or a code that says that the same will be refused again.
/// What a broken connection, a shutdown or an overload gives is not: the master is asked again.
pub(super) fn is_for_the_sender(error: &Status) -> bool {
    match status::reason_of(error).as_deref() {
        Some(reason::NOT_READY | reason::DRAINING | reason::TOO_MANY_CALLS | reason::OPENING_TIMEOUT) => {
            false
        }
        Some(_) => true,
        None => matches!(
            error.code(),
            Code::FailedPrecondition
                | Code::InvalidArgument
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::Unimplemented
                | Code::OutOfRange
                | Code::DataLoss
                | Code::Aborted
        ),
    }
}

/// The same error, without what belongs to the connection it came over.
pub(super) fn passed_on(error: &Status) -> Status {
    Status::with_details(error.code(), error.message(), bytes::Bytes::copy_from_slice(error.details()))
}

/// An error that ended the stream.
pub(super) fn stream(error: Status) -> BackendError {
    if is_for_the_sender(&error) {
        return BackendError::Told(Box::new(passed_on(&error)));
    }
    BackendError::Lost(CallError::Refused { call: "ExecuteCommits", status: Box::new(error) })
}

/// An error of any other call.
pub(super) fn call(error: CallError) -> BackendError {
    match error {
        CallError::Refused { status, .. } if is_for_the_sender(&status) => {
            BackendError::Told(Box::new(passed_on(&status)))
        }
        error => BackendError::Lost(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_the_sender_is_passed_on_whole_and_all_else_is_not() {
        let fork = status::reason(Code::FailedPrecondition, reason::COMMIT_FORK, "fork", &[("index", &7)]);
        let BackendError::Told(told) = stream(fork.clone()) else { panic!("a fork is kept back") };
        assert_eq!((told.code(), told.message()), (fork.code(), "fork"));
        assert_eq!(status::metadata_of(&told, "index").as_deref(), Some("7"));
        for own in [reason::NOT_READY, reason::DRAINING, reason::TOO_MANY_CALLS, reason::OPENING_TIMEOUT] {
            let error = status::reason(Code::Unavailable, own, "later", &[]);
            assert!(matches!(stream(error), BackendError::Lost(_)), "{own}");
        }
        for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal] {
            assert!(matches!(stream(Status::new(code, "")), BackendError::Lost(_)), "{code:?}");
        }
        assert!(matches!(stream(Status::invalid_argument("")), BackendError::Told(_)));
    }
}
