//! `ExecuteCommits` with requests that are bytes: a message that cannot be decoded has to be sent as well.

use bytes::{BufMut, Bytes};
use http::uri::PathAndQuery;
use metanode_proto::executor::v1::ExecuteCommitsResponse;
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

const PATH: &str = "/metanode.executor.v1.ExecutorService/ExecuteCommits";

/// Calls it; answers of more than `answer_bytes` are refused.
///
/// # Errors
/// What the master answers at once.
pub(crate) async fn execute_commits(
    channel: Channel,
    messages: ReceiverStream<Bytes>,
    answer_bytes: usize,
) -> Result<Streaming<ExecuteCommitsResponse>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(answer_bytes);
    client.ready().await.map_err(|error| Status::unavailable(crate::client::causes(&error)))?;
    let call = client.streaming(Request::new(messages), PathAndQuery::from_static(PATH), BytesCodec);
    Ok(call.await?.into_inner())
}

/// Requests as they are, answers as the contract has them.
#[derive(Clone, Copy, Debug)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = ExecuteCommitsResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = ExecuteCommitsResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        ExecuteCommitsResponse::decode(from)
            .map(Some)
            .map_err(|error| Status::internal(format!("an answer cannot be decoded: {error}")))
    }
}
