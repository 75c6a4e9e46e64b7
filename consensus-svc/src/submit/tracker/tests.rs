//! Waiting for transactions, without a core or an executor.

use super::*;
use crate::commit_stream::testkit::sub_dag;
use consensus_core::{ProtocolParameters, Timestamp, Transaction};
use metanode_proto::executor::v1::RejectedTransaction;

fn tracker(limit: usize) -> Arc<Tracker> {
    Tracker::new(limit, CommittedWindow::new(&ProtocolParameters::default()))
}

fn digest(text: &'static str) -> TransactionDigest {
    Transaction::new(text.into()).digest()
}

fn acknowledgement(rejected: &[(u64, u32)]) -> Acknowledgement {
    let rejected = rejected.iter().map(|(index, position)| RejectedTransaction {
        index: *index,
        position: *position,
        code: 7,
        reason: "nonce".to_owned(),
    });
    Acknowledgement { rejected: rejected.collect(), ..Acknowledgement::default() }
}

fn index(n: u64) -> CommitIndex {
    CommitIndex::new(n)
}

async fn answer(registration: Registration) -> Vec<Fate> {
    registration.answered().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_commit_answers_with_index_and_position_whoever_proposed_it() {
    let tracker = tracker(10);
    let waits = tracker.register(vec![digest("b"), digest("c")], Stage::Committed).unwrap();
    tracker.committed(&sub_dag(4, &["a", "b"]));
    tracker.committed(&sub_dag(5, &["c"]));
    let fates = answer(waits).await;
    assert_eq!(
        fates,
        [Fate::Committed { index: index(4), position: 1 }, Fate::Committed { index: index(5), position: 0 }]
    );
    assert_eq!(tracker.waiting(), 0);
}

#[tokio::test]
async fn an_acknowledgement_answers_with_root_or_rejection() {
    let tracker = tracker(10);
    let waits = tracker.register(vec![digest("a"), digest("b")], Stage::Executed).unwrap();
    tracker.committed(&sub_dag(4, &["a", "b"]));
    let root = StateRoot::new([9; 32]);
    tracker.executed(index(4), Some(root), &acknowledgement(&[(4, 1)]));
    let executed = Fate::Executed { index: index(4), position: 0, state_root: Some(root) };
    let rejected = Fate::Rejected {
        index: index(4),
        position: 1,
        state_root: Some(root),
        code: 7,
        reason: "nonce".to_owned(),
    };
    assert_eq!(answer(waits).await, [executed, rejected]);
}

#[tokio::test]
async fn a_cumulative_acknowledgement_covers_all_before_and_gives_its_root_to_the_last_only() {
    let tracker = tracker(10);
    let waits = tracker.register(vec![digest("a"), digest("b"), digest("c")], Stage::Executed).unwrap();
    tracker.committed(&sub_dag(4, &["a"]));
    tracker.committed(&sub_dag(5, &["b"]));
    tracker.committed(&sub_dag(6, &["c"]));
    let root = StateRoot::new([9; 32]);
    tracker.executed(index(5), Some(root), &acknowledgement(&[(4, 0)]));
    assert_eq!(tracker.waiting(), 3);
    tracker.executed(index(6), None, &acknowledgement(&[]));
    let fates = answer(waits).await;
    assert!(matches!(fates[0], Fate::Rejected { state_root: None, .. }));
    assert_eq!(fates[1], Fate::Executed { index: index(5), position: 0, state_root: Some(root) });
    assert_eq!(fates[2], Fate::Executed { index: index(6), position: 0, state_root: None });
}

#[tokio::test]
async fn results_that_nobody_told_are_not_claimed() {
    let tracker = tracker(10);
    let waits = tracker.register(vec![digest("a")], Stage::Executed).unwrap();
    tracker.committed(&sub_dag(4, &["a"]));
    tracker.executed_unseen(index(3));
    assert_eq!(tracker.waiting(), 1);
    tracker.executed_unseen(index(4));
    assert_eq!(answer(waits).await, [Fate::ExecutedUntold { index: index(4), position: 0 }]);
    for told in [
        Acknowledgement { results_unknown: true, ..Acknowledgement::default() },
        Acknowledgement { duplicate: true, ..Acknowledgement::default() },
    ] {
        let waits = tracker.register(vec![digest("b")], Stage::Executed).unwrap();
        tracker.committed(&sub_dag(5, &["b"]));
        tracker.executed(index(5), None, &told);
        assert_eq!(answer(waits).await, [Fate::ExecutedUntold { index: index(5), position: 0 }], "{told:?}");
    }
}

#[tokio::test]
async fn a_marked_duplicate_is_answered_as_one() {
    let tracker = tracker(10);
    let waits = tracker.register(vec![digest("b")], Stage::Executed).unwrap();
    let mut commit = sub_dag(4, &["a", "b"]);
    commit.commit.duplicate_marks = vec![0b10].into();
    tracker.committed(&commit);
    assert_eq!(tracker.waiting(), 1);
    tracker.executed(index(3), None, &acknowledgement(&[]));
    assert_eq!(tracker.waiting(), 1, "its first place may not be executed yet");
    tracker.executed(index(4), None, &acknowledgement(&[]));
    let duplicate = [Fate::Duplicate { index: index(4), position: 1 }];
    assert_eq!(answer(waits).await, duplicate);

    let committed = tracker.register(vec![digest("b")], Stage::Committed).unwrap();
    let executed = tracker.register(vec![digest("b")], Stage::Executed).unwrap();
    let dropped = tracker.register(vec![digest("b")], Stage::Executed).unwrap();
    tracker.committed(&commit);
    assert_eq!(answer(committed).await, duplicate);
    drop(dropped);
    tracker.executed_unseen(index(4));
    assert_eq!(answer(executed).await, duplicate);
    assert!(tracker.state().waiters.is_empty());
}

#[tokio::test]
async fn a_stopped_delivery_ends_the_waits_for_execution_and_refuses_new_ones() {
    let tracker = tracker(10);
    let ended = WaitsEnded::DeliveryStopped;
    let committed = tracker.register(vec![digest("a")], Stage::Committed).unwrap();
    let executed = tracker.register(vec![digest("a")], Stage::Executed).unwrap();
    tracker.end(ended);
    assert_eq!(executed.answered().await, Some(Err(ended)));
    let refused = tracker.register(vec![digest("b")], Stage::Executed);
    assert_eq!(refused.unwrap_err(), RegisterError::Ended(ended));
    assert!(tracker.register(vec![digest("b")], Stage::Committed).is_ok());
    tracker.committed(&sub_dag(4, &["a"]));
    assert_eq!(answer(committed).await, [Fate::Committed { index: index(4), position: 0 }]);
    assert_eq!(tracker.waiting(), 0);
}

#[tokio::test]
async fn a_halted_machine_ends_all_waits_and_refuses_new_ones() {
    let tracker = tracker(10);
    tracker.end(WaitsEnded::DeliveryStopped);
    let waits = tracker.register(vec![digest("a")], Stage::Committed).unwrap();
    tracker.end(WaitsEnded::NotProposing);
    tracker.end(WaitsEnded::DeliveryStopped);
    assert_eq!(tracker.ended(), Some(WaitsEnded::NotProposing));
    assert_eq!(waits.answered().await, Some(Err(WaitsEnded::NotProposing)));
    for stage in [Stage::Committed, Stage::Executed] {
        let refused = tracker.register(vec![digest("b")], stage);
        assert_eq!(refused.unwrap_err(), RegisterError::Ended(WaitsEnded::NotProposing));
    }
}

#[test]
fn t05_a_wait_that_is_dropped_leaves_nothing_behind() {
    let tracker = tracker(10);
    let waits = tracker.register(vec![digest("a"), digest("b")], Stage::Executed).unwrap();
    let other = tracker.register(vec![digest("b")], Stage::Committed).unwrap();
    tracker.committed(&sub_dag(4, &["a"]));
    drop(waits);
    assert_eq!(tracker.waiting(), 1);
    drop(other);
    assert!(tracker.state().waiters.is_empty());
}

#[test]
fn t06_waiting_is_bounded_and_a_batch_is_taken_whole_or_refused() {
    let tracker = tracker(2);
    let _first = tracker.register(vec![digest("a")], Stage::Committed).unwrap();
    let refused = tracker.register(vec![digest("b"), digest("c")], Stage::Committed);
    assert_eq!(refused.unwrap_err(), RegisterError::Full(TrackerFull { waiting: 1, limit: 2 }));
    assert!(tracker.register(vec![digest("b")], Stage::Committed).is_ok());
}

fn dropped(tracker: &Tracker, text: &'static str) {
    tracker.dropped(&[digest(text)], DropReason::Expired);
}

const DROPPED: Fate = Fate::Dropped { reason: DropReason::Expired };

#[tokio::test]
async fn t01_a_drop_answers_a_wait_for_any_stage() {
    let tracker = tracker(10);
    for stage in [Stage::Committed, Stage::Executed] {
        let waits = tracker.register(vec![digest("a"), digest("b")], stage).unwrap();
        tracker.accepted([digest("a"), digest("b")], Some(waits.id()));
        dropped(&tracker, "b");
        assert_eq!(tracker.waiting(), 2);
        dropped(&tracker, "a");
        assert_eq!(answer(waits).await, [DROPPED, DROPPED]);
    }
    assert!(tracker.state().waiters.is_empty());
}

/// The drop of an earlier submission is told while the next one is on its way to the machine, which will take it.
#[tokio::test]
async fn t01_a_drop_from_before_a_submission_was_taken_does_not_answer_it() {
    let tracker = tracker(10);
    tracker.accepted([digest("a")], None);
    let waits = tracker.register(vec![digest("a")], Stage::Committed).unwrap();
    dropped(&tracker, "a");
    tracker.accepted([digest("a")], Some(waits.id()));
    tracker.committed(&sub_dag(4, &["a"]));
    assert_eq!(answer(waits).await, [Fate::Committed { index: index(4), position: 0 }]);
}

/// It is committed, submitted again, and expires there: a client that heard DROPPED would pay a second time.
#[tokio::test]
async fn t01_a_submission_that_ends_after_its_transaction_was_committed_hears_of_that_place() {
    let tracker = tracker(10);
    let place = Fate::Committed { index: index(4), position: 1 };
    tracker.committed(&sub_dag(4, &["x", "a"]));
    let committed = tracker.register(vec![digest("a")], Stage::Committed).unwrap();
    let executed = tracker.register(vec![digest("a")], Stage::Executed).unwrap();
    let released = tracker.register(vec![digest("a")], Stage::Executed).unwrap();
    for waits in [&committed, &executed, &released] {
        tracker.accepted([digest("a")], Some(waits.id()));
    }
    let on_its_way = tracker.register(vec![digest("a")], Stage::Committed).unwrap();
    tracker.committed_before(&[digest("a")]);
    assert_eq!(answer(committed).await, [place]);
    drop(released);
    assert_eq!(tracker.waiting(), 2, "for the execution, and for the next submission");
    tracker.executed(index(4), None, &acknowledgement(&[(4, 1)]));
    assert!(matches!(answer(executed).await[..], [Fate::Rejected { position: 1, code: 7, .. }]));

    tracker.accepted([digest("a")], Some(on_its_way.id()));
    tracker.committed_before(&[digest("a")]);
    assert!(matches!(answer(on_its_way).await[..], [Fate::Rejected { .. }]), "executed by then");
    assert!(tracker.state().waiters.is_empty());
    // Nothing of it outlives the window.
    let mut later = sub_dag(5, &[]);
    later.commit.timestamp = Timestamp::from_millis(u64::MAX / 2);
    tracker.committed(&later);
    assert!(tracker.watch(digest("a")).is_none());
}

async fn next(watch: &mut Watch) -> Fate {
    watch.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_watch_tells_the_newest_outcome_and_then_each_stage_to_the_end() {
    let tracker = tracker(0);
    assert!(tracker.watch(digest("b")).is_none(), "nothing is known");
    tracker.accepted([digest("b")], None);
    let mut from_start = tracker.watch(digest("b")).unwrap();
    tracker.committed(&sub_dag(4, &["a", "b"]));
    let mut from_commit = tracker.watch(digest("b")).unwrap();
    assert_eq!(tracker.watching(), 2);
    let root = Some(StateRoot::new([9; 32]));
    tracker.executed(index(4), root, &acknowledgement(&[]));
    let mut from_end = tracker.watch(digest("b")).unwrap();

    let committed = Fate::Committed { index: index(4), position: 1 };
    let executed = Fate::Executed { index: index(4), position: 1, state_root: root };
    assert_eq!(next(&mut from_start).await, Fate::Accepted);
    for watch in [&mut from_start, &mut from_commit] {
        assert_eq!(next(watch).await, committed);
    }
    for watch in [&mut from_start, &mut from_commit, &mut from_end] {
        assert_eq!(next(watch).await, executed);
        assert_eq!(watch.next().await, None);
    }
    drop((from_start, from_commit, from_end));
    assert!(tracker.state().waiters.is_empty());
}

#[tokio::test]
async fn a_watch_ends_with_a_drop_and_a_later_one_tells_the_commit_of_a_copy() {
    let tracker = tracker(0);
    tracker.accepted([digest("a")], None);
    let mut watch = tracker.watch(digest("a")).unwrap();
    dropped(&tracker, "a");
    assert_eq!((next(&mut watch).await, next(&mut watch).await), (Fate::Accepted, DROPPED));
    assert_eq!(watch.next().await, None);
    assert_eq!(next(&mut tracker.watch(digest("a")).unwrap()).await, DROPPED);
    tracker.committed(&sub_dag(4, &["a"]));
    let copy = Fate::Committed { index: index(4), position: 0 };
    assert_eq!(next(&mut tracker.watch(digest("a")).unwrap()).await, copy);
}

#[tokio::test]
async fn a_stop_ends_watches_behind_the_newest_outcome() {
    for reason in [WaitsEnded::DeliveryStopped, WaitsEnded::NotProposing] {
        let tracker = tracker(0);
        tracker.accepted([digest("a"), digest("b")], None);
        let mut before = tracker.watch(digest("a")).unwrap();
        tracker.end(reason);
        let mut after = tracker.watch(digest("b")).unwrap();
        for watch in [&mut before, &mut after] {
            assert_eq!(next(watch).await, Fate::Accepted);
            assert_eq!(watch.next().await, Some(Err(reason)));
            assert_eq!(watch.next().await, None);
        }
    }
}

#[test]
fn t05_a_watch_that_is_dropped_leaves_nothing_behind() {
    let tracker = tracker(0);
    tracker.accepted([digest("a"), digest("b")], None);
    let (pending, delivered) = (tracker.watch(digest("a")), tracker.watch(digest("b")));
    let other = tracker.watch(digest("b"));
    tracker.committed(&sub_dag(4, &["b"]));
    drop((pending, delivered));
    assert_eq!(tracker.watching(), 1);
    drop(other);
    assert!(tracker.state().waiters.is_empty());
    assert!(tracker.watch(digest("a")).is_some(), "the transaction is not released");
}
