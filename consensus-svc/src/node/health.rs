//! Health, and the numbers that follow from several parts at once.
//!
//! | service name | SERVING while |
//! |---|---|
//! | `""`, `metanode.consensus.v1.TransactionService` | the node runs, has not stopped for a reason that a person must mend, commits when there is something to do, and has its part in what is committed |
//! | `metanode.consensus.v1.CommitService`, `...NodeService` | the node runs: what it has can be read also after a stop |
//! | `metanode.executor.v1.ExecutorService` | the stream to the executor is open |

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use consensus_core::{CommitIndex, CoreStatus};
use metanode_proto::consensus::v1::{commit_service_server, node_service_server, transaction_service_server};
use metanode_telemetry::{metrics::ConsensusMetrics, names::as_i64};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::liveness::{Liveness, Own, ProgressView, StallReason, Stalled, Work};
use crate::{
    commit_log::Head,
    commit_stream::{Delivery, ExecutorView},
};

/// Health name of the stream to the executor, a service that this node depends on.
pub const EXECUTOR_HEALTH: &str = metanode_proto::executor::v1::executor_service_server::SERVICE_NAME;

/// The three verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    intake: bool,
    readers: bool,
    executor: bool,
}

/// What health is judged from.
#[derive(Debug)]
pub(super) struct Signals {
    /// The machine, after its newest input.
    pub(super) core: watch::Receiver<CoreStatus>,
    /// The stream to the executor.
    pub(super) executor: watch::Receiver<ExecutorView>,
    /// The newest durable commit.
    pub(super) head: watch::Receiver<Head>,
}

/// Reports health until shutdown, at each change of what it depends on and when a commit is waited for too long.
#[derive(Debug)]
pub(super) struct Health {
    signals: Signals,
    liveness: Liveness,
    progress: watch::Sender<ProgressView>,
    reporter: HealthReporter,
    metrics: Arc<ConsensusMetrics>,
}

impl Health {
    /// Judges by `signals`; `progress` is replaced at each change.
    pub(super) fn new(
        signals: Signals,
        stalled_after: Duration,
        progress: watch::Sender<ProgressView>,
        reporter: HealthReporter,
        metrics: Arc<ConsensusMetrics>,
    ) -> Self {
        let own = Own::of(&signals.core.borrow());
        let liveness = Liveness::new(stalled_after, signals.head.borrow().index, own);
        Self { signals, liveness, progress, reporter, metrics }
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut told = None;
        loop {
            let verdict = self.judge();
            if told != Some(verdict) {
                report(&self.reporter, verdict).await;
                told = Some(verdict);
            }
            let stalled = self.progress.borrow().stalled.map(|stalled| stalled.reason);
            let deadline = self.liveness.deadline().filter(|_| stalled != Some(StallReason::NoCommit));
            let late = async move {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => pending().await,
                }
            };
            let Signals { core, executor, head } = &mut self.signals;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = late => {}
                Ok(()) = executor.changed() => {}
                Ok(()) = head.changed() => {}
                Ok(()) = core.changed() => {}
                // All senders are gone: the node goes down.
                else => break,
            }
        }
        report(&self.reporter, Verdict { intake: false, readers: false, executor: false }).await;
        Ok(())
    }

    /// Reads all signals, each marked as seen before it is judged.
    fn judge(&mut self) -> Verdict {
        let now = Instant::now();
        let head = self.signals.head.borrow_and_update().index;
        let (halted, work, own) = {
            let core = self.signals.core.borrow_and_update();
            (core.halted, Work::of(&core), Own::of(&core))
        };
        let executor = self.signals.executor.borrow_and_update();
        self.metrics.executor_lag.set(head.get().saturating_sub(executor.executed_index.get()));
        self.liveness.observe(now, head, work, own);
        let view = self.liveness.view(now);
        let before = self.progress.send_replace(view);
        if before.stalled.map(|stalled| stalled.reason) != view.stalled.map(|stalled| stalled.reason) {
            tell(now, head, work, own, view.stalled);
        }
        let stopped = executor.stop_reason().is_some() || halted;
        Verdict {
            intake: !stopped && view.stalled.is_none(),
            readers: true,
            executor: matches!(executor.delivery, Delivery::Replaying | Delivery::Live),
        }
    }
}

/// One event for each change of what is waited for too long.
fn tell(now: Instant, head: CommitIndex, work: Work, own: Own, stalled: Option<Stalled>) {
    let commit_index = as_i64(head.get());
    let Some(Stalled { reason, since }) = stalled else {
        tracing::info!(commit_index, "commits come again");
        return;
    };
    let waited_ms = i64::try_from((now - since).as_millis()).unwrap_or(i64::MAX);
    match reason {
        StallReason::NoCommit => tracing::warn!(
            commit_index,
            waited_ms,
            pooled_transactions = as_i64(work.pooled_transactions),
            uncommitted_blocks = as_i64(work.uncommitted_blocks),
            rounds_behind = as_i64(work.rounds_behind),
            "no commit comes, though there is something to do"
        ),
        StallReason::OwnOnly => tracing::warn!(
            commit_index,
            waited_ms,
            pooled_transactions = as_i64(work.pooled_transactions),
            own_committed_round = as_i64(own.committed_round.get()),
            "others commit, but nothing of this node: its blocks may not reach them"
        ),
    }
}

async fn report(reporter: &HealthReporter, verdict: Verdict) {
    let services = [
        ("", verdict.intake),
        (transaction_service_server::SERVICE_NAME, verdict.intake),
        (commit_service_server::SERVICE_NAME, verdict.readers),
        (node_service_server::SERVICE_NAME, verdict.readers),
        (EXECUTOR_HEALTH, verdict.executor),
    ];
    for (service, serving) in services {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(service, status).await;
    }
}

#[cfg(test)]
mod tests;
