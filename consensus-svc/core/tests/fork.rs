//! D07: a quorum holds another commit than this node. The machine stops, says which, and leaves a store that the next start can
//! read, finding the same.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockSource, BlockVerifier, CertifiedRange, ChainPoint, Commit, CommitDigest,
    CommitIndex, Consensus, Effect, Fork, Genesis, Input, Params, ProtocolParameters, RangeBytes,
    RecoveredLog, Round, Signer, SubmitOutcome, Ticket, Timestamp, Transaction, VerifiedBlock, WriteBatch,
    block::CommitVote,
    collect_range,
    explain::ProposalReason,
    testkit::{
        self,
        network::{TestNetwork, TestStore},
    },
    verify_range,
};

const STEP: Duration = Duration::from_millis(300);
const CERTIFIED: CommitDigest = CommitDigest::new([9; 32]);

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

/// Authority A of four. B, C and D build on one another and vote, in round 1, for a commit that A does not form.
struct Forked {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    machine: Consensus,
    store: TestStore,
    now: Timestamp,
    /// The last blocks of all four.
    last: Vec<VerifiedBlock>,
    index: CommitIndex,
}

fn forked_at(index: u64) -> Forked {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let now = genesis.timestamp();
    let last = (0..4).map(|author| VerifiedBlock::genesis(&genesis, authority(author))).collect();
    let machine = recover(&genesis, &signers[0], RecoveredLog::default(), now).0;
    let index = CommitIndex::new(index);
    Forked { genesis, signers, machine, store: TestStore::default(), now, last, index }
}

fn recover(
    genesis: &Arc<Genesis>,
    signer: &Signer,
    log: RecoveredLog,
    now: Timestamp,
) -> (Consensus, Vec<Effect>) {
    Consensus::recover(genesis.clone(), Params::default(), signer.clone(), log, now).expect("its own store")
}

impl Forked {
    /// The next blocks of D, B and C, each with a transaction.
    fn next_round(&mut self) -> Vec<VerifiedBlock> {
        let round = self.last[1].round().next();
        let before = self.last.clone();
        let made = [3u16, 1, 2].map(|author| {
            let mut block = testkit::empty_block(&self.genesis, author, round.get());
            let others = (1..4).filter(|other| *other != author);
            block.ancestors =
                std::iter::once(author).chain(others).map(|a| before[usize::from(a)].reference()).collect();
            block.transactions = vec![Transaction::new(Bytes::from(format!("{author} in {round}")))];
            if round == Round::FIRST {
                block.commit_votes = vec![CommitVote { index: self.index, digest: CERTIFIED }];
            }
            let block = block.sign(&self.signers[usize::from(author)]);
            self.last[usize::from(author)] = block.clone();
            block
        });
        made.to_vec()
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.machine.handle(self.now, input);
        for effect in &effects {
            if let Effect::Persist(batch) = effect {
                self.store.persist(batch);
            }
        }
        effects
    }

    fn stream(&mut self, blocks: Vec<VerifiedBlock>) -> Vec<Effect> {
        self.input(Input::Blocks { from: authority(1), source: BlockSource::Streamed, blocks })
    }

    /// Lets the machine propose, and gives it one block after the other until it finds the fork.
    fn until_found(&mut self) -> Vec<Effect> {
        for from in 1..4 {
            self.input(Input::OwnLastBlock { from: authority(from), block: None, peers_last: None });
        }
        for _ in 0..10 {
            for block in self.next_round() {
                self.now = self.now.plus(STEP);
                let effects = self.stream(vec![block]);
                if self.machine.status().fork.is_some() {
                    return effects;
                }
            }
        }
        panic!("no fork is found");
    }

