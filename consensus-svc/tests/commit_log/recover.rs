//! What a restart reads, and what it refuses.

use std::{path::Path, sync::Arc};

use consensus_core::{
    AmnesiaCause, CommitIndex, Consensus, Epoch, Params, Round, VerifiedBlock, testkit::GENESIS_TIMESTAMP,
};
use consensus_svc::commit_log::{CommitLog, LogError};
use metanode_shell::durable::{Store, WriteBatch};

use crate::history::{EPOCH, GC_DEPTH, HISTORY, OWN, open, options, write, write_all};

#[tokio::test]
async fn a_restart_reads_the_commits_and_blocks_that_the_gc_depth_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write_all(&log).await;
    log.close().await.unwrap();

    let guard = Some((EPOCH, HISTORY.own_blocks().last().unwrap().round()));
    let recovered = open(folder.path()).recover(OWN, HISTORY.genesis.parameters(), guard).unwrap();
    assert_eq!(recovered.guard, guard);
    assert_eq!(recovered.own_last.as_ref(), HISTORY.own_blocks().last());

    let gc_round = HISTORY.last().commit.last_leader_round().minus(GC_DEPTH);
    assert!(gc_round > Round::GENESIS);
    let expected: Vec<_> = HISTORY.blocks.iter().filter(|block| block.round() > gc_round).cloned().collect();
    assert_eq!(recovered.blocks, expected);

    let commits = &recovered.commits;
    let expected: Vec<_> = HISTORY.commits[HISTORY.commits.len() - commits.len()..]
        .iter()
        .map(|sub_dag| (sub_dag.commit.clone(), sub_dag.digest))
        .collect();
    assert_eq!(*commits, expected, "the newest ones, rising");
    let reached: Vec<_> = commits.iter().map(|(commit, _)| commit.last_leader_round() <= gc_round).collect();
    assert!(reached[0], "back to the first at or below the GC round");
    assert!(reached[1..].iter().all(|reached| !reached), "and no further");

    let (genesis, signer) = (Arc::new(HISTORY.genesis.clone()), HISTORY.signer.clone());
    Consensus::recover(genesis, Params::default(), signer, recovered, GENESIS_TIMESTAMP).unwrap();
}

#[tokio::test]
async fn a_short_log_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write(&log, 1, 2).await;
    let recovered = log.recover(OWN, HISTORY.genesis.parameters(), None).unwrap();
    assert_eq!(recovered.commits.len(), 2);
    let expected: usize = HISTORY.commits[..2].iter().map(|sub_dag| sub_dag.blocks.len()).sum();
    assert_eq!(recovered.blocks.len(), expected);
}

#[tokio::test]
async fn s06_a_store_that_is_older_than_the_guard_or_was_being_refilled_makes_an_amnesiac() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write_all(&log).await;
    let last = HISTORY.own_blocks().last().unwrap().round();
    let cause = |guard| {
        let recovered = log.recover(OWN, HISTORY.genesis.parameters(), guard).unwrap();
        let (genesis, signer) = (Arc::new(HISTORY.genesis.clone()), HISTORY.signer.clone());
        let recovered = Consensus::recover(genesis, Params::default(), signer, recovered, GENESIS_TIMESTAMP);
        recovered.unwrap().0.status().amnesia.map(|amnesia| amnesia.cause)
    };
    assert_eq!(cause(Some((EPOCH, last))), None);
    let stored = last;
    let guard = last.next();
    assert_eq!(cause(Some((EPOCH, guard))), Some(AmnesiaCause::BelowGuard { stored, guard }));
    // A batch that vouches for no own block.
    let mut batch = HISTORY.rest();
    batch.progress.own_round = Round::GENESIS;
    log.submit(batch).await.unwrap().await.unwrap();
    assert_eq!(cause(Some((EPOCH, last))), Some(AmnesiaCause::BelowGuard { stored, guard: last }));
}

/// Changes a closed log behind its back.
fn tamper(path: &Path, change: impl FnOnce(&Store, &mut WriteBatch)) {
    let store = Store::open(path, &options().store).unwrap();
    let mut batch = WriteBatch::default();
    change(&store, &mut batch);
    store.apply(&batch).unwrap();
    store.sync().unwrap();
}

fn commit_key(index: u64) -> Vec<u8> {
    [b"c|", index.to_be_bytes().as_slice()].concat()
}

fn block_key(block: &VerifiedBlock) -> Vec<u8> {
    let reference = block.reference();
    [
        b"b|",
        EPOCH.get().to_be_bytes().as_slice(),
        &reference.round.get().to_be_bytes(),
        &reference.author.get().to_be_bytes(),
        reference.digest.as_bytes(),
    ]
    .concat()
}

async fn written_log(path: &Path) {
    let log = open(path);
    write_all(&log).await;
    log.close().await.unwrap();
}

fn recovery_error(log: &CommitLog) -> LogError {
    log.recover(OWN, HISTORY.genesis.parameters(), None).unwrap_err()
}

#[tokio::test]
async fn s03_commits_that_end_elsewhere_than_the_progress_record_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    written_log(folder.path()).await;
    let last = HISTORY.last().commit.index.get();
    tamper(folder.path(), |_, batch| batch.remove(commit_key(last)));
    let error = recovery_error(&open(folder.path()));
    assert!(matches!(&error, LogError::Damaged { .. }));
    assert!(
        error.to_string().contains(&format!("end at {}, the progress record at {last}", last - 1)),
        "{error}"
    );
}

#[tokio::test]
async fn s04_a_hole_in_the_newest_commits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    written_log(folder.path()).await;
    let hole = HISTORY.last().commit.index.get() - 1;
    tamper(folder.path(), |_, batch| batch.remove(commit_key(hole)));
    let error = recovery_error(&open(folder.path()));
    assert!(matches!(error, LogError::MissingCommit { index, .. } if index == CommitIndex::new(hole)));
}

#[tokio::test]
async fn s04_an_intact_value_under_a_wrong_key_is_found() {
    let folder = tempfile::tempdir().unwrap();
    written_log(folder.path()).await;
    let last = HISTORY.last().commit.index.get();
    let (one, other) = (&HISTORY.blocks[HISTORY.blocks.len() - 1], &HISTORY.blocks[HISTORY.blocks.len() - 2]);
    tamper(folder.path(), |store, batch| {
        batch.put(commit_key(2), store.get(&commit_key(3)).unwrap().unwrap());
        batch.put(block_key(one), other.signed_bytes().to_vec());
    });
    let log = open(folder.path());
    assert!(matches!(log.commit(CommitIndex::new(2)), Err(LogError::Damaged { .. })));
    assert!(matches!(log.block(EPOCH, &one.reference()), Err(LogError::Damaged { .. })));
    assert!(matches!(recovery_error(&log), LogError::Damaged { .. }));
    assert_eq!(log.last_index().unwrap().get(), last);
    assert_eq!(log.block(Epoch::new(1), &other.reference()).unwrap(), None);
}

#[tokio::test]
async fn s03_own_blocks_that_end_below_the_progress_record_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut batch = HISTORY.batch(HISTORY.commit(1));
    batch.progress.own_round = batch.progress.own_round.plus(1);
    log.submit(batch).await.unwrap().await.unwrap();
    assert!(matches!(recovery_error(&log), LogError::Damaged { .. }));
}
