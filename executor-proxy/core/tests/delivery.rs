//! Every commit once, in order: exact decisions on both sides of each boundary.

#![allow(clippy::unwrap_used)]

#[path = "support/world.rs"]
mod world;

use proptest::prelude::*;
use sequencer_core::{
    Decision, Digest, ExecutedOutOfOrder, Header, Params, ParamsError, Position, Refusal, Sequencer,
};
use world::{commit, digest, executed, executed_with, header, open, opening, position};

const OTHER: Digest = Digest([9; 32]);

fn fork(index: u64) -> Result<Decision, Refusal> {
    Err(Refusal::Fork { index, ours: digest(index), theirs: OTHER })
}

#[test]
fn commits_are_let_through_in_order_and_executed_in_order() {
    let mut sequencer = executed(0);
    let stream = open(&mut sequencer);
    for index in 1..=3 {
        assert_eq!(commit(&mut sequencer, stream, index), Ok(Decision::Execute));
    }
    assert_eq!((sequencer.executed().index, sequencer.accepted().index), (0, 3));
    assert_eq!(sequencer.executed_one(position(2)), Err(ExecutedOutOfOrder { index: 2 }));
    let other = Position { index: 1, digest: OTHER };
    assert_eq!(sequencer.executed_one(other), Err(ExecutedOutOfOrder { index: 1 }));
    for index in 1..=3 {
        assert_eq!(sequencer.executed_one(position(index)), Ok(()));
    }
    assert_eq!(sequencer.executed_one(position(4)), Err(ExecutedOutOfOrder { index: 4 }));
    assert_eq!((sequencer.executed(), sequencer.in_flight()), (position(3), 0));
}

#[test]
fn d07_another_commit_at_an_executed_index_is_a_fork() {
    let mut sequencer = executed(5);
    let stream = open(&mut sequencer);
    for index in 1..=5 {
        assert_eq!(sequencer.commit(stream, &Header { digest: OTHER, ..header(index) }, None), fork(index));
    }
    assert_eq!(sequencer.executed(), position(5));
}

#[test]
fn d07_another_commit_at_an_index_in_flight_is_a_fork() {
    let mut sequencer = executed(5);
    let stream = open(&mut sequencer);
    commit(&mut sequencer, stream, 6).unwrap();
    assert_eq!(sequencer.commit(stream, &Header { digest: OTHER, ..header(6) }, None), fork(6));
    assert_eq!(commit(&mut sequencer, stream, 6), Ok(Decision::Pending));
}

#[test]
fn d07_a_commit_after_another_predecessor_is_a_fork_at_the_predecessor() {
    let mut sequencer = executed(5);
    let stream = open(&mut sequencer);
    assert_eq!(sequencer.commit(stream, &Header { previous_digest: OTHER, ..header(6) }, None), fork(5));
    commit(&mut sequencer, stream, 6).unwrap();
    assert_eq!(sequencer.commit(stream, &Header { previous_digest: OTHER, ..header(7) }, None), fork(6));
    let mut fresh = executed(0);
    let stream = open(&mut fresh);
    assert_eq!(fresh.commit(stream, &Header { previous_digest: OTHER, ..header(1) }, None), fork(0));
}

#[test]
fn d08_a_commit_ahead_of_the_next_names_the_one_expected() {
    let mut sequencer = executed(7);
    let stream = open(&mut sequencer);
    assert_eq!(commit(&mut sequencer, stream, 9), Err(Refusal::Gap { expected: 8, index: 9 }));
    assert_eq!(commit(&mut sequencer, stream, u64::MAX), Err(Refusal::Gap { expected: 8, index: u64::MAX }));
    assert_eq!(commit(&mut sequencer, stream, 8), Ok(Decision::Execute));
    assert_eq!(commit(&mut sequencer, stream, 10), Err(Refusal::Gap { expected: 9, index: 10 }));
    assert_eq!(commit(&mut sequencer, stream, 9), Ok(Decision::Execute));
}

#[test]
fn d09_the_same_commit_again_is_a_duplicate_by_digest() {
    let mut sequencer = executed(5);
    let stream = open(&mut sequencer);
    for index in 1..=5 {
        assert_eq!(commit(&mut sequencer, stream, index), Ok(Decision::Duplicate));
    }
    assert_eq!(commit(&mut sequencer, stream, 6), Ok(Decision::Execute));
    assert_eq!(commit(&mut sequencer, stream, 6), Ok(Decision::Pending));
    sequencer.executed_one(position(6)).unwrap();
    assert_eq!(commit(&mut sequencer, stream, 6), Ok(Decision::Duplicate));
}

#[test]
fn d09_a_duplicate_beyond_the_resend_window_is_judged_by_the_store() {
    let params = Params { resend_window: 3, ..Params::default() };
    let mut sequencer = executed_with(10, &params);
    let stream = open(&mut sequencer);
    assert!(!sequencer.needs_stored(8), "8, 9 and 10 are in the window");
    assert!(sequencer.needs_stored(7));
    assert!(!sequencer.needs_stored(11), "not executed yet");
    assert_eq!(sequencer.commit(stream, &header(7), Some(digest(7))), Ok(Decision::Duplicate));
    let theirs = Header { digest: OTHER, ..header(7) };
    assert_eq!(sequencer.commit(stream, &theirs, Some(digest(7))), fork(7));
    // Nobody knows what stood at 7: it is neither confirmed nor denied.
    assert_eq!(sequencer.commit(stream, &header(7), None), Err(Refusal::Gap { expected: 11, index: 7 }));
}