    /// Nobody votes. A forms commits meanwhile, and a range comes, for which it had asked before: B, C and D have signed it, and its
    /// commits from `forged` on have another timestamp.
    fn contradicting_range(&self, forged: u64) -> CertifiedRange {
        let mut previous = CommitDigest::ZERO;
        let commits: Vec<Commit> = (self.store.commits.iter())
            .map(|(commit, _)| {
                let late = Duration::from_millis(u64::from(commit.index.get() >= forged));
                let timestamp = commit.timestamp.plus(late);
                let commit = Commit { timestamp, previous_digest: previous, ..commit.clone() };
                previous = commit.digest();
                commit
            })
            .collect();
        let named = commits.iter().flat_map(|commit| &commit.blocks);
        let vote = CommitVote { index: CommitIndex::new(commits.len() as u64), digest: previous };
        let certifiers = self.last.iter().zip(&self.signers).skip(1).map(|(block, signer)| {
            let content = Block { commit_votes: vec![vote], ..block.block().clone() };
            content.sign(signer).signed_bytes().clone()
        });
        let range = RangeBytes {
            blocks: named.map(|reference| self.store.blocks[reference].signed_bytes().clone()).collect(),
            certifiers: certifiers.collect(),
            commits: commits.iter().map(|commit| commit.canonical_bytes().into()).collect(),
        };
        let verifier = BlockVerifier::new(self.genesis.clone());
        verify_range(&verifier, ChainPoint::default(), range).expect("a quorum has signed it")
    }

    fn restart(&self) -> (Consensus, Vec<Effect>) {
        let log = self.store.recovered(authority(0), self.genesis.parameters());
        recover(&self.genesis, &self.signers[0], log, self.now)
    }
}

fn references(batch: &WriteBatch) -> Vec<String> {
    batch.blocks.iter().map(|block| format!("{}@{}", block.author(), block.round())).collect()
}

fn told(effects: &[Effect]) -> Vec<Fork> {
    effects.iter().filter_map(|e| if let Effect::Forked(fork) = e { Some(*fork) } else { None }).collect()
}

fn batches(effects: &[Effect]) -> Vec<&WriteBatch> {
    effects.iter().filter_map(|e| if let Effect::Persist(batch) = e { Some(batch) } else { None }).collect()
}

