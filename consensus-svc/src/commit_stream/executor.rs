//! The executor's answers in the types of the core.

use consensus_core::{ChainId, CommitDigest, CommitIndex, Epoch, StateRoot};
use metanode_proto::executor::v1::{Acknowledgement, ExecuteCommitsResponse};
use metanode_shell::executor::{self, CallError};

use super::handshake::ExecutorPosition;

impl From<executor::ExecutorPosition> for ExecutorPosition {
    fn from(theirs: executor::ExecutorPosition) -> Self {
        Self {
            chain_id: ChainId::new(theirs.chain_id),
            block_number: CommitIndex::new(theirs.block_number),
            commit_digest: CommitDigest::new(theirs.commit_digest),
            state_root: theirs.state_root.map(StateRoot::new),
            epoch: Epoch::new(theirs.epoch),
        }
    }
}

/// An acknowledgement whose fields were checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedAcknowledgement {
    pub(crate) index: CommitIndex,
    pub(crate) digest: CommitDigest,
    pub(crate) state_root: Option<StateRoot>,
    pub(crate) wire: Acknowledgement,
}

impl CheckedAcknowledgement {
    /// Checks a message of an open stream.
    pub(crate) fn read(response: ExecuteCommitsResponse) -> Result<Self, CallError> {
        let executor::CheckedAcknowledgement { digest, state_root, wire } =
            executor::CheckedAcknowledgement::read(response)?;
        Ok(Self {
            index: CommitIndex::new(wire.index),
            digest: CommitDigest::new(digest),
            state_root: state_root.map(StateRoot::new),
            wire,
        })
    }
}
