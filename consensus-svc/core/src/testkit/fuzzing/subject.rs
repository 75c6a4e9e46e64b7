//! A machine under test, its store, and what must hold of every list of effects.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    block::VerifiedBlock,
    block_verifier::BlockVerifier,
    commit::CommittedSubDag,
    consensus::Consensus,
    core_status::CoreStatus,
    crypto::Signer,
    effect::{Effect, WriteBatch},
    fetch::Fetch,
    genesis::{Genesis, ProtocolParameters},
    input::Input,
    params::Params,
    recovery::RecoverError,
    testkit::{genesis_with, network::TestStore},
    types::{AuthorityIndex, BlockRef, CommitIndex, Round, Timestamp},
};

/// A network that machines are tried in.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) genesis: Arc<Genesis>,
    pub(super) signers: Vec<Signer>,
}

static WORLDS: LazyLock<Vec<World>> = LazyLock::new(|| {
    let networks: [(&[u64], u16); 4] = [(&[1; 4], 1), (&[1; 4], 2), (&[1, 2, 3, 4], 1), (&[1], 1)];
    let worlds = networks.map(|(stakes, leaders_per_round)| {
        // Small enough that a few inputs reach every limit.
        let parameters = ProtocolParameters {
            leaders_per_round,
            gc_depth: 10,
            heartbeat_rounds: 4,
            heartbeat_interval: Duration::from_secs(1),
            max_commit_transactions: 6,
            max_block_transactions: 4,
            max_block_bytes: 1024,
            max_transaction_bytes: 300,
            max_duplicate_entries: 8,
            root_interval: 2,
            ..ProtocolParameters::default()
        };
        let (genesis, signers) = genesis_with(stakes, parameters);
        World { genesis: Arc::new(genesis), signers }
    });
    worlds.to_vec()
});

impl World {
    /// The world with only one authority.
    pub(super) const LONE: usize = 3;

    /// A world by number: four authorities with one or two leaders a round, or of uneven stakes, or a lone one.
    pub(super) fn of(number: usize) -> Self {
        WORLDS.get(number).expect("a world by its number").clone()
    }
}

/// Small enough that a few inputs reach every limit.
pub(super) fn params() -> Params {
    Params {
        max_waiting_blocks: 40,
        max_waiting_bytes: 512 << 10,
        max_rounds_ahead: 12,
        max_pool_transactions: 12,
        max_pool_bytes: 2_000,
        ..Params::default()
    }
}

/// A machine under test.
pub(super) struct Subject {
    world: World,
    own: AuthorityIndex,
    params: Params,
    verifier: BlockVerifier,
    pub(super) now: Timestamp,
    /// `None` once its store must not be started from any more.
    pub(super) machine: Option<Consensus>,
    store: TestStore,
    /// What was signed and sent, over all lives.
    sent: BTreeMap<Round, BlockRef>,
    delivered: CommitIndex,
    /// Whether this life has found a fork.
    forked: bool,
    status: CoreStatus,
}

impl Subject {
    /// An authority that starts with an empty store.
    pub(super) fn new(world: &World, own: AuthorityIndex) -> Self {
        let mut subject = Self {
            world: world.clone(),
            own,
            params: params(),
            verifier: BlockVerifier::new(world.genesis.clone()),
            now: world.genesis.timestamp(),
            machine: None,
            store: TestStore::default(),
            sent: BTreeMap::new(),
            delivered: CommitIndex::NONE,
            forked: false,
            status: CoreStatus::default(),
        };
        subject.start();
        subject
    }

    pub(super) const fn status(&self) -> &CoreStatus {
        &self.status
    }

    /// Peers answer the question of the start: none of them knows a block.
    pub(super) fn hear_all(&mut self) {
        for from in self.world.genesis.committee().indexes() {
            self.input(Input::OwnLastBlock { from, block: None, peers_last: None });
        }
    }

    /// Gives the machine an input and checks what it answers with.
    pub(super) fn input(&mut self, input: Input) -> Vec<Effect> {
        self.input_up_to(input, usize::MAX)
    }

    /// Likewise, but only the first effects are let out: the rest is lost in a crash, after which [`Self::start`] is due.
    pub(super) fn input_up_to(&mut self, input: Input, let_out: usize) -> Vec<Effect> {
        let Some(machine) = self.machine.as_mut() else { return Vec::new() };
        let effects = machine.handle(self.now, input);
        let status = machine.status();
        self.check_status(&status);
        self.status = status;
        self.run(effects.iter().take(let_out));
        effects
    }

    /// Starts from what the store holds, as after a crash.
    pub(super) fn start(&mut self) {
        let log = self.store.recovered(self.own, self.world.genesis.parameters());
        let signer = self.world.signers.get(self.own.as_usize()).expect("a signer an authority").clone();
        let genesis = self.world.genesis.clone();
        match Consensus::recover(genesis, self.params.clone(), signer, log, self.now) {
            Ok((machine, effects)) => {
                self.delivered = CommitIndex::new(self.store.commits.len() as u64);
                self.forked = false;
                self.status = CoreStatus::default();
                self.status = machine.status();
                self.machine = Some(machine);
                self.run(effects.iter());
            }
            // Somebody else has signed with its key, and the guard was raised above the store.
            Err(RecoverError::BelowGuard { .. }) if self.status.halted => self.machine = None,
            Err(error) => panic!("a machine refuses its own store: {error}"),
        }
    }