/// The votes come before the own commit, as they usually do. In the turn that forms it an own block of round 4 was due too.
#[test]
fn d07_a_commit_that_is_contradicted_as_it_is_formed_leaves_no_trace_but_what_shows_the_fork() {
    let mut node = forked_at(1);
    let effects = node.until_found();
    let [Effect::Forked(fork), Effect::Persist(batch)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((fork.index, fork.certified), (node.index, CERTIFIED));
    assert_ne!(fork.own.expect("it forms one"), CERTIFIED);
    assert_eq!(references(batch), ["3@3", "1@3"], "what the next start needs to find it again");
    assert_eq!((batch.commits.len(), batch.certificates.len(), batch.evidence.len()), (0, 0, 0));
    assert_eq!((batch.progress.last_commit, batch.progress.gc_round), (CommitIndex::NONE, Round::GENESIS));
    assert_eq!(batch.progress.own_round, Round::new(3), "the own block before");
    let status = node.machine.status();
    assert!(status.halted && !status.may_propose);
    assert_eq!((status.last_commit, status.fork), (CommitIndex::NONE, Some(*fork)));
}

/// Two certificates are held. The own first block is the third: it is signed in the turn that finds the fork, and taken back.
#[test]
fn d07_the_own_block_that_forms_the_contradicted_commit_is_neither_stored_nor_sent() {
    let mut node = forked_at(1);
    let mut blocks: Vec<_> = (0..3).flat_map(|_| node.next_round()).collect();
    blocks.pop();
    assert_eq!(node.stream(blocks), []);
    node.now = node.now.plus(STEP);
    node.input(Input::OwnLastBlock { from: authority(1), block: None, peers_last: None });
    let effects = node.input(Input::OwnLastBlock { from: authority(2), block: None, peers_last: None });
    let [Effect::Forked(_), Effect::Persist(batch)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(batch.blocks.len(), 8);
    assert!(batch.blocks.iter().all(|block| block.author() != authority(0)), "{:?}", references(batch));
    assert_eq!((batch.commits.len(), batch.progress.own_round), (0, Round::GENESIS));
    let (machine, effects) = node.restart();
    assert_eq!(
        (told(&effects).len(), batches(&effects).len()),
        (0, 0),
        "what it would sign is not in the store"
    );
    assert!(!machine.status().may_propose);
}

/// One input decides two leaders, and the second commit is contradicted.
#[test]
fn d07_commits_formed_before_the_contradicted_one_in_the_same_turn_are_not_lost() {
    let mut node = forked_at(2);
    let blocks: Vec<_> = (0..4).flat_map(|_| node.next_round()).collect();
    let effects = node.stream(blocks);
    let [Effect::Forked(fork), Effect::Persist(batch), Effect::Deliver(first)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((fork.index, fork.certified), (node.index, CERTIFIED));
    assert_eq!(batch.blocks.len(), 12);
    let (commit, digest) = &batch.commits[0];
    assert_eq!((batch.commits.len(), commit.index, *digest), (1, CommitIndex::new(1), first.digest));
    assert_eq!(batch.progress.last_commit, CommitIndex::new(1));
    assert_eq!(batch.progress.last_committed_rounds, [0, 1, 0, 0].map(Round::new));
}

#[test]
fn d07_the_next_start_reads_the_store_and_finds_the_same_fork() {
    for index in [1, 2] {
        let mut node = forked_at(index);
        let found = told(&node.until_found());
        let commits = node.store.commits.clone();
        assert_eq!(commits.len() as u64, index - 1);
        let (machine, effects) = node.restart();
        assert_eq!((told(&effects), effects.len()), (found, 1), "{effects:?}");
        assert!(machine.status().halted);
        assert_eq!(machine.status().last_commit.get(), index - 1);
    }
}

/// The votes come after the own commit is durable and handed on: it stays, and is told of.
#[test]
fn d07_a_fork_of_an_earlier_commit_is_found_by_votes_that_come_later() {
    let mut node = forked_at(u64::MAX);
    let blocks: Vec<_> = (0..5).flat_map(|_| node.next_round()).collect();
    node.stream(blocks);
    let own = node.store.commits[0].1;
    let vote = CommitVote { index: CommitIndex::new(1), digest: CERTIFIED };
    let late: Vec<_> = node.next_round();
    let late = late.into_iter().map(|block| {
        let content = Block { commit_votes: vec![vote], ..block.block().clone() };
        content.sign(&node.signers[block.author().as_usize()])
    });
    let late = late.collect();
    let held = node.store.commits.len();
    let effects = node.stream(late);
    let [Effect::Forked(fork), Effect::Persist(batch)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*fork, Fork { index: CommitIndex::new(1), own: Some(own), certified: CERTIFIED });
    assert_eq!((batch.commits.len(), batch.progress.last_commit.get()), (0, held as u64));
    assert_eq!(told(&node.restart().1), [*fork]);
}

#[test]
fn d07_a_certified_range_that_ends_below_the_own_last_commit_is_compared_before_it_is_dropped() {
    for catches_up in [true, false] {
        let mut node = forked_at(u64::MAX);
        let blocks: Vec<_> = (0..6).flat_map(|_| node.next_round()).collect();
        node.stream(blocks);
        assert_eq!(node.store.commits.len(), 3);
        if catches_up {
            for author in 1..3 {
                node.input(Input::SeenAhead { author: authority(author), round: Round::new(60) });
            }
        }
        assert_eq!(node.machine.status().catching_up, catches_up);
        let (from, highest) = (authority(1), CommitIndex::new(3));
        let range = node.contradicting_range(u64::MAX);
        node.input(Input::CertifiedCommits { from, range, highest });
        assert_eq!(node.machine.status().fork, None, "the very commits");
        let range = node.contradicting_range(2);
        let fork = Fork {
            index: CommitIndex::new(2),
            own: Some(node.store.commits[1].1),
            certified: range.commits()[1].digest,
        };
        let effects = node.input(Input::CertifiedCommits { from, range, highest });
        assert_eq!(told(&effects), [fork], "the first index that differs");
        assert!(batches(&effects).iter().all(|batch| batch.commits.is_empty()));
    }
}

#[test]
fn t06_t07_l06_a_forked_node_takes_nothing_in_and_still_answers() {
    let mut node = forked_at(1);
    let transactions = |text: &'static str| vec![Transaction::new(Bytes::from_static(text.as_bytes()))];
    node.input(Input::Transactions { ticket: Ticket(1), transactions: transactions("accepted before") });
    node.until_found();
    let (held, pooled) = (node.machine.status(), node.machine.pooled().count());
    for _ in 0..300 {
        let blocks = node.next_round();
        node.now = node.now.plus(Duration::from_millis(1));
        assert_eq!(node.stream(blocks), []);
        assert_eq!(node.input(Input::Wake { from: authority(1), round: node.last[1].round() }), []);
    }
    assert_eq!(node.machine.status(), held);
    let (explanation, fork) = (node.machine.explain(), held.fork.expect("found"));
    assert!(!explanation.undecided.is_empty(), "it still tells what it knows");
    assert_eq!(explanation.proposal.reason, ProposalReason::Forked { fork });
    let refused =
        node.input(Input::Transactions { ticket: Ticket(2), transactions: transactions("too late") });
    assert_eq!(refused, [Effect::Answer { ticket: Ticket(2), outcome: SubmitOutcome::NotProposing }]);
    // What it accepted and did not propose ends by its lifetime; nothing else is ever due.
    if let Some(expiry) = node.machine.next_deadline() {
        node.now = expiry;
        node.input(Input::Tick);
    }
    assert!(node.machine.pooled().count() <= pooled);
    assert_eq!(node.machine.next_deadline(), None);
}

/// Commits of three of four, with a chain in which the third group has another timestamp, certified by the same three.
struct Contradiction {
    network: TestNetwork,
    signers: Vec<Signer>,
    store: TestStore,
    machine: Consensus,
}

fn contradiction() -> Contradiction {
    let parameters =
        ProtocolParameters { gc_depth: 20, heartbeat_rounds: 10, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
    let mut network =
        TestNetwork::start(genesis, signers.clone(), Params::default(), Duration::from_millis(20));
    network.crash(authority(3));
    for number in 0..60u64 {
        let to = authority(u16::try_from(number % 3).expect("small"));
        network.submit(to, number, &number.to_be_bytes());
        network.run(Duration::from_millis(100));
    }
    let log = RecoveredLog::default();
    let machine = recover(network.genesis(), &signers[3], log, network.now()).0;
    let mut node = Contradiction { network, signers, store: TestStore::default(), machine };
    node.begin_catch_up();
    node
}

impl Contradiction {
    fn honest(&self) -> &TestStore {
        &self.network.node(authority(0)).store
    }

    fn begin_catch_up(&mut self) {
        for author in 0..2 {
            let seen = Input::SeenAhead { author: authority(author), round: Round::new(40) };
            self.input(seen);
        }
        assert!(self.machine.status().catching_up);
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.machine.handle(self.network.now(), input);
        for effect in &effects {
            if let Effect::Persist(batch) = effect {
                self.store.persist(batch);
            }
        }
        effects
    }

    /// The honest commits from `first` on, those from `forged` on with another timestamp, under votes of three.
    fn range(&self, first: u64, forged: u64) -> RangeBytes {
        let range = collect_range(self.honest(), CommitIndex::new(first), 4 << 20);
        let mut range = range.unwrap_or_else(|error| match error {}).expect("commits are certified");
        let mut commits: Vec<Commit> =
            range.commits.iter().map(|bytes| Commit::decode(bytes.clone()).expect("honest")).collect();
        let mut previous = None;
        for commit in commits.iter_mut().filter(|commit| commit.index.get() >= forged) {
            commit.timestamp = commit.timestamp.plus(Duration::from_millis(1));
            commit.previous_digest = previous.unwrap_or(commit.previous_digest);
            previous = Some(commit.digest());
        }
        self.certify(&mut range, commits);
        range
    }

    /// Puts other commits into a range, under votes of the same three.
    fn certify(&self, range: &mut RangeBytes, commits: Vec<Commit>) {
        let last = commits.last().expect("at least one");
        let vote = CommitVote { index: last.index, digest: last.digest() };
        let certifiers = range.certifiers.iter().map(|bytes| {
            let honest = BlockVerifier::new(self.network.genesis().clone()).verify(bytes.clone());
            let honest = honest.expect("honest");
            let block = Block { commit_votes: vec![vote], ..honest.block().clone() };
            block.sign(&self.signers[honest.author().as_usize()]).signed_bytes().clone()
        });
        range.certifiers = certifiers.collect();
        range.commits = commits.iter().map(|commit| commit.canonical_bytes().into()).collect();
        let named: BTreeSet<_> = commits.iter().flat_map(|commit| commit.blocks.iter().copied()).collect();
        let verifier = BlockVerifier::new(self.network.genesis().clone());
        range
            .blocks
            .retain(|bytes| named.contains(&verifier.verify(bytes.clone()).expect("honest").reference()));
    }

    fn take(&mut self, after: ChainPoint, range: RangeBytes) -> Vec<Effect> {
        let range = verify_range(&BlockVerifier::new(self.network.genesis().clone()), after, range);
        let range = range.expect("a quorum has signed it");
        let highest = range.certificate().index;
        self.input(Input::CertifiedCommits { from: authority(0), range, highest })
    }
}

#[test]
fn d07_a_certified_range_that_differs_from_what_its_blocks_give_is_followed_up_to_there_and_no_further() {
    let mut node = contradiction();
    let forged = node.range(1, 3);
    let certified = Commit::decode(forged.commits[2].clone()).expect("canonical").digest();
    let own = node.honest().commits[2].1;
    let effects = node.take(ChainPoint::default(), forged);
    let fork = Fork { index: CommitIndex::new(3), own: Some(own), certified };
    let [Effect::Forked(found), Effect::Persist(batch), Effect::Deliver(_), Effect::Deliver(second)] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!((*found, second.commit.index), (fork, CommitIndex::new(2)));
    assert_eq!(batch.commits, node.honest().commits[..2]);
    assert_eq!(batch.progress.last_commit, CommitIndex::new(2));
    assert_eq!(batch.certificates, [], "nothing up to the certified commit was followed");

    // The next life is behind as well, asks again, and finds the same.
    let log = node.store.recovered(authority(3), node.network.genesis().parameters());
    node.machine = recover(node.network.genesis(), &node.signers[3], log, node.network.now()).0;
    assert_eq!(node.machine.status().last_commit, CommitIndex::new(2));
    node.begin_catch_up();
    let after = ChainPoint { index: CommitIndex::new(2), digest: node.honest().commits[1].1 };
    let again = node.range(3, 3);
    let effects = node.take(after, again);
    assert_eq!(told(&effects), [fork]);
    assert!(batches(&effects).iter().all(|batch| batch.commits.is_empty()));
}

/// A quorum has signed a commit whose leader leads no slot: nothing can be formed of it, so this node has no digest to show.
#[test]
fn d07_a_certified_group_that_gives_no_commit_here_is_a_fork_without_an_own_digest() {
    let mut node = contradiction();
    let mut range = node.range(1, u64::MAX);
    let mut commit = Commit::decode(range.commits[0].clone()).expect("honest");
    commit.leaders =
        vec![*commit.blocks.iter().find(|block| !commit.leaders.contains(block)).expect("others")];
    node.certify(&mut range, vec![commit]);
    let certified = Commit::decode(range.commits[0].clone()).expect("canonical").digest();
    let effects = node.take(ChainPoint::default(), range);
    let fork = Fork { index: CommitIndex::new(1), own: None, certified };
    assert_eq!(told(&effects), [fork]);
    assert_eq!(
        fork.to_string(),
        format!("fork at commit 1: this node can form none, a quorum voted for {certified}")
    );
    assert!(batches(&effects).iter().all(|batch| batch.commits.is_empty()));
}
