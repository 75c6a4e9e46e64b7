//! F07: proofs of equivocation are there after a restart, and are read a page at a time.

use std::sync::Arc;

use consensus_core::{
    AuthorityIndex, BlockVerifier, Epoch, Equivocation, Round, Slot, WriteBatch,
    testkit::{self, drawing::draw},
};

use crate::history::{HISTORY, OWN, open};

fn slot(authority: u16, round: u64) -> Slot {
    Slot { round: Round::new(round), authority: AuthorityIndex::new(authority) }
}

#[tokio::test]
async fn f07_evidence_is_durable_with_its_batch_and_counts_against_the_share_after_a_restart() {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let text = "ABCD1:[*]; C1b:[*] tx; B1b:[*] tx; ABCD2:[*]; B2b:[*] tx";
    let drawing = draw(&genesis, &signers, text);
    let pair = |one: &str, other: &str| {
        Equivocation::new(drawing.block(one).clone(), drawing.block(other).clone()).unwrap()
    };
    let (folder, pairs) = (tempfile::tempdir().unwrap(), [("C1", "C1b"), ("B2", "B2b"), ("B1", "B1b")]);
    let log = open(folder.path());
    for (one, other) in pairs {
        let mut batch = HISTORY.batch(HISTORY.commit(1));
        batch.evidence = vec![pair(one, other)];
        log.submit(batch).await.unwrap().await.unwrap();
    }
    log.close().await.unwrap();

    let log = open(folder.path());
    let (all, more) = log.equivocations(None, 16, u64::MAX).unwrap();
    assert!(!more);
    let slots: Vec<_> = all.iter().map(|stored| (stored.epoch, stored.slot)).collect();
    let expected = [slot(1, 1), slot(1, 2), slot(2, 1)].map(|slot| (Epoch::GENESIS, slot));
    assert_eq!(slots, expected, "by authority, then round");
    let verifier = BlockVerifier::new(genesis);
    for stored in &all {
        assert_eq!(stored.proof.verify(&verifier).unwrap().slot(), stored.slot);
    }
    let recovered = log.recover(OWN, HISTORY.genesis.parameters(), None).unwrap();
    assert_eq!(recovered.evidence, expected.map(|(_, slot)| slot));

    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let (page, more) = log.equivocations(after, 100, 1).unwrap();
        assert_eq!(page.len(), 1, "at least one, whatever its size");
        after = page.last().map(|stored| (stored.epoch, stored.slot));
        paged.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(paged, all);
    assert_eq!(log.equivocations(None, 2, u64::MAX).unwrap(), (all[..2].to_vec(), true));
    assert_eq!(log.equivocations(after, 2, u64::MAX).unwrap(), (vec![], false));
}

#[tokio::test]
async fn a_log_without_equivocations_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.submit(WriteBatch::default()).await.unwrap().await.unwrap();
    assert_eq!(log.equivocations(None, 1, 1).unwrap(), (vec![], false));
}
