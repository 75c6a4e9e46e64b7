//! Health, and the numbers that follow from several parts at once.
//!
//! | service name | SERVING while |
//! |---|---|
//! | `""`, `metanode.consensus.v1.TransactionService` | the node runs and has not stopped for a reason that a person must mend |
//! | `metanode.consensus.v1.CommitService`, `...NodeService` | the node runs: what it has can be read also after a stop |
//! | `metanode.executor.v1.ExecutorService` | the stream to the executor is open |

use std::{convert::Infallible, sync::Arc};

use metanode_proto::consensus::v1::{commit_service_server, node_service_server, transaction_service_server};
use metanode_telemetry::metrics::ConsensusMetrics;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{commit_stream::Delivery, status::NodeView};

/// Health name of the stream to the executor, a service that this node depends on.
pub const EXECUTOR_HEALTH: &str = metanode_proto::executor::v1::executor_service_server::SERVICE_NAME;

/// The three verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    intake: bool,
    readers: bool,
    executor: bool,
}

/// Reports health until shutdown, at each change of what it depends on.
pub(super) async fn observe(
    mut view: NodeView,
    reporter: HealthReporter,
    metrics: Arc<ConsensusMetrics>,
    shutdown: CancellationToken,
) -> Result<(), Infallible> {
    let mut head = view.feed.watch();
    let mut told = None;
    loop {
        let verdict = judge(&view);
        if told != Some(verdict) {
            report(&reporter, verdict).await;
            told = Some(verdict);
        }
        let executed = view.executor.borrow_and_update().executed_index.get();
        metrics.executor_lag.set(head.borrow_and_update().index.get().saturating_sub(executed));
        view.core.mark_unchanged();
        tokio::select! {
            () = shutdown.cancelled() => break,
            Ok(()) = view.executor.changed() => {}
            Ok(()) = head.changed() => {}
            Ok(()) = view.core.changed() => {}
            // All senders are gone: the node goes down.
            else => break,
        }
    }
    report(&reporter, Verdict { intake: false, readers: false, executor: false }).await;
    Ok(())
}

fn judge(view: &NodeView) -> Verdict {
    let executor = view.executor.borrow();
    let stopped = executor.stop_reason().is_some() || view.core.borrow().halted;
    Verdict {
        intake: !stopped,
        readers: true,
        executor: matches!(executor.delivery, Delivery::Replaying | Delivery::Live),
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
