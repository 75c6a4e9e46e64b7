//! A small deterministic network of real machines in virtual time, for tests: every link takes the same delay, nothing is
//! lost but what a stopped node would have received, and each node has a store that keeps what was persisted.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use crate::{
    block::VerifiedBlock,
    block_verifier::BlockVerifier,
    catch_up::{
        range::{ChainPoint, RangeError, verify_range},
        serving::{RangeSource, collect_range, shows_nothing_later},
    },
    certifier::{Certificate, Fork},
    commit::{Commit, CommittedSubDag},
    consensus::Consensus,
    crypto::Signer,
    duplicates::DuplicateWindow,
    effect::{DropReason, Effect, PeerFault, SubmitOutcome, WriteBatch},
    evidence::EquivocationProof,
    fetch::{Fetch, FetchEnd},
    fetch_answer::{self, AnswerLimits},
    genesis::{Genesis, ProtocolParameters},
    input::{BlockSource, Input, Ticket},
    params::Params,
    recovery::{RecoverError, RecoveredLog},
    schedule_state::ScheduleState,
    state_roots::RootRecords,
    transaction::Transaction,
    types::{
        AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, Round, Slot, Timestamp, TransactionDigest,
    },
};

/// Where answers to questions for blocks are cut.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// What a node keeps over a crash.
#[derive(Clone, Debug, Default)]
pub struct TestStore {
    /// Persisted blocks.
    pub blocks: BTreeMap<BlockRef, VerifiedBlock>,
    /// Persisted commits, from index 1.
    pub commits: Vec<(Commit, CommitDigest)>,
    /// Persisted certificates.
    pub certificates: BTreeMap<CommitIndex, Certificate>,
    /// Highest committed round by authority.
    pub last_committed_rounds: Vec<Round>,
    /// Persisted proofs of equivocation.
    pub evidence: BTreeMap<Slot, EquivocationProof>,
    /// Persisted records of state roots.
    pub roots: RootRecords,
    /// The leader schedule after each commit that ended a batch, by index.
    pub schedules: BTreeMap<CommitIndex, ScheduleState>,
    /// Highest own round that the newest batch vouches for.
    pub own_round: Round,
    /// The signing guard.
    pub guard: Option<(Epoch, Round)>,
}

impl TestStore {
    /// Applies a batch.
    ///
    /// # Panics
    /// If its progress names another last commit than is held by then: a real store could not be read again.
    pub fn persist(&mut self, batch: &WriteBatch) {
        self.blocks.extend(batch.blocks.iter().map(|block| (block.reference(), block.clone())));
        self.commits.extend(batch.commits.iter().cloned());
        self.certificates.extend(batch.certificates.iter().map(|found| (found.index, found.clone())));
        self.evidence.extend(batch.evidence.iter().map(|found| (found.slot(), found.proof())));
        self.roots.apply(&batch.roots);
        let last = self.commits.last().map(|(commit, _)| commit.index).unwrap_or_default();
        assert_eq!(batch.progress.last_commit, last, "the progress names a commit that no batch holds");
        self.last_committed_rounds.clone_from(&batch.progress.last_committed_rounds);
        self.schedules.insert(batch.progress.last_commit, batch.progress.schedule.clone());
        self.own_round = batch.progress.own_round;
    }

    /// What a restart reads.
    pub fn recovered(&self, own: AuthorityIndex, parameters: &ProtocolParameters) -> RecoveredLog {
        let last_leader =
            self.commits.last().map_or(Round::GENESIS, |(commit, _)| commit.last_leader_round());
        let gc_round = last_leader.minus(parameters.gc_depth);
        let last_commit = self.commits.last().map(|(commit, _)| commit.index);
        let own_last = self.blocks.values().rev().find(|block| block.author() == own).cloned();
        RecoveredLog {
            commits: self.commits.clone(),
            blocks: self.blocks.values().filter(|block| block.round() > gc_round).cloned().collect(),
            refilled: own_last.as_ref().is_some_and(|own_last| own_last.round() > self.own_round),
            own_last,
            duplicates: Some(self.duplicates(parameters)),
            schedule: last_commit.and_then(|last| self.schedules.get(&last)).cloned().unwrap_or_default(),
            last_committed_rounds: self.last_committed_rounds.clone(),
            evidence: self.evidence.keys().copied().collect(),
            roots: self.roots.clone(),
            certified: self.certificates.keys().next_back().copied().unwrap_or_default(),
            guard: self.guard,
        }
    }

