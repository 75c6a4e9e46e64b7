//! What a failed call tells, by code and reason.

use metanode_proto::reason;
use metanode_shell::{
    grpc::EndpointError,
    status::{metadata_of, reason_of, retry_delay},
};
use std::{error::Error, time::Duration};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a call failed. Each kind says whether the service may have acted: [`CallError::outcome_unknown`].
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address cannot be used; nothing was sent.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The connection could not be made, or broke before the answer: the service may or may not have acted.
    #[error("no connection to the service, or it broke before the answer")]
    Disconnected {
        /// What the transport said.
        #[source]
        source: Box<Status>,
    },
    /// UNAVAILABLE by the service itself: it starts or drains.
    #[error("the service is unavailable: {}", text(reason))]
    Unavailable {
        /// Its stable reason, where it gave one.
        reason: Option<String>,
        /// When it asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// RESOURCE_EXHAUSTED: no room now; nothing was taken.
    #[error("the service has no room now: {}", text(reason))]
    Busy {
        /// Its stable reason: `POOL_FULL` or `EXECUTOR_LAGS`.
        reason: Option<String>,
        /// When it asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// A transaction of the batch already waits in the pool; nothing of this batch was taken.
    #[error("transaction {} of the batch already waits in the pool", text(position))]
    AlreadyPooled {
        /// Its place in the batch, from 0, where the service tells.
        position: Option<u32>,
    },
    /// The node knows nothing of the transaction: it was not submitted there, or its window has passed.
    #[error("the node knows nothing of this transaction")]
    UnknownTransaction,
    /// INVALID_ARGUMENT: the request breaks a limit. Trying again does not help.
    #[error("invalid {}: {description}", text(field))]
    Invalid {
        /// Path of the field, as in the `.proto` file.
        field: Option<String>,
        /// The limit and what was found.
        description: String,
    },
    /// The commit asked for is no longer held.
    #[error("the commit is pruned, the earliest one held is {}", text(earliest_index))]
    Pruned {
        /// Earliest commit that the node holds, from 1.
        earliest_index: Option<u64>,
    },
    /// The commit asked for does not exist yet.
    #[error("the commit does not exist yet, the newest one is {}", text(commit_index))]
    Ahead {
        /// Newest commit of the node; 0 before the first.
        commit_index: Option<u64>,
    },
    /// The time for the call is over. It ends the wait, not what was submitted.
    #[error("the time for the call is over")]
    DeadlineExceeded,
    /// Any other refusal. Trying again does not help: among them `NOT_PROPOSING` and `DELIVERY_STOPPED`, which an operator
    /// must mend.
    #[error("the service refused with {code:?} ({}): {message}", text(reason))]
    Refused {
        /// Canonical code.
        code: Code,
        /// Stable reason, where it gave one.
        reason: Option<String>,
        /// Text, for people.
        message: String,
    },
    /// The answer breaks the contract.
    #[error("the answer breaks the contract: {found}")]
    BrokenContract {
        /// What was found.
        found: String,
    },
}

impl CallError {
    /// Reads code and details of a status.
    pub fn from_status(status: Status) -> Self {
        // Only a status that was made on this side has a source; those from the wire have none.
        if status.source().is_some() && status.code() != Code::DeadlineExceeded {
            return Self::Disconnected { source: Box::new(status) };
        }
        let reason = reason_of(&status);
        let number = |key| metadata_of(&status, key).and_then(|value| value.parse().ok());
        match (status.code(), reason.as_deref()) {
            (Code::Unavailable, _) => Self::Unavailable { reason, retry_after: retry_delay(&status) },
            (Code::ResourceExhausted, _) => Self::Busy { reason, retry_after: retry_delay(&status) },
            (Code::AlreadyExists, Some(reason::TRANSACTION_POOLED)) => Self::AlreadyPooled {
                position: metadata_of(&status, "position").and_then(|value| value.parse().ok()),
            },
            (Code::InvalidArgument, _) => invalid(&status),
            (Code::NotFound, Some(reason::TRANSACTION_UNKNOWN)) => Self::UnknownTransaction,
            (_, Some(reason::COMMIT_PRUNED)) => Self::Pruned { earliest_index: number("earliest_index") },
            (_, Some(reason::COMMIT_AHEAD)) => Self::Ahead { commit_index: number("commit_index") },
            // This side ends a call whose time is over as CANCELLED, the service as DEADLINE_EXCEEDED.
            (Code::DeadlineExceeded | Code::Cancelled, _) => Self::DeadlineExceeded,
            (code, _) => Self::Refused { code, reason, message: status.message().to_owned() },
        }
    }

    /// Whether the service may have acted on the call: then a submission may be in the order already.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::Unavailable { .. } | Self::DeadlineExceeded => true,
            // They also end waits for what was taken before.
            Self::Refused { reason: Some(reason), .. } => {
                [reason::NOT_PROPOSING, reason::DELIVERY_STOPPED].contains(&reason.as_str())
            }
            _ => false,
        }
    }

    /// Whether the same call may succeed later, without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::Unavailable { .. } | Self::Busy { .. })
    }

    /// How long the service asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn invalid(status: &Status) -> CallError {
    let violation =
        status.get_details_bad_request().and_then(|details| details.field_violations.into_iter().next());
    match violation {
        Some(violation) => {
            CallError::Invalid { field: Some(violation.field), description: violation.description }
        }
        None => CallError::Invalid { field: None, description: status.message().to_owned() },
    }
}

