//! The effects of one input, put in order: what needs no disk, then one batch of all that must be durable, then what waited
//! for it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::{
    block::VerifiedBlock,
    certifier::Certificate,
    commit::CommittedSubDag,
    effect::{DropReason, Effect, PeerFault, Progress, WriteBatch},
    evidence::EvidenceBook,
    state_roots::RootRecords,
    transaction::Transaction,
    types::{BlockRef, Slot, TransactionDigest},
    waiting_room::DueFetches,
};

/// Accepted blocks are made durable at the latest when this many are not, even if nothing is committed or proposed.
pub const MAX_UNPERSISTED_BLOCKS: usize = 1000;
/// ... or when they have this many signed bytes.
pub const MAX_UNPERSISTED_BYTES: u64 = 8 << 20;

/// What no batch has persisted yet: accepted blocks in order of acceptance, certificates, evidence, and what
/// became of state roots.
#[derive(Debug)]
pub(crate) struct Unpersisted {
    blocks: Vec<VerifiedBlock>,
    bytes: u64,
    /// Whether no other batch comes: whatever is left is due.
    ends: bool,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) evidence: EvidenceBook,
    roots: RootRecords,
    /// Whether the records of roots make a batch due.
    roots_due: bool,
}

impl Unpersisted {
    /// Nothing waits; `evidence` is what the store holds.
    pub(crate) fn recover(evidence: &[Slot]) -> Self {
        let evidence = EvidenceBook::recover(evidence);
        Self {
            blocks: Vec::new(),
            bytes: 0,
            ends: false,
            certificates: Vec::new(),
            evidence,
            roots: RootRecords::default(),
            roots_due: false,
        }
    }

    pub(crate) fn push(&mut self, block: VerifiedBlock) {
        self.bytes = self.bytes.saturating_add(block.signed_bytes().len() as u64);
        self.blocks.push(block);
    }

    pub(crate) const fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes in what became of state roots.
    pub(crate) fn add_roots(&mut self, (records, is_due): (RootRecords, bool)) {
        self.roots.apply(&records);
        self.roots_due |= is_due;
    }

    /// Takes a block back that is not to be.
    pub(crate) fn withdraw(&mut self, reference: &BlockRef) {
        self.blocks.retain(|block| block.reference() != *reference);
    }

    /// Makes all that is left due.
    pub(crate) const fn end(&mut self) {
        self.ends = true;
    }

    fn is_due(&self) -> bool {
        (self.ends && !self.blocks.is_empty())
            || self.blocks.len() >= MAX_UNPERSISTED_BLOCKS
            || self.bytes >= MAX_UNPERSISTED_BYTES
            || self.evidence.is_due()
            || self.roots_due
    }

    fn take(&mut self) -> Vec<VerifiedBlock> {
        self.bytes = 0;
        std::mem::take(&mut self.blocks)
    }
}

/// A whole group of commits, and where the chain stands behind it.
#[derive(Debug)]
pub(crate) struct FormedGroup {
    pub(crate) commits: Vec<CommittedSubDag>,
    pub(crate) progress: Progress,
}

/// What one input has led to.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Effects that need no disk.
    pub(crate) immediate: Vec<Effect>,
    /// The block that was made.
    pub(crate) own_block: Option<VerifiedBlock>,
    /// The groups of commits that were formed.
    pub(crate) groups: Vec<FormedGroup>,
    /// Pairs of blocks of one slot. Told behind the batch, where one is due: what was told is proven.
    pub(crate) equivocations: Vec<(BlockRef, BlockRef)>,
    /// The transactions that were given up; told behind the commits, which may have been what collected them.
    dropped: Vec<(DropReason, Vec<TransactionDigest>)>,
    /// Of what left the pool likewise, the transactions that have their place in the order already; told there too.
    pub(crate) committed_before: Vec<TransactionDigest>,
}

impl Outbox {
    pub(crate) fn drop_transactions(&mut self, reason: DropReason, transactions: Vec<TransactionDigest>) {
        if !transactions.is_empty() {
            self.dropped.push((reason, transactions));
        }
    }

    /// Once no more commits are formed: what was given up meets one fate. What these commits hold has met it with them, and what
    /// `is_committed` within the window of duplicates, submitted again since, has its place there (T01).
    pub(crate) fn settle(&mut self, is_committed: impl Fn(&TransactionDigest) -> bool) {
        if self.dropped.is_empty() {
            return;
        }
        let commits = self.groups.iter().flat_map(|group| &group.commits);
        let told: BTreeSet<_> =
            commits.flat_map(CommittedSubDag::transactions).map(Transaction::digest).collect();
        for (_, transactions) in &mut self.dropped {
            transactions.retain(|digest| !told.contains(digest));
            self.committed_before.extend(transactions.extract_if(.., |digest| is_committed(digest)));
        }
        self.dropped.retain(|(_, transactions)| !transactions.is_empty());
    }

    pub(crate) fn report(&mut self, fault: PeerFault) {
        self.immediate.push(Effect::Report(fault));
    }

    pub(crate) fn fetch(&mut self, due: DueFetches) {
        for (ancestor, block) in due.given_up {
            self.report(PeerFault::AncestorNotFound { block, ancestor });
        }
        self.immediate.extend(due.fetches.into_iter().map(Effect::Fetch));
    }

    /// All effects in order. Blocks and commits that must be durable go in one batch with `progress`, ahead of what waits
    /// for it.
    pub(crate) fn release(self, unpersisted: &mut Unpersisted, progress: &Progress) -> Vec<Effect> {
        let Self { immediate: mut effects, own_block, groups, equivocations, dropped, committed_before } =
            self;
        let commits: Vec<_> = groups.into_iter().flat_map(|group| group.commits).collect();
        let told = equivocations.into_iter().map(|(first, second)| {
            Effect::Report(PeerFault::Equivocation { slot: first.slot(), first, second })
        });
        let committed_before = Some(committed_before).filter(|transactions| !transactions.is_empty());
        let given_up = dropped
            .into_iter()
            .map(|(reason, transactions)| Effect::Dropped { transactions, reason })
            .chain(committed_before.map(|transactions| Effect::CommittedBefore { transactions }));
        if own_block.is_none() && commits.is_empty() && !unpersisted.is_due() {
            effects.extend(told);
            effects.extend(given_up);
            return effects;
        }
        unpersisted.roots_due = false;
        let roots = std::mem::take(&mut unpersisted.roots);
        effects.push(Effect::Persist(WriteBatch {
            blocks: unpersisted.take(),
            commits: commits.iter().map(|sub_dag| (sub_dag.commit.clone(), sub_dag.digest)).collect(),
            certificates: std::mem::take(&mut unpersisted.certificates),
            evidence: unpersisted.evidence.take(),
            roots: Box::new(roots.clone()),
            progress: progress.clone(),
        }));
        effects.extend(told);
        effects.extend(roots.agreed.into_iter().map(Effect::RootAgreed));
        effects.extend(roots.contradiction.map(Effect::RootContradicted));
        if let Some(block) = own_block {
            effects.push(Effect::Guard { epoch: block.block().epoch, round: block.round() });
            effects.push(Effect::Broadcast(block));
        }
        effects.extend(commits.into_iter().map(Effect::Deliver));
        effects.extend(given_up);
        effects
    }
}