    /// A commit with its blocks; `None` if it is not held.
    pub fn sub_dag(&self, index: CommitIndex) -> Option<CommittedSubDag> {
        let place = usize::try_from(index.get()).ok()?.checked_sub(1)?;
        let (commit, digest) = self.commits.get(place)?.clone();
        let blocks = commit.blocks.iter().map(|reference| self.blocks.get(reference).cloned());
        Some(CommittedSubDag { digest, blocks: blocks.collect::<Option<_>>()?, commit })
    }

    fn duplicates(&self, parameters: &ProtocolParameters) -> DuplicateWindow {
        let mut window = DuplicateWindow::new(parameters);
        for (commit, digest) in self.commits.iter().rev() {
            // A test may have taken blocks away: the machine is to find that out.
            let blocks =
                commit.blocks.iter().filter_map(|reference| self.blocks.get(reference).cloned()).collect();
            if !window.rebuild(&CommittedSubDag { commit: commit.clone(), digest: *digest, blocks }) {
                break;
            }
        }
        window
    }
}

impl RangeSource for TestStore {
    type Error = Infallible;

    fn last_certified(&self) -> Result<CommitIndex, Infallible> {
        Ok(self.certificates.keys().next_back().copied().unwrap_or_default())
    }

    fn next_certified(&self, first: CommitIndex) -> Result<Option<CommitIndex>, Infallible> {
        Ok(self.certificates.range(first..).next().map(|(index, _)| *index))
    }

    fn sub_dag(&self, index: CommitIndex) -> Result<Option<CommittedSubDag>, Infallible> {
        Ok(Self::sub_dag(self, index))
    }

    fn certifiers(&self, index: CommitIndex) -> Result<Option<Vec<VerifiedBlock>>, Infallible> {
        let certificate = self.certificates.get(&index);
        Ok(certificate
            .and_then(|found| found.blocks.iter().map(|block| self.blocks.get(block).cloned()).collect()))
    }
}

/// One authority of the network.
#[derive(Debug)]
pub struct TestNode {
    /// Running, or `None` while it is stopped.
    pub machine: Option<Consensus>,
    /// What it keeps.
    pub store: TestStore,
    /// Commits delivered by all its lives.
    pub delivered: Vec<CommittedSubDag>,
    /// Answers to its submissions.
    pub answers: BTreeMap<Ticket, SubmitOutcome>,
    /// Transactions that it gave up.
    pub dropped: Vec<(TransactionDigest, DropReason)>,
    /// Transactions that left its pool because they were committed before they were submitted there again.
    pub committed_before: Vec<TransactionDigest>,
    /// The fork that it found.
    pub fork: Option<Fork>,
    /// Faults that it reported.
    pub faults: Vec<PeerFault>,
    /// Effects of its last input.
    pub last_effects: Vec<Effect>,
}

#[derive(Debug)]
enum Event {
    Input(AuthorityIndex, Input),
    /// `.1` asks `.0` for the commits after these.
    CommitsQuestion(AuthorityIndex, AuthorityIndex, ChainPoint),
    /// The peer asks `.1` for these blocks.
    Question(AuthorityIndex, Fetch),
}

/// The network.
#[derive(Debug)]
pub struct TestNetwork {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    params: Params,
    link_delay: Duration,
    now: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    sent: u64,
    nodes: Vec<TestNode>,
    /// Pairs (from, to) whose messages are lost.
    cut: BTreeSet<(AuthorityIndex, AuthorityIndex)>,
    /// Whether blocks at or below the server's GC round are served no more.
    prunes: bool,
    /// Where ranges of commits are cut.
    max_range_bytes: u64,
}

