//! Who may send: leases, incarnations, streams, positions, epochs.

#![allow(clippy::unwrap_used)]

#[path = "support/world.rs"]
mod world;

use sequencer_core::{
    Authority, Boundary, ChainId, Decision, Digest, EpochStep, Header, Incarnation, LeaseRecord,
    MAX_INCARNATION_LEAD, Opened, Opening, Params, Position, Recovered, Refusal, Sequencer, StreamId,
};
use world::{AUTHORITY, CHAIN, commit, digest, executed, executed_with, header, opening, position};

const OTHER: Digest = Digest([9; 32]);

fn fresh() -> Sequencer {
    let recovered = Recovered {
        chain_id: CHAIN,
        authority: None,
        incarnation: Incarnation(0),
        epoch: 0,
        executed: Position::GENESIS,
    };
    Sequencer::recover(&Params::default(), recovered).unwrap()
}

#[test]
fn the_first_opening_records_the_authority_and_incarnation_one() {
    let mut sequencer = fresh();
    let incarnation = Incarnation(1);
    let persist = Some(LeaseRecord { authority: AUTHORITY, incarnation });
    let opened = Opened { stream: StreamId(1), ended: None, incarnation, persist };
    assert_eq!(sequencer.open(&opening(0, 0), None), Ok(opened));
    let theirs = Authority([7; 32]);
    let other = Opening { authority: theirs, ..opening(0, 0) };
    assert_eq!(sequencer.open(&other, None), Err(Refusal::WrongAuthority { ours: AUTHORITY, theirs }));
    assert_eq!(sequencer.stream(), Some(StreamId(1)));
}

#[test]
fn another_chain_is_refused_before_anything_else() {
    let mut sequencer = executed(5);
    let theirs = ChainId([8; 32]);
    let other = Opening { chain_id: theirs, authority: Authority([7; 32]), ..opening(1, 9) };
    assert_eq!(sequencer.open(&other, None), Err(Refusal::WrongChain { ours: CHAIN, theirs }));
}

#[test]
fn d11_a_new_opening_of_the_same_incarnation_ends_the_earlier_stream() {
    let mut sequencer = executed(5);
    let first = sequencer.open(&opening(0, 5), None).unwrap();
    assert_eq!(first.incarnation, Incarnation(5));
    commit(&mut sequencer, first.stream, 6).unwrap();
    let second = sequencer.open(&opening(5, 5), None).unwrap();
    assert_eq!((second.ended, second.persist), (Some(first.stream), None));
    // A late frame of the old stream does not get between.
    let fenced = Err(Refusal::Fenced { incarnation: Incarnation(5) });
    assert_eq!(commit(&mut sequencer, first.stream, 7), fenced);
    assert_eq!(commit(&mut sequencer, second.stream, 7), Ok(Decision::Execute));
}

#[test]
fn d11_the_end_of_an_old_stream_does_not_end_the_new_one() {
    let mut sequencer = executed(5);
    let first = sequencer.open(&opening(0, 5), None).unwrap().stream;
    let second = sequencer.open(&opening(5, 5), None).unwrap().stream;
    sequencer.close(first);
    assert_eq!(sequencer.stream(), Some(second));
    sequencer.close(second);
    assert_eq!(sequencer.stream(), None);
    assert!(commit(&mut sequencer, second, 6).is_err());
}

#[test]
fn d11_a_stream_may_open_after_a_commit_in_flight() {
    let mut sequencer = executed(5);
    let first = sequencer.open(&opening(0, 5), None).unwrap().stream;
    commit(&mut sequencer, first, 6).unwrap();
    assert!(sequencer.open(&opening(5, 6), None).is_ok());
    let ahead = sequencer.open(&opening(5, 7), None);
    assert_eq!(ahead, Err(Refusal::Gap { expected: 7, index: 8 }));
}

#[test]
fn d12_a_newer_incarnation_fences_the_older_one_for_good() {
    let mut sequencer = executed(5);
    let old = sequencer.open(&opening(0, 5), None).unwrap();
    let new = sequencer.open(&opening(0, 5), None).unwrap();
    assert_eq!((old.incarnation, new.incarnation), (Incarnation(5), Incarnation(6)));
    assert_eq!(new.persist, Some(LeaseRecord { authority: AUTHORITY, incarnation: Incarnation(6) }));
    assert_eq!(new.ended, Some(old.stream));
    let fenced = Refusal::Fenced { incarnation: Incarnation(6) };
    assert_eq!(commit(&mut sequencer, old.stream, 6), Err(fenced.clone()));
    assert_eq!(sequencer.open(&opening(5, 5), None), Err(fenced));
    assert_eq!(sequencer.stream(), Some(new.stream), "a refused opening ends nothing");
    assert_eq!(commit(&mut sequencer, new.stream, 6), Ok(Decision::Execute));
}

#[test]
fn d12_a_higher_incarnation_than_the_stored_one_is_recorded() {
    let mut sequencer = executed(5);
    let opened = sequencer.open(&opening(9, 5), None).unwrap();
    assert_eq!(opened.persist, Some(LeaseRecord { authority: AUTHORITY, incarnation: Incarnation(9) }));
    let fenced = Refusal::Fenced { incarnation: Incarnation(9) };
    assert_eq!(sequencer.open(&opening(8, 5), None), Err(fenced));
}

