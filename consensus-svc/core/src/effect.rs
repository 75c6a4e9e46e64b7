//! What the machine wants done, in order.

use crate::{
    block::VerifiedBlock,
    catch_up::range::ChainPoint,
    certifier::{Certificate, Fork},
    commit::{Commit, CommittedSubDag},
    evidence::Equivocation,
    fetch::Fetch,
    input::Ticket,
    schedule_state::ScheduleState,
    state_roots::{RootAgreement, RootContradiction, RootRecords},
    types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, Round, Slot, TransactionDigest},
};

/// One thing to do. Effects are released strictly in order; those behind a [`Effect::Persist`] or [`Effect::Guard`] only
/// when that is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make durable, as one atomic batch.
    Persist(WriteBatch),
    /// Raise the signing guard to this pair, durably: from now on no other block of this authority may be signed at or
    /// below it.
    Guard {
        /// The epoch.
        epoch: Epoch,
        /// The round of the own block that is about to be sent.
        round: Round,
    },
    /// Send an own block to every subscriber.
    Broadcast(VerifiedBlock),
    /// Tell peers that this authority has transactions and has proposed in `round`.
    SendWake {
        /// The round that peers are asked to propose in.
        round: Round,
    },
    /// Ask a peer for blocks by name. Each is answered by one [`Input::FetchEnded`](crate::Input::FetchEnded), also where it
    /// could not be asked.
    Fetch(Fetch),
    /// Ask a peer for certified commits with their blocks, judge them by [`verify_range`](crate::verify_range), and answer with
    /// [`Input::CertifiedCommits`](crate::Input::CertifiedCommits), [`Input::NoLaterCommit`](crate::Input::NoLaterCommit) or
    /// [`Input::CommitsNotFetched`](crate::Input::CommitsNotFetched). One question at a time; without an answer another peer is
    /// asked after a time-out.
    FetchCommits {
        /// Whom to ask.
        peer: AuthorityIndex,
        /// The own last commit: the range is to begin right after it.
        after: ChainPoint,
    },
    /// Hand a durable commit to its readers.
    Deliver(CommittedSubDag),
    /// Answer a submission.
    Answer {
        /// Names the submission.
        ticket: Ticket,
        /// What became of it.
        outcome: SubmitOutcome,
    },
    /// Tell who waits for these transactions, which were accepted, that this authority has given them up: they leave the pool and
    /// stand in no own block that could still be committed. Copies that others hold may be. Comes behind every commit that was
    /// formed before, and none of them was committed by then within the window of duplicates.
    Dropped {
        /// The transactions; at least one, at most the pool.
        transactions: Vec<TransactionDigest>,
        /// Why all of them.
        reason: DropReason,
    },
    /// Tell who waits for these transactions that they have their place in the order already: they were committed, submitted
    /// again within the window of duplicates, and now leave the pool as dropped ones do. Comes behind every commit that was
    /// formed before.
    CommittedBefore {
        /// The transactions; at least one, at most the pool. Each is in the window of duplicates after the last commit that
        /// was handed on.
        transactions: Vec<TransactionDigest>,
    },
    /// Note an authority's fault.
    Report(PeerFault),
    /// Know that a quorum agrees on a state root. Told behind the batch that holds the agreement.
    RootAgreed(RootAgreement),
    /// Stop handing commits to the executor: a quorum agrees on another state root than the one that it reached (X07). Told behind
    /// the batch that holds the evidence, once a life; consensus goes on, and the executor is heard no more.
    RootContradicted(RootContradiction),
    /// Stop: a quorum holds another commit than this node. The machine makes no further block and no further commit, and takes
    /// no further block in; nothing is overwritten (D07). Told once, ahead of all that waits for a disk. Behind it comes at most
    /// one batch: the blocks that show the fork, for the next start to find it, with the commits that were formed before the
    /// contradicted one in the same turn, and their delivery. Never an own block.
    Forked(Fork),
}

/// Why an accepted transaction is given up. Nothing is ever evicted to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Its lifetime ended while it waited to be proposed, for the first time or again.
    Expired,
    /// Its own block was collected uncommitted, and its lifetime had ended by then, so it is not proposed again (T01).
    NotReproposed,
}