#[test]
fn d09_what_is_executed_moves_through_the_resend_window() {
    let params = Params { resend_window: 2, ..Params::default() };
    let mut sequencer = executed_with(0, &params);
    let stream = open(&mut sequencer);
    for index in 1..=3 {
        commit(&mut sequencer, stream, index).unwrap();
        sequencer.executed_one(position(index)).unwrap();
    }
    assert!(sequencer.needs_stored(1));
    assert!(!sequencer.needs_stored(2));
    assert!(!sequencer.needs_stored(0), "what stands before the first commit is known");
}

#[test]
fn d10_index_zero_is_malformed() {
    let mut sequencer = executed(5);
    let stream = open(&mut sequencer);
    let zero = Header { index: 0, previous_digest: Digest::ZERO, ..header(1) };
    assert_eq!(
        sequencer.commit(stream, &zero, None),
        Err(Refusal::Malformed { field: "commit.index", value: 0 })
    );
}

#[test]
fn d16_a_retry_on_a_new_stream_is_answered_as_a_duplicate() {
    let mut sequencer = executed(5);
    let first = open(&mut sequencer);
    commit(&mut sequencer, first, 6).unwrap();
    sequencer.executed_one(position(6)).unwrap();
    // The acknowledgement of 6 was lost: the sender resumes after 5.
    let second = sequencer.open(&opening(5, 5), None).unwrap().stream;
    assert_eq!(commit(&mut sequencer, second, 6), Ok(Decision::Duplicate));
    assert_eq!(commit(&mut sequencer, second, 7), Ok(Decision::Execute));
}

#[test]
fn d17_the_window_is_bounded_in_commits() {
    let mut sequencer = executed_with(0, &Params { window_commits: 2, ..Params::default() });
    let stream = open(&mut sequencer);
    assert_eq!(commit(&mut sequencer, stream, 1), Ok(Decision::Execute));
    assert_eq!(commit(&mut sequencer, stream, 2), Ok(Decision::Execute));
    assert_eq!(commit(&mut sequencer, stream, 3), Ok(Decision::Wait));
    assert_eq!(sequencer.accepted().index, 2);
    sequencer.executed_one(position(1)).unwrap();
    assert_eq!(commit(&mut sequencer, stream, 3), Ok(Decision::Execute));
}

#[test]
fn d17_the_window_is_bounded_in_bytes_and_takes_one_commit_of_any_size() {
    let mut sequencer = executed_with(0, &Params { window_bytes: 20, ..Params::default() });
    let stream = open(&mut sequencer);
    let sized = |index, size_bytes| Header { size_bytes, ..header(index) };
    assert_eq!(sequencer.commit(stream, &sized(1, 12), None), Ok(Decision::Execute));
    assert_eq!(sequencer.commit(stream, &sized(2, 9), None), Ok(Decision::Wait));
    assert_eq!(sequencer.commit(stream, &sized(2, 8), None), Ok(Decision::Execute));
    assert_eq!(sequencer.in_flight_bytes(), 20);
    sequencer.executed_one(position(1)).unwrap();
    assert_eq!(sequencer.commit(stream, &sized(3, u64::MAX), None), Ok(Decision::Wait));
    sequencer.executed_one(position(2)).unwrap();
    assert_eq!(sequencer.commit(stream, &sized(3, u64::MAX), None), Ok(Decision::Execute));
}

#[test]
fn a_bound_of_zero_is_refused() {
    let params = Params { window_bytes: 0, ..Params::default() };
    let recovered = sequencer_core::Recovered {
        chain_id: world::CHAIN,
        authority: None,
        incarnation: sequencer_core::Incarnation(0),
        epoch: 0,
        executed: Position::GENESIS,
    };
    let refused = Sequencer::recover(&params, recovered).map(|_| ());
    assert_eq!(refused, Err(ParamsError { field: "window_bytes" }));
}

proptest! {
    /// Whatever is sent, what is let through is the honest chain, each index once.
    #[test]
    fn only_the_chain_gets_through_each_index_once(
        sent in prop::collection::vec((0_u64..14, any::<bool>(), any::<bool>()), 0..200),
    ) {
        let mut sequencer = executed_with(0, &Params { window_commits: 3, resend_window: 4, ..Params::default() });
        let stream = open(&mut sequencer);
        let mut let_through = Vec::new();
        for (index, honest, execute) in sent {
            let good = if index == 0 { Header { index: 0, ..header(1) } } else { header(index) };
            let theirs = if honest { good } else { Header { digest: OTHER, ..good } };
            let stored = sequencer.needs_stored(index).then(|| digest(index));
            // A dishonest commit that extends the chain cannot be told from an honest one; leave it out.
            if !honest && index == sequencer.accepted().index + 1 {
                continue;
            }
            if sequencer.commit(stream, &theirs, stored) == Ok(Decision::Execute) {
                let_through.push(index);
            }
            if execute && sequencer.in_flight() > 0 {
                let next = sequencer.executed().index + 1;
                sequencer.executed_one(position(next)).unwrap();
            }
            prop_assert!(sequencer.in_flight() <= 3);
        }
        let count = u64::try_from(let_through.len()).unwrap();
        prop_assert_eq!(let_through, (1..=count).collect::<Vec<_>>());
    }
}
