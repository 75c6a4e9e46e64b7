//! X07: agreed roots and the evidence against an executor are there after a restart.

use consensus_core::{
    CommitIndex, ExecutedRoot, MAX_AGREED_ROOTS, RootAgreement, RootContradiction, RootRecords, StateRoot,
};

use crate::history::{HISTORY, OWN, open};

fn agreement(index: u64) -> RootAgreement {
    let blocks = HISTORY.commit(1).commit.blocks.clone();
    RootAgreement { index: CommitIndex::new(index), root: StateRoot::new([7; 32]), blocks }
}

#[tokio::test]
async fn x07_evidence_against_the_executor_is_durable_with_its_batch_and_takes_back_what_was_verified() {
    let folder = tempfile::tempdir().unwrap();
    let verified =
        |index| Some(ExecutedRoot { index: CommitIndex::new(index), root: StateRoot::new([7; 32]) });
    let agreed: Vec<_> = (1..=70).map(|step| agreement(step * 100)).collect();
    let contradiction = RootContradiction { own: StateRoot::new([9; 32]), agreed: agreement(7_000) };
    let additions = [
        RootRecords { agreed: agreed.clone(), verified: verified(6_900), contradiction: None },
        RootRecords { contradiction: Some(contradiction.clone()), ..RootRecords::default() },
        RootRecords { verified: verified(7_100), ..RootRecords::default() },
    ];
    let mut expected = RootRecords::default();
    for roots in additions {
        let log = open(folder.path());
        let mut batch = HISTORY.batch(HISTORY.commit(1));
        expected.apply(&roots);
        batch.roots = Box::new(roots);
        log.submit(batch).await.unwrap().await.unwrap();
        log.close().await.unwrap();
        let log = open(folder.path());
        assert_eq!(log.roots().unwrap(), expected);
        assert_eq!(log.recover(OWN, HISTORY.genesis.parameters(), None).unwrap().roots, expected);
        log.close().await.unwrap();
    }
    assert_eq!(expected.agreed, agreed[70 - MAX_AGREED_ROOTS..]);
    assert_eq!((expected.contradiction, expected.verified), (Some(contradiction), verified(7_100)));
}
