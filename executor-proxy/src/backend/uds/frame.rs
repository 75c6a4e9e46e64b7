//! Frames of both channels: a length, then a message.
//!
//! Blocks have an unsigned varint before them, queries and answers a u32 in big-endian order.

use std::io;

use bytes::Bytes;
use metanode_proto::legacy::v1::{Request, Response, request, response};
use prost::{DecodeError, Message};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest answer, in bytes.
pub(super) const MAX_ANSWER_BYTES: u32 = 10 << 20;

/// Why an answer cannot be read.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Longer than an answer may be. It is not read.
    #[error("it has {length} bytes, at most {MAX_ANSWER_BYTES} are allowed")]
    TooLong {
        /// The length that it claims.
        length: u32,
    },
    /// The connection broke, or ended within it.
    #[error("the connection broke within it")]
    Io(#[source] io::Error),
    /// Its bytes are no message.
    #[error("its bytes are no message")]
    Decode(#[from] DecodeError),
    /// A message that says nothing.
    #[error("it is empty")]
    Empty,
}

/// A block, with its length before it.
pub(super) fn block(message: &impl Message) -> Vec<u8> {
    message.encode_length_delimited_to_vec()
}

/// A query, with its length before it.
pub(super) fn query(payload: request::Payload) -> Vec<u8> {
    let body = Request { payload: Some(payload) }.encode_to_vec();
    let length = u32::try_from(body.len()).expect("a query has a few numbers");
    [&length.to_be_bytes()[..], &body].concat()
}

/// Reads one answer and nothing behind it. Memory grows with what comes, not with what is claimed.
pub(super) async fn answer(reader: &mut (impl AsyncRead + Unpin)) -> Result<response::Payload, FrameError> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).await.map_err(FrameError::Io)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_ANSWER_BYTES {
        return Err(FrameError::TooLong { length });
    }
    let mut body = Vec::new();
    let read = reader.take(u64::from(length)).read_to_end(&mut body).await.map_err(FrameError::Io)?;
    if u32::try_from(read) != Ok(length) {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Response::decode(Bytes::from(body))?.payload.ok_or(FrameError::Empty)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use metanode_proto::legacy::v1::{CurrentEpoch, GetEpochBoundaryDataRequest, GetLastBlockNumberRequest};

    use super::*;

    fn read(mut bytes: &[u8]) -> (Result<response::Payload, FrameError>, usize) {
        let outcome = answer(&mut bytes).now_or_never().expect("all bytes are there");
        (outcome, bytes.len())
    }

    #[test]
    fn queries_have_frozen_bytes() {
        use request::Payload::{GetEpochBoundaryData, GetLastBlockNumber};
        assert_eq!(query(GetLastBlockNumber(GetLastBlockNumberRequest {})), [0, 0, 0, 2, 0x2a, 0]);
        let boundary = GetEpochBoundaryData(GetEpochBoundaryDataRequest { epoch: 300 });
        assert_eq!(query(boundary), [0, 0, 0, 5, 0x4a, 3, 8, 0xac, 2]);
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let (outcome, left) = read(&[0, 0, 0, 4, 0x32, 2, 8, 7, 9, 9]);
        assert_eq!((outcome.unwrap(), left), (response::Payload::CurrentEpoch(CurrentEpoch { epoch: 7 }), 2));
    }

    #[test]
    fn d13_half_a_frame_is_no_answer() {
        for end in 0..8 {
            let (outcome, _) = read(&[0, 0, 0, 4, 0x32, 2, 8, 7][..end]);
            assert!(matches!(outcome, Err(FrameError::Io(_))), "cut at {end}: {outcome:?}");
        }
    }

    #[test]
    fn t07_an_answer_over_its_limit_is_not_read() {
        let (outcome, _) = read(&(MAX_ANSWER_BYTES + 1).to_be_bytes());
        assert!(matches!(outcome, Err(FrameError::TooLong { length }) if length == MAX_ANSWER_BYTES + 1));
        // At the limit it is read, and found to be short.
        let (outcome, _) = read(&MAX_ANSWER_BYTES.to_be_bytes());
        assert!(matches!(outcome, Err(FrameError::Io(_))));
    }

    #[test]
    fn an_answer_without_content_says_nothing() {
        assert!(matches!(read(&[0; 4]).0, Err(FrameError::Empty)));
        assert!(matches!(read(&[0, 0, 0, 1, 0xff]).0, Err(FrameError::Decode(_))));
    }
}
