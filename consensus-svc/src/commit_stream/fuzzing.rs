//! Answers of an executor.

use bytes::Bytes;
use consensus_core::{CommitDigest, CommitIndex};
use metanode_proto::executor::v1::{
    Acknowledgement, ExecuteCommitsResponse, execute_commits_response::Message as Answer,
};
use prost::Message;

use super::{Window, executor::CheckedAcknowledgement};

/// Commits sent before the first answer.
const SENT: u8 = 20;

/// Takes pieces (length in two bytes, bytes) for the answers on an open stream.
///
/// # Panics
/// If the cursor falls, passes what was sent, or moves on an answer with another digest: a bug.
pub fn acknowledgements(mut bytes: &[u8]) {
    let mut window = Window::new(usize::from(SENT), u64::MAX, CommitIndex::NONE, CommitDigest::ZERO);
    for index in 1..=SENT {
        window.sent(CommitDigest::new([index; 32]), u64::from(index));
    }
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (answer, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        bytes = rest;
        let Ok(response) = ExecuteCommitsResponse::decode(Bytes::copy_from_slice(answer)) else { continue };
        let Ok(read) = CheckedAcknowledgement::read(response) else { continue };
        let before = window.executed();
        let covered = window.acknowledge(read.index, read.digest).unwrap_or(0);
        let after = window.executed();
        assert_eq!(after.get(), before.get() + covered, "the cursor and what was covered differ");
        assert_eq!(window.last_sent().get(), u64::from(SENT), "what was sent changes");
        let is_that = covered == 0
            || (after == read.index
                && read.digest.as_bytes().iter().all(|byte| u64::from(*byte) == after.get()));
        assert!(is_that, "{after} is taken for executed on {read:?}");
        let left: u64 = (after.get() + 1..=u64::from(SENT)).sum();
        assert_eq!(window.in_flight_bytes(), left);
    }
}

/// Single, cumulative and repeated acknowledgements.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let runs: [&[u8]; 3] = [&[1, 2, 3], &[7, 7, 20], &[5, 3, 21]];
    let encode = |index: &u8| {
        let acknowledgement = Acknowledgement {
            index: u64::from(*index),
            digest: vec![*index; 32].into(),
            state_root: vec![9; 32].into(),
            ..Acknowledgement::default()
        };
        let response = ExecuteCommitsResponse { message: Some(Answer::Acknowledgement(acknowledgement)) };
        let bytes = response.encode_to_vec();
        let length = u16::try_from(bytes.len()).expect("an acknowledgement is small");
        [&length.to_le_bytes()[..], &bytes].concat()
    };
    runs.map(|run| run.iter().flat_map(encode).collect()).to_vec()
}
