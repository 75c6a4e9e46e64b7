//! Missing ancestors: what they cost in questions, and what inventions cost.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use consensus_core::{
    AnswerLimits, AuthorityIndex, BlockDigest, BlockRef, BlockSource, Consensus, Effect, FetchEnd, Genesis,
    Input, Params, PeerFault, RecoveredLog, Round, Signer, Timestamp, VerifiedBlock, fetch_answer, testkit,
};

/// Seven authorities: 0 is the machine under test, which proposes nothing, for nobody answers its question of the start; 1
/// to 5 are a quorum without it and without 6.
const AUTHORITIES: u16 = 7;
const LIAR: u16 = 6;
/// Bytes of a reference in a question, as protobuf puts it.
const REF_BYTES: usize = 46;
/// A question and its answer, and the answer's end, take this time.
const ROUND_TRIP: Duration = Duration::from_millis(2);

struct World {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    machine: Consensus,
    now: Timestamp,
    /// What peers hold.
    store: BTreeMap<BlockRef, VerifiedBlock>,
    questions: usize,
    refs: usize,
    bytes_in: usize,
    faults: Vec<PeerFault>,
    limits: AnswerLimits,
}

impl World {
    fn new() -> Self {
        let (genesis, signers) = testkit::genesis(AUTHORITIES);
        let (genesis, now) = (Arc::new(genesis), testkit::GENESIS_TIMESTAMP);
        let (machine, _) = Consensus::recover(
            genesis.clone(),
            Params::default(),
            signers[0].clone(),
            RecoveredLog::default(),
            now,
        )
        .expect("an empty store");
        let (store, faults) = (BTreeMap::new(), Vec::new());
        let limits = AnswerLimits::new(1 << 20);
        Self { genesis, signers, machine, now, store, questions: 0, refs: 0, bytes_in: 0, faults, limits }
    }

    fn block(&self, author: u16, round: u64, ancestors: Vec<BlockRef>) -> VerifiedBlock {
        let mut block = testkit::empty_block(&self.genesis, author, round);
        block.ancestors = ancestors;
        block.sign(&self.signers[usize::from(author)])
    }

    fn genesis_ref(&self, author: u16) -> BlockRef {
        VerifiedBlock::genesis(&self.genesis, AuthorityIndex::new(author)).reference()
    }

    fn stream(&mut self, block: &VerifiedBlock) {
        self.bytes_in += block.signed_bytes().len();
        let blocks = vec![block.clone()];
        self.input(Input::Blocks { from: block.author(), source: BlockSource::Streamed, blocks });
    }

    /// Gives the machine an input, and answers its questions at once from the store.
    fn input(&mut self, input: Input) {
        let mut open = self.machine.handle(self.now, input);
        while let Some(effect) = open.pop() {
            match effect {
                Effect::Fetch(fetch) => {
                    self.questions += 1;
                    self.refs += fetch.blocks.len();
                    let read = |reference: &BlockRef| Ok::<_, Infallible>(self.store.get(reference).cloned());
                    let Ok(answer) = fetch_answer::compose(&fetch.blocks, &fetch.held, self.limits, read);
                    self.now = self.now.plus(ROUND_TRIP);
                    let (from, source, blocks) = (fetch.peer, BlockSource::Fetched, answer.blocks);
                    open.extend(self.machine.handle(self.now, Input::Blocks { from, source, blocks }));
                    let end = Input::FetchEnded { fetch: fetch.id, end: FetchEnd::Answered };
                    open.extend(self.machine.handle(self.now, end));
                }
                Effect::Report(fault) => self.faults.push(fault),
                _ => {}
            }
        }
    }

    /// Lets time pass, as long as there is a deadline in it.
    fn run(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline > self.now || self.questions < 1_000_000, "the machine spins");
            self.now = deadline.max(self.now.plus(Duration::from_millis(1)));
            self.input(Input::Tick);
        }
        self.now = end.max(self.now);
    }

    /// Rounds 1 to `last` of authorities 1 to 5, streamed, and of the liar on top of them, that nobody is sent.
    fn hide_a_chain(&mut self, last: u64) -> Vec<VerifiedBlock> {
        let mut parents: Vec<_> = (1..=5).map(|author| self.genesis_ref(author)).collect();
        let mut hidden = vec![];
        for round in 1..=last {
            let before = hidden.last().map_or(self.genesis_ref(LIAR), VerifiedBlock::reference);
            let own = self.block(LIAR, round, [vec![before], parents.clone()].concat());
            self.store.insert(own.reference(), own.clone());
            hidden.push(own);
            let next: Vec<_> = (1..=5u16)
                .map(|author| {
                    let mut ancestors = parents.clone();
                    ancestors.swap(0, usize::from(author - 1));
                    self.block(author, round, ancestors)
                })
                .collect();
            parents = next.iter().map(VerifiedBlock::reference).collect();
            for block in &next {
                self.store.insert(block.reference(), block.clone());
                self.stream(block);
            }
        }
        hidden
    }

    /// A block of the round after `hidden` that names its last block.
    fn reveal(&mut self, author: u16, hidden: &[VerifiedBlock]) -> VerifiedBlock {
        let round = hidden.len() as u64;
        let of_round = self.store.values().filter(|block| block.round().get() == round);
        let mut ancestors: Vec<_> = of_round.map(VerifiedBlock::reference).collect();
        let own = ancestors.iter().position(|ancestor| ancestor.author.get() == author).expect("drawn");
        ancestors.swap(0, own);
        let block = self.block(author, round + 1, ancestors);
        self.store.insert(block.reference(), block.clone());
        self.stream(&block);
        block
    }

    fn accepted(&self, author: u16) -> u64 {
        self.machine.status().accepted_rounds[usize::from(author)].get()
    }
}

