//! Health over channels whose every value the test sends, in paused time.

use consensus_core::{CommitDigest, CommitIndex, Round};
use metanode_telemetry::Telemetry;
use tokio::{task::JoinHandle, time::advance};
use tonic::Request;
use tonic_health::{
    pb::{HealthCheckRequest, health_check_response::ServingStatus as Served, health_server::Health as _},
    server::HealthService,
};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

struct Fixture {
    core: watch::Sender<CoreStatus>,
    head: watch::Sender<Head>,
    _executor: watch::Sender<ExecutorView>,
    progress: watch::Receiver<ProgressView>,
    service: HealthService,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Infallible>>,
}

fn start() -> Fixture {
    let (core, core_signal) = watch::channel(CoreStatus::default());
    let (head, head_signal) = watch::channel(head_at(0));
    let (executor, executor_signal) =
        watch::channel(ExecutorView::new(CommitIndex::NONE, CommitDigest::ZERO));
    let (progress, shown) = watch::channel(ProgressView::default());
    let reporter = HealthReporter::new();
    let service = HealthService::from_health_reporter(reporter.clone());
    let metrics = Arc::new(ConsensusMetrics::new(&Telemetry::for_test().unwrap().meter()));
    let signals = Signals { core: core_signal, executor: executor_signal, head: head_signal };
    let shutdown = CancellationToken::new();
    let health = Health::new(signals, LIMIT, progress, reporter, metrics);
    let task = tokio::spawn(health.run(shutdown.clone()));
    Fixture { core, head, _executor: executor, progress: shown, service, shutdown, task }
}

fn head_at(index: u64) -> Head {
    Head { index: CommitIndex::new(index), digest: CommitDigest::ZERO }
}

impl Fixture {
    /// Lets the task go on until it waits again, and asks for the health.
    async fn serves(&self) -> bool {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let request = HealthCheckRequest { service: String::new() };
        let answer = self.service.check(Request::new(request)).await.unwrap().into_inner();
        answer.status() == Served::Serving
    }

    fn pooled(&self, pooled_transactions: usize) {
        self.core.send_modify(|core| core.pooled_transactions = pooled_transactions);
    }
}

#[tokio::test(start_paused = true)]
async fn l06_health_turns_when_no_commit_comes_and_back_with_the_next_one() {
    let fixture = start();
    fixture.pooled(1);
    assert!(fixture.serves().await);
    let since = Instant::now();
    advance(LIMIT - Duration::from_millis(1)).await;
    assert!(fixture.serves().await);
    advance(Duration::from_millis(1)).await;
    assert!(!fixture.serves().await, "nothing has happened, and that is what is wrong");
    let stalled = Stalled { reason: StallReason::NoCommit, since };
    assert_eq!(fixture.progress.borrow().stalled, Some(stalled));

    // The machine is busy all the time: rounds are no progress.
    fixture.core.send_modify(|core| core.round = Round::new(1_000));
    assert!(!fixture.serves().await);
    fixture.head.send_replace(head_at(1));
    assert!(fixture.serves().await);
    assert_eq!(*fixture.progress.borrow(), ProgressView { last_commit: Some(Instant::now()), stalled: None });
    advance(LIMIT).await;
    assert!(!fixture.serves().await, "and turns again");
}

#[tokio::test(start_paused = true)]
async fn l06_health_turns_when_others_alone_commit_and_back_with_an_own_part() {
    let fixture = start();
    fixture.core.send_modify(|core| core.may_propose = true);
    fixture.pooled(3);
    let since = Instant::now();
    for beat in 1..=6 {
        fixture.head.send_replace(head_at(beat));
        assert!(fixture.serves().await, "at beat {beat}");
        advance(LIMIT / 6).await;
    }
    fixture.head.send_replace(head_at(7));
    assert!(!fixture.serves().await, "commits come, and nothing of this node is in them");
    let stalled = Stalled { reason: StallReason::OwnOnly, since };
    assert_eq!(fixture.progress.borrow().stalled, Some(stalled));

    fixture.core.send_modify(|core| {
        core.own_committed_round = Round::new(9);
        core.pool_committed_total = 1;
    });
    fixture.head.send_replace(head_at(8));
    assert!(fixture.serves().await);
}

#[tokio::test(start_paused = true)]
async fn l06_an_idle_network_is_well_with_and_without_heartbeats() {
    let fixture = start();
    for beat in 1..20 {
        advance(LIMIT / 6).await;
        fixture.head.send_replace(head_at(beat));
        assert!(fixture.serves().await);
    }
    advance(LIMIT * 100).await;
    assert!(fixture.serves().await, "with nothing to order, nobody waits");
}

#[tokio::test(start_paused = true)]
async fn l06_a_node_that_falls_behind_and_does_not_catch_up_is_not_well() {
    let fixture = start();
    fixture.core.send_modify(|core| core.credible_round = Round::new(100));
    assert!(fixture.serves().await);
    advance(LIMIT).await;
    assert!(!fixture.serves().await);
    fixture.core.send_modify(|core| core.round = Round::new(100));
    assert!(fixture.serves().await, "it has caught up, and there is nothing to order");
}

#[tokio::test(start_paused = true)]
async fn a_halt_and_the_end_turn_health_at_once() {
    let fixture = start();
    assert!(fixture.serves().await);
    fixture.core.send_modify(|core| core.halted = true);
    assert!(!fixture.serves().await);
    let fixture = start();
    assert!(fixture.serves().await);
    fixture.shutdown.cancel();
    assert!(!fixture.serves().await);
    assert!(fixture.task.is_finished());
}
