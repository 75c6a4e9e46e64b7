//! Reads a peer's stream in batches: what is there is taken together, nothing is waited for.

use bytes::Bytes;
use consensus_core::Round;
use futures::{FutureExt, Stream, StreamExt};
use metanode_proto::{
    peer::v1::{SubscribeBlocksResponse, subscribe_blocks_response::Event},
    reason,
};
use metanode_shell::status::reason_of;
use tonic::{Code, Status};

use super::{config::PeerLimits, event::label};

/// Why no more comes.
#[derive(Debug)]
pub(super) enum StreamEnd {
    /// The peer closed it, or the connection was lost.
    Lost(String),
    /// The peer sent what no honest authority sends.
    Fault(&'static str),
}

/// What came together. Blocks stand before the hint and before the end.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) blocks: Vec<Bytes>,
    pub(super) wake: Option<Round>,
    pub(super) end: Option<StreamEnd>,
}

/// Waits for the first event, then takes those that are ready, up to the limits of a batch.
pub(super) async fn next_batch<S>(stream: &mut S, limits: &PeerLimits) -> Batch
where
    S: Stream<Item = Result<SubscribeBlocksResponse, Status>> + Unpin,
{
    let mut batch = Batch::default();
    let mut size_bytes = 0u64;
    let mut ready = Some(stream.next().await);
    while let Some(item) = ready {
        match event_of(item) {
            Ok(Event::Block(bytes)) => {
                size_bytes = size_bytes.saturating_add(bytes.len() as u64);
                batch.blocks.push(bytes);
            }
            Ok(Event::Wake(hint)) => {
                batch.wake = Some(Round::new(hint.round));
                break;
            }
            Err(end) => {
                batch.end = Some(end);
                break;
            }
        }
        if batch.blocks.len() >= limits.batch_blocks || size_bytes >= limits.batch_bytes {
            break;
        }
        ready = stream.next().now_or_never();
    }
    batch
}

fn event_of(item: Option<Result<SubscribeBlocksResponse, Status>>) -> Result<Event, StreamEnd> {
    match item {
        None => Err(StreamEnd::Lost("the peer ended the stream".to_owned())),
        Some(Err(status)) => Err(end_of(&status)),
        Some(Ok(SubscribeBlocksResponse { event: None })) => Err(StreamEnd::Fault(label::MALFORMED)),
        Some(Ok(SubscribeBlocksResponse { event: Some(event) })) => Ok(event),
    }
}

/// What a failed call says of the peer. This end's decoder says OUT_OF_RANGE of a message above the limit; the contract
/// has it only for commits that the peer no longer holds, with a reason.
pub(super) fn end_of(status: &Status) -> StreamEnd {
    let is_pruned = || reason_of(status).as_deref() == Some(reason::COMMIT_PRUNED);
    if status.code() == Code::OutOfRange && !is_pruned() {
        StreamEnd::Fault(label::OVERSIZED)
    } else {
        StreamEnd::Lost(format!("{:?}: {}", status.code(), status.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use metanode_proto::peer::v1::WakeHint;

    fn block(size: usize) -> Result<SubscribeBlocksResponse, Status> {
        Ok(SubscribeBlocksResponse { event: Some(Event::Block(vec![0; size].into())) })
    }

    fn wake(round: u64) -> Result<SubscribeBlocksResponse, Status> {
        Ok(SubscribeBlocksResponse { event: Some(Event::Wake(WakeHint { round })) })
    }

    #[tokio::test]
    async fn what_is_ready_comes_together_and_a_hint_ends_a_batch() {
        let mut events = stream::iter([block(1), block(2), wake(7), block(3)]);
        let limits = PeerLimits::default();
        let batch = next_batch(&mut events, &limits).await;
        assert_eq!((batch.blocks.len(), batch.wake), (2, Some(Round::new(7))));
        assert!(batch.end.is_none());
        let batch = next_batch(&mut events, &limits).await;
        assert_eq!((batch.blocks.len(), batch.wake), (1, None));
        assert!(matches!(batch.end, Some(StreamEnd::Lost(_))));
    }

    #[tokio::test]
    async fn count_and_bytes_bound_a_batch() {
        let limits = PeerLimits { batch_blocks: 2, batch_bytes: 10, ..PeerLimits::default() };
        let mut events = stream::iter([block(1), block(1), block(10), block(1)]);
        for expected in [2, 1, 1] {
            assert_eq!(next_batch(&mut events, &limits).await.blocks.len(), expected);
        }
    }

    #[tokio::test]
    async fn blocks_before_a_fault_are_kept() {
        let empty = Ok(SubscribeBlocksResponse { event: None });
        let mut events = stream::iter([block(1), empty]);
        let batch = next_batch(&mut events, &PeerLimits::default()).await;
        assert_eq!(batch.blocks.len(), 1);
        assert!(matches!(batch.end, Some(StreamEnd::Fault(label::MALFORMED))));
        let mut events = stream::iter([Err(Status::out_of_range("too large"))]);
        let batch = next_batch(&mut events, &PeerLimits::default()).await;
        assert!(matches!(batch.end, Some(StreamEnd::Fault(label::OVERSIZED))));
    }
}
