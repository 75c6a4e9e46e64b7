//! The comparison at the start of every stream: what we hold against what the executor says. Pure.
//!
//! Let N be the executor's block number and L our last commit.
//!
//! | case | decision |
//! |---|---|
//! | another chain id | stop |
//! | N > L | stop: our store lost its end (X04) |
//! | N + 1 < earliest commit held | stop: nothing to replay from (X03) |
//! | digests at N differ | stop: fork (X06) |
//! | the executor's epoch is above ours, or below | stop: the commits are not of its epoch |
//! | else | resume after N; an alarm if N is below what was acknowledged before (X03) |

use consensus_core::{ChainId, CommitDigest, CommitIndex, Committee, Epoch, StateRoot};
use metanode_proto::executor::v1::CommitteeMember;

use super::StopReason;

/// What this node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OurPosition {
    /// The chain.
    pub chain_id: ChainId,
    /// Newest durable commit; none before the first.
    pub last_index: CommitIndex,
    /// Earliest commit held; 1 until commits are pruned.
    pub earliest_index: CommitIndex,
    /// Newest commit that the executor ever acknowledged, as far as it was written down.
    pub acknowledged: CommitIndex,
    /// Our digest at the executor's index; zero at none, `None` where we hold no such commit.
    pub digest_at_theirs: Option<CommitDigest>,
    /// The epoch of every commit to be sent.
    pub epoch: Epoch,
}

/// What a ready executor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorPosition {
    /// The chain.
    pub chain_id: ChainId,
    /// Last executed and durable commit; none before the first.
    pub block_number: CommitIndex,
    /// Its digest; zero before the first.
    pub commit_digest: CommitDigest,
    /// State root after it, where the executor keeps one.
    pub state_root: Option<StateRoot>,
    /// Epoch that the executor is in.
    pub epoch: Epoch,
}

/// What follows from the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeDecision {
    /// Send the commits after this one.
    Resume {
        /// The executor's last commit.
        after: CommitIndex,
        /// Set where the executor has lost what it had acknowledged: that index. An alarm.
        rewound_from: Option<CommitIndex>,
    },
    /// Send nothing.
    Stop(StopReason),
}

/// Compares the two positions.
pub fn compare(ours: &OurPosition, theirs: &ExecutorPosition) -> HandshakeDecision {
    let n = theirs.block_number;
    if ours.chain_id != theirs.chain_id {
        return HandshakeDecision::Stop(wrong_chain(ours.chain_id, theirs.chain_id));
    }
    if n > ours.last_index {
        return HandshakeDecision::Stop(StopReason::ExecutorAhead { executor: n, ours: ours.last_index });
    }
    if n.next() < ours.earliest_index {
        return HandshakeDecision::Stop(StopReason::Pruned { executor: n, earliest: ours.earliest_index });
    }
    // A digest that we do not hold cannot be compared; it is that of the commit before the earliest one.
    match ours.digest_at_theirs {
        Some(digest) if digest != theirs.commit_digest => {
            HandshakeDecision::Stop(StopReason::Fork { index: n, ours: digest, theirs: theirs.commit_digest })
        }
        // Last, so that whatever puts our own store in doubt is found first.
        _ if theirs.epoch > ours.epoch => {
            HandshakeDecision::Stop(StopReason::EpochAhead { executor: theirs.epoch, ours: ours.epoch })
        }
        _ if theirs.epoch < ours.epoch => {
            HandshakeDecision::Stop(StopReason::EpochBehind { executor: theirs.epoch, ours: ours.epoch })
        }
        _ => HandshakeDecision::Resume {
            after: n,
            rewound_from: Some(ours.acknowledged).filter(|acknowledged| *acknowledged > n),
        },
    }
}

/// Compares the executor's committee of epoch 0 with that of genesis.
///
/// # Errors
/// [`StopReason::WrongCommittee`] with the first difference.
pub fn compare_committee(ours: &Committee, theirs: &[CommitteeMember]) -> Result<(), StopReason> {
    let wrong = |difference: String| Err(StopReason::WrongCommittee { difference });
    if ours.size() != theirs.len() {
        return wrong(format!("{} authorities here, {} there", ours.size(), theirs.len()));
    }
    for (index, (mine, other)) in ours.authorities().iter().zip(theirs).enumerate() {
        let field = if mine.stake.get() != other.stake {
            "stake"
        } else if mine.protocol_key.to_bytes()[..] != other.protocol_key {
            "protocol_key"
        } else if mine.network_key[..] != other.network_key {
            "network_key"
        } else if mine.address != other.address {
            "address"
        } else {
            continue;
        };
        return wrong(format!("authority {index} differs in {field}"));
    }
    Ok(())
}