    fn run<'a>(&mut self, effects: impl Iterator<Item = &'a Effect>) {
        for effect in effects {
            match effect {
                Effect::Forked(_) => self.forked = true,
                Effect::Guard { .. } | Effect::Broadcast(_) if self.forked => {
                    panic!("{effect:?} after a fork");
                }
                Effect::Persist(batch) => self.persist(batch),
                Effect::Guard { epoch, round } => {
                    let guard = Some((*epoch, *round));
                    assert!(guard >= self.store.guard, "the guard falls from {:?}", self.store.guard);
                    self.store.guard = guard;
                }
                Effect::Broadcast(block) => self.broadcast(block),
                Effect::Deliver(sub_dag) => self.deliver(sub_dag),
                Effect::Fetch(Fetch { peer, blocks, held, .. }) => {
                    let committee = self.world.genesis.committee();
                    assert!(*peer != self.own && committee.authority(*peer).is_some(), "fetch from {peer}");
                    assert_eq!(held.len(), committee.size());
                    assert!((1..=1000).contains(&blocks.len()), "fetch of {} blocks", blocks.len());
                }
                _ => {}
            }
        }
    }

    fn persist(&mut self, batch: &WriteBatch) {
        let gc_round = batch.progress.gc_round;
        self.store.persist(batch);
        for block in &batch.blocks {
            let missing = block.ancestors().iter().find(|ancestor| {
                ancestor.round > gc_round
                    && ancestor.round > Round::GENESIS
                    && !self.store.blocks.contains_key(ancestor)
            });
            // Collected rounds are counted by the progress of the same batch.
            assert_eq!(missing, None, "{block:?} is durable before its ancestor");
        }
        let before = self.store.commits.len().saturating_sub(batch.commits.len());
        for (place, (commit, digest)) in (1u64..).zip(&self.store.commits).skip(before) {
            assert_eq!((commit.index.get(), commit.digest()), (place, *digest), "the chain has a hole");
        }
        let last = self.store.commits.last();
        assert!(last.is_none_or(|(commit, _)| commit.closing), "a group is durable in part");
    }

    fn broadcast(&mut self, block: &VerifiedBlock) {
        let reference = block.reference();
        assert_eq!(block.author(), self.own);
        assert!(self.store.blocks.contains_key(&reference), "{block:?} is sent before it is durable");
        let guarded = self.store.guard >= Some((block.block().epoch, block.round()));
        assert!(guarded, "{block:?} is sent before the guard is raised");
        let other = self.sent.insert(block.round(), reference).filter(|other| *other != reference);
        assert_eq!(other, None, "two blocks for one slot: {block:?}");
        let judged = self.verifier.verify(block.signed_bytes().clone());
        assert!(judged.is_ok(), "{block:?} is invalid: {judged:?}");
    }

    fn deliver(&mut self, sub_dag: &CommittedSubDag) {
        let (commit, limits) = (&sub_dag.commit, self.world.genesis.parameters());
        assert_eq!(commit.index, self.delivered.next(), "delivery jumps");
        self.delivered = commit.index;
        let place = usize::try_from(commit.index.get().saturating_sub(1)).unwrap_or(usize::MAX);
        let stored = self.store.commits.get(place).map(|(_, digest)| *digest);
        assert_eq!(stored, Some(sub_dag.digest), "{sub_dag:?} is delivered before it is durable");
        assert!(sub_dag.blocks.iter().map(VerifiedBlock::reference).eq(commit.blocks.iter().copied()));
        let transactions = sub_dag.transactions().count() as u64;
        assert!(sub_dag.counted_bytes() <= limits.max_commit_bytes, "{sub_dag:?} is too large");
        assert!(transactions <= u64::from(limits.max_commit_transactions), "{sub_dag:?} has {transactions}");
    }

    /// What the machine shows of itself stays within its bounds, and within a life never falls.
    fn check_status(&self, status: &CoreStatus) {
        let authorities = self.world.genesis.committee().size();
        let missing = status.waiting_blocks.saturating_mul(authorities);
        assert!(status.waiting_blocks <= self.params.max_waiting_blocks, "{status:?}");
        assert!(status.waiting_bytes <= self.params.max_waiting_bytes, "{status:?}");
        assert!(status.missing_blocks <= missing, "{status:?}");
        assert!(status.pooled_transactions <= self.params.max_pool_transactions, "{status:?}");
        assert!(status.pooled_bytes <= self.params.max_pool_bytes, "{status:?}");
        assert!(status.root_votes_held <= authorities.saturating_mul(64).saturating_add(164), "{status:?}");
        assert!(status.accepted_rounds.iter().all(|round| *round <= status.round), "{status:?}");
        assert!(status.proposed_round <= status.round, "{status:?}");
        assert!(status.gc_round <= status.last_committed_round, "{status:?}");
        let positions = |of: &CoreStatus| [of.round, of.proposed_round, of.last_committed_round, of.gc_round];
        let falls = positions(status).iter().zip(positions(&self.status)).any(|(now, before)| *now < before);
        assert!(!falls && status.last_commit >= self.status.last_commit, "{:?} then {status:?}", self.status);
        assert!(status.halted >= self.status.halted);
    }
}
