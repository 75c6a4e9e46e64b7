//! From committed leaders to commits.
//!
//! Leaders come one at a time in slot order. Each adds its causal history above the GC round, less what was committed
//! before, sorted by (round, authority, digest). Leaders gather in a group until something is worth executing, or a
//! heartbeat is due; the group is then cut into commits by size, the last of which closes it. Only a closing commit moves
//! the GC round.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    block::VerifiedBlock,
    commit::{Commit, CommittedSubDag},
    dag::Dag,
    duplicates::DuplicateWindow,
    genesis::{Genesis, ProtocolParameters},
    types::{BlockRef, CommitDigest, CommitIndex, Round, Timestamp, TransactionDigest},
};

/// Where the chain of commits stands after its last closing commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChainEnd {
    index: CommitIndex,
    digest: CommitDigest,
    timestamp: Timestamp,
    last_leader_round: Round,
}

/// Committed leaders whose commits are not formed yet.
#[derive(Debug, Default)]
struct Group {
    leaders: Vec<BlockRef>,
    blocks: Vec<VerifiedBlock>,
    has_transactions: bool,
}

/// Turns committed leaders into the chain of commits.
#[derive(Debug)]
pub struct Linearizer {
    genesis: Arc<Genesis>,
    end: ChainEnd,
    gc_round: Round,
    committed: BTreeSet<BlockRef>,
    committed_rounds: Vec<Round>,
    group: Group,
    duplicates: DuplicateWindow,
}

impl Linearizer {
    /// A linearizer before the first commit.
    pub fn new(genesis: Arc<Genesis>) -> Self {
        let end = ChainEnd {
            index: CommitIndex::NONE,
            digest: CommitDigest::ZERO,
            timestamp: genesis.timestamp(),
            last_leader_round: Round::GENESIS,
        };
        let committed_rounds = vec![Round::GENESIS; genesis.committee().size()];
        let duplicates = DuplicateWindow::new(genesis.parameters());
        Self {
            genesis,
            end,
            gc_round: Round::GENESIS,
            committed: BTreeSet::new(),
            committed_rounds,
            group: Group::default(),
            duplicates,
        }
    }

    /// A linearizer after `commits`: consecutive, the last one closing, reaching back to the first whose last leader is
    /// above the GC round. Everything is derived from them: the refs that are committed above GC, the GC round, the
    /// chain's end.
    /// `duplicates` is the window of the last commits, rebuilt from them. `committed_rounds` only carries on what operators are shown of authors that were long absent.
    pub fn recover(
        genesis: Arc<Genesis>,
        commits: &[(Commit, CommitDigest)],
        committed_rounds: &[Round],
        duplicates: Option<DuplicateWindow>,
    ) -> Self {
        let mut linearizer = Self::new(genesis);
        if let Some(duplicates) = duplicates {
            linearizer.duplicates = duplicates;
        }
        for (highest, recorded) in linearizer.committed_rounds.iter_mut().zip(committed_rounds) {
            *highest = *recorded;
        }
        if let Some((last, digest)) = commits.last() {
            for reference in commits.iter().flat_map(|(commit, _)| &commit.blocks) {
                linearizer.note_committed(reference);
            }
            linearizer.close_at(ChainEnd {
                index: last.index,
                digest: *digest,
                timestamp: last.timestamp,
                last_leader_round: last.last_leader_round(),
            });
        }
        linearizer
    }

    /// Blocks at or below this round are never committed any more.
    pub const fn gc_round(&self) -> Round {
        self.gc_round
    }

    /// Index of the last commit formed.
    pub const fn last_commit(&self) -> CommitIndex {
        self.end.index
    }

    /// Digest of the last commit formed.
    pub const fn last_digest(&self) -> CommitDigest {
        self.end.digest
    }

    /// Round of the last leader of the last commit formed; genesis before the first.
    pub const fn last_leader_round(&self) -> Round {
        self.end.last_leader_round
    }

    /// Highest committed round by authority, over formed commits and the open group.
    pub fn committed_rounds(&self) -> &[Round] {
        &self.committed_rounds
    }

    /// Whether a block above the GC round is committed, or in the open group.
    pub fn is_committed(&self, reference: &BlockRef) -> bool {
        self.committed.contains(reference)
    }

    /// Whether a transaction was committed within the window of duplicates.
    pub fn is_in_window(&self, digest: &TransactionDigest) -> bool {
        self.duplicates.contains(digest)
    }

    /// Takes the next committed leader. Answers with the commits of its group if the leader closes it, and with nothing
    /// while the group stays open.
    ///
    /// `dag` must hold the leader's causal history above the GC round, as every [`Dag`] does for its blocks.
    pub fn commit_leader(&mut self, dag: &Dag, leader: &VerifiedBlock) -> Vec<CommittedSubDag> {
        let history = self.uncommitted_history(dag, leader);
        self.group.has_transactions |= history.iter().any(|block| !block.block().transactions.is_empty());
        self.group.leaders.push(leader.reference());
        for block in &history {
            self.note_committed(&block.reference());
        }
        self.group.blocks.extend(history);

        let timestamp = self.end.timestamp.max(median_timestamp(dag, leader));
        if self.closes(leader.round(), timestamp) {
            self.form_commits(leader.round(), timestamp)
        } else {
            Vec::new()
        }
    }

