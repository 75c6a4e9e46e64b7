//! The pure consensus machine of metanode: Mysticeti-C over signed blocks.
//!
//! A [`Consensus`] takes inputs (verified blocks, transactions, the passing of time) and answers with an ordered list of
//! [`Effect`]s. It has no clock, no IO, no threads, no randomness and iterates no hash map, so that the same inputs
//! give the same effects on every machine, and a simulator can stop it between any two.
//!
//! The way of a block: [`BlockVerifier`] (validity, signature) -> waiting room (until its ancestors are held) ->
//! [`Dag`] -> [`Committer`] (which leaders are committed) -> [`Linearizer`] (commits) -> [`Effect::Deliver`].
//!
//! Invariants:
//! - an own block is in an [`Effect::Persist`] that stands before its [`Effect::Guard`], which stands before its
//!   [`Effect::Broadcast`];
//! - a commit is in an `Effect::Persist` that stands before its `Effect::Deliver`;
//! - whatever is persisted is closed under ancestors above the GC round;
//! - every buffer has a bound ([`Params`]), and nothing that another authority sends can panic or exceed it.
//!
//! The protocol is written out in `consensus-svc/docs/protocol.md`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod block;
pub mod block_verifier;
pub mod catch_up;
mod certification;
pub mod certifier;
pub mod codec;
pub mod commit;
mod commit_votes;
pub mod committee;
pub mod committer;
pub mod consensus;
mod core_status;
pub mod crypto;
pub mod dag;
mod decisions;
mod digest_index;
pub mod duplicates;
pub mod effect;
pub mod evidence;
pub mod explain;
pub mod fetch;
pub mod fetch_answer;
mod fetch_schedule;
pub mod genesis;
pub mod input;
pub mod leader_schedule;
pub mod linearizer;
mod ordering;
mod outbox;
pub mod params;
pub mod pool;
mod proposer;
pub mod recovery;
pub mod reputation;
pub mod schedule_state;
mod seen_blocks;
mod signing;
mod state_roots;
pub mod swap_table;
#[cfg(feature = "testkit")]
pub mod testkit;
mod threshold_clock;
pub mod transaction;
pub mod types;
mod waiting_room;

pub use block::{Block, CommitVote, EpochVote, ExecutedRoot, VerifiedBlock};
pub use block_verifier::{BlockError, BlockVerifier};
pub use catch_up::range::{CertifiedRange, ChainPoint, RangeBytes, RangeError, verify_range};
pub use catch_up::serving::{
    MAX_GROUP_BYTES, RangeSource, collect_range, max_range_bytes, shows_nothing_later,
};
pub use certifier::{Certificate, Fork};
pub use commit::{Commit, CommittedSubDag};
pub use committee::{Authority, Committee, CommitteeError};
pub use committer::{Committer, DecidedLeader, Decision, Via};
pub use consensus::Consensus;
pub use core_status::{Amnesia, AmnesiaCause, CoreStatus};
pub use crypto::{ProtocolKey, Signer};
pub use dag::Dag;
pub use decisions::{DecidedSlot, DecisionHistory, DecisionReason, MAX_REMEMBERED_DECISIONS};
pub use duplicates::{DuplicateWindow, is_marked};
pub use effect::{DropReason, Effect, PeerFault, Progress, SubmitOutcome, WriteBatch};
pub use evidence::{Equivocation, EquivocationError, EquivocationProof};
pub use explain::Explanation;
pub use fetch::{Fetch, FetchEnd, FetchId, FetchStatus};
pub use fetch_answer::{AnswerCheck, AnswerLimits};
pub use genesis::{Genesis, GenesisError, ProtocolParameters};
pub use input::{BlockSource, Input, Ticket};
pub use leader_schedule::{LeaderSchedule, LeaderSlot};
pub use linearizer::Linearizer;
pub use outbox::{MAX_UNPERSISTED_BLOCKS, MAX_UNPERSISTED_BYTES};
pub use params::{Params, ParamsError};
pub use recovery::{RecoverError, RecoveredLog};
pub use reputation::Reputation;
pub use schedule_state::ScheduleState;
pub use state_roots::{MAX_AGREED_ROOTS, RootAgreement, RootContradiction, RootRecords};
pub use swap_table::SwapTable;
pub use transaction::Transaction;
pub use types::{
    AuthorityIndex, BlockDigest, BlockRef, ChainId, CommitDigest, CommitIndex, CommitteeDigest, Epoch, Round,
    Slot, Stake, StateRoot, Timestamp, TransactionDigest,
};
