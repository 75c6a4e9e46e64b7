//! Asks one peer for certified commits.

use std::sync::Arc;

use consensus_core::{ChainPoint, CommitIndex, MAX_RANGE_BYTES, RangeBytes, RangeError};
use metanode_proto::peer::v1::FetchCommitsRequest;
use metanode_shell::grpc::decode_limit;
use tokio::{sync::mpsc, time};

use super::{
    client::{SessionEnd, Shared},
    event::{CommitsAnswer, PeerEvent},
    inbound::{self, StreamEnd},
    link::{Link, Peer},
};

/// The questions for commits to one peer, one at a time. Each ends by one event; the machine asks one peer at a time, so that
/// nothing piles up here.
#[derive(Debug)]
pub(super) struct CommitsWorker {
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Shared,
    pub(super) requests: mpsc::Receiver<ChainPoint>,
}

impl CommitsWorker {
    /// Runs until shutdown, or until the driver is gone.
    pub(super) async fn run(mut self) {
        let shutdown = self.shared.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.run_requests() => {}
        }
    }

    async fn run_requests(&mut self) {
        while let Some(after) = self.requests.recv().await {
            let answer = match self.run_request(after).await {
                Ok(answer) => answer,
                Err(SessionEnd::Finished) => return,
                Err(SessionEnd::Fault) => CommitsAnswer::Failed { fork: None },
                Err(SessionEnd::Lost(reason)) => {
                    let authority = i64::from(self.peer.authority.get());
                    tracing::debug!(authority, reason, "commits not fetched");
                    CommitsAnswer::Failed { fork: None }
                }
            };
            let event = PeerEvent::Commits { from: self.peer.authority, answer };
            if self.shared.hand_on(event).await.is_err() {
                return;
            }
        }
    }

    async fn run_request(&self, after: ChainPoint) -> Result<CommitsAnswer, SessionEnd> {
        let Some(link) = self.peer.link() else {
            return Err(SessionEnd::Lost("there is no connection".to_owned()));
        };
        let asking = self.ask(&link, after);
        let ended = tokio::select! {
            () = link.broken.cancelled() => Err(SessionEnd::Lost("the connection was closed".to_owned())),
            ended = asking => ended,
        };
        if matches!(ended, Err(SessionEnd::Fault)) {
            link.broken.cancel();
        }
        ended
    }

    async fn ask(&self, link: &Link, after: ChainPoint) -> Result<CommitsAnswer, SessionEnd> {
        let first_index = after.index.next().get();
        let request = FetchCommitsRequest { first_index, last_index: u64::MAX };
        let mut client = self.shared.client(link.channel.clone());
        client = client.max_decoding_message_size(decode_limit(MAX_RANGE_BYTES));
        let answer = time::timeout(self.shared.limits.call_deadline, client.fetch_commits(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => match inbound::end_of(&status) {
                StreamEnd::Lost(reason) => return Err(SessionEnd::Lost(reason)),
                StreamEnd::Fault(label) => return Err(self.fault(label).await),
            },
            Err(_elapsed) => {
                return Err(SessionEnd::Lost("the question for commits is not answered in time".to_owned()));
            }
        };
        if response.commits.is_empty() {
            return Ok(CommitsAnswer::NoLater { after: after.index });
        }
        let highest = CommitIndex::new(response.highest_certified_index);
        let range = RangeBytes {
            commits: response.commits,
            blocks: response.blocks,
            certifiers: response.certifiers,
        };
        let judged = self.shared.verifier.verify_range(after, range).await.ok_or(SessionEnd::Finished)?;
        match judged {
            Ok(range) => Ok(CommitsAnswer::Range { range: Box::new(range), highest }),
            // Not the peer's fault: a quorum stands for what it sent.
            Err(RangeError::Forked(fork)) => Ok(CommitsAnswer::Failed { fork: Some(fork) }),
            Err(error) => Err(self.fault(error.label()).await),
        }
    }

    async fn fault(&self, label: &'static str) -> SessionEnd {
        match self.shared.report(&self.peer, label).await {
            Ok(()) => SessionEnd::Fault,
            Err(end) => end,
        }
    }
}
