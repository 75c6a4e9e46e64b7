//! What is known of transactions, without anybody waiting.

use super::*;
use crate::commit_stream::testkit::sub_dag;
use consensus_core::{ProtocolParameters, Timestamp};
use metanode_proto::executor::v1::RejectedTransaction;
use std::time::Duration;

fn digest(text: &'static str) -> TransactionDigest {
    Transaction::new(text.into()).digest()
}

fn index(n: u64) -> CommitIndex {
    CommitIndex::new(n)
}

fn window(window_ms: u64, max_duplicate_entries: u64) -> CommittedWindow {
    CommittedWindow::new(&ProtocolParameters {
        duplicate_window: Duration::from_millis(window_ms),
        max_duplicate_entries,
        ..ProtocolParameters::default()
    })
}

fn known() -> Known {
    Known::new(window(60_000, 100))
}

fn committed(n: u64, position: u32) -> Option<Fate> {
    Some(Fate::Committed { index: index(n), position })
}

fn untold(n: u64, position: u32) -> Option<Fate> {
    Some(Fate::ExecutedUntold { index: index(n), position })
}

fn rejection(n: u64, position: u32, reason: &str) -> RejectedTransaction {
    RejectedTransaction { index: n, position, code: 7, reason: reason.to_owned() }
}

#[test]
fn what_waits_is_accepted_until_it_is_committed_or_dropped() {
    let mut known = known();
    assert_eq!(known.fate(&digest("a")), None);
    known.accepted([digest("a"), digest("b")]);
    assert_eq!(known.fate(&digest("a")), Some(Fate::Accepted));
    known.committed(&sub_dag(1, &["x", "a"]));
    known.dropped(&[digest("b")], DropReason::NotReproposed);
    assert_eq!(known.fate(&digest("a")), committed(1, 1));
    assert_eq!(known.fate(&digest("b")), Some(Fate::Dropped { reason: DropReason::NotReproposed }));
    known.accepted([digest("b")]);
    assert_eq!(known.fate(&digest("b")), Some(Fate::Accepted), "submitted again");
    known.committed(&sub_dag(2, &["b"]));
    assert_eq!(known.fate(&digest("b")), committed(2, 0));
}

#[test]
fn the_first_place_in_the_order_is_the_one_that_counts() {
    let mut known = known();
    known.committed(&sub_dag(1, &["a"]));
    known.executed(index(1), None, &Acknowledgement::default());
    known.accepted([digest("a")]);
    let first = Some(Fate::Executed { index: index(1), position: 0, state_root: None });
    assert_eq!(known.fate(&digest("a")), first);
    let mut again = sub_dag(2, &["b", "a"]);
    again.commit.duplicate_marks = vec![0b10].into();
    known.committed(&again);
    assert_eq!(known.fate(&digest("a")), first);
    assert_eq!(known.fate(&digest("b")), committed(2, 0));
}

#[test]
fn results_are_those_of_the_acknowledgement_that_covers_the_commit_first() {
    let mut known = known();
    for (n, text) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        known.committed(&sub_dag(n, &[text]));
    }
    let root = StateRoot::new([9; 32]);
    let told = Acknowledgement { rejected: vec![rejection(1, 0, "nonce")], ..Acknowledgement::default() };
    known.executed(index(2), Some(root), &told);
    let rejected = Fate::Rejected {
        index: index(1),
        position: 0,
        state_root: None,
        code: 7,
        reason: "nonce".to_owned(),
    };
    assert_eq!(known.fate(&digest("a")), Some(rejected.clone()));
    let executed = Fate::Executed { index: index(2), position: 0, state_root: Some(root) };
    assert_eq!(known.fate(&digest("b")), Some(executed.clone()));
    known.executed(index(3), None, &Acknowledgement { duplicate: true, ..Acknowledgement::default() });
    assert_eq!(known.fate(&digest("c")), untold(3, 0), "told to somebody else");
    known.resumed(index(4));
    assert_eq!(known.fate(&digest("d")), untold(4, 0));
    assert_eq!(known.fate(&digest("a")), Some(rejected));
    assert_eq!(known.fate(&digest("b")), Some(executed));
}

