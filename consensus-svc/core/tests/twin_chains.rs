//! T07: how many of its own twins a liar makes others take, and that honest authors never need what is forbidden to it.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, BlockRef, BlockSource, BlockVerifier, Consensus, Effect, FetchEnd, Genesis, Input,
    Params, ProtocolParameters, RecoveredLog, Round, Signer, Slot, Timestamp, Transaction, VerifiedBlock,
    testkit::{self, network::TestNetwork},
};
use proptest::prelude::*;

const LIAR: u16 = 3;
const ROUNDS: u64 = 13;

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

/// B, C and D build on one another for 13 rounds; D also signs twins.
struct Liar {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    /// By round, the blocks of all four that everybody is shown; A has only its genesis block.
    rows: Vec<Vec<VerifiedBlock>>,
    twins: BTreeMap<BlockRef, VerifiedBlock>,
}

fn liar() -> Liar {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let mut rows: Vec<Vec<_>> =
        vec![(0..4).map(|author| VerifiedBlock::genesis(&genesis, authority(author))).collect()];
    for round in 1..=ROUNDS {
        let before = rows.last().expect("genesis").clone();
        let mut row = before.clone();
        for author in 1..4u16 {
            let mut block = testkit::empty_block(&genesis, author, round);
            let others = (1..4).filter(|other| *other != author);
            block.ancestors =
                std::iter::once(author).chain(others).map(|a| before[usize::from(a)].reference()).collect();
            row[usize::from(author)] = block.sign(&signers[usize::from(author)]);
        }
        rows.push(row);
    }
    Liar { genesis, signers, rows, twins: BTreeMap::new() }
}

impl Liar {
    /// A twin of D's block of this round, and below it twins of its own in so many of the rounds before.
    fn twin(&mut self, round: u64, own_ancestors: usize) -> VerifiedBlock {
        let below = (1..round).rev().take(own_ancestors);
        let mut own: Vec<_> = below.map(|round| self.twin(round, own_ancestors).reference()).collect();
        let before = &self.rows[usize::try_from(round).expect("small") - 1];
        own.extend(own.is_empty().then(|| before[usize::from(LIAR)].reference()));
        let mut block = testkit::empty_block(&self.genesis, LIAR, round);
        block.ancestors = vec![own[0], before[1].reference(), before[2].reference()];
        block.ancestors.extend(own.iter().skip(1));
        let number = self.twins.len().to_le_bytes().to_vec();
        block.transactions = vec![Transaction::new(Bytes::from(number))];
        let block = block.sign(&self.signers[usize::from(LIAR)]);
        self.twins.insert(block.reference(), block.clone());
        block
    }
}

/// Authority A as its shell feeds it: only what the rules of validity let through, and what it asks the liar for.
struct Victim {
    machine: Consensus,
    verifier: BlockVerifier,
    now: Timestamp,
    refused: usize,
}

impl Victim {
    fn take(&mut self, from: u16, source: BlockSource, blocks: Vec<VerifiedBlock>) -> Vec<Effect> {
        let judged =
            blocks.iter().filter_map(|block| self.verifier.verify(block.signed_bytes().clone()).ok());
        let valid: Vec<_> = judged.collect();
        self.refused += blocks.len() - valid.len();
        self.machine.handle(self.now, Input::Blocks { from: authority(from), source, blocks: valid })
    }

    /// Asks the liar for all that it wants, for ten virtual seconds.
    fn fetch_all(&mut self, liar: &Liar, mut effects: Vec<Effect>) {
        for _ in 0..500 {
            for effect in std::mem::take(&mut effects) {
                let Effect::Fetch(fetch) = effect else { continue };
                let blocks =
                    fetch.blocks.iter().filter_map(|wanted| liar.twins.get(wanted).cloned()).collect();
                effects.extend(self.take(fetch.peer.get(), BlockSource::Fetched, blocks));
                let ended = Input::FetchEnded { fetch: fetch.id, end: FetchEnd::Answered };
                effects.extend(self.machine.handle(self.now, ended));
            }
            self.now = self.now.plus(Duration::from_millis(20));
            effects.extend(self.machine.handle(self.now, Input::Tick));
        }
    }
}

/// How many blocks the DAG gains by one streamed twin with so many own ancestors, and how many were refused as invalid.
fn gained(own_ancestors: usize) -> (usize, usize) {
    let mut liar = liar();
    let top = liar.twin(ROUNDS, own_ancestors);
    let (genesis, now) = (liar.genesis.clone(), liar.genesis.timestamp());
    let verifier = BlockVerifier::new(genesis.clone());
    let log = RecoveredLog::default();
    let (machine, _) =
        Consensus::recover(genesis, Params::default(), liar.signers[0].clone(), log, now).expect("empty");
    let mut victim = Victim { machine, verifier, now, refused: 0 };
    // All that is honest, but nothing of the last round: the twin is the first block that is seen of its slot.
    for row in &liar.rows[1..liar.rows.len() - 1] {
        victim.take(1, BlockSource::Streamed, row[1..].to_vec());
    }
    let held = victim.machine.status().dag_blocks;
    let effects = victim.take(LIAR, BlockSource::Streamed, vec![top]);
    victim.fetch_all(&liar, effects);
    let status = victim.machine.status();
    assert_eq!(status.waiting_blocks, 0, "{status:?}");
    (status.dag_blocks - held, victim.refused)
}

