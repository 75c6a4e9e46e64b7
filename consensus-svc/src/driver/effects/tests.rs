//! The order of release, with a log and a guard that do what the test says.

use super::*;
use consensus_core::{AuthorityIndex, Fetch, FetchId, SubmitOutcome, Ticket};
use futures::{FutureExt, future::Map};
use std::sync::mpsc;
use tokio::sync::oneshot;

pub(in crate::driver) type Answer<E> = oneshot::Sender<Result<(), E>>;
pub(in crate::driver) type Answered<E> = Result<Result<(), E>, oneshot::error::RecvError>;
pub(in crate::driver) type Waiting<E> =
    Map<oneshot::Receiver<Result<(), E>>, fn(Answered<E>) -> Result<(), E>>;

/// Records what is begun, in order; the test answers.
pub(in crate::driver) struct Script(pub(in crate::driver) mpsc::SyncSender<Begun>);

/// What was begun, with the way to end it.
pub(in crate::driver) enum Begun {
    Persist(Answer<WriteError>),
    Raise(Round, Answer<GuardError>),
}

fn waiting<E>() -> (Answer<E>, Waiting<E>) {
    let (answer, waits) = oneshot::channel();
    let flatten: fn(Answered<E>) -> Result<(), E> = |answered| answered.expect("the test answers");
    (answer, waits.map(flatten))
}

impl Durability for Script {
    type Persisting = Waiting<WriteError>;
    type Raising = Waiting<GuardError>;

    async fn persist(&mut self, _batch: WriteBatch) -> Result<Self::Persisting, WriteError> {
        let (answer, waits) = waiting();
        self.0.send(Begun::Persist(answer)).expect("the test listens");
        Ok(waits)
    }

    fn raise(&mut self, _epoch: Epoch, round: Round) -> Self::Raising {
        let (answer, waits) = waiting();
        self.0.send(Begun::Raise(round, answer)).expect("the test listens");
        waits
    }
}

fn queue() -> (EffectQueue<Script>, mpsc::Receiver<Begun>) {
    let (sender, begun) = mpsc::sync_channel(100);
    (EffectQueue::new(Script(sender)), begun)
}

async fn push(queue: &mut EffectQueue<Script>, effects: impl IntoIterator<Item = Effect>) {
    for effect in effects {
        queue.push(effect).await.unwrap();
    }
}

fn persist() -> Effect {
    Effect::Persist(WriteBatch::default())
}

fn guard(round: u64) -> Effect {
    Effect::Guard { epoch: Epoch::GENESIS, round: Round::new(round) }
}

fn wake(round: u64) -> Effect {
    Effect::SendWake { round: Round::new(round) }
}

/// What may be run now, in order.
fn released(queue: &mut EffectQueue<Script>) -> Vec<Effect> {
    std::iter::from_fn(|| queue.released().now_or_never().map(Result::unwrap)).collect()
}

fn batch(begun: &mpsc::Receiver<Begun>) -> Answer<WriteError> {
    match begun.try_recv() {
        Ok(Begun::Persist(answer)) => answer,
        _ => panic!("a batch must have been handed over"),
    }
}

fn raised(begun: &mpsc::Receiver<Begun>, expected: u64) -> Answer<GuardError> {
    match begun.try_recv() {
        Ok(Begun::Raise(round, answer)) if round == Round::new(expected) => answer,
        _ => panic!("the guard must have been begun for round {expected}"),
    }
}

#[tokio::test]
async fn effects_with_nothing_ahead_of_them_are_released_in_order() {
    let (mut queue, _begun) = queue();
    let fetch =
        Effect::Fetch(Fetch { id: FetchId(0), peer: AuthorityIndex::new(1), blocks: vec![], held: vec![] });
    let answer = Effect::Answer { ticket: Ticket(1), outcome: SubmitOutcome::Accepted };
    push(&mut queue, [fetch.clone(), answer.clone(), wake(1)]).await;
    assert_eq!(released(&mut queue), [fetch, answer, wake(1)]);
    assert!(queue.is_empty());
}

#[tokio::test]
async fn s02_nothing_passes_a_batch_or_a_guard_that_is_not_durable() {
    let (mut queue, begun) = queue();
    push(&mut queue, [wake(1), persist(), wake(2), guard(7), wake(3)]).await;
    assert_eq!(released(&mut queue), [wake(1)]);
    let first = batch(&begun);
    assert!(begun.try_recv().is_err(), "the guard is not begun before the batch ahead of it is durable");
    first.send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), [wake(2)]);
    let guard = raised(&begun, 7);
    assert_eq!(released(&mut queue), []);
    guard.send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), [wake(3)]);
}

#[tokio::test]
async fn two_batches_are_in_flight_and_the_later_one_does_not_overtake() {
    let (mut queue, begun) = queue();
    push(&mut queue, [persist(), wake(1), persist(), wake(2)]).await;
    let (first, second) = (batch(&begun), batch(&begun));
    second.send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), []);
    first.send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), [wake(1), wake(2)]);
}

#[tokio::test]
async fn a_batch_behind_a_guard_is_handed_over_at_once_all_the_same() {
    let (mut queue, begun) = queue();
    push(&mut queue, [guard(7), wake(1), persist(), wake(2)]).await;
    batch(&begun).send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), []);
    raised(&begun, 7).send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), [wake(1), wake(2)]);
}

#[tokio::test]
async fn s05_after_a_failed_batch_nothing_is_released() {
    let (mut queue, begun) = queue();
    push(&mut queue, [persist(), guard(7), wake(1)]).await;
    batch(&begun).send(Err(WriteError::Closed)).unwrap();
    assert!(matches!(queue.released().await, Err(DriverError::Persist(WriteError::Closed))));
    assert!(queue.released().now_or_never().is_none());
    assert!(begun.try_recv().is_err());
}

#[tokio::test]
async fn after_a_failed_guard_nothing_is_released() {
    let (mut queue, begun) = queue();
    push(&mut queue, [guard(7), wake(1)]).await;
    assert_eq!(released(&mut queue), []);
    raised(&begun, 7).send(Err(GuardError::FailedBefore { path: "guard".into() })).unwrap();
    assert!(matches!(queue.released().await, Err(DriverError::Guard(_))));
    assert!(queue.released().now_or_never().is_none());
}

#[tokio::test]
async fn t06_both_bounds_close_the_intake_and_release_opens_it() {
    let (mut queue, begun) = queue();
    for _ in 0..MAX_BATCHES_IN_FLIGHT {
        assert!(queue.has_room());
        push(&mut queue, [persist()]).await;
    }
    assert!(!queue.has_room());
    batch(&begun).send(Ok(())).unwrap();
    assert_eq!(released(&mut queue), []);
    assert!(queue.has_room());
    for round in 0..MAX_WAITING_EFFECTS as u64 {
        push(&mut queue, [wake(round)]).await;
    }
    assert!(!queue.has_room());
}
