//! The load on one authority.

use crate::{
    Fate, LaneSnapshot, Latency, LoadReport, Settled, Snapshot,
    accounts::Sender,
    chain::NonceReader,
    schedule::Schedule,
    settle::{Ending, Pending, SettledBatch, settle},
};
use metanode_client::SubmitClient;
use reference_ledger::ChainId;
use std::{collections::VecDeque, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Transactions that fall due within it are sent together.
const TICK: Duration = Duration::from_millis(10);
/// How often the snapshot is renewed.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// Limits of the service on a batch.
const MAX_BATCH_TRANSACTIONS: usize = 1000;
const MAX_BATCH_BYTES: usize = 2 << 20;

/// What a lane works with.
pub(crate) struct LaneSetup {
    /// Index of its authority.
    pub(crate) index: usize,
    pub(crate) client: SubmitClient,
    pub(crate) nonces: NonceReader,
    pub(crate) chain_id: ChainId,
    pub(crate) memo_bytes: usize,
    pub(crate) tx_size_bytes: usize,
    pub(crate) senders: Vec<Sender>,
    pub(crate) schedule: Schedule,
    pub(crate) start: Instant,
    pub(crate) duration: Option<Duration>,
    /// No more is sent.
    pub(crate) stop: CancellationToken,
    /// Nothing is waited for any more.
    pub(crate) abandon: CancellationToken,
    pub(crate) snapshots: watch::Sender<Snapshot>,
    pub(crate) settled: Option<mpsc::Sender<Vec<Settled>>>,
}

/// Sends, settles and counts. At most one batch an idle account is in flight, so all of it is bounded by the accounts.
pub(crate) struct Lane {
    setup: LaneSetup,
    idle: VecDeque<Sender>,
    memo: Vec<u8>,
    report: LoadReport,
    recent: Latency,
    recent_since: Instant,
    in_flight: JoinSet<SettledBatch>,
}

impl Lane {
    pub(crate) fn new(mut setup: LaneSetup) -> Self {
        let idle = std::mem::take(&mut setup.senders).into();
        let memo = vec![b'.'; setup.memo_bytes];
        let (report, recent, recent_since) = (LoadReport::default(), Latency::default(), setup.start);
        Self { setup, idle, memo, report, recent, recent_since, in_flight: JoinSet::new() }
    }

    /// Runs the lane to its end: the duration or the stop, then until all is settled or abandoned.
    pub(crate) async fn run(mut self) -> LoadReport {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut renew = interval(SNAPSHOT_INTERVAL);
        let stop = self.setup.stop.clone();
        while !stop.is_cancelled() && !self.is_over() {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(batch) = self.in_flight.join_next() => self.settle(batch).await,
                _ = renew.tick() => self.publish(),
                _ = tick.tick() => self.send_due(),
            }
        }
        if !stop.is_cancelled() {
            // What fell due after the last tick.
            self.send_due();
        }
        self.report.unsent = self.backlog();
        while !self.in_flight.is_empty() {
            tokio::select! {
                Some(batch) = self.in_flight.join_next() => self.settle(batch).await,
                _ = renew.tick() => self.publish(),
            }
        }
        self.publish();
        self.report
    }

    fn is_over(&self) -> bool {
        self.setup.duration.is_some_and(|duration| self.setup.start.elapsed() >= duration)
    }

    fn due(&self) -> u64 {
        let elapsed = self.setup.start.elapsed();
        self.setup.schedule.due(self.setup.duration.map_or(elapsed, |duration| duration.min(elapsed)))
    }

    fn backlog(&self) -> u64 {
        self.due().saturating_sub(self.report.submitted)
    }

    fn send_due(&mut self) {
        let in_bytes = MAX_BATCH_BYTES.checked_div(self.setup.tx_size_bytes).unwrap_or(1).max(1);
        loop {
            let due = usize::try_from(self.backlog()).unwrap_or(usize::MAX);
            let count = due.min(self.idle.len()).min(in_bytes).min(MAX_BATCH_TRANSACTIONS);
            if count == 0 {
                return;
            }
            let batch = self.sign(count);
            let LaneSetup { client, nonces, abandon, .. } = &self.setup;
            self.in_flight.spawn(settle(client.clone(), nonces.clone(), batch, abandon.clone()));
        }
    }

    fn sign(&mut self, count: usize) -> Vec<Pending> {
        let mut batch = Vec::with_capacity(count);
        for sender in self.idle.drain(..count) {
            let signed = sender
                .sign(self.setup.chain_id, &self.memo)
                .expect("the size was checked when the load was set up");
            let intended = self.setup.start + self.setup.schedule.intended(self.report.submitted);
            self.report.submitted += 1;
            batch.push(Pending { sender, signed, intended });
        }
        batch
    }

    async fn settle(&mut self, batch: Result<SettledBatch, tokio::task::JoinError>) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.report.resubmitted += batch.resubmitted;
        self.report.dropped += batch.dropped;
        self.report.duplicates += batch.duplicates;
        self.report.untold += batch.untold;
        let mut settled = Vec::with_capacity(batch.endings.len());
        for (pending, ending) in batch.endings {
            let Pending { mut sender, signed, intended } = pending;
            let fate = match ending {
                Ending::Executed(at) => {
                    let latency = at.saturating_duration_since(intended);
                    self.report.latency.record(latency);
                    self.recent.record(latency);
                    self.report.executed += 1;
                    sender.advance();
                    self.idle.push_back(sender);
                    Fate::Executed
                }
                Ending::Rejected { reason, nonce_used } => {
                    self.report.rejected += 1;
                    self.report.first_rejection.get_or_insert(reason);
                    if nonce_used {
                        sender.advance();
                    } else {
                        sender.vary();
                    }
                    self.idle.push_back(sender);
                    Fate::Rejected
                }
                // The account rests: nobody knows its nonce.
                Ending::Unresolved { reason } => {
                    self.report.lost += 1;
                    self.report.first_rejection = self.report.first_rejection.take().or(reason);
                    Fate::Unresolved
                }
            };
            settled.push(Settled { digest: signed.digest, fate });
        }
        self.report.elapsed = self.setup.start.elapsed();
        if let Some(sink) = &self.setup.settled {
            // Whoever listened has gone: the load goes on without.
            let _ = sink.send(settled).await;
        }
    }

    fn publish(&mut self) {
        let LoadReport { submitted, executed, rejected, lost, resubmitted, .. } = self.report;
        let snapshot = LaneSnapshot {
            submitted,
            executed,
            rejected,
            resubmitted,
            in_flight: submitted.saturating_sub(executed + rejected + lost),
            backlog: self.backlog(),
            executed_per_s: self.executed_per_s(),
            p50: self.recent.p50(),
            p99: self.recent.p99(),
        };
        self.recent.clear();
        self.recent_since = Instant::now();
        self.setup.snapshots.send_modify(|all| {
            if let Some(lane) = all.lanes.get_mut(self.setup.index) {
                *lane = snapshot;
            }
        });
    }

    fn executed_per_s(&self) -> u64 {
        let millis = self.recent_since.elapsed().as_millis().max(1);
        u64::try_from(u128::from(self.recent.count()) * 1000 / millis).unwrap_or(u64::MAX)
    }
}
