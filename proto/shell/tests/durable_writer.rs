//! Order, groups, failure and end of the storage thread, over a sink that waits and fails on demand.

use futures::{FutureExt, future::join_all};
use metanode_shell::durable::{
    BatchSink, Group, Store, StoreError, StoreOptions, WriteBatch, WriteError, Writer,
};
use std::{
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

/// What a sink was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    Applied(u8),
    Synced,
}

/// A sink whose syncs wait for a permit, and which fails at one step.
struct Sink {
    done: Mutex<Vec<Done>>,
    began: SyncSender<()>,
    permits: Mutex<Receiver<()>>,
    fail_apply_of: Option<u8>,
    fail_sync: Option<usize>,
    panic_at: Option<u8>,
}

struct Hand {
    began: Receiver<()>,
    permits: SyncSender<()>,
}

impl Sink {
    fn new() -> (Self, Hand) {
        let (began, has_begun) = sync_channel(100);
        let (permits, taken) = sync_channel(100);
        let sink = Self {
            done: Mutex::default(),
            began,
            permits: Mutex::new(taken),
            fail_apply_of: None,
            fail_sync: None,
            panic_at: None,
        };
        (sink, Hand { began: has_begun, permits })
    }

    fn done(&self) -> Vec<Done> {
        self.done.lock().expect("no test panics with it").clone()
    }

    fn record(&self, step: Done) -> usize {
        let mut done = self.done.lock().expect("no test panics with it");
        done.push(step.clone());
        done.iter().filter(|other| **other == step).count()
    }
}

impl Hand {
    /// Waits until a sync has begun.
    fn wait_for_sync(&self) {
        self.began.recv().expect("the writer is alive");
    }

    fn permit(&self, count: usize) {
        (0..count).for_each(|_| self.permits.send(()).expect("the sink is alive"));
    }
}

impl BatchSink for Sink {
    fn apply(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let number = batch.operations().next().and_then(|(key, _)| key.first().copied()).unwrap_or_default();
        assert_ne!(self.panic_at, Some(number), "told to");
        if self.fail_apply_of == Some(number) {
            return Err(StoreError::Sync { source: io::Error::from(io::ErrorKind::StorageFull) });
        }
        self.record(Done::Applied(number));
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let _ = self.began.send(());
        let _ = self.permits.lock().expect("no test panics with it").recv();
        let count = self.record(Done::Synced);
        match self.fail_sync {
            Some(failing) if failing == count => {
                Err(StoreError::Sync { source: io::Error::from(io::ErrorKind::StorageFull) })
            }
            _ => Ok(()),
        }
    }
}

fn batch(number: u8) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.put([number], [number]);
    batch
}

