//! F07: twins are kept as evidence that convinces anybody, within bounds that hold over restarts.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use consensus_core::{
    AuthorityIndex, Block, BlockSource, BlockVerifier, ChainPoint, CommitIndex, Consensus, Effect,
    EquivocationError, EquivocationProof, Genesis, Input, Params, PeerFault, RangeBytes, RecoveredLog, Round,
    Signer, Slot, WriteBatch,
    block::CommitVote,
    evidence::MAX_PROOFS_PER_AUTHORITY,
    testkit::{
        self,
        drawing::{Drawing, draw},
        network::TestStore,
    },
    verify_range,
};

struct Fixture {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    drawing: Drawing,
    machine: Consensus,
}

/// Authority A of four at its first start, which proposes nothing: nobody has answered it.
fn fixture(text: &str, log: RecoveredLog) -> Fixture {
    fixture_of(0, text, log)
}

fn fixture_of(own: usize, text: &str, log: RecoveredLog) -> Fixture {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let drawing = draw(&genesis, &signers, text);
    let now = genesis.timestamp();
    let (machine, _) = Consensus::recover(genesis.clone(), Params::default(), signers[own].clone(), log, now)
        .expect("empty");
    Fixture { genesis, signers, drawing, machine }
}

impl Fixture {
    fn streamed(&mut self, names: &[&str]) -> Vec<Effect> {
        let blocks: Vec<_> = names.iter().map(|name| self.drawing.block(name).clone()).collect();
        let (from, source) = (AuthorityIndex::new(1), BlockSource::Streamed);
        self.machine.handle(self.genesis.timestamp(), Input::Blocks { from, source, blocks })
    }

    fn verifier(&self) -> BlockVerifier {
        BlockVerifier::new(self.genesis.clone())
    }

    fn fault(&self, first: &str, second: &str) -> Effect {
        let (first, second) = (self.drawing.block(first).reference(), self.drawing.block(second).reference());
        Effect::Report(PeerFault::Equivocation { slot: first.slot(), first, second })
    }

    fn proof(&self, first: &str, second: &str) -> EquivocationProof {
        let bytes = |name| self.drawing.block(name).signed_bytes().clone();
        EquivocationProof { first: bytes(first), second: bytes(second) }
    }
}

fn slot(authority: u16, round: u64) -> Slot {
    Slot { round: Round::new(round), authority: AuthorityIndex::new(authority) }
}

fn batches(effects: &[Effect]) -> Vec<&WriteBatch> {
    effects.iter().filter_map(|e| if let Effect::Persist(batch) = e { Some(batch) } else { None }).collect()
}

fn evidence(effects: &[Effect]) -> Vec<Slot> {
    batches(effects).iter().flat_map(|batch| &batch.evidence).map(|found| found.slot()).collect()
}

#[test]
fn f07_the_second_twin_makes_a_batch_due_that_holds_both_and_is_told_behind_it() {
    let mut fixture = fixture("B1:[*]; B1b:[*] tx", RecoveredLog::default());
    assert_eq!(fixture.streamed(&["B1"]), []);
    let effects = fixture.streamed(&["B1b"]);
    let [Effect::Persist(batch), told] = &effects[..] else { panic!("unexpected: {effects:?}") };
    assert_eq!(*told, fixture.fault("B1", "B1b"));
    assert_eq!(
        fixture.drawing.names(&[batch.blocks[0].reference()]),
        "B1",
        "the second is not taken as a block"
    );
    assert_eq!((batch.blocks.len(), batch.evidence.len()), (1, 1));
    let judged = batch.evidence[0].proof().verify(&fixture.verifier()).expect("it convinces anybody");
    assert_eq!(judged, batch.evidence[0]);
    assert_eq!(judged.slot(), slot(1, 1));
    assert!(judged.first().reference() < judged.second().reference(), "the same on every node");
    assert!(fixture.machine.status().equivocations_total == 1 && !batch.is_empty());
}