#[test]
fn t07_one_streamed_block_of_a_liar_brings_one_chain_of_twins_and_no_tree() {
    let chain = usize::try_from(ROUNDS).expect("small");
    assert_eq!(gained(1), (chain, 0), "a chain is valid");
    for own_ancestors in 2..=4 {
        assert_eq!(gained(own_ancestors), (0, 1), "{own_ancestors} own ancestors");
    }
}

/// Three machines of four; the fourth signs two blocks in each round that it can, on both of its chains.
fn honest_blocks(seed: &[u8]) -> (TestNetwork, usize) {
    let parameters =
        ProtocolParameters { gc_depth: 10, heartbeat_rounds: 5, ..ProtocolParameters::default() };
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
    let link = Duration::from_millis(10);
    let mut network = TestNetwork::start(genesis, signers.clone(), Params::default(), link);
    network.crash(authority(LIAR));
    let own_genesis = VerifiedBlock::genesis(network.genesis(), authority(LIAR)).reference();
    let (mut chains, mut made) = ([own_genesis; 2], 0);
    for (step, dice) in seed.iter().enumerate() {
        let (one, other) = (authority(u16::from(dice % 3)), authority(u16::from((dice / 3) % 3)));
        network.submit(one, step as u64, &step.to_be_bytes());
        match dice % 8 {
            0 if one != other => network.cut(one, other),
            1 => network.heal(),
            _ => {}
        }
        network.run(Duration::from_millis(u64::from(*dice)));
        let store = &network.node(one).store;
        let held: BTreeSet<_> = store.blocks.keys().filter(|held| held.author != authority(LIAR)).collect();
        let Some(parents) = held.iter().next_back().map(|highest| highest.round) else { continue };
        let parents: Vec<_> = held.iter().filter(|held| held.round == parents).map(|held| **held).collect();
        let round = parents[0].round.next();
        if parents.len() < 3 || chains[0].round >= round {
            continue;
        }
        for (number, last) in chains.iter_mut().enumerate() {
            let mut block = testkit::empty_block(network.genesis(), LIAR, round.get());
            block.ancestors = std::iter::once(*last).chain(parents.clone()).collect();
            block.transactions = vec![Transaction::new(Bytes::from(format!("{round} on {number}")))];
            let block = block.sign(&signers[usize::from(LIAR)]);
            *last = block.reference();
            made += 1;
            for honest in 0..3 {
                // One twin first for some, the other for the rest; all can fetch what they lack from each other.
                if (usize::from(honest) + number + usize::from(*dice)) % 2 == 0 || dice % 5 == 0 {
                    let (from, source) = (authority(LIAR), BlockSource::Streamed);
                    network.input(
                        authority(honest),
                        Input::Blocks { from, source, blocks: vec![block.clone()] },
                    );
                }
            }
        }
    }
    (network, made)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn t07_honest_authors_list_each_author_once_whatever_twins_and_cuts_they_meet(
        seed in proptest::collection::vec(any::<u8>(), 30..60),
    ) {
        let (network, _) = honest_blocks(&seed);
        let verifier = BlockVerifier::new(network.genesis().clone());
        for honest in 0..3 {
            for block in network.node(authority(honest)).store.blocks.values() {
                let authors: BTreeSet<_> = block.ancestors().iter().map(|ancestor| ancestor.author).collect();
                prop_assert_eq!(authors.len(), block.ancestors().len(), "{:?}", block);
                prop_assert!(verifier.verify(block.signed_bytes().clone()).is_ok(), "{:?}", block);
            }
        }
    }
}

/// The cases above are worth their time: twins are held by honest nodes, and built on.
#[test]
fn drawn_liars_get_twins_into_honest_stores() {
    let seed: Vec<u8> = (0..60u8).map(|step| step.wrapping_mul(37)).collect();
    let (network, made) = honest_blocks(&seed);
    let mut slots: BTreeMap<Slot, usize> = BTreeMap::new();
    for held in network.node(authority(0)).store.blocks.keys() {
        *slots.entry(held.slot()).or_default() += 1;
    }
    let twins = slots.values().filter(|blocks| **blocks > 1).count();
    assert!(made > 20 && twins > 2, "{made} made, {twins} slots with two");
    assert!(slots.keys().next_back().is_some_and(|last| last.round > Round::new(20)));
}