fn failed(outcome: Result<(), WriteError>) -> Arc<StoreError> {
    match outcome {
        Err(WriteError::Failed { source }) => source,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_gathers_during_a_sync_is_one_group_in_order() {
    let (sink, hand) = Sink::new();
    let sink = Arc::new(sink);
    let (groups, observed) = sync_channel(10);
    let observe = move |group: Group| groups.send(group.batches).expect("the test listens");
    let writer = Writer::spawn_observed(Arc::clone(&sink), 8, observe).unwrap();
    let mut first = writer.submit(batch(1)).await.unwrap();
    hand.wait_for_sync();
    let mut completions = Vec::new();
    for number in 2..=6 {
        completions.push(writer.submit(batch(number)).await.unwrap());
    }
    assert!((&mut first).now_or_never().is_none(), "answered before it was durable");
    hand.permit(1);
    first.await.unwrap();
    hand.wait_for_sync();
    assert!(completions.iter_mut().all(|completion| completion.now_or_never().is_none()));
    hand.permit(1);
    assert!(join_all(completions).await.iter().all(Result::is_ok));
    writer.close().await.unwrap();
    let group = (2..=6).map(Done::Applied);
    let expected: Vec<_> =
        [Done::Applied(1), Done::Synced].into_iter().chain(group).chain([Done::Synced]).collect();
    assert_eq!(sink.done(), expected);
    assert_eq!(observed.iter().collect::<Vec<_>>(), [1, 5]);
}

#[tokio::test]
async fn s05_the_first_failed_sync_is_the_last_write() {
    let (mut sink, hand) = Sink::new();
    sink.fail_sync = Some(2);
    let sink = Arc::new(sink);
    let writer = Writer::spawn(Arc::clone(&sink), 8).unwrap();
    hand.permit(3);
    writer.submit(batch(1)).await.unwrap().await.unwrap();
    let first = failed(writer.submit(batch(2)).await.unwrap().await);
    assert!(matches!(&*first, StoreError::Sync { source } if source.kind() == io::ErrorKind::StorageFull));

    assert!(matches!(writer.failed().await, WriteError::Failed { source } if Arc::ptr_eq(&source, &first)));
    let later = failed(writer.submit(batch(3)).await.map(drop));
    assert!(Arc::ptr_eq(&later, &first));
    assert!(writer.submit_relaxed(batch(4)).await.is_err());
    assert!(Arc::ptr_eq(&failed(writer.close().await), &first));
    assert_eq!(sink.done(), [Done::Applied(1), Done::Synced, Done::Applied(2), Done::Synced]);
}

#[tokio::test]
async fn s05_a_failed_batch_fails_its_group_and_all_that_waits() {
    let (mut sink, hand) = Sink::new();
    sink.fail_apply_of = Some(3);
    let sink = Arc::new(sink);
    let writer = Writer::spawn(Arc::clone(&sink), 3).unwrap();
    let first = writer.submit(batch(1)).await.unwrap();
    hand.wait_for_sync();
    let mut completions = Vec::new();
    for number in 2..=4 {
        completions.push(writer.submit(batch(number)).await.unwrap());
    }
    // The queue is full: this one waits for its place until the writer has ended.
    let mut waiting = Box::pin(writer.submit(batch(5)));
    assert!(waiting.as_mut().now_or_never().is_none());
    hand.permit(5);
    first.await.unwrap();
    for completion in completions {
        failed(completion.await);
    }
    let outcome = match waiting.await {
        Ok(completion) => completion.await,
        Err(error) => Err(error),
    };
    failed(outcome);
    assert_eq!(sink.done(), [Done::Applied(1), Done::Synced, Done::Applied(2)]);
}

#[tokio::test]
async fn a_panic_of_the_sink_is_a_failure() {
    let (mut sink, _hand) = Sink::new();
    sink.panic_at = Some(1);
    let writer = Writer::spawn(Arc::new(sink), 1).unwrap();
    let error = failed(writer.submit(batch(1)).await.unwrap().await);
    assert!(matches!(&*error, StoreError::Panicked { reason } if reason.contains("told to")), "{error}");
    failed(writer.close().await);
}

#[tokio::test]
async fn t06_a_full_queue_is_waited_for() {
    let (sink, hand) = Sink::new();
    let writer = Writer::spawn(Arc::new(sink), 1).unwrap();
    let first = writer.submit(batch(1)).await.unwrap();
    hand.wait_for_sync();
    let second = writer.submit(batch(2)).await.unwrap();
    let mut waiting = Box::pin(writer.submit(batch(3)));
    assert!(waiting.as_mut().now_or_never().is_none());
    hand.permit(3);
    first.await.unwrap();
    let third = waiting.await.unwrap();
    second.await.unwrap();
    third.await.unwrap();
}

#[tokio::test]
async fn relaxed_batches_ride_with_the_next_group_or_the_end() {
    let (sink, hand) = Sink::new();
    let sink = Arc::new(sink);
    let writer = Writer::spawn(Arc::clone(&sink), 8).unwrap();
    hand.permit(2);
    writer.submit_relaxed(batch(1)).await.unwrap();
    writer.submit(batch(2)).await.unwrap().await.unwrap();
    assert_eq!(sink.done(), [Done::Applied(1), Done::Applied(2), Done::Synced]);
    writer.submit_relaxed(batch(3)).await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(sink.done()[3..], [Done::Applied(3), Done::Synced]);
}

#[tokio::test]
async fn closing_drains_what_waits_and_dropped_completions_change_nothing() {
    let (sink, hand) = Sink::new();
    let sink = Arc::new(sink);
    let writer = Writer::spawn(Arc::clone(&sink), 8).unwrap();
    drop(writer.submit(batch(1)).await.unwrap());
    let last = writer.submit(batch(2)).await.unwrap();
    hand.permit(2);
    writer.close().await.unwrap();
    last.await.unwrap();
    let applied: Vec<_> = sink.done().into_iter().filter(|done| *done != Done::Synced).collect();
    assert_eq!(applied, [Done::Applied(1), Done::Applied(2)]);
}

#[tokio::test]
async fn closing_and_dropping_release_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let options = StoreOptions { cache_bytes: 8 << 20, lock_deadline: Duration::from_secs(10) };
    for end in 1_u8..=4 {
        let writer = Writer::spawn(Arc::new(Store::open(&path, &options).unwrap()), 8).unwrap();
        writer.submit(batch(end)).await.unwrap().await.unwrap();
        match end % 2 {
            0 => drop(writer),
            _ => writer.close().await.unwrap(),
        }
    }
    let store = Store::open(&path, &options).unwrap();
    assert_eq!(store.scan_prefix(b"", b"").count(), 4);
}

#[tokio::test]
async fn one_sync_serves_many_submitters_of_a_real_store() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { cache_bytes: 8 << 20, ..StoreOptions::default() };
    let store = Arc::new(Store::open(&folder.path().join("db"), &options).unwrap());
    let before = store.syncs();
    let writer = Writer::spawn(Arc::clone(&store), 64).unwrap();
    let mut completions = Vec::new();
    for number in 0..=199 {
        completions.push(writer.submit(batch(number)).await.unwrap());
    }
    assert!(join_all(completions).await.iter().all(Result::is_ok));
    let syncs = store.syncs() - before;
    assert!((4..200).contains(&syncs), "{syncs} syncs for 200 batches in groups of at most 64");
    assert_eq!(store.scan_prefix(b"", b"").count(), 200);
    writer.close().await.unwrap();
}