fn text(value: &Option<impl ToString>) -> String {
    value.as_ref().map_or_else(|| "not told".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_shell::status::{WithRetry, invalid_field, reason};

    #[test]
    fn kinds_follow_code_and_reason_not_text() {
        let full = reason(Code::ResourceExhausted, reason::POOL_FULL, "x", &[])
            .with_retry(Duration::from_millis(70));
        let error = CallError::from_status(full);
        assert!(matches!(&error, CallError::Busy { reason: Some(reason), .. } if reason == "POOL_FULL"));
        assert_eq!(error.retry_after(), Some(Duration::from_millis(70)));
        assert!(error.is_transient() && !error.outcome_unknown());

        let pooled = reason(Code::AlreadyExists, reason::TRANSACTION_POOLED, "x", &[("position", &3)]);
        let error = CallError::from_status(pooled);
        assert!(matches!(error, CallError::AlreadyPooled { position: Some(3) }));

        let pruned = reason(Code::OutOfRange, reason::COMMIT_PRUNED, "x", &[("earliest_index", &9)]);
        let error = CallError::from_status(pruned);
        assert!(matches!(error, CallError::Pruned { earliest_index: Some(9) }));

        let unknown = reason(Code::NotFound, reason::TRANSACTION_UNKNOWN, "x", &[]);
        let error = CallError::from_status(unknown);
        assert!(matches!(error, CallError::UnknownTransaction) && !error.is_transient());

        let error = CallError::from_status(Status::already_exists("TRANSACTION_POOLED"));
        assert!(matches!(error, CallError::Refused { code: Code::AlreadyExists, .. }));
    }

    #[test]
    fn what_only_an_operator_mends_is_not_tried_again_and_may_have_been_taken() {
        for stopped in [reason::NOT_PROPOSING, reason::DELIVERY_STOPPED] {
            let error = CallError::from_status(reason(Code::FailedPrecondition, stopped, "x", &[]));
            assert!(matches!(&error, CallError::Refused { reason: Some(reason), .. } if reason == stopped));
            assert!(!error.is_transient() && error.outcome_unknown());
        }
        let other = CallError::from_status(Status::failed_precondition("x"));
        assert!(!other.is_transient() && !other.outcome_unknown());
    }

    #[test]
    fn an_invalid_field_is_named() {
        let error = CallError::from_status(invalid_field("transactions[3]", "600000 bytes, at most 524288"));
        assert_eq!(error.to_string(), "invalid transactions[3]: 600000 bytes, at most 524288");
        assert!(!error.is_transient());
    }
}
