//! What this service's errors are on the wire: the one place where they become [`tonic::Status`].
//!
//! The reason is stable and for programs, the message for people.

use metanode_proto::reason;
use metanode_shell::status;
use tonic::{Code, Status};

use crate::{
    commit_log::{FeedError, LogError},
    wire::WireError,
};

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        let text = error.to_string();
        let description = text.strip_prefix(error.field()).unwrap_or(&text).trim_start();
        status::invalid_field(error.field(), description)
    }
}

impl From<LogError> for Status {
    fn from(error: LogError) -> Self {
        status::reason(Code::Internal, reason::STORAGE_FAILED, error.to_string(), &[])
    }
}

impl From<FeedError> for Status {
    fn from(error: FeedError) -> Self {
        let text = error.to_string();
        match error {
            FeedError::Ahead { last, .. } => {
                status::reason(Code::OutOfRange, reason::COMMIT_AHEAD, text, &[("commit_index", &last)])
            }
            FeedError::Pruned { earliest, .. } => status::reason(
                Code::OutOfRange,
                reason::COMMIT_PRUNED,
                text,
                &[("earliest_index", &earliest)],
            ),
            FeedError::Log(error) => error.into(),
            FeedError::ShutDown => status::reason(Code::Unavailable, reason::DRAINING, text, &[]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::CommitIndex;

    #[test]
    fn a_malformed_field_is_an_invalid_argument_that_names_it() {
        let sent: Status = WireError::Length { field: "chain_id".to_owned(), length: 31 }.into();
        assert_eq!(sent.code(), Code::InvalidArgument);
        assert_eq!(sent.message(), "chain_id: has 31 bytes, 32 are needed");
        assert_eq!(status::metadata_of(&sent, "field").as_deref(), Some("chain_id"));
    }

    #[test]
    fn a_reader_out_of_range_is_told_what_there_is() {
        let (four, nine) = (CommitIndex::new(4), CommitIndex::new(9));
        let ahead: Status = FeedError::Ahead { after: nine, last: four }.into();
        assert_eq!(status::reason_of(&ahead).as_deref(), Some(reason::COMMIT_AHEAD));
        assert_eq!(status::metadata_of(&ahead, "commit_index").as_deref(), Some("4"));
        let pruned: Status = FeedError::Pruned { next: four, earliest: nine }.into();
        assert_eq!((pruned.code(), ahead.code()), (Code::OutOfRange, Code::OutOfRange));
        assert_eq!(status::metadata_of(&pruned, "earliest_index").as_deref(), Some("9"));
    }
}