/// What became of a submission. A batch is taken whole or refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// Every transaction waits in the pool.
    Accepted,
    /// No room now.
    PoolFull {
        /// Transactions in the pool.
        transactions: usize,
        /// Most that it takes.
        max_transactions: usize,
        /// Counted bytes in the pool.
        bytes: u64,
        /// Most that it takes.
        max_bytes: u64,
    },
    /// A transaction already waits here, or stands twice in the batch.
    AlreadyPooled {
        /// Its position in the batch.
        position: usize,
        /// Its digest.
        digest: TransactionDigest,
    },
    /// A transaction that no block may hold: empty, or over `max_transaction_bytes` (T03).
    TransactionSize {
        /// Its position in the batch.
        position: usize,
        /// Its size.
        size_bytes: u64,
        /// Most that is allowed; the least is 1.
        limit_bytes: u64,
    },
    /// This authority has stopped proposing.
    NotProposing,
}

/// Something is wrong with an authority. Only [`PeerFault::UnknownOwnBlock`] stops this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// Two blocks of one slot: a signed contradiction. Reported behind the batch that holds the proof, where one is kept.
    Equivocation {
        /// The slot.
        slot: Slot,
        /// The block held first.
        first: BlockRef,
        /// The other one.
        second: BlockRef,
    },
    /// A block further ahead than blocks are let in.
    TooFarAhead {
        /// Who sent it.
        from: AuthorityIndex,
        /// The block.
        block: BlockRef,
        /// The highest round let in.
        limit: Round,
    },
    /// The author's share of the waiting room is full; the block was dropped and is fetched when another names it.
    WaitingRoomFull {
        /// Who sent it.
        from: AuthorityIndex,
        /// The dropped block.
        block: BlockRef,
    },
    /// A block was dropped, with all that waited for it: enough peers were asked for one of its ancestors in vain, and the
    /// authors of those blocks may all be faulty. It is fetched again when another names it.
    AncestorNotFound {
        /// The lowest block that was dropped.
        block: BlockRef,
        /// The ancestor.
        ancestor: BlockRef,
    },
    /// An own block that this node does not hold, where it should: somebody else signs with its key, or its store is older than
    /// what was signed and that was noticed too late. The machine has stopped proposing, for any further block might be a
    /// second one for its slot.
    UnknownOwnBlock {
        /// Who sent it.
        from: AuthorityIndex,
        /// The block.
        block: BlockRef,
    },
}

/// What is made durable together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteBatch {
    /// Blocks that were not durable before, own ones among them; closed under ancestors above the GC round.
    pub blocks: Vec<VerifiedBlock>,
    /// Commits with their digests, rising; the last one closes its group.
    pub commits: Vec<(Commit, CommitDigest)>,
    /// Certificates of closing commits of this or earlier batches, rising. Blocks that they name may be in no batch yet: a
    /// certificate can be shown to others once all of them are held.
    pub certificates: Vec<Certificate>,
    /// Proofs of equivocation; at most four of an authority in one epoch, over all batches.
    pub evidence: Vec<Equivocation>,
    /// State roots that were agreed on, found equal to the own one, or contradicted. Boxed, since most batches have none.
    pub roots: Box<RootRecords>,
    /// Where the machine stands after this batch.
    pub progress: Progress,
}

impl WriteBatch {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.commits.is_empty()
            && self.certificates.is_empty()
            && self.evidence.is_empty()
            && self.roots.is_empty()
    }
}

/// Where the machine stands: written with every batch, so that a restart reads one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The epoch.
    pub epoch: Epoch,
    /// The last commit, always a closing one; none before the first.
    pub last_commit: CommitIndex,
    /// Blocks at or below this round are no longer needed in the DAG.
    pub gc_round: Round,
    /// Highest round of own blocks in the store; genesis while the store may lack own blocks, those that it holds having
    /// come from peers.
    pub own_round: Round,
    /// Highest committed round by authority.
    pub last_committed_rounds: Vec<Round>,
    /// The leader schedule after the last commit.
    pub schedule: ScheduleState,
}
