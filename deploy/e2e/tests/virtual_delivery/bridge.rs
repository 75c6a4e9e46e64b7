//! The consensus side of a node's link: its log, its cursor, and the comparison and window of the real service.

use std::sync::Arc;

use consensus_core::{CommitDigest, CommitIndex, CommittedSubDag, Epoch};
use consensus_svc::commit_stream::{
    StopReason, Window,
    handshake::{ExecutorPosition, HandshakeDecision, OurPosition, compare},
};
use sequencer_core::{Digest, Position};

use super::executor::Executed;

/// Commits in flight at most.
const WINDOW_COMMITS: usize = 6;

/// Where a life of the service is with its executor.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The node is down.
    Down,
    /// Not connected; a try is entered.
    Waiting,
    /// The position is asked for.
    Asked,
    /// A stream is asked for after this position.
    Opening(Position),
    Streaming(Window),
}

#[derive(Debug)]
pub(crate) struct Bridge {
    pub(crate) stage: Stage,
    /// Counts connections over all lives; what comes on an earlier one is void.
    pub(crate) connection: u64,
    /// Issued by the executor, kept for a life.
    pub(crate) incarnation: u64,
    /// The durable log, from index 1.
    pub(crate) log: Vec<Arc<CommittedSubDag>>,
    /// Highest index acknowledged, as the log has it written down.
    acknowledged: u64,
}

impl Bridge {
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::Down, connection: 0, incarnation: 0, log: Vec::new(), acknowledged: 0 }
    }

    pub(crate) const fn is_up(&self) -> bool {
        !matches!(self.stage, Stage::Down)
    }

    pub(crate) fn in_flight(&self) -> usize {
        if let Stage::Streaming(window) = &self.stage { window.in_flight() } else { 0 }
    }

    fn digest_at(&self, index: u64) -> Option<CommitDigest> {
        match usize::try_from(index).expect("small").checked_sub(1) {
            None => Some(CommitDigest::ZERO),
            Some(place) => self.log.get(place).map(|sub_dag| sub_dag.digest),
        }
    }

    /// The executor says where it stands: where to open the stream, or nothing while the executor is ahead of a log that was
    /// replaced by an older one.
    pub(crate) fn compare(
        &self,
        last: Option<&Executed>,
        chain_id: consensus_core::ChainId,
    ) -> Option<Position> {
        let theirs = last.map_or(Position::GENESIS, |executed| executed.position);
        let ours = OurPosition {
            chain_id,
            last_index: CommitIndex::new(self.log.len() as u64),
            earliest_index: CommitIndex::new(1),
            acknowledged: CommitIndex::new(self.acknowledged.min(self.log.len() as u64)),
            digest_at_theirs: self.digest_at(theirs.index),
            epoch: Epoch::GENESIS,
        };
        let said = ExecutorPosition {
            chain_id,
            block_number: CommitIndex::new(theirs.index),
            commit_digest: CommitDigest::new(theirs.digest.0),
            state_root: None,
            epoch: Epoch::GENESIS,
        };
        match compare(&ours, &said) {
            HandshakeDecision::Resume { after, rewound_from } => {
                assert_eq!(rewound_from, None, "an executor lost what it had acknowledged");
                assert_eq!(
                    after.get(),
                    theirs.index,
                    "D01: what is executed is not sent again, and nothing is left out"
                );
                Some(theirs)
            }
            HandshakeDecision::Stop(StopReason::ExecutorAhead { .. }) => None,
            HandshakeDecision::Stop(reason) => panic!("delivery stops: {reason:?}"),
        }
    }

    /// The stream is open.
    pub(crate) fn opened(&mut self, incarnation: u64) {
        let Stage::Opening(after) = self.stage else { return };
        self.incarnation = incarnation;
        let (index, digest) = (CommitIndex::new(after.index), CommitDigest::new(after.digest.0));
        self.stage = Stage::Streaming(Window::new(WINDOW_COMMITS, 1 << 20, index, digest));
    }

    /// The next commit that may be sent.
    pub(crate) fn next(&mut self) -> Option<Arc<CommittedSubDag>> {
        let Stage::Streaming(window) = &mut self.stage else { return None };
        let place = usize::try_from(window.last_sent().get()).expect("small");
        let next = self.log.get(place)?.clone();
        let bytes = next.counted_bytes();
        window.admits(bytes).then(|| {
            window.sent(next.digest, bytes);
            next
        })
    }

    /// An acknowledgement came: how many commits it covers first.
    pub(crate) fn acknowledge(&mut self, executed: &Executed) -> u64 {
        let Stage::Streaming(window) = &mut self.stage else { return 0 };
        let Position { index, digest: Digest(digest) } = executed.position;
        let covered = window.acknowledge(CommitIndex::new(index), CommitDigest::new(digest));
        self.acknowledged = self.acknowledged.max(index);
        covered.expect("what was acknowledged was sent")
    }
}
