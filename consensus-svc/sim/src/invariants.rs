//! What must hold in every weather, one file each. They see only what happened, never the machines' insides, so that each can
//! be shown a bad history by hand.

mod agreement;
mod bounded_memory;
mod certification;
mod duplicates;
mod durable_before_sent;
mod each_once;
mod evidence;
mod fates;
mod gc_bound;
mod hash_chain;
mod order;
mod own_slot_once;
mod progress;
mod roots;
mod schedule;
mod store_agrees;
mod timestamps;
mod transaction_bytes;

#[cfg(test)]
mod by_hand;

use std::{fmt, sync::Arc};

use consensus_core::{
    Certificate, CommitIndex, CommittedSubDag, CoreStatus, Epoch, EquivocationProof, Genesis, Params,
    Progress, RootAgreement, RootContradiction, Round, Slot, StateRoot, TransactionDigest, VerifiedBlock,
};

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    /// A client made transactions.
    Made { transactions: &'a [TransactionDigest] },
    /// A node told its client that it has accepted these.
    Accepted { node: usize, transactions: &'a [TransactionDigest] },
    /// A node told its clients that it has given these up.
    Dropped { node: usize, transactions: &'a [TransactionDigest] },
    /// A node told its clients that these had been committed before they were submitted again.
    CommittedBefore { node: usize, transactions: &'a [TransactionDigest] },
    /// A life of a node has ended.
    Crashed { node: usize },
    /// A life has begun, and the reader has every one of the `commits` of the store: these stand in own blocks of the store that
    /// are above the GC round and in no commit.
    Recovered { node: usize, commits: usize, transactions: &'a [TransactionDigest] },
    /// An own block was let out for the first time.
    Sent {
        node: usize,
        honest: bool,
        block: &'a VerifiedBlock,
        /// Whether the sender's store holds it durably.
        stored: bool,
        /// The sender's durable guard.
        guard: Option<(Epoch, Round)>,
    },
    /// A node's reader got a commit.
    Delivered {
        node: usize,
        at_ms: u64,
        sub_dag: &'a CommittedSubDag,
        /// Whether the node's store holds the commit durably.
        stored: bool,
        /// Whether it may be one that the reader has: the node's store was replaced by an older one.
        again: bool,
    },
    /// An honest node's batch is durable.
    Stored {
        node: usize,
        progress: &'a Progress,
        certificates: &'a [Certificate],
        /// The last commit that the store holds by now, and the one that its progress record names.
        ends: (CommitIndex, CommitIndex),
    },
    /// An honest node's executor says that it has executed up to a commit, with this root.
    Executed { node: usize, index: CommitIndex, root: StateRoot },
    /// An honest node tells of an agreed root.
    RootAgreed {
        node: usize,
        agreement: &'a RootAgreement,
        /// Whether its store holds it durably, or only newer ones by now.
        kept: bool,
    },
    /// An honest node has found its executor wrong.
    RootContradicted {
        node: usize,
        contradiction: &'a RootContradiction,
        /// Whether its store holds the evidence durably.
        kept: bool,
    },
    /// What a machine shows of itself.
    Probed { node: usize, status: &'a CoreStatus },
    /// An honest node told of two blocks of a slot.
    MetEquivocation { node: usize, slot: Slot },
    /// An honest node's store was replaced by an older one.
    StoreReplaced { node: usize },
    /// At the end, a proof that an honest node's store holds durably.
    Proof { node: usize, slot: Slot, proof: &'a EquivocationProof },
    /// The end: the network healed, and the world waited.
    Ended { nodes: &'a [Standing], target: usize, owed: usize, waited_ms: u64 },
}

/// Where an honest node stands at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) node: usize,
    pub(crate) is_up: bool,
    pub(crate) delivered: usize,
}

/// What kind of violation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two honest nodes differ.
    Diverged,
    /// The network does not go on although it could.
    NoProgress,
    /// Anything else.
    Invariant,
}

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Virtual time.
    pub at_ms: u64,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.invariant, self.at_ms, self.detail)
    }
}

/// One invariant.
pub(crate) trait Invariant: fmt::Debug {
    /// Its name, as in reports.
    fn name(&self) -> &'static str;

    /// Its kind of violation.
    fn kind(&self) -> Kind {
        Kind::Invariant
    }

    /// Takes note of a record; says what is wrong with it.
    fn observe(&mut self, record: &Record<'_>) -> Result<(), String>;
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Watch {
    all: Vec<Box<dyn Invariant>>,
    fates: fates::Fates,
}

impl Watch {
    pub(crate) fn new(genesis: &Arc<Genesis>, params: &Params, max_skew_ms: u64) -> Self {
        let nodes = genesis.committee().size();
        let all: Vec<Box<dyn Invariant>> = vec![
            Box::new(agreement::Agreement::default()),
            Box::new(hash_chain::HashChain::new(nodes)),
            Box::new(schedule::Schedule::new(genesis.clone())),
            Box::new(each_once::EachOnce::new(nodes)),
            Box::new(transaction_bytes::TransactionBytes::default()),
            Box::new(duplicates::Duplicates::new(genesis.parameters())),
            Box::new(own_slot_once::OwnSlotOnce::default()),
            Box::new(durable_before_sent::DurableBeforeSent),
            Box::new(store_agrees::StoreAgrees),
            Box::new(gc_bound::GcBound::new(nodes, genesis.parameters().gc_depth)),
            Box::new(timestamps::Timestamps::new(genesis.clone(), max_skew_ms)),
            Box::new(order::Order::new(genesis.parameters().gc_depth)),
            Box::new(bounded_memory::BoundedMemory::new(genesis, params)),
            Box::new(evidence::Evidence::new(genesis)),
            Box::new(certification::Certification::new(genesis.clone())),
            Box::new(roots::Roots::new(genesis.clone())),
            Box::new(progress::Progress),
        ];
        Self { all, fates: fates::Fates::new(nodes, genesis.parameters()) }
    }

    /// Accepted transactions that have met no fate yet, over all nodes.
    pub(crate) fn owed(&self) -> usize {
        self.fates.open()
    }

    /// Shows a record to all; the first that objects.
    pub(crate) fn observe(&mut self, at_ms: u64, record: &Record<'_>) -> Option<Violation> {
        let fates: &mut dyn Invariant = &mut self.fates;
        let others = self.all.iter_mut().map(|invariant| -> &mut dyn Invariant { &mut **invariant });
        others.chain([fates]).find_map(|invariant| {
            let detail = invariant.observe(record).err()?;
            Some(Violation { invariant: invariant.name(), kind: invariant.kind(), at_ms, detail })
        })
    }
}
