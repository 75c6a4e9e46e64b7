//! Asks one peer for certified commits.

use consensus_core::{AuthorityIndex, ChainPoint, CommitIndex, RangeBytes, RangeError, shows_nothing_later};
use metanode_proto::peer::v1::FetchCommitsRequest;
use metanode_shell::grpc::decode_limit;
use metanode_telemetry::names::as_i64;
use tokio::sync::mpsc;

use super::{
    asker::Asker,
    client::SessionEnd,
    event::{CommitsAnswer, PeerEvent},
    link::Link,
};

/// The questions for commits to one peer, one at a time. Each ends by one event; the machine asks one peer at a time, so that
/// nothing piles up here.
#[derive(Debug)]
pub(super) struct CommitsWorker {
    pub(super) asker: Asker,
    pub(super) requests: mpsc::Receiver<ChainPoint>,
}

impl CommitsWorker {
    /// Runs until shutdown, or until the driver is gone.
    pub(super) async fn run(self) {
        let Self { asker, requests } = self;
        asker.until_shutdown(run_requests(&asker, requests)).await;
    }
}

/// Tells people that a peer has commits and gives none: because a group is too large to be served, or its blocks are not held.
/// Once for each index at which this node waits.
#[derive(Debug, Default)]
struct Withheld {
    told: Option<CommitIndex>,
}

impl Withheld {
    fn tell(&mut self, peer: AuthorityIndex, after: CommitIndex, highest: CommitIndex) {
        if self.told.replace(after) != Some(after) {
            tracing::info!(
                authority = i64::from(peer.get()),
                after_index = as_i64(after.get()),
                highest_certified_index = as_i64(highest.get()),
                "a peer has later certified commits and cannot give them now"
            );
        }
    }
}

async fn run_requests(asker: &Asker, mut requests: mpsc::Receiver<ChainPoint>) {
    let mut withheld = Withheld::default();
    while let Some(after) = requests.recv().await {
        let answer = match run_request(asker, after, &mut withheld).await {
            Ok(answer) => answer,
            Err(SessionEnd::Finished) => return,
            Err(end) => {
                asker.tell(&end);
                CommitsAnswer::Failed { fork: None }
            }
        };
        let event = PeerEvent::Commits { from: asker.peer.authority, answer };
        if asker.shared.hand_on(event).await.is_err() {
            return;
        }
    }
}

async fn run_request(
    asker: &Asker,
    after: ChainPoint,
    withheld: &mut Withheld,
) -> Result<CommitsAnswer, SessionEnd> {
    let link = asker.link()?;
    asker.while_open(&link, ask(asker, &link, after, withheld)).await
}

async fn ask(
    asker: &Asker,
    link: &Link,
    after: ChainPoint,
    withheld: &mut Withheld,
) -> Result<CommitsAnswer, SessionEnd> {
    let shared = &asker.shared;
    let first_index = after.index.next().get();
    let request = FetchCommitsRequest { first_index, last_index: u64::MAX };
    let mut client = shared.client(link.channel.clone());
    client = client.max_decoding_message_size(decode_limit(shared.verifier.max_range_bytes()));
    let response = asker.answer(client.fetch_commits(request)).await?;
    let highest = CommitIndex::new(response.highest_certified_index);
    if response.commits.is_empty() {
        return Ok(if shows_nothing_later(after.index, highest) {
            CommitsAnswer::NoLater { after: after.index }
        } else {
            withheld.tell(asker.peer.authority, after.index, highest);
            CommitsAnswer::Failed { fork: None }
        });
    }
    let range =
        RangeBytes { commits: response.commits, blocks: response.blocks, certifiers: response.certifiers };
    let judged = shared.verifier.verify_range(after, range).await.ok_or(SessionEnd::Finished)?;
    match judged {
        Ok(range) => Ok(CommitsAnswer::Range { range: Box::new(range), highest }),
        // Not the peer's fault: a quorum stands for what it sent.
        Err(RangeError::Forked(fork)) => Ok(CommitsAnswer::Failed { fork: Some(fork) }),
        Err(error) => Err(asker.fault(error.label()).await),
    }
}