/// Whoever keeps sending a twin must not keep the disk busy.
#[test]
fn f07_the_same_slot_is_kept_once_and_counted_each_time() {
    let mut fixture = fixture("B1:[*]; B1b:[*] tx; B1c:[*] tx=2", RecoveredLog::default());
    assert_eq!(evidence(&fixture.streamed(&["B1", "B1b"])), [slot(1, 1)]);
    assert_eq!(fixture.streamed(&["B1b"]), [fixture.fault("B1", "B1b")]);
    assert_eq!(fixture.streamed(&["B1c"]), [fixture.fault("B1", "B1c")]);
    assert_eq!(fixture.machine.status().equivocations_total, 3);
}

#[test]
fn f07_twins_of_a_block_that_waits_for_ancestors_are_evidence_as_well() {
    let mut fixture = fixture("ABCD1:[*]; B2:[*]; B2b:[*] tx", RecoveredLog::default());
    assert_eq!(fixture.streamed(&["B2"]), []);
    let effects = fixture.streamed(&["B2b"]);
    assert_eq!(evidence(&effects), [slot(1, 2)]);
    assert!(batches(&effects)[0].blocks.is_empty(), "nothing that waits is made durable as a block");
}

const TWINS: &str = "ABCD1:[*]; B1b:[*] tx; C1b:[*] tx; ABCD2:[*]; B2b:[*] tx; ABCD3:[*]; B3b:[*] tx; ABCD4:[*]; B4b:[*] tx; \
                     ABCD5:[*]; B5b:[*] tx";

#[test]
fn f07_each_authority_has_a_share_of_evidence_and_no_more() {
    let mut fixture = fixture(TWINS, RecoveredLog::default());
    for round in 1..=4 {
        let (one, other) = (format!("B{round}"), format!("B{round}b"));
        assert_eq!(evidence(&fixture.streamed(&[&one, &other])), [slot(1, round)]);
    }
    assert_eq!(MAX_PROOFS_PER_AUTHORITY, 4);
    let effects = fixture.streamed(&["B5", "B5b"]);
    assert_eq!(effects, [fixture.fault("B5", "B5b")], "told and counted, not kept");
    assert_eq!(evidence(&fixture.streamed(&["C1", "C1b"])), [slot(2, 1)], "another one's share is its own");
}

#[test]
fn f07_the_share_holds_over_restarts() {
    let stored = |rounds: std::ops::RangeInclusive<u64>| RecoveredLog {
        evidence: rounds.map(|round| slot(1, round)).collect(),
        ..RecoveredLog::default()
    };
    let mut three = fixture(TWINS, stored(1..=3));
    assert_eq!(evidence(&three.streamed(&["B1", "B1b"])), [], "it is in the store");
    assert_eq!(evidence(&three.streamed(&["B5", "B5b"])), [slot(1, 5)]);
    let mut four = fixture(TWINS, stored(1..=4));
    assert_eq!(evidence(&four.streamed(&["B5", "B5b"])), []);
    assert_eq!(evidence(&four.streamed(&["C1", "C1b"])), [slot(2, 1)]);
}