/// An executor that was restored from an older state is told an incarnation above its own; a number far above was never
/// issued by any of its lives, and would leave none for those that come.
#[test]
fn d12_an_incarnation_that_was_never_issued_is_refused() {
    let mut sequencer = executed(5);
    let highest = sequencer.incarnation().0 + MAX_INCARNATION_LEAD;
    let value = highest + 1;
    let malformed = Refusal::Malformed { field: "lease.incarnation", value };
    assert_eq!(sequencer.open(&opening(value, 5), None), Err(malformed));
    assert!(sequencer.open(&opening(highest, 5), None).is_ok());
    let next = sequencer.open(&opening(0, 5), None).unwrap();
    assert_eq!(next.incarnation, Incarnation(highest + 1));
    assert!(sequencer.open(&opening(highest + 1, 5), None).is_ok(), "what was issued is taken again");
}

#[test]
fn x06_an_opening_after_another_commit_is_a_fork() {
    let mut sequencer = executed(5);
    for index in [0, 3, 5] {
        let after = Position { index, digest: OTHER };
        let fork = Refusal::Fork { index, ours: digest(index), theirs: OTHER };
        assert_eq!(sequencer.open(&Opening { after, ..opening(0, 5) }, None), Err(fork));
    }
    assert_eq!(sequencer.incarnation(), Incarnation(4), "a refused opening issues nothing");
}

#[test]
fn an_opening_far_behind_is_judged_by_the_store() {
    let mut sequencer = executed_with(10, &Params { resend_window: 2, ..Params::default() });
    assert!(sequencer.needs_stored(8));
    assert_eq!(sequencer.open(&opening(0, 8), None), Err(Refusal::Gap { expected: 11, index: 9 }));
    let other = Some(OTHER);
    let fork = Refusal::Fork { index: 8, ours: OTHER, theirs: digest(8) };
    assert_eq!(sequencer.open(&opening(0, 8), other), Err(fork));
    assert!(sequencer.open(&opening(0, 8), Some(digest(8))).is_ok());
}

#[test]
fn an_epoch_advances_once_at_its_executed_boundary() {
    let mut sequencer = executed(5);
    let boundary = |new_epoch, index| Boundary { new_epoch, last: position(index) };
    let step =
        |sequencer: &Sequencer, new_epoch, index| sequencer.advance_epoch(&boundary(new_epoch, index), None);
    assert_eq!(step(&sequencer, 0, 3), Ok(EpochStep::InForce));
    assert_eq!(step(&sequencer, 2, 5), Err(Refusal::WrongEpoch { ours: 0, theirs: 2 }));
    assert_eq!(step(&sequencer, 1, 6), Err(Refusal::Gap { expected: 6, index: 6 }));
    assert_eq!(step(&sequencer, 1, 4), Err(Refusal::BeyondBoundary { boundary: 4, accepted: 5 }));
    let forked = Boundary { new_epoch: 1, last: Position { index: 5, digest: OTHER } };
    let fork = Refusal::Fork { index: 5, ours: digest(5), theirs: OTHER };
    assert_eq!(sequencer.advance_epoch(&forked, None), Err(fork));
    assert_eq!(step(&sequencer, 1, 5), Ok(EpochStep::Advance));
    sequencer.epoch_advanced(1);
    assert_eq!(step(&sequencer, 1, 5), Ok(EpochStep::InForce));
    assert_eq!(step(&sequencer, 0, 5), Err(Refusal::WrongEpoch { ours: 1, theirs: 0 }));
}

#[test]
fn a_commit_of_another_epoch_is_refused_and_a_duplicate_of_an_older_one_is_not() {
    let mut sequencer = executed(5);
    let stream = sequencer.open(&opening(0, 5), None).unwrap().stream;
    let next = Header { epoch: 1, ..header(6) };
    assert_eq!(sequencer.commit(stream, &next, None), Err(Refusal::WrongEpoch { ours: 0, theirs: 1 }));
    sequencer.epoch_advanced(1);
    assert_eq!(commit(&mut sequencer, stream, 6), Err(Refusal::WrongEpoch { ours: 1, theirs: 0 }));
    assert_eq!(commit(&mut sequencer, stream, 5), Ok(Decision::Duplicate));
    assert_eq!(sequencer.commit(stream, &next, None), Ok(Decision::Execute));
}

#[test]
fn d12_an_incarnation_that_the_executor_issued_is_taken_as_it_is() {
    let mut sequencer = executed(5);
    let asked = opening(0, 5);
    assert_eq!(sequencer.check_opening(&asked, None), Ok(()));
    let first = sequencer.open_issued(&asked, Incarnation(9));
    assert_eq!((first.incarnation, first.ended, first.persist), (Incarnation(9), None, None));
    let second = sequencer.open_issued(&asked, Incarnation(10));
    assert_eq!((second.incarnation, second.ended), (Incarnation(10), Some(first.stream)));
    assert_eq!(sequencer.incarnation(), Incarnation(10));
    let ahead = sequencer.check_opening(&opening(0, 6), None);
    assert_eq!(ahead, Err(Refusal::Gap { expected: 6, index: 7 }), "all but the lease is judged before");
}