impl TestNetwork {
    /// Starts every authority of a genesis with an empty store. Time starts at the genesis timestamp.
    ///
    /// # Panics
    /// If a machine refuses an empty store.
    pub fn start(genesis: Genesis, signers: Vec<Signer>, params: Params, link_delay: Duration) -> Self {
        let now = genesis.timestamp();
        let authorities: Vec<_> = genesis.committee().indexes().collect();
        let nodes = authorities
            .iter()
            .map(|_| TestNode {
                machine: None,
                store: TestStore::default(),
                delivered: Vec::new(),
                answers: BTreeMap::new(),
                dropped: Vec::new(),
                committed_before: Vec::new(),
                fork: None,
                faults: Vec::new(),
                last_effects: Vec::new(),
            })
            .collect();
        let mut network = Self {
            genesis: Arc::new(genesis),
            signers,
            params,
            link_delay,
            now,
            events: BTreeMap::new(),
            sent: 0,
            nodes,
            cut: BTreeSet::new(),
            prunes: false,
            max_range_bytes: 4 << 20,
        };
        for authority in authorities {
            network.restart(authority).expect("an empty store is taken");
        }
        network
    }

    /// Virtual time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The genesis in force.
    pub const fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// An authority's node.
    ///
    /// # Panics
    /// Outside the committee.
    pub fn node(&self, authority: AuthorityIndex) -> &TestNode {
        self.nodes.get(authority.as_usize()).expect("in the committee")
    }

    /// An authority's node, to change it.
    ///
    /// # Panics
    /// Outside the committee.
    pub fn node_mut(&mut self, authority: AuthorityIndex) -> &mut TestNode {
        self.nodes.get_mut(authority.as_usize()).expect("in the committee")
    }

    /// Kills a node: what is not in its store is lost, and so is what is on the way to it.
    pub fn crash(&mut self, authority: AuthorityIndex) {
        self.node_mut(authority).machine = None;
        self.events.retain(|_, event| match event {
            Event::Input(to, _) | Event::CommitsQuestion(to, _, _) => *to != authority,
            Event::Question(_, fetch) => fetch.peer != authority,
        });
    }

    /// Starts a stopped node from its store; all running nodes resume their streams to it, and it to them.
    ///
    /// # Errors
    /// What the machine says of the store.
    pub fn restart(&mut self, authority: AuthorityIndex) -> Result<(), RecoverError> {
        let log = self.node(authority).store.recovered(authority, self.genesis.parameters());
        let signer = self.signers.get(authority.as_usize()).expect("a signer an authority").clone();
        let (machine, effects) =
            Consensus::recover(self.genesis.clone(), self.params.clone(), signer, log, self.now)?;
        self.node_mut(authority).machine = Some(machine);
        self.run_effects(authority, effects);
        for peer in self.others(authority) {
            self.resume_stream(peer, authority);
            self.resume_stream(authority, peer);
        }
        Ok(())
    }

    /// From now on nobody serves blocks that its last certified commit has collected, and ranges of commits are cut at so many bytes.
    pub const fn prune(&mut self, max_range_bytes: u64) {
        self.prunes = true;
        self.max_range_bytes = max_range_bytes;
    }

    /// Loses every message between two authorities from now on, both ways.
    pub fn cut(&mut self, one: AuthorityIndex, other: AuthorityIndex) {
        self.cut.extend([(one, other), (other, one)]);
    }

    /// Loses every message of an authority to the others from now on; it still hears them.
    pub fn silence(&mut self, authority: AuthorityIndex) {
        let others = self.others(authority);
        self.cut.extend(others.into_iter().map(|other| (authority, other)));
    }

    /// Mends every cut; streams resume.
    pub fn heal(&mut self) {
        for (from, to) in std::mem::take(&mut self.cut) {
            self.resume_stream(from, to);
        }
    }