#[test]
fn what_an_executor_has_lost_waits_for_its_execution_again_and_is_told_then() {
    let mut known = known();
    known.committed(&sub_dag(1, &["a"]));
    known.committed(&sub_dag(2, &["b"]));
    known.resumed(index(2));
    assert_eq!(known.fate(&digest("b")), untold(2, 0));
    known.resumed(index(1));
    assert_eq!((known.fate(&digest("a")), known.fate(&digest("b"))), (untold(1, 0), committed(2, 0)));
    known.executed(index(2), None, &Acknowledgement::default());
    let executed = Fate::Executed { index: index(2), position: 0, state_root: None };
    assert_eq!((known.fate(&digest("a")), known.fate(&digest("b"))), (untold(1, 0), Some(executed)));
}

#[test]
fn a_rebuilt_window_knows_places_and_claims_no_results() {
    let mut rebuilt = window(60_000, 100);
    let mut again = sub_dag(3, &["a", "c"]);
    again.commit.duplicate_marks = vec![0b1].into();
    for newest_first in [&again, &sub_dag(2, &["b"]), &sub_dag(1, &["a"])] {
        rebuilt.rebuild(newest_first);
    }
    rebuilt.acknowledged(index(2));
    let mut known = Known::new(rebuilt);
    assert_eq!(known.fate(&digest("a")), untold(1, 0));
    assert_eq!(known.fate(&digest("b")), untold(2, 0));
    assert_eq!(known.fate(&digest("c")), committed(3, 1));
    known.committed(&sub_dag(4, &["d"]));
    known.executed(index(4), None, &Acknowledgement::default());
    let executed = |n, position| Some(Fate::Executed { index: index(n), position, state_root: None });
    assert_eq!((known.fate(&digest("c")), known.fate(&digest("d"))), (executed(3, 1), executed(4, 0)));
    assert_eq!(known.fate(&digest("b")), untold(2, 0));
}

/// The commits of the testkit have their index as timestamp, in milliseconds.
#[test]
fn t06_the_window_lets_whole_commits_go_by_age_and_by_entries() {
    let mut known = Known::new(window(10, 3));
    known.committed(&sub_dag(1, &["a", "b"]));
    known.dropped(&[digest("x")], DropReason::Expired);
    known.committed(&sub_dag(2, &["c"]));
    assert_eq!(known.fate(&digest("a")), committed(1, 0));
    known.committed(&sub_dag(3, &["d"]));
    assert_eq!(known.fate(&digest("a")), None, "four entries are one too many");
    assert_eq!(known.fate(&digest("x")), None, "as old as what has gone");
    assert_eq!(known.fate(&digest("c")), committed(2, 0));
    known.committed(&sub_dag(12, &["e"]));
    assert_eq!(known.fate(&digest("c")), committed(2, 0));
    known.committed(&sub_dag(13, &["f"]));
    assert_eq!((known.fate(&digest("c")), known.fate(&digest("d"))), (None, committed(3, 0)));
    assert_eq!(known.window.newest(), Timestamp::from_millis(13));
}

#[test]
fn t06_drops_and_rejections_beyond_their_bounds_are_forgotten_oldest_first() {
    let mut known = known();
    let numbered = |n: u64| Transaction::new(n.to_le_bytes().to_vec().into()).digest();
    let all: Vec<_> = (0..65_537).map(numbered).collect();
    known.dropped(&all, DropReason::Expired);
    assert_eq!(known.fate(&numbered(0)), None);
    assert!(known.fate(&numbered(1)).is_some());

    known.committed(&sub_dag(1, &["a"]));
    known.committed(&sub_dag(2, &["b"]));
    let told = |n, count: u32| Acknowledgement {
        rejected: (0..count).map(|position| rejection(n, position, "no")).collect(),
        ..Acknowledgement::default()
    };
    known.executed(index(1), None, &told(1, 1));
    known.executed(index(2), None, &told(2, 65_536));
    assert_eq!(known.fate(&digest("a")), untold(1, 0));
    assert!(matches!(known.fate(&digest("b")), Some(Fate::Rejected { .. })));
}