    /// Forgets the leaders of the open group, if there are any, and that their blocks are committed.
    pub(crate) fn abandon_group(&mut self) {
        for block in std::mem::take(&mut self.group).blocks {
            self.committed.remove(&block.reference());
        }
    }

    fn uncommitted_history(&self, dag: &Dag, leader: &VerifiedBlock) -> Vec<VerifiedBlock> {
        let mut seen = BTreeSet::from([leader.reference()]);
        let mut history = Vec::new();
        let mut unvisited = vec![leader.clone()];
        while let Some(block) = unvisited.pop() {
            for ancestor in block.ancestors() {
                if ancestor.round > self.gc_round && !self.is_committed(ancestor) && seen.insert(*ancestor) {
                    let ancestor = dag.get(ancestor);
                    unvisited.push(ancestor.expect("the DAG is closed under ancestors above GC").clone());
                }
            }
            history.push(block);
        }
        history.sort_by_key(VerifiedBlock::reference);
        history
    }

    fn closes(&self, leader_round: Round, timestamp: Timestamp) -> bool {
        let parameters = self.genesis.parameters();
        self.group.has_transactions
            || timestamp >= self.end.timestamp.plus(parameters.heartbeat_interval)
            || leader_round >= self.end.last_leader_round.plus(parameters.heartbeat_rounds)
    }

    fn form_commits(&mut self, last_leader_round: Round, timestamp: Timestamp) -> Vec<CommittedSubDag> {
        let group = std::mem::take(&mut self.group);
        let pieces = cut(group.blocks, self.genesis.parameters());
        let last = pieces.len().saturating_sub(1);
        let mut end = ChainEnd { timestamp, last_leader_round, ..self.end };
        let commits = pieces
            .into_iter()
            .enumerate()
            .map(|(piece, blocks)| {
                let transactions = blocks.iter().flat_map(|block| &block.block().transactions);
                let duplicate_marks = self.duplicates.commit(timestamp, transactions);
                let commit = Commit {
                    index: end.index.next(),
                    epoch: self.genesis.committee().epoch(),
                    previous_digest: end.digest,
                    timestamp,
                    closing: piece == last,
                    leaders: group.leaders.clone(),
                    blocks: blocks.iter().map(VerifiedBlock::reference).collect(),
                    duplicate_marks,
                };
                let digest = commit.digest();
                end = ChainEnd { index: commit.index, digest, ..end };
                CommittedSubDag { commit, digest, blocks }
            })
            .collect();
        self.close_at(end);
        commits
    }

    fn note_committed(&mut self, reference: &BlockRef) {
        self.committed.insert(*reference);
        if let Some(highest) = self.committed_rounds.get_mut(reference.author.as_usize()) {
            *highest = reference.round.max(*highest);
        }
    }

    fn close_at(&mut self, end: ChainEnd) {
        self.end = end;
        self.gc_round = end.last_leader_round.minus(self.genesis.parameters().gc_depth);
        let first_kept =
            BlockRef { round: self.gc_round.next(), author: Default::default(), digest: Default::default() };
        self.committed = self.committed.split_off(&first_kept);
    }
}

/// Cuts a group greedily before the block with which a piece would exceed a limit. A block alone always fits: genesis
/// refuses block limits above those of commits.
fn cut(blocks: Vec<VerifiedBlock>, limits: &ProtocolParameters) -> Vec<Vec<VerifiedBlock>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let (mut bytes, mut transactions) = (0u64, 0u64);
    for block in blocks {
        let block_bytes = block.block().counted_bytes();
        let block_transactions = block.block().transactions.len() as u64;
        bytes = bytes.saturating_add(block_bytes);
        transactions = transactions.saturating_add(block_transactions);
        let exceeds =
            bytes > limits.max_commit_bytes || transactions > u64::from(limits.max_commit_transactions);
        if exceeds && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            (bytes, transactions) = (block_bytes, block_transactions);
        }
        piece.push(block);
    }
    pieces.push(piece);
    pieces
}

/// Stake-weighted median over the leader's parents at the previous round exactly: sorted by timestamp, the smallest time
/// whose cumulative stake exceeds half of those parents' stake.
fn median_timestamp(dag: &Dag, leader: &VerifiedBlock) -> Timestamp {
    let parents = leader.ancestors().iter().filter(|parent| parent.round.next() == leader.round());
    let mut votes: Vec<(Timestamp, u64)> = parents
        .filter_map(|parent| dag.get(parent))
        .map(|parent| (parent.block().timestamp, dag.committee().stake(parent.author()).get()))
        .collect();
    votes.sort_unstable();
    let total = votes.iter().fold(0u64, |sum, (_, stake)| sum.saturating_add(*stake));
    let mut cumulative = 0u64;
    votes
        .into_iter()
        .find(|(_, stake)| {
            cumulative = cumulative.saturating_add(*stake);
            cumulative.saturating_mul(2) > total
        })
        .map_or(Timestamp::default(), |(timestamp, _)| timestamp)
}
