//! The thread that owns the ledger.

use std::thread;

use metanode_shell::durable::{Completion, Group, WriteBatch, Writer};
use metanode_telemetry::metrics::ExecutorMetrics;
use reference_ledger::{Commit as LedgerCommit, Digest, Ledger, Transaction};
use sequencer_core::Incarnation;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    Job,
    load::State,
    records::{self, StateRecord, StoredCommit},
};
use crate::backend::{BackendError, Commit, Executed};

pub(super) struct Worker {
    ledger: Ledger,
    /// The incarnation recorded last; with the ledger's position, what is compared before anything is set. This thread
    /// is the only one that writes, and the folder is locked, so what it compares is what is stored.
    incarnation: Incarnation,
    writer: Writer,
    runtime: Handle,
}

impl Worker {
    /// Starts the thread. It ends when the queue closes, and tells how the last write went.
    pub(super) fn spawn(
        state: State,
        queue: mpsc::Receiver<Job>,
        queue_bound: usize,
        metrics: ExecutorMetrics,
    ) -> Result<oneshot::Receiver<Result<(), BackendError>>, BackendError> {
        let State { store, ledger, incarnation, loaded: _ } = state;
        let observe = move |group: Group| metrics.sync_duration.record(group.sync_duration);
        let writer = Writer::spawn_observed(store, queue_bound, observe).map_err(BackendError::Thread)?;
        let worker = Self { ledger, incarnation, writer, runtime: Handle::current() };
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                // Whoever closes the executor waits for this; nobody does after a failure.
                let _ = end.send(worker.run(queue));
            })
            .map_err(BackendError::Thread)?;
        Ok(ended)
    }

    fn run(mut self, mut queue: mpsc::Receiver<Job>) -> Result<(), BackendError> {
        while let Some(job) = queue.blocking_recv() {
            // An answer that nobody waits for any more is lost; the batch is not.
            match job {
                Job::Execute { incarnation, commit, answer } => {
                    let _ = answer.send(self.execute(incarnation, &commit));
                }
                Job::Lease { lease, answer } => {
                    let mut batch = WriteBatch::default();
                    records::put_lease(&mut batch, &lease);
                    self.incarnation = lease.incarnation;
                    let _ = answer.send(self.write(batch));
                }
                Job::Epoch { epoch, answer } => {
                    let mut batch = WriteBatch::default();
                    records::put_epoch(&mut batch, &epoch);
                    let _ = answer.send(self.write(batch));
                }
            }
        }
        Ok(self.runtime.block_on(self.writer.close())?)
    }

    /// Executes a commit and hands all that it changed to the storage thread, as one batch.
    fn execute(
        &mut self,
        incarnation: Incarnation,
        commit: &Commit,
    ) -> Result<(Executed, Completion), BackendError> {
        let last = self.ledger.position();
        let not_next =
            || BackendError::NotNext { index: commit.index, last: last.index, incarnation: self.incarnation };
        if incarnation != self.incarnation {
            return Err(not_next());
        }
        let transactions = commit
            .transactions()
            .map(|transaction| Transaction { bytes: transaction.bytes, duplicate: transaction.duplicate });
        let input = LedgerCommit {
            index: commit.index,
            epoch: commit.epoch,
            previous_digest: Digest(commit.previous_digest.0),
            digest: Digest(commit.digest.0),
            timestamp_ms: commit.timestamp_ms,
            transactions: transactions.collect(),
        };
        // Compares index and previous digest with the last commit, and changes nothing if they differ.
        let execution = self.ledger.execute(&input).map_err(|_| not_next())?;
        let mut batch = WriteBatch::default();
        for (key, account) in &execution.changes {
            records::put_account(&mut batch, key, account);
        }
        let position = self.ledger.position();
        StateRecord { position, state_root: execution.state_root }.put(&mut batch);
        let stored = StoredCommit::new(position, execution);
        stored.put(&mut batch);
        Ok((stored.executed(), self.write(batch)?))
    }

    fn write(&self, batch: WriteBatch) -> Result<Completion, BackendError> {
        Ok(self.runtime.block_on(self.writer.submit(batch))?)
    }
}
