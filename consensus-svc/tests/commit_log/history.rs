//! What four real machines order in virtual time, and how it is written to a log.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use consensus_core::{
    AuthorityIndex, BlockRef, ChainId, CommitIndex, CommittedSubDag, Epoch, Genesis, Params, Progress,
    ProtocolParameters, Reputation, Round, ScheduleState, Signer, VerifiedBlock, WriteBatch,
    testkit::{self, network::TestNetwork},
};
use consensus_svc::commit_log::{CommitLog, LogOptions};
use metanode_shell::durable::StoreOptions;

pub(crate) const OWN: AuthorityIndex = AuthorityIndex::new(2);
pub(crate) const GC_DEPTH: u64 = 10;

/// Everything that authority [`OWN`] persisted and delivered.
pub(crate) struct History {
    pub(crate) genesis: Genesis,
    pub(crate) signer: Signer,
    /// At least 40, each with its blocks.
    pub(crate) commits: Vec<CommittedSubDag>,
    /// The leader schedule after each of them.
    schedules: Vec<ScheduleState>,
    /// Blocks that no commit names, in order of their refs.
    pub(crate) uncommitted: Vec<VerifiedBlock>,
    /// All blocks.
    pub(crate) blocks: Vec<VerifiedBlock>,
}

pub(crate) static HISTORY: LazyLock<History> = LazyLock::new(make_history);

fn make_history() -> History {
    let parameters = ProtocolParameters {
        gc_depth: GC_DEPTH,
        heartbeat_rounds: 5,
        schedule_window_rounds: 10,
        ..ProtocolParameters::default()
    };
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
    let signer = signers[OWN.as_usize()].clone();
    let mut network =
        TestNetwork::start(genesis.clone(), signers, Params::default(), Duration::from_millis(5));
    for ticket in 0..400 {
        let author = AuthorityIndex::new(u16::try_from(ticket % 4).unwrap());
        network.submit(author, ticket, format!("transaction {ticket}").as_bytes());
        network.run(Duration::from_millis(20));
    }
    let node = network.node(OWN);
    let commits = node.delivered.clone();
    assert!(commits.len() >= 40, "{}", commits.len());
    let committed: BTreeSet<BlockRef> =
        commits.iter().flat_map(|sub_dag| sub_dag.commit.blocks.iter().copied()).collect();
    let blocks: Vec<_> = node.store.blocks.values().cloned().collect();
    let uncommitted =
        blocks.iter().filter(|block| !committed.contains(&block.reference())).cloned().collect();
    let mut reputation = Reputation::new(Arc::new(genesis.clone()));
    let schedules = commits.iter().map(|sub_dag| {
        reputation.note_commit(sub_dag);
        reputation.state()
    });
    let schedules = schedules.collect();
    History { genesis, signer, commits, schedules, uncommitted, blocks }
}

impl History {
    pub(crate) fn chain_id(&self) -> ChainId {
        self.genesis.chain_id()
    }

    pub(crate) fn last(&self) -> &CommittedSubDag {
        self.commits.last().unwrap()
    }

    /// The commit of an index.
    pub(crate) fn commit(&self, index: u64) -> &CommittedSubDag {
        &self.commits[usize::try_from(index - 1).unwrap()]
    }

    /// Highest round of own blocks among the commits up to an index.
    fn own_round(&self, through: CommitIndex) -> Round {
        let blocks = self.commits.iter().take_while(|c| c.commit.index <= through).flat_map(|c| &c.blocks);
        blocks.filter(|block| block.author() == OWN).map(VerifiedBlock::round).max().unwrap_or_default()
    }

    /// One commit and its blocks, as the machine would persist them.
    pub(crate) fn batch(&self, sub_dag: &CommittedSubDag) -> WriteBatch {
        let index = sub_dag.commit.index;
        WriteBatch {
            blocks: sub_dag.blocks.clone(),
            commits: vec![(sub_dag.commit.clone(), sub_dag.digest)],
            certificates: Vec::new(),
            evidence: Vec::new(),
            roots: Box::default(),
            progress: Progress {
                last_commit: index,
                gc_round: sub_dag.commit.last_leader_round().minus(GC_DEPTH),
                own_round: self.own_round(index),
                schedule: self.schedules[usize::try_from(index.get() - 1).unwrap()].clone(),
                ..Progress::default()
            },
        }
    }

    /// The blocks that no commit names.
    pub(crate) fn rest(&self) -> WriteBatch {
        let mut batch = self.batch(self.last());
        batch.commits.clear();
        batch.blocks = self.uncommitted.clone();
        batch.progress.own_round = self.own_blocks().last().unwrap().round();
        batch
    }

    pub(crate) fn own_blocks(&self) -> Vec<VerifiedBlock> {
        self.blocks.iter().filter(|block| block.author() == OWN).cloned().collect()
    }
}

pub(crate) fn options() -> LogOptions {
    let store = StoreOptions { cache_bytes: 16 << 20, lock_deadline: Duration::from_secs(5) };
    LogOptions { store, ..LogOptions::default() }
}

pub(crate) fn open(path: &Path) -> CommitLog {
    CommitLog::open(path, HISTORY.chain_id(), &options()).unwrap()
}

/// Writes the commits `from..=to`, and waits until they are durable.
pub(crate) async fn write(log: &CommitLog, from: u64, to: u64) {
    let mut completions = Vec::new();
    for index in from..=to {
        completions.push(log.submit(HISTORY.batch(HISTORY.commit(index))).await.unwrap());
    }
    for completion in completions {
        completion.await.unwrap();
    }
}

/// Writes the whole history.
pub(crate) async fn write_all(log: &CommitLog) {
    write(log, 1, HISTORY.last().commit.index.get()).await;
    log.submit(HISTORY.rest()).await.unwrap().await.unwrap();
}

pub(crate) const EPOCH: Epoch = Epoch::GENESIS;