fn wrong_chain(ours: ChainId, theirs: ChainId) -> StopReason {
    StopReason::WrongChain { ours: ours.to_string(), theirs: theirs.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: ChainId = ChainId::new([1; 32]);
    const DIGEST: CommitDigest = CommitDigest::new([7; 32]);

    fn index(n: u64) -> CommitIndex {
        CommitIndex::new(n)
    }

    /// Holds commits 5 to 10, of which 8 were acknowledged.
    fn ours() -> OurPosition {
        OurPosition {
            chain_id: CHAIN,
            last_index: index(10),
            earliest_index: index(5),
            acknowledged: index(8),
            digest_at_theirs: Some(DIGEST),
            epoch: Epoch::GENESIS,
        }
    }

    fn at(n: u64) -> ExecutorPosition {
        ExecutorPosition {
            chain_id: CHAIN,
            block_number: index(n),
            commit_digest: DIGEST,
            state_root: None,
            epoch: Epoch::GENESIS,
        }
    }

    fn resume(after: u64, rewound_from: Option<u64>) -> HandshakeDecision {
        HandshakeDecision::Resume { after: index(after), rewound_from: rewound_from.map(index) }
    }

    #[test]
    fn d01_an_executor_below_us_is_resumed_after_its_last_commit() {
        assert_eq!(compare(&ours(), &at(9)), resume(9, None));
    }

    #[test]
    fn d02_an_executor_at_our_end_gets_only_what_comes() {
        assert_eq!(compare(&ours(), &at(10)), resume(10, None));
    }

    #[test]
    fn x04_an_executor_one_above_our_end_stops_delivery() {
        let stop = StopReason::ExecutorAhead { executor: index(11), ours: index(10) };
        assert!(stop.halts_core());
        assert_eq!(compare(&ours(), &at(11)), HandshakeDecision::Stop(stop));
    }

    #[test]
    fn x03_an_executor_that_lost_acknowledged_commits_is_rewound_with_an_alarm() {
        assert_eq!(compare(&ours(), &at(8)), resume(8, None));
        assert_eq!(compare(&ours(), &at(7)), resume(7, Some(8)));
    }

    #[test]
    fn x03_an_executor_below_the_earliest_commit_held_stops_delivery() {
        assert_eq!(compare(&ours(), &at(4)), resume(4, Some(8)));
        let stop = StopReason::Pruned { executor: index(3), earliest: index(5) };
        assert!(!stop.halts_core());
        assert_eq!(compare(&ours(), &at(3)), HandshakeDecision::Stop(stop));
    }

    #[test]
    fn x06_another_digest_at_the_executors_index_is_a_fork() {
        let theirs = CommitDigest::new([8; 32]);
        let stop = StopReason::Fork { index: index(9), ours: DIGEST, theirs };
        assert!(stop.halts_core());
        let decision = compare(&ours(), &ExecutorPosition { commit_digest: theirs, ..at(9) });
        assert_eq!(decision, HandshakeDecision::Stop(stop));
    }

    #[test]
    fn a_digest_at_zero_must_be_zero() {
        let fresh = OurPosition {
            last_index: index(0),
            earliest_index: index(1),
            acknowledged: index(0),
            digest_at_theirs: Some(CommitDigest::ZERO),
            ..ours()
        };
        let zero = ExecutorPosition { commit_digest: CommitDigest::ZERO, ..at(0) };
        assert_eq!(compare(&fresh, &zero), resume(0, None));
        assert!(matches!(compare(&fresh, &at(0)), HandshakeDecision::Stop(StopReason::Fork { .. })));
    }

    #[test]
    fn an_executor_in_another_epoch_than_the_commits_stops_delivery_by_name() {
        let ours = OurPosition { epoch: Epoch::new(1), ..ours() };
        let in_epoch = |epoch| compare(&ours, &ExecutorPosition { epoch: Epoch::new(epoch), ..at(9) });
        assert_eq!(in_epoch(1), resume(9, None));
        let HandshakeDecision::Stop(ahead) = in_epoch(2) else { panic!("must stop") };
        let HandshakeDecision::Stop(behind) = in_epoch(0) else { panic!("must stop") };
        assert_eq!((ahead.name(), behind.name()), ("EPOCH_AHEAD", "WRONG_EPOCH"));
        assert!(!ahead.halts_core() && !behind.halts_core());
        let lost = compare(&ours, &ExecutorPosition { epoch: Epoch::new(2), ..at(11) });
        assert!(
            matches!(lost, HandshakeDecision::Stop(StopReason::ExecutorAhead { .. })),
            "what halts comes first"
        );
    }

    #[test]
    fn another_chain_is_found_before_anything_else() {
        let theirs = ExecutorPosition { chain_id: ChainId::new([2; 32]), ..at(99) };
        let HandshakeDecision::Stop(stop) = compare(&ours(), &theirs) else { panic!("must stop") };
        assert_eq!(stop.name(), "WRONG_CHAIN");
        assert!(!stop.halts_core());
    }
}