    /// Gives a node an input now.
    pub fn input(&mut self, authority: AuthorityIndex, input: Input) {
        let now = self.now;
        let Some(machine) = self.node_mut(authority).machine.as_mut() else { return };
        let effects = machine.handle(now, input);
        self.run_effects(authority, effects);
    }

    /// Submits one transaction.
    pub fn submit(&mut self, authority: AuthorityIndex, ticket: u64, bytes: &[u8]) {
        let transactions = vec![Transaction::new(bytes::Bytes::copy_from_slice(bytes))];
        self.input(authority, Input::Transactions { ticket: Ticket(ticket), transactions });
    }

    /// Runs for a virtual duration.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until a condition holds, for at most a virtual duration. False if it never held.
    pub fn run_until_within(&mut self, duration: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now.plus(duration);
        self.run_until(end, condition)
    }

    fn run_until(&mut self, end: Timestamp, condition: impl Fn(&Self) -> bool) -> bool {
        while !condition(self) {
            let deadline = self
                .nodes
                .iter()
                .zip(self.genesis.committee().indexes())
                .filter_map(|(node, authority)| {
                    let machine = node.machine.as_ref()?;
                    Some((machine.next_deadline()?.max(self.now), authority))
                })
                .min();
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            match (event, deadline) {
                (Some(at), deadline) if at <= end && deadline.is_none_or(|(deadline, _)| at <= deadline) => {
                    self.now = at.max(self.now);
                    if let Some((_, event)) = self.events.pop_first() {
                        self.run_event(event);
                    }
                }
                (_, Some((at, authority))) if at <= end => {
                    // A machine that could act at once still takes a millisecond: time always moves.
                    self.now = at.max(self.now.plus(Duration::from_millis(1)));
                    self.input(authority, Input::Tick);
                }
                _ => return false,
            }
        }
        true
    }

    fn run_event(&mut self, event: Event) {
        match event {
            Event::Input(authority, input) => self.input(authority, input),
            Event::CommitsQuestion(asked, asker, after) => {
                let answer = self.serve_commits(asked, after);
                self.send(asked, asker, answer);
            }
            Event::Question(asker, Fetch { id: fetch, peer: asked, blocks: wanted, held }) => {
                let kept_above = self.kept_above(asked);
                let store = &self.node(asked).store;
                let read = |reference: &BlockRef| {
                    let block = store.blocks.get(reference).filter(|_| reference.round > kept_above);
                    Ok::<_, Infallible>(block.cloned())
                };
                let limits = AnswerLimits::new(MAX_ANSWER_BYTES);
                let Ok(answer) = fetch_answer::compose(&wanted, &held, limits, read);
                let (source, blocks) = (BlockSource::Fetched, answer.blocks);
                self.send(asked, asker, Input::Blocks { from: asked, source, blocks });
                self.send(asked, asker, Input::FetchEnded { fetch, end: FetchEnd::Answered });
            }
        }
    }

    /// Rounds at or below this are not served block by block.
    fn kept_above(&self, authority: AuthorityIndex) -> Round {
        if !self.prunes {
            return Round::GENESIS;
        }
        let store = &self.node(authority).store;
        let certified = store.certificates.keys().next_back().and_then(|index| store.sub_dag(*index));
        let gc_depth = self.genesis.parameters().gc_depth;
        certified.map_or(Round::GENESIS, |sub_dag| sub_dag.commit.last_leader_round().minus(gc_depth))
    }

    /// What an honest peer answers to a question for commits, as the asker's shell hands it on.
    fn serve_commits(&self, asked: AuthorityIndex, after: ChainPoint) -> Input {
        let store = &self.node(asked).store;
        let range = collect_range(store, after.index.next(), self.max_range_bytes);
        let Ok(highest) = store.last_certified();
        let Ok(Some(range)) = range else {
            return if shows_nothing_later(after.index, highest) {
                Input::NoLaterCommit { from: asked, after: after.index }
            } else {
                Input::CommitsNotFetched { from: asked, fork: None }
            };
        };
        match verify_range(&BlockVerifier::new(self.genesis.clone()), after, range) {
            Ok(range) => Input::CertifiedCommits { from: asked, range, highest },
            Err(RangeError::Forked(fork)) => Input::CommitsNotFetched { from: asked, fork: Some(fork) },
            Err(_) => Input::CommitsNotFetched { from: asked, fork: None },
        }
    }