/// An ancestor that does not exist.
fn invented(number: u64, round: u64, author: u16) -> BlockRef {
    let mut digest = [0xee; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    let author = AuthorityIndex::new(author);
    BlockRef { round: Round::new(round), author, digest: BlockDigest::new(digest) }
}

/// Twenty blocks that only one authority shows, each named by the next only: they cost a question a level once.
#[test]
fn a_hidden_chain_costs_one_question() {
    let mut world = World::new();
    let hidden = world.hide_a_chain(20);
    assert_eq!((world.questions, world.accepted(LIAR)), (0, 0));
    world.reveal(1, &hidden);
    world.run(Duration::from_millis(60));
    assert_eq!((world.accepted(LIAR), world.accepted(1)), (20, 21));
    assert_eq!((world.questions, world.refs), (1, 1));
}

/// The same with servers that append nothing.
#[test]
fn without_appended_ancestors_it_costs_a_question_a_level() {
    let mut world = World::new();
    world.limits.max_appended_blocks = 0;
    let hidden = world.hide_a_chain(20);
    world.reveal(1, &hidden);
    world.run(Duration::from_millis(200));
    assert_eq!((world.accepted(LIAR), world.questions), (20, 20));
}

/// The liar streams 100 blocks, each with 13 ancestors that nobody has, over and over for a minute: some 500 refs a second,
/// or 23 KB, may be asked for in the long run, however much it sends.
#[test]
fn t07_invented_ancestors_cost_a_bounded_number_of_small_questions_and_are_given_up() {
    let mut world = World::new();
    world.hide_a_chain(3);
    let began = world.now;
    let mut number = 0;
    for _ in 0..60 {
        let mut before = world.genesis_ref(LIAR);
        for round in 2..=101 {
            let mut ancestors = vec![before];
            for author in 0..LIAR {
                number += 1;
                ancestors.push(invented(number, round - 1, author));
                if round > 2 {
                    ancestors.push(invented(number, round - 2, author));
                }
            }
            let block = world.block(LIAR, round, ancestors);
            before = block.reference();
            world.stream(&block);
            let status = world.machine.status();
            assert!(
                status.waiting_blocks <= 10_000 / usize::from(AUTHORITIES) && status.fetches.under_way <= 16
            );
        }
        world.run(Duration::from_secs(1));
    }
    let seconds = usize::try_from(world.now.since(began).as_secs()).expect("small") + 1;
    let bytes_out = world.refs * REF_BYTES;
    assert!(world.refs <= 1_000 + seconds * 500, "{} refs in {seconds} s", world.refs);
    assert!(world.questions <= 125 + seconds * 20 * 6, "{} questions in {seconds} s", world.questions);
    assert!(bytes_out * 2 < world.bytes_in, "{bytes_out} bytes out for {} bytes in", world.bytes_in);
    let given_up = world.faults.iter().filter(
        |fault| matches!(fault, PeerFault::AncestorNotFound { block, .. } if block.author.get() == LIAR),
    );
    let given_up = given_up.count();
    assert!(given_up >= 5, "{given_up} given up");

    // Nothing of it is left, and nothing is asked for any more.
    world.run(Duration::from_secs(600));
    let status = world.machine.status();
    assert_eq!((status.waiting_blocks, status.missing_blocks, status.waiting_bytes), (0, 0, 0));
    let questions = world.questions;
    world.run(Duration::from_secs(60));
    assert_eq!(world.questions, questions);
}

#[test]
fn t07_one_block_of_inventions_costs_at_most_eight_questions_for_each() {
    let mut world = World::new();
    world.hide_a_chain(3);
    world.bytes_in = 0;
    let invented = (0..LIAR).flat_map(|author| [invented(1, 2, author), invented(2, 1, author)]);
    let ancestors = std::iter::once(world.genesis_ref(LIAR)).chain(invented).collect();
    let block = world.block(LIAR, 3, ancestors);
    world.stream(&block);
    world.run(Duration::from_secs(60));
    assert!(
        world.refs <= 12 * 8 && world.questions <= 6 * 8,
        "{} questions, {} refs",
        world.questions,
        world.refs
    );
    assert!(world.refs * REF_BYTES <= 8 * world.bytes_in, "{} bytes in", world.bytes_in);
    assert_eq!(world.faults.len(), 1);
    assert_eq!(world.machine.status().waiting_blocks, 0);
}

/// While the liar's inventions are asked for, what an honest block names is asked for as ever.
#[test]
fn t07_inventions_of_one_author_do_not_starve_what_others_name() {
    let mut world = World::new();
    let hidden = world.hide_a_chain(20);
    let mut before = world.genesis_ref(LIAR);
    for round in 2..=120 {
        let invented = (0..LIAR).map(|author| invented(round, round - 1, author));
        let block = world.block(LIAR, round, std::iter::once(before).chain(invented).collect());
        before = block.reference();
        world.stream(&block);
    }
    world.run(Duration::from_secs(1));
    let (questions, asked_at) = (world.questions, world.now);
    assert!(questions > 0 && world.machine.status().missing_blocks > 0, "the inventions are still asked for");
    world.reveal(1, &hidden);
    while world.accepted(1) < 21 {
        world.run(Duration::from_millis(1));
        assert!(world.now.since(asked_at) < Duration::from_millis(100), "the honest question is late");
    }
}

/// Blocks of two of seven authorities may be lies; of three, one is honest, and somebody has what it names.
#[test]
fn an_ancestor_that_the_validity_threshold_vouches_for_is_never_given_up() {
    for vouching in [2, 3] {
        let mut world = World::new();
        let hidden = world.hide_a_chain(2);
        let withheld = hidden[1].clone();
        for author in 1..=vouching {
            world.reveal(author, &hidden);
        }
        // From here on nobody has it.
        let mut machine_only = World { store: BTreeMap::new(), ..world };
        machine_only.run(Duration::from_secs(60));
        let is_given_up = machine_only.faults.iter().any(|fault| {
            matches!(fault, PeerFault::AncestorNotFound { ancestor, .. } if *ancestor == withheld.reference())
        });
        assert_eq!(is_given_up, vouching == 2);
        assert_eq!(machine_only.machine.status().waiting_blocks, if vouching == 2 { 0 } else { 3 });
        assert!(machine_only.questions <= 60 * 4, "{} questions in a minute", machine_only.questions);
        // It turns up again.
        machine_only.store.extend(hidden.iter().map(|block| (block.reference(), block.clone())));
        machine_only.run(Duration::from_secs(5));
        assert_eq!(machine_only.accepted(1), if vouching == 2 { 2 } else { 3 });
    }
}

/// A block that was given up comes back when another names it: nothing is lost for good.
#[test]
fn what_was_given_up_is_fetched_when_another_block_names_it() {
    let mut world = World::new();
    let hidden = world.hide_a_chain(2);
    let store = std::mem::take(&mut world.store);
    world.store.extend(
        store.iter().filter(|(reference, _)| reference.author.get() != LIAR).map(|(r, b)| (*r, b.clone())),
    );
    let last = world.store.values().filter(|block| block.round().get() == 2).map(VerifiedBlock::reference);
    let ancestors: Vec<_> = last.chain([hidden[1].reference()]).collect();
    let dropped = world.block(1, 3, ancestors.clone());
    world.stream(&dropped);
    world.run(Duration::from_secs(10));
    assert_eq!((world.machine.status().waiting_blocks, world.accepted(1)), (0, 2));
    world.store.extend(store);
    world.store.insert(dropped.reference(), dropped.clone());
    let mut next: Vec<_> = (2..=5u16)
        .map(|author| {
            let mut ancestors = ancestors[..5].to_vec();
            ancestors.swap(0, usize::from(author - 1));
            world.block(author, 3, ancestors)
        })
        .collect();
    next.iter().for_each(|block| world.stream(block));
    next.insert(0, dropped.clone());
    let names_it: Vec<_> = [1, 0, 2, 3, 4].map(|place: usize| next[place].reference()).to_vec();
    let naming = world.block(2, 4, names_it);
    world.stream(&naming);
    world.run(Duration::from_millis(100));
    assert_eq!((world.accepted(1), world.accepted(2), world.accepted(LIAR)), (3, 4, 2));
}

#[test]
fn t07_appended_blocks_that_nobody_named_take_no_room() {
    let mut world = World::new();
    let hidden = world.hide_a_chain(20);
    let (from, source) = (AuthorityIndex::new(LIAR), BlockSource::Fetched);
    world.input(Input::Blocks { from, source, blocks: hidden.clone() });
    world.input(Input::Blocks { from, source, blocks: hidden.into_iter().rev().collect() });
    let status = world.machine.status();
    assert_eq!((status.waiting_blocks, status.missing_blocks, world.accepted(LIAR)), (0, 0, 0));
}