#[test]
fn a_proof_is_judged_by_the_committee_alone() {
    let fixture = fixture("ABCD1:[*]; B1b:[*] tx; B2:[*]", RecoveredLog::default());
    let verifier = fixture.verifier();
    let proof = fixture.proof("B1", "B1b");
    assert!(proof.verify(&verifier).is_ok());
    let reversed = EquivocationProof { first: proof.second.clone(), second: proof.first.clone() };
    assert_eq!(reversed.verify(&verifier), proof.verify(&verifier));

    let block = fixture.drawing.block("B1").reference();
    assert_eq!(fixture.proof("B1", "B1").verify(&verifier), Err(EquivocationError::SameBlock { block }));
    let (first, second) = (block, fixture.drawing.block("B2").reference());
    let differ = Err(EquivocationError::SlotsDiffer { first, second });
    assert_eq!(fixture.proof("B1", "B2").verify(&verifier), differ);
    let differ = fixture.proof("B1", "C1").verify(&verifier);
    assert!(
        matches!(differ, Err(EquivocationError::SlotsDiffer { .. })),
        "two authors in one round lie nothing"
    );

    let garbage = EquivocationProof { second: Bytes::from_static(b"garbage"), ..proof.clone() };
    let error = garbage.verify(&verifier).expect_err("no block");
    assert!(matches!(error, EquivocationError::Second(_)) && error.source().is_some());
    let mut forged = proof.first.to_vec();
    *forged.last_mut().expect("a signature") ^= 1;
    let forged = EquivocationProof { first: forged.into(), ..proof.clone() };
    assert!(matches!(forged.verify(&verifier), Err(EquivocationError::First(_))), "nobody else can make one");

    let (other, _) = testkit::genesis(5);
    let other = BlockVerifier::new(Arc::new(other));
    assert!(matches!(proof.verify(&other), Err(EquivocationError::First(_))), "of another chain");
}

/// D has B1 from B itself, and everybody else has built on B1b. It was away, so B1b comes with the commits.
#[test]
fn f07_a_twin_that_comes_with_certified_commits_is_evidence_as_well() {
    let text = "ABC1:[*]; B1b:[*] tx; A2:[AC1,B1b]; B2:[B1b,AC1]; C2:[AC1,B1b]; ABC3..6:[*]";
    let mut witness = fixture_of(3, text, RecoveredLog::default());
    let mut store = TestStore::default();
    let names = witness.drawing.blocks().iter().filter(|block| **block != *witness.drawing.block("B1"));
    let (from, source, blocks) = (AuthorityIndex::new(0), BlockSource::Streamed, names.cloned().collect());
    let effects = witness.machine.handle(witness.genesis.timestamp(), Input::Blocks { from, source, blocks });
    batches(&effects).into_iter().for_each(|batch| store.persist(batch));
    let (last, digest) = store.commits.last().cloned().expect("they commit");
    let vote = CommitVote { index: last.index, digest };
    let certifiers = ["A6", "B6", "C6"].map(|name| {
        let block = witness.drawing.block(name);
        let content = Block { commit_votes: vec![vote], ..block.block().clone() };
        content.sign(&witness.signers[block.author().as_usize()]).signed_bytes().clone()
    });
    let sub_dags: Vec<_> =
        (1..=last.index.get()).filter_map(|at| store.sub_dag(CommitIndex::new(at))).collect();
    let named = sub_dags.iter().flat_map(|sub_dag| &sub_dag.blocks);
    let range = RangeBytes {
        commits: sub_dags.iter().map(|sub_dag| sub_dag.commit.canonical_bytes().into()).collect(),
        blocks: named.map(|block| block.signed_bytes().clone()).collect(),
        certifiers: certifiers.to_vec(),
    };
    let range =
        verify_range(&witness.verifier(), ChainPoint::default(), range).expect("a quorum has signed it");

    let mut fixture = fixture_of(3, text, RecoveredLog::default());
    assert_eq!(fixture.streamed(&["B1"]), []);
    let now = fixture.genesis.timestamp();
    for author in 0..2 {
        let (author, round) = (AuthorityIndex::new(author), Round::new(60));
        fixture.machine.handle(now, Input::SeenAhead { author, round });
    }
    let highest = last.index;
    let effects = fixture.machine.handle(now, Input::CertifiedCommits { from, range, highest });
    assert_eq!(fixture.machine.status().last_commit, last.index, "it follows");
    assert_eq!(evidence(&effects), [slot(1, 1)]);
    assert!(effects.contains(&fixture.fault("B1", "B1b")), "{effects:?}");
    assert_eq!(fixture.machine.status().equivocations_total, 1);
}
