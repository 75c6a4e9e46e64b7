//! Errors on the wire: canonical gRPC codes with `google.rpc` details, and how to read them.
//!
//! Every error carries `ErrorInfo` with the domain and a stable reason of [`metanode_proto::reason`]. Clients match on
//! the reason, never on text; the message is for people.
//!
//! ```
//! use metanode_proto::reason;
//! use metanode_shell::status::{self, WithRetry};
//! use std::time::Duration;
//!
//! let full = status::reason(tonic::Code::ResourceExhausted, reason::POOL_FULL, "the pool is full", &[("limit", &5)])
//!     .with_retry(Duration::from_millis(200));
//! assert_eq!(status::reason_of(&full).as_deref(), Some("POOL_FULL"));
//! assert_eq!(status::metadata_of(&full, "limit").as_deref(), Some("5"));
//! assert_eq!(status::retry_delay(&full), Some(Duration::from_millis(200)));
//! ```

use metanode_proto::reason::{DOMAIN, INVALID_FIELD, NOT_SERVED_YET};
use std::{collections::HashMap, fmt::Display, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// An error with a stable reason and metadata pairs (key in lower snake case, value as text).
pub fn reason(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    metadata: &[(&str, &dyn Display)],
) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// Says when a retry makes sense.
pub trait WithRetry {
    /// Adds `RetryInfo`: the call may be tried again after `delay`.
    #[must_use]
    fn with_retry(self, delay: Duration) -> Self;
}

impl WithRetry for Status {
    fn with_retry(self, delay: Duration) -> Self {
        let mut details = self.get_error_details();
        details.set_retry_info(Some(delay));
        Status::with_error_details_and_metadata(self.code(), self.message(), details, self.metadata().clone())
    }
}

/// INVALID_ARGUMENT for one field of the request: `field` is its path as in the `.proto` file, `description` names the
/// limit and what was found.
pub fn invalid_field(field: &str, description: impl Into<String>) -> Status {
    let description = description.into();
    let mut details = info(INVALID_FIELD, &[("field", &field)]);
    details.add_bad_request_violation(field, description.as_str());
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {description}"), details)
}

/// UNIMPLEMENTED for a call that is part of the contract and not served by this version, such as
/// `PeerService.FetchBoundary`.
pub fn not_served_yet(call: &str) -> Status {
    reason(
        Code::Unimplemented,
        NOT_SERVED_YET,
        format!("{call} is not served by this version"),
        &[("call", &call)],
    )
}

/// The reason of an error of ours; `None` for those of the transport, of other domains, and malformed ones.
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason)
}

/// A metadata value of an error of ours.
pub fn metadata_of(status: &Status, key: &str) -> Option<String> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
    info.and_then(|mut info| info.metadata.remove(key))
}

/// When to try again, if the error says so.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

fn info(reason: &str, metadata: &[(&str, &dyn Display)]) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_proto::reason::COMMIT_GAP;

    /// As a client sees it: through headers and back.
    fn over_the_wire(status: &Status) -> Status {
        let mut headers = tonic::metadata::MetadataMap::new().into_headers();
        status.add_header(&mut headers).unwrap();
        Status::from_header_map(&headers).unwrap()
    }

    #[test]
    fn reason_metadata_and_retry_survive_the_wire() {
        let sent = reason(
            Code::OutOfRange,
            COMMIT_GAP,
            "gap",
            &[("expected_index", &8_u64), ("found_index", &9_u64)],
        );
        let received = over_the_wire(&sent.with_retry(Duration::from_millis(1_500)));
        assert_eq!((received.code(), received.message()), (Code::OutOfRange, "gap"));
        assert_eq!(reason_of(&received).as_deref(), Some(COMMIT_GAP));
        assert_eq!(metadata_of(&received, "expected_index").as_deref(), Some("8"));
        assert_eq!(metadata_of(&received, "found_index").as_deref(), Some("9"));
        assert_eq!(metadata_of(&received, "other"), None);
        assert_eq!(retry_delay(&received), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn an_invalid_field_is_named_in_its_details() {
        let received = over_the_wire(&invalid_field("transactions[3]", "600000 bytes, at most 524288"));
        assert_eq!(received.code(), Code::InvalidArgument);
        assert_eq!(reason_of(&received).as_deref(), Some(INVALID_FIELD));
        let violations = received.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "transactions[3]");
        assert_eq!(violations[0].description, "600000 bytes, at most 524288");
        assert_eq!(retry_delay(&received), None);
    }

    #[test]
    fn a_call_that_is_not_served_says_so() {
        let status = not_served_yet("PeerService.FetchBoundary");
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(reason_of(&status).as_deref(), Some(NOT_SERVED_YET));
    }

    #[test]
    fn errors_of_others_have_no_reason() {
        assert_eq!(reason_of(&Status::unavailable("transport")), None);
        let foreign = Status::with_error_details(
            Code::Internal,
            "",
            ErrorDetails::with_error_info(
                COMMIT_GAP,
                "elsewhere",
                [("expected_index".to_owned(), "1".to_owned())],
            ),
        );
        assert_eq!(reason_of(&foreign), None);
        assert_eq!(metadata_of(&foreign, "expected_index"), None);
        let malformed = Status::with_details(Code::Internal, "", vec![0xff; 8].into());
        assert_eq!(reason_of(&malformed), None);
        assert_eq!(retry_delay(&malformed), None);
    }
}
