//! `CommitService`: the sequence of commits for any reader. A slow reader is slowed by flow control and costs nothing
//! more (D17): nothing is queued for it, it has a cursor.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use consensus_core::{CommitIndex, CommittedSubDag};
use futures::{Stream, StreamExt, stream};
use metanode_proto::{
    consensus::v1::{
        GetCommitRangeRequest, GetCommitRangeResponse, GetCommitRequest, GetCommitResponse,
        StreamCommitsRequest, StreamCommitsResponse, commit_service_server::CommitService,
    },
    reason,
};
use metanode_shell::{
    grpc::{Shares, UntilSent},
    status,
};
use metanode_telemetry::metrics::ConsensusMetrics;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::{
    commit_log::{CommitFeed, FeedError},
    wire,
};

/// Most commits in an answer to `GetCommitRange`.
const MAX_RANGE_COMMITS: usize = 1_000;
/// Most bytes in one, but for a single commit.
const MAX_RANGE_BYTES: u64 = 4 << 20;
/// Commits read at a time for a stream, and most bytes of them.
const PAGE_COMMITS: usize = 32;
const PAGE_BYTES: u64 = 1 << 20;
/// Streams at a time; each holds a page at most.
const MAX_STREAMS: usize = 64;
/// Answers with commits at a time, until they are sent: a client that does not read keeps one in memory.
const MAX_ANSWERS: usize = 8;
/// Time that a call waits for its turn to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Serves `CommitService`.
#[derive(Clone, Debug)]
pub struct CommitReader {
    feed: Arc<CommitFeed>,
    drain: CancellationToken,
    streams: Shares,
    answers: Shares,
}

impl CommitReader {
    /// Reads through `feed`; streams end when `drain` is cancelled.
    pub fn new(feed: Arc<CommitFeed>, drain: CancellationToken) -> Self {
        let (streams, answers) =
            (Shares::new("commit streams", MAX_STREAMS), Shares::new("answers with commits", MAX_ANSWERS));
        Self { feed, drain, streams, answers }
    }

    /// Lets `metrics` show how many readers there are, and how many answers are not sent.
    pub fn observe(&self, metrics: &ConsensusMetrics) {
        let (streams, answers) = (self.streams.clone(), self.answers.clone());
        metrics.commit_streams.watch(move || streams.taken());
        metrics.commit_answers.watch(move || answers.taken());
    }

    /// The commits from `first` on, of one page.
    async fn page(
        &self,
        first: u64,
        max_commits: usize,
        max_bytes: u64,
    ) -> Result<Vec<Arc<CommittedSubDag>>, Status> {
        let Some(after) = first.checked_sub(1).map(CommitIndex::new) else {
            return Err(status::invalid_field("index", "0, commits start at 1"));
        };
        let page =
            self.feed.read_after(after, max_commits, max_bytes).await.map_err(|error| match error {
                FeedError::Ahead { last, .. } => not_yet(first, last),
                other => other.into(),
            })?;
        if page.is_empty() { Err(not_yet(first, self.feed.last_index())) } else { Ok(page) }
    }
}

/// With a permit that counts until the answer is sent.
fn counted<T>(answer: T, permit: UntilSent) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(permit);
    response
}

/// Of `GetCommit` and `GetCommitRange`; a stream that starts ahead is OUT_OF_RANGE.
fn not_yet(index: u64, last: CommitIndex) -> Status {
    status::reason(
        Code::NotFound,
        reason::COMMIT_AHEAD,
        format!("commit {index} does not exist yet, the newest is {last}"),
        &[("commit_index", &last)],
    )
}

/// A reader's place: read and not sent, and the last index read.
struct Cursor {
    feed: Arc<CommitFeed>,
    page: VecDeque<Arc<CommittedSubDag>>,
    last: CommitIndex,
}

impl Cursor {
    async fn next(&mut self) -> Result<Arc<CommittedSubDag>, Status> {
        loop {
            if let Some(commit) = self.page.pop_front() {
                return Ok(commit);
            }
            self.feed.wait_beyond(self.last).await;
            self.page = self.feed.read_after(self.last, PAGE_COMMITS, PAGE_BYTES).await?.into();
            self.last = self.page.back().map_or(self.last, |commit| commit.commit.index);
        }
    }
}

type Commits = Pin<Box<dyn Stream<Item = Result<StreamCommitsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl CommitService for CommitReader {
    type StreamCommitsStream = Commits;

    async fn stream_commits(
        &self,
        request: Request<StreamCommitsRequest>,
    ) -> Result<Response<Commits>, Status> {
        let permit = self.streams.try_take(&request)?;
        let after = CommitIndex::new(request.into_inner().after_index);
        // Whether the place exists is told before the stream begins.
        let page = self.feed.read_after(after, PAGE_COMMITS, PAGE_BYTES).await?;
        let last = page.last().map_or(after, |commit| commit.commit.index);
        let cursor = Cursor { feed: Arc::clone(&self.feed), page: page.into(), last };
        let commits = stream::unfold(Some(cursor), |cursor| async move {
            let mut cursor = cursor?;
            match cursor.next().await {
                Ok(commit) => {
                    let commit = Some(wire::commit_to_proto(&commit));
                    Some((Ok(StreamCommitsResponse { commit }), Some(cursor)))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        let commits: Commits = Box::pin(commits.take_until(self.drain.clone().cancelled_owned()));
        Ok(counted(commits, permit))
    }

    async fn get_commit(
        &self,
        request: Request<GetCommitRequest>,
    ) -> Result<Response<GetCommitResponse>, Status> {
        let turn = self.answers.take(&request, ANSWER_WAIT).await?;
        let page = self.page(request.into_inner().index, 1, 0).await?;
        let commit = page.first().map(|commit| wire::commit_to_proto(commit));
        Ok(counted(GetCommitResponse { commit }, turn))
    }

    async fn get_commit_range(
        &self,
        request: Request<GetCommitRangeRequest>,
    ) -> Result<Response<GetCommitRangeResponse>, Status> {
        let GetCommitRangeRequest { first_index, last_index } = *request.get_ref();
        if last_index < first_index {
            let description = format!("{last_index}, at least first_index {first_index} is needed");
            return Err(status::invalid_field("last_index", description));
        }
        let wanted = usize::try_from(last_index - first_index).unwrap_or(usize::MAX).saturating_add(1);
        let turn = self.answers.take(&request, ANSWER_WAIT).await?;
        let page = self.page(first_index, wanted.min(MAX_RANGE_COMMITS), MAX_RANGE_BYTES).await?;
        let commits = page.iter().map(|commit| wire::commit_to_proto(commit)).collect();
        Ok(counted(GetCommitRangeResponse { commits }, turn))
    }
}
