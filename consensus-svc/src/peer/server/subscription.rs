//! One subscriber: a cursor over own blocks, moved when the connection has room for the next.

use std::{collections::VecDeque, sync::Arc};

use consensus_core::{Round, VerifiedBlock};
use futures::{Stream, stream};
use metanode_proto::{
    peer::v1::{SubscribeBlocksResponse, WakeHint, subscribe_blocks_response::Event},
    reason,
};
use metanode_shell::status;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::{Code, Status};

use super::{Served, read};
use crate::peer::own_blocks::{Following, Notice};

/// A subscriber's place.
pub(super) struct Subscription {
    served: Arc<Served>,
    notices: watch::Receiver<Notice>,
    /// Highest round that was sent or that the subscriber has.
    cursor: Round,
    /// Highest wake hint that was sent.
    woken: Round,
    /// What was read from the store at once, bounded by the limits of a batch.
    page: VecDeque<VerifiedBlock>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Subscription {
    pub(super) fn new(served: Arc<Served>, after: Round, permit: OwnedSemaphorePermit) -> Self {
        let notices = served.own_blocks.notices();
        Self {
            served,
            notices,
            cursor: after,
            woken: Round::GENESIS,
            page: VecDeque::new(),
            ended: false,
            _permit: permit,
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<SubscribeBlocksResponse, Status>> + Send {
        stream::unfold(self, |mut subscription| async move {
            if subscription.ended {
                return None;
            }
            let event = subscription.next_event().await;
            subscription.ended = event.is_err();
            Some((event.map(|event| SubscribeBlocksResponse { event: Some(event) }), subscription))
        })
    }

    async fn next_event(&mut self) -> Result<Event, Status> {
        loop {
            if self.served.shutdown.is_cancelled() {
                return Err(draining());
            }
            if let Some(block) = self.page.pop_front() {
                return Ok(self.send(&block));
            }
            let notice = *self.notices.borrow_and_update();
            match self.served.own_blocks.following(self.cursor) {
                Following::Block(block) => return Ok(self.send(&block)),
                Following::InStore { floor } => {
                    self.read_page(floor).await?;
                    if self.page.is_empty() {
                        // The store has none of them any more; what is in memory comes next.
                        self.cursor = self.cursor.max(floor);
                    }
                    continue;
                }
                Following::Nothing => {}
            }
            if notice.wake > self.woken {
                self.woken = notice.wake;
                return Ok(Event::Wake(WakeHint { round: notice.wake.get() }));
            }
            tokio::select! {
                () = self.served.shutdown.cancelled() => return Err(draining()),
                changed = self.notices.changed() => changed.map_err(|_| draining())?,
            }
        }
    }

    fn send(&mut self, block: &VerifiedBlock) -> Event {
        self.cursor = block.round();
        Event::Block(block.signed_bytes().clone())
    }

    async fn read_page(&mut self, through: Round) -> Result<(), Status> {
        let (served, after) = (Arc::clone(&self.served), self.cursor);
        let (max_count, max_bytes) = (served.limits.batch_blocks, served.limits.batch_bytes);
        let page = read(move || served.store.own_blocks(after, through, max_count, max_bytes)).await?;
        self.page = page.into();
        Ok(())
    }
}

fn draining() -> Status {
    status::reason(Code::Unavailable, reason::DRAINING, "the service goes down", &[])
}
