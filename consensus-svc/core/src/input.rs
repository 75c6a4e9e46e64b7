//! What the machine is told.

use crate::{
    block::VerifiedBlock,
    catch_up::range::CertifiedRange,
    certifier::Fork,
    fetch::{FetchEnd, FetchId},
    transaction::Transaction,
    types::{AuthorityIndex, CommitIndex, Round, StateRoot},
};

/// Names a submission, so that its answer finds the way back. Chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// How blocks came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSource {
    /// On the peer's stream of its own blocks.
    Streamed,
    /// In answer to an [`Effect::Fetch`](crate::Effect::Fetch).
    Fetched,
}

/// An input of the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Verified blocks from a peer, in the order they came.
    Blocks {
        /// Who sent them; not always who signed them.
        from: AuthorityIndex,
        /// How they came.
        source: BlockSource,
        /// The blocks.
        blocks: Vec<VerifiedBlock>,
    },
    /// A batch to order; taken whole or refused whole, answered by [`Effect::Answer`](crate::Effect::Answer).
    Transactions {
        /// Comes back with the answer.
        ticket: Ticket,
        /// The batch.
        transactions: Vec<Transaction>,
    },
    /// A peer has transactions and has proposed in `round`.
    Wake {
        /// Who waits.
        from: AuthorityIndex,
        /// The round that it waits for.
        round: Round,
    },
    /// A peer's answer to the question that every start asks. Nothing is proposed before a quorum, own stake included, has
    /// answered. One answer a peer is enough; a further one does no harm, and may count where the first does not.
    OwnLastBlock {
        /// Who answers.
        from: AuthorityIndex,
        /// The highest block of this authority that the peer knows; `None` if it knows none.
        block: Option<VerifiedBlock>,
        /// The peer's own last block; `None` before its first.
        peers_last: Option<VerifiedBlock>,
    },
    /// A question for blocks has ended. It comes after the blocks; an end that never comes, comes late or comes twice does no
    /// harm beyond a wait.
    FetchEnded {
        /// The question.
        fetch: FetchId,
        /// How.
        end: FetchEnd,
    },
    /// The shell has found that this store lacks commits which were delivered from it. Before this life's first block, what
    /// was signed is then taken for forgotten; after it, or where own stake is more than f, this is [`Input::Halt`]. The service
    /// does not say so yet: it halts a machine whose executor is ahead, for nothing brings the missing commits into its log by
    /// itself and the operator decides.
    StoreBehind,
    /// A verified block of `author` in `round` is held back by the transport, since it is further ahead than blocks are let
    /// in: what is told of it, at least once a stream, shows how far others are.
    SeenAhead {
        /// Who signed it.
        author: AuthorityIndex,
        /// Its round.
        round: Round,
    },
    /// Certified commits in answer to an [`Effect::FetchCommits`](crate::Effect::FetchCommits).
    CertifiedCommits {
        /// Who sent them.
        from: AuthorityIndex,
        /// The verified range.
        range: CertifiedRange,
        /// The highest certified commit that the peer says to have; its word only.
        highest: CommitIndex,
    },
    /// A peer has no certified commit above the one that it was asked about.
    NoLaterCommit {
        /// The peer.
        from: AuthorityIndex,
        /// The commit that it was asked about.
        after: CommitIndex,
    },
    /// A peer could not be asked, has not answered, has later commits and cannot give them now, or has answered with what is no
    /// certified range.
    CommitsNotFetched {
        /// The peer.
        from: AuthorityIndex,
        /// What [`RangeError::Forked`](crate::RangeError::Forked) holds, if that was it.
        fork: Option<Fork>,
    },
    /// The executor has executed, durably, up to a commit of this chain: at the handshake, and with each acknowledgement. The root
    /// is voted for if the index is a multiple of `root_interval`; an acknowledgement that skips one gives no vote there.
    Executed {
        /// The commit, none before the first.
        index: CommitIndex,
        /// The root of the executor's state after it; `None` if it told none.
        root: Option<StateRoot>,
    },
    /// A deadline may have passed.
    Tick,
    /// Stop proposing for good: the shell has found that this node must not go on. Blocks are still taken in and
    /// leaders still committed.
    Halt,
}
