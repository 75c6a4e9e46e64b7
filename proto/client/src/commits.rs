//! Following the sequence of commits.

use crate::{CallError, RetryPolicy};
use metanode_proto::consensus::v1::{
    Commit, GetCommitRequest, StreamCommitsRequest, StreamCommitsResponse,
    commit_service_client::CommitServiceClient,
};
use metanode_shell::grpc::{channel, decode_limit};
use std::time::Duration;
use tonic::{Streaming, transport::Channel};

/// The last commit that a reader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPosition {
    /// Its index; 0 before the first.
    pub index: u64,
    /// Its digest, where it is known; the next commit must name it as its predecessor.
    pub digest: Option<[u8; 32]>,
}

impl CommitPosition {
    /// Before the first commit.
    pub const GENESIS: Self = Self { index: 0, digest: Some([0; 32]) };

    /// After the commit at `index`, whose digest is not known: the first commit read is taken as it is.
    pub const fn after(index: u64) -> Self {
        Self { index, digest: None }
    }
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The call failed for good, or the node was away for longer than the policy waits.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An index was left out or came again: the node breaks the contract.
    #[error("commit {found} came where commit {expected} is next")]
    Gap {
        /// The index that is next.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// The commit does not follow the one read before: two histories.
    #[error("commit {index} follows {theirs}, but the commit before it is {ours}", theirs = hex::encode(theirs),
        ours = hex::encode(ours))]
    Fork {
        /// Index of the commit that came.
        index: u64,
        /// Digest of the commit that was read before it.
        ours: [u8; 32],
        /// Digest that it names.
        theirs: Vec<u8>,
    },
}

/// Reads commits in order, without holes, over all reconnects.
///
/// ```no_run
/// use metanode_client::{CommitPosition, CommitReader, ReadError};
///
/// # async fn follow() -> Result<(), ReadError> {
/// let mut reader = CommitReader::new("http://127.0.0.1:9000", CommitPosition::GENESIS)?;
/// loop {
///     let commit = reader.next().await?;
///     let transactions: usize = commit.blocks.iter().map(|block| block.transactions.len()).sum();
///     println!("commit {} holds {transactions} transactions", commit.index);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct CommitReader {
    service: CommitServiceClient<Channel>,
    policy: RetryPolicy,
    position: CommitPosition,
    stream: Option<Streaming<StreamCommitsResponse>>,
}

impl CommitReader {
    /// Most bytes in a commit that a network may be configured for: 64 MiB.
    const MAX_COMMIT_BYTES: u64 = 64 << 20;
    /// Time for one answer that is not a stream.
    const CALL_TIMEOUT: Duration = Duration::from_secs(10);

    /// Reads from the node at `uri`, the first commit after `position`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`CallError::Endpoint`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(uri: &str, position: CommitPosition) -> Result<Self, CallError> {
        let service = CommitServiceClient::new(channel(uri)?)
            .max_decoding_message_size(decode_limit(Self::MAX_COMMIT_BYTES));
        Ok(Self { service, policy: RetryPolicy::default(), position, stream: None })
    }

    /// With another policy for retries; its deadline is for one outage.
    #[must_use]
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The last commit read.
    pub const fn position(&self) -> CommitPosition {
        self.position
    }

    /// The next commit; waits until there is one. Cancel safe: no commit is lost when the future is dropped.
    ///
    /// # Errors
    /// [`ReadError`]. The position stays, so that another call asks for the same commit again.
    pub async fn next(&mut self) -> Result<Commit, ReadError> {
        let mut retry = None;
        loop {
            match self.receive().await {
                Ok(commit) => return self.check(commit),
                Err(error) => {
                    self.stream = None;
                    if !error.is_transient() {
                        return Err(error.into());
                    }
                    retry.get_or_insert_with(|| self.policy.start()).wait(error).await?;
                }
            }
        }
    }

    /// Reads one commit, wherever the reader stands.
    ///
    /// # Errors
    /// [`CallError::Ahead`] above the newest, [`CallError::Pruned`] below the earliest one held, and others.
    pub async fn get(&self, index: u64) -> Result<Commit, CallError> {
        let mut service = self.service.clone();
        let answer = tokio::time::timeout(Self::CALL_TIMEOUT, service.get_commit(GetCommitRequest { index }))
            .await
            .map_err(|_| CallError::DeadlineExceeded)?
            .map_err(CallError::from_status)?;
        answer.into_inner().commit.ok_or_else(no_commit)
    }

    /// The next message of the stream, which is opened where there is none.
    async fn receive(&mut self) -> Result<Commit, CallError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let request = StreamCommitsRequest { after_index: self.position.index };
                let answer = self.service.stream_commits(request).await.map_err(CallError::from_status)?;
                none.insert(answer.into_inner())
            }
        };
        match stream.message().await.map_err(CallError::from_status)? {
            Some(message) => message.commit.ok_or_else(no_commit),
            // The service drains: it, or its successor, takes the next call.
            None => Err(CallError::Unavailable { reason: None, retry_after: None }),
        }
    }

    fn check(&mut self, commit: Commit) -> Result<Commit, ReadError> {
        let checked = self.follows(&commit);
        match checked {
            Ok(digest) => {
                self.position = CommitPosition { index: commit.index, digest: Some(digest) };
                Ok(commit)
            }
            Err(error) => {
                self.stream = None;
                Err(error)
            }
        }
    }

    /// The digest of a commit that is the next one.
    fn follows(&self, commit: &Commit) -> Result<[u8; 32], ReadError> {
        let expected = self.position.index.saturating_add(1);
        if commit.index != expected {
            return Err(ReadError::Gap { expected, found: commit.index });
        }
        if let Some(ours) = self.position.digest
            && commit.previous_digest != ours[..]
        {
            let theirs = commit.previous_digest.to_vec();
            return Err(ReadError::Fork { index: commit.index, ours, theirs });
        }
        commit.digest[..].try_into().map_err(|_| {
            let found = format!("a digest of {} bytes in commit {}", commit.digest.len(), commit.index);
            CallError::BrokenContract { found }.into()
        })
    }
}

fn no_commit() -> CallError {
    CallError::BrokenContract { found: "a message without a commit".to_owned() }
}
