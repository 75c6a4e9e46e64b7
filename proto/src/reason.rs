//! Stable reasons that errors carry in `google.rpc.ErrorInfo`: clients match on these, never on text.

/// `ErrorInfo.domain` of every error of both services.
pub const DOMAIN: &str = "metanode";

/// The pool has no room for the batch; comes with `RetryInfo`.
pub const POOL_FULL: &str = "POOL_FULL";
/// The executor is too far behind for more intake; comes with `RetryInfo`.
pub const EXECUTOR_LAGS: &str = "EXECUTOR_LAGS";
/// A transaction with this digest already waits in the pool.
pub const TRANSACTION_POOLED: &str = "TRANSACTION_POOLED";
/// Nothing is known of a transaction with this digest: it was not submitted here, or its window has passed.
pub const TRANSACTION_UNKNOWN: &str = "TRANSACTION_UNKNOWN";
/// This authority does not propose; its status says why. An operator must mend it.
pub const NOT_PROPOSING: &str = "NOT_PROPOSING";
/// Nothing more is delivered to the executor; the status says why. An operator must mend it.
pub const DELIVERY_STOPPED: &str = "DELIVERY_STOPPED";
/// A field is out of its range; comes with `BadRequest`.
pub const INVALID_FIELD: &str = "INVALID_FIELD";
/// The commit asked for is no longer held.
pub const COMMIT_PRUNED: &str = "COMMIT_PRUNED";
/// The commit asked for does not exist yet.
pub const COMMIT_AHEAD: &str = "COMMIT_AHEAD";
/// A commit came out of order; resend from `expected_index`.
pub const COMMIT_GAP: &str = "COMMIT_GAP";
/// Two different commits claim one index.
pub const COMMIT_FORK: &str = "COMMIT_FORK";
/// The executor will not execute a commit, and nothing behind it.
pub const COMMIT_REFUSED: &str = "COMMIT_REFUSED";
/// A commit cannot be decoded.
pub const MALFORMED_COMMIT: &str = "MALFORMED_COMMIT";
/// A stream broke the order of its messages.
pub const MALFORMED_STREAM: &str = "MALFORMED_STREAM";
/// The first message of a stream did not come in time; open again.
pub const OPENING_TIMEOUT: &str = "OPENING_TIMEOUT";
/// The message of a call did not come in time; call again.
pub const RECEIVE_TIMEOUT: &str = "RECEIVE_TIMEOUT";
/// A newer stream or process has taken over.
pub const FENCED: &str = "FENCED";
/// The service has not loaded its state yet; comes with `RetryInfo`.
pub const NOT_READY: &str = "NOT_READY";
/// The service shuts down; try again on the next one.
pub const DRAINING: &str = "DRAINING";
/// The two sides belong to different chains.
pub const WRONG_CHAIN: &str = "WRONG_CHAIN";
/// The executor belongs to another authority.
pub const WRONG_AUTHORITY: &str = "WRONG_AUTHORITY";
/// The epoch is neither the current one nor the one allowed.
pub const WRONG_EPOCH: &str = "WRONG_EPOCH";
/// The committee of this epoch is not known.
pub const UNKNOWN_EPOCH: &str = "UNKNOWN_EPOCH";
/// The caller's key is not in the committee.
pub const NOT_A_MEMBER: &str = "NOT_A_MEMBER";
/// The store failed; the service stops.
pub const STORAGE_FAILED: &str = "STORAGE_FAILED";
/// As many calls are under way as may be, of this caller or of all; comes with `RetryInfo`.
pub const TOO_MANY_CALLS: &str = "TOO_MANY_CALLS";
/// The call is part of the contract and is not served by this version.
pub const NOT_SERVED_YET: &str = "NOT_SERVED_YET";