    fn run_effects(&mut self, own: AuthorityIndex, effects: Vec<Effect>) {
        self.node_mut(own).last_effects.clone_from(&effects);
        for effect in effects {
            match effect {
                Effect::Persist(batch) => self.node_mut(own).store.persist(&batch),
                Effect::Guard { epoch, round } => self.node_mut(own).store.guard = Some((epoch, round)),
                Effect::Broadcast(block) => {
                    for peer in self.others(own) {
                        let blocks = vec![block.clone()];
                        self.send(
                            own,
                            peer,
                            Input::Blocks { from: own, source: BlockSource::Streamed, blocks },
                        );
                    }
                }
                Effect::SendWake { round } => {
                    for peer in self.others(own) {
                        self.send(own, peer, Input::Wake { from: own, round });
                    }
                }
                Effect::Fetch(fetch) => self.post(own, fetch.peer, Event::Question(own, fetch)),
                Effect::FetchCommits { peer, after } => {
                    self.post(own, peer, Event::CommitsQuestion(peer, own, after));
                }
                Effect::Deliver(sub_dag) => self.node_mut(own).delivered.push(sub_dag),
                Effect::Answer { ticket, outcome } => {
                    self.node_mut(own).answers.insert(ticket, outcome);
                }
                Effect::Dropped { transactions, reason } => {
                    let dropped = transactions.into_iter().map(|digest| (digest, reason));
                    self.node_mut(own).dropped.extend(dropped);
                }
                Effect::CommittedBefore { transactions } => {
                    self.node_mut(own).committed_before.extend(transactions);
                }
                Effect::Report(fault) => self.node_mut(own).faults.push(fault),
                Effect::Forked(fork) => self.node_mut(own).fork = Some(fork),
                // The store and the status tell as much.
                Effect::RootAgreed(_) | Effect::RootContradicted(_) => {}
            }
        }
    }

    fn resume_stream(&mut self, from: AuthorityIndex, to: AuthorityIndex) {
        let Some(machine) = self.node(to).machine.as_ref() else { return };
        if self.node(from).machine.is_none() {
            return;
        }
        let accepted = machine.status().accepted_rounds.get(from.as_usize()).copied().unwrap_or_default();
        // The answer to the question of the start comes from the store and from what was seen, and ahead of the stream.
        let stored = |author| {
            self.node(from).store.blocks.values().rev().find(|block| block.author() == author).cloned()
        };
        let machine = self.node(from).machine.as_ref();
        let seen = machine.and_then(|machine| machine.latest_seen(to)).cloned();
        let block = stored(to).into_iter().chain(seen).max_by_key(VerifiedBlock::round);
        let peers_last = stored(from);
        self.send(from, to, Input::OwnLastBlock { from, block, peers_last });
        let own_blocks = self.node(from).store.blocks.values().filter(|block| block.author() == from);
        let after = accepted.max(self.kept_above(from));
        let blocks: Vec<_> = own_blocks.filter(|block| block.round() > after).cloned().collect();
        for block in blocks {
            self.send(from, to, Input::Blocks { from, source: BlockSource::Streamed, blocks: vec![block] });
        }
    }

    fn send(&mut self, from: AuthorityIndex, to: AuthorityIndex, input: Input) {
        self.post(from, to, Event::Input(to, input));
    }

    fn post(&mut self, from: AuthorityIndex, to: AuthorityIndex, event: Event) {
        if self.cut.contains(&(from, to)) || self.node(to).machine.is_none() {
            return;
        }
        self.sent = self.sent.saturating_add(1);
        self.events.insert((self.now.plus(self.link_delay), self.sent), event);
    }

    fn others(&self, own: AuthorityIndex) -> Vec<AuthorityIndex> {
        self.genesis.committee().indexes().filter(|authority| *authority != own).collect()
    }
}
