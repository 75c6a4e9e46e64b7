//! Writing and reading.

use consensus_core::{AuthorityIndex, ChainId, CommitDigest, CommitIndex, Round};
use consensus_svc::commit_log::{CommitLog, LogError, OpenError};

use crate::history::{EPOCH, HISTORY, OWN, open, options, write, write_all};

const ANY_ROUND: Round = Round::new(u64::MAX);

#[tokio::test]
async fn d19_what_was_written_comes_back_byte_for_byte_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write_all(&log).await;
    log.close().await.unwrap();

    let log = open(folder.path());
    let last = HISTORY.last().commit.index;
    assert_eq!((log.earliest_index(), log.last_index().unwrap()), (CommitIndex::new(1), last));
    for sub_dag in &HISTORY.commits {
        let index = sub_dag.commit.index;
        assert_eq!(log.sub_dag(index).unwrap().as_ref(), Some(sub_dag));
        assert_eq!(log.digest(index).unwrap(), Some(sub_dag.digest));
        let found = log.commit(index).unwrap().unwrap();
        assert_eq!(found.canonical_bytes(), sub_dag.commit.canonical_bytes());
    }
    for block in &HISTORY.blocks {
        let found = log.block(EPOCH, &block.reference()).unwrap().unwrap();
        assert_eq!(found.signed_bytes(), block.signed_bytes());
    }
    assert_eq!(log.sub_dag(last.next()).unwrap(), None);
    assert_eq!(log.digest(CommitIndex::NONE).unwrap(), Some(CommitDigest::ZERO));
}

#[tokio::test]
async fn a_new_log_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    assert_eq!(log.progress().unwrap(), None);
    assert_eq!(log.last_index().unwrap(), CommitIndex::NONE);
    assert_eq!(log.earliest_index(), CommitIndex::new(1));
    assert_eq!(log.acknowledged(), CommitIndex::NONE);
    assert_eq!(log.latest_block_by(EPOCH, OWN, ANY_ROUND).unwrap(), None);
    let recovered = log.recover(OWN, HISTORY.genesis.parameters(), None).unwrap();
    assert!(recovered.commits.is_empty() && recovered.blocks.is_empty() && recovered.own_last.is_none());
}

#[tokio::test]
async fn many_batches_that_wait_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let before = log.syncs_total();
    write(&log, 1, 40).await;
    let syncs = log.syncs_total() - before;
    assert!((1..40).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn a_log_of_another_chain_is_refused_with_both_ids() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).close().await.unwrap();
    let other = ChainId::new([9; 32]);
    match CommitLog::open(folder.path(), other, &options()).unwrap_err() {
        OpenError::OtherChain { found, expected, .. } => {
            assert_eq!((found, expected), (HISTORY.chain_id(), other));
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_commit_without_one_of_its_blocks_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut batch = HISTORY.batch(HISTORY.commit(1));
    let lost = batch.blocks.pop().unwrap().reference();
    log.submit(batch).await.unwrap().await.unwrap();
    let error = log.sub_dag(CommitIndex::new(1)).unwrap_err();
    assert!(matches!(error, LogError::MissingBlock { commit, block } if commit.get() == 1 && block == lost));
}

#[tokio::test]
async fn blocks_of_an_author_are_read_in_pages_between_two_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write_all(&log).await;
    let own = HISTORY.own_blocks();
    let read =
        |after, through, count, bytes| log.blocks_by(EPOCH, OWN, after, through, count, bytes).unwrap();
    assert_eq!(read(Round::GENESIS, ANY_ROUND, usize::MAX, u64::MAX), own);
    let (first, fifth) = (own[0].round(), own[4].round());
    assert_eq!(read(first, fifth, 100, u64::MAX), own[1..5], "after is exclusive, through inclusive");
    assert_eq!(read(first, fifth, 2, u64::MAX), own[1..3]);
    assert_eq!(read(fifth, fifth, 100, u64::MAX), []);
    assert_eq!(read(ANY_ROUND, ANY_ROUND, 100, u64::MAX), []);
    let two = own[1..3].iter().map(|block| block.signed_bytes().len() as u64).sum();
    assert_eq!(read(first, fifth, 100, two), own[1..3]);
    assert_eq!(read(first, fifth, 100, two - 1), own[1..2]);
    assert_eq!(read(first, fifth, 0, 0), own[1..2], "a page is never empty while there is something");
    let others = AuthorityIndex::new(0);
    let found = log.blocks_by(EPOCH, others, Round::GENESIS, ANY_ROUND, 1_000, u64::MAX).unwrap();
    assert!(!found.is_empty() && found.iter().all(|block| block.author() == others));
}

#[tokio::test]
async fn the_latest_block_of_an_author_is_found_up_to_a_round() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    write_all(&log).await;
    let own = HISTORY.own_blocks();
    let latest = |through| log.latest_block_by(EPOCH, OWN, through).unwrap();
    assert_eq!(latest(ANY_ROUND).as_ref(), own.last());
    assert_eq!(latest(own[3].round()).as_ref(), Some(&own[3]));
    assert_eq!(latest(Round::GENESIS), None);
    assert_eq!(log.latest_block_by(EPOCH, AuthorityIndex::new(9), ANY_ROUND).unwrap(), None);
}

#[tokio::test]
async fn an_acknowledgement_is_kept_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for (index, expected) in [(3, 3), (7, 7), (7, 7), (5, 7)] {
        log.record_acknowledged(CommitIndex::new(index)).await.unwrap();
        assert_eq!(log.acknowledged(), CommitIndex::new(expected));
    }
    let before = log.syncs_total();
    log.record_acknowledged(CommitIndex::new(8)).await.unwrap();
    assert_eq!(log.syncs_total(), before, "nobody waits for it, so it costs no sync");
    log.close().await.unwrap();
    assert_eq!(open(folder.path()).acknowledged(), CommitIndex::new(8));
}
