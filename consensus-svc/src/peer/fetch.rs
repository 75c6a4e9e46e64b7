//! Asks one peer for blocks by name.

use std::collections::BTreeSet;

use bytes::Bytes;
use consensus_core::{AnswerCheck, BlockRef, BlockSource, Fetch, FetchEnd};
use metanode_proto::peer::v1::FetchBlocksRequest;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    asker::Asker,
    client::SessionEnd,
    event::{PeerEvent, label},
    link::Link,
    request::{MAX_FETCH_REFS, answer_limits},
};
use crate::wire::block_ref_to_proto;

/// The fetches from one peer, one call at a time. Each ends by one event, with or without an answer: the core asks another
/// peer then, if it likes.
#[derive(Debug)]
pub(super) struct FetchWorker {
    pub(super) asker: Asker,
    pub(super) requests: mpsc::Receiver<Fetch>,
}

/// What came of one call.
struct Answered {
    /// Blocks that were asked for and came, and their bytes.
    came: BTreeSet<BlockRef>,
    size_bytes: u64,
    /// Whether more than those came: then all that the peer holds of them did.
    has_appended: bool,
}

impl FetchWorker {
    /// Runs until shutdown, or until the driver is gone.
    pub(super) async fn run(self) {
        let Self { asker, requests } = self;
        asker.until_shutdown(Fetching { asker: &asker }.run_requests(requests)).await;
    }
}

/// The worker at work.
struct Fetching<'a> {
    asker: &'a Asker,
}

impl Fetching<'_> {
    async fn run_requests(&self, mut requests: mpsc::Receiver<Fetch>) {
        while let Some(fetch) = requests.recv().await {
            let end = match self.run_request(&fetch).await {
                Ok(()) => FetchEnd::Answered,
                Err(SessionEnd::Finished) => return,
                Err(end) => {
                    self.asker.tell(&end);
                    FetchEnd::Failed
                }
            };
            let event = PeerEvent::FetchEnded { fetch: fetch.id, end };
            if self.asker.shared.hand_on(event).await.is_err() {
                return;
            }
        }
    }

    /// Asks as often as answers are cut.
    async fn run_request(&self, fetch: &Fetch) -> Result<(), SessionEnd> {
        let link = self.asker.link()?;
        let mut wanted: BTreeSet<BlockRef> = fetch.blocks.iter().copied().collect();
        let fetching = async {
            while !wanted.is_empty() {
                self.call(&link, fetch, &mut wanted).await?;
            }
            Ok(())
        };
        let authority = i64::from(self.asker.peer.authority.get());
        let fetching = fetching.instrument(tracing::debug_span!("consensus.peer.fetch", authority));
        self.asker.while_open(&link, fetching).await
    }

    /// One call for as many as it may name. Takes out of `wanted` what came, and what the peer does not hold: at least one.
    async fn call(
        &self,
        link: &Link,
        fetch: &Fetch,
        wanted: &mut BTreeSet<BlockRef>,
    ) -> Result<(), SessionEnd> {
        let shared = &self.asker.shared;
        let asked: BTreeSet<BlockRef> = wanted.iter().take(MAX_FETCH_REFS).copied().collect();
        let request = FetchBlocksRequest {
            epoch: shared.genesis.committee().epoch().get(),
            blocks: asked.iter().map(block_ref_to_proto).collect(),
            held_rounds: fetch.held.iter().map(|round| round.get()).collect(),
        };
        let mut client = shared.client(link.channel.clone());
        let blocks = self.asker.answer(client.fetch_blocks(request)).await?.blocks;
        let limits = answer_limits(&shared.genesis);
        if blocks.len() > limits.max_blocks {
            return Err(self.asker.fault(label::UNREQUESTED).await);
        }
        let check = AnswerCheck::new(asked.iter().copied(), fetch.held.clone());
        let answered = self.hand_on(blocks, &asked, check).await?;
        // A long answer was cut by bytes: what is missing in it is asked for again. In a short one it is not held.
        let is_whole = answered.has_appended || answered.size_bytes < limits.max_bytes / 2;
        let is_settled =
            |block: &BlockRef| answered.came.contains(block) || (is_whole && asked.contains(block));
        wanted.retain(|block| !is_settled(block));
        Ok(())
    }

    async fn hand_on(
        &self,
        blocks: Vec<Bytes>,
        asked: &BTreeSet<BlockRef>,
        mut check: AnswerCheck,
    ) -> Result<Answered, SessionEnd> {
        let verdict = self.asker.shared.verifier.verify(blocks).await.ok_or(SessionEnd::Finished)?;
        let mut blocks = verdict.valid;
        let belong = blocks.iter().take_while(|block| check.admit(block)).count();
        let unrequested = belong < blocks.len();
        blocks.truncate(belong);
        let of_asked = blocks.iter().filter(|block| asked.contains(&block.reference()));
        let answered = Answered {
            came: of_asked.clone().map(|block| block.reference()).collect(),
            size_bytes: of_asked.clone().map(|block| block.signed_bytes().len() as u64).sum(),
            has_appended: of_asked.count() < blocks.len(),
        };
        if !blocks.is_empty() {
            let (from, source) = (self.asker.peer.authority, BlockSource::Fetched);
            self.asker.shared.hand_on(PeerEvent::Blocks { from, source, blocks }).await?;
        }
        match verdict.invalid {
            _ if unrequested => Err(self.asker.fault(label::UNREQUESTED).await),
            Some(error) => Err(self.asker.fault(error.label()).await),
            None => Ok(answered),
        }
    }
}
