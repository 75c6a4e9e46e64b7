//! Asks one peer for blocks by name.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use consensus_core::{BlockRef, BlockSource};
use metanode_proto::peer::v1::FetchBlocksRequest;
use tokio::{sync::mpsc, time};
use tracing::Instrument;

use super::{
    client::{SessionEnd, Shared},
    event::{PeerEvent, label},
    inbound::{self, StreamEnd},
    link::{Link, Peer},
    request::{MAX_FETCH_REFS, fetch_cut_bytes},
};
use crate::wire::block_ref_to_proto;

/// The fetches from one peer, one call at a time. What waits meanwhile is merged into the next call; without a connection
/// it is dropped, for the core asks again, and whom it likes.
#[derive(Debug)]
pub(super) struct FetchWorker {
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Shared,
    pub(super) requests: mpsc::Receiver<Vec<BlockRef>>,
}

impl FetchWorker {
    /// Runs until shutdown, or until the driver is gone.
    pub(super) async fn run(mut self) {
        let shutdown = self.shared.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.run_requests() => {}
        }
    }

    async fn run_requests(&mut self) {
        while let Some(first) = self.requests.recv().await {
            let mut wanted: BTreeSet<BlockRef> = first.into_iter().collect();
            while wanted.len() < MAX_FETCH_REFS
                && let Ok(more) = self.requests.try_recv()
            {
                wanted.extend(more);
            }
            let Some(link) = self.peer.link() else { continue };
            let fetching = async {
                while !wanted.is_empty() {
                    self.fetch(&link, &mut wanted).await?;
                }
                Ok(())
            };
            let authority = i64::from(self.peer.authority.get());
            let fetching = fetching.instrument(tracing::debug_span!("consensus.peer.fetch", authority));
            let ended = tokio::select! {
                () = link.broken.cancelled() => Ok(()),
                ended = fetching => ended,
            };
            match ended {
                Err(SessionEnd::Finished) => return,
                Err(SessionEnd::Fault) => link.broken.cancel(),
                Err(SessionEnd::Lost(reason)) => {
                    tracing::debug!(authority, reason, "blocks not fetched");
                }
                Ok(()) => {}
            }
        }
    }

    /// One call for as many as it may name. Takes out of `wanted` what came, and what the peer does not hold: at least one.
    async fn fetch(&self, link: &Link, wanted: &mut BTreeSet<BlockRef>) -> Result<(), SessionEnd> {
        let asked: Vec<BlockRef> = wanted.iter().take(MAX_FETCH_REFS).copied().collect();
        let request = FetchBlocksRequest {
            epoch: self.shared.genesis.committee().epoch().get(),
            blocks: asked.iter().map(block_ref_to_proto).collect(),
        };
        let mut client = self.shared.client(link.channel.clone());
        let answer = time::timeout(self.shared.limits.call_deadline, client.fetch_blocks(request)).await;
        let blocks = match answer {
            Ok(Ok(response)) => response.into_inner().blocks,
            Ok(Err(status)) => match inbound::end_of(&status) {
                StreamEnd::Lost(reason) => return Err(SessionEnd::Lost(reason)),
                StreamEnd::Fault(label) => return Err(self.fault(label).await),
            },
            Err(_elapsed) => return Err(SessionEnd::Lost("the fetch is not answered in time".to_owned())),
        };
        if blocks.len() > asked.len() {
            return Err(self.fault(label::UNREQUESTED).await);
        }
        let size_bytes: u64 = blocks.iter().map(|block| block.len() as u64).sum();
        if !blocks.is_empty() {
            self.hand_on(blocks, wanted).await?;
        }
        // A long answer was cut by bytes: what is missing in it is asked for again. In a short one it is not held.
        if size_bytes < fetch_cut_bytes(&self.shared.genesis) / 2 {
            wanted.retain(|block| asked.binary_search(block).is_err());
        }
        Ok(())
    }

    async fn hand_on(&self, blocks: Vec<Bytes>, wanted: &mut BTreeSet<BlockRef>) -> Result<(), SessionEnd> {
        let verdict = self.shared.verifier.verify(blocks).await.ok_or(SessionEnd::Finished)?;
        let count = verdict.valid.len();
        let blocks: Vec<_> =
            verdict.valid.into_iter().filter(|block| wanted.remove(&block.reference())).collect();
        let unrequested = blocks.len() < count;
        if !blocks.is_empty() {
            let (from, source) = (self.peer.authority, BlockSource::Fetched);
            self.shared.hand_on(PeerEvent::Blocks { from, source, blocks }).await?;
        }
        match verdict.invalid {
            Some(error) => Err(self.fault(error.label()).await),
            None if unrequested => Err(self.fault(label::UNREQUESTED).await),
            None => Ok(()),
        }
    }

    async fn fault(&self, label: &'static str) -> SessionEnd {
        match self.shared.report(&self.peer, label).await {
            Ok(()) => SessionEnd::Fault,
            Err(end) => end,
        }
    }
}
