//! The bridge over a real stream, from a source of commits in memory.

use std::{sync::Arc, time::Duration};

use consensus_core::{
    CommitDigest, CommitIndex, Genesis, RootAgreement, RootContradiction, StateRoot, testkit,
};
use consensus_svc::{
    commit_stream::{
        Bridge, BridgeError, BridgeSettings, Delivery, Executed, ExecutorLine, ExecutorView, MachineLine,
        OnUnavailable, StopReason,
    },
    submit::{CommittedWindow, Tracker},
};
use metanode_proto::{executor::v1::Acknowledgement, reason};
use metanode_shell::{grpc, status};
use metanode_telemetry::{Telemetry, metrics::ConsensusMetrics};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::Code;

use crate::{
    executor::{Executor, Stream, digest, position},
    memory_source::MemorySource,
    soon,
};

const AUTHORITY: [u8; 32] = [5; 32];
const ROOT_INTERVAL: u64 = 2;

/// A bridge that runs, and all that the test sees of it.
struct Fixture {
    source: Arc<MemorySource>,
    genesis: Arc<Genesis>,
    view: watch::Receiver<ExecutorView>,
    /// The machine's end.
    line: ExecutorLine,
    halt: CancellationToken,
    _task: AbortOnDropHandle<Result<(), BridgeError>>,
}

fn settings(executor: &str) -> BridgeSettings {
    BridgeSettings {
        endpoint: grpc::endpoint(executor).unwrap(),
        read_enabled: true,
        on_unavailable: OnUnavailable::Wait,
        window_commits: 100,
        window_bytes: 1 << 20,
        acknowledge_timeout: Duration::from_secs(600),
        call_timeout: Duration::from_secs(30),
    }
}

impl Fixture {
    async fn start(source: Arc<MemorySource>, settings: BridgeSettings) -> Self {
        let genesis = Arc::new(testkit::genesis(4).0);
        let halt = CancellationToken::new();
        let (bridge, view, line) = bridge(&source, &genesis, settings, &halt).await.unwrap();
        let task = AbortOnDropHandle::new(tokio::spawn(bridge.run(CancellationToken::new())));
        Self { source, genesis, view, line, halt, _task: task }
    }

    /// What the executor says when it stands at `index`.
    fn at(&self, index: u64) -> metanode_proto::executor::v1::GetLastBlockNumberResponse {
        position(self.genesis.chain_id().as_bytes(), index, self.source.digest_of(index))
    }

    /// The first handshake of a process.
    async fn first_handshake(&self, executor: &mut Executor, index: u64) -> Stream {
        executor.answer_committee(self.genesis.committee()).await;
        executor.handshake(self.at(index)).await
    }

    async fn until(&mut self, what: &str, mut condition: impl FnMut(&ExecutorView) -> bool) -> ExecutorView {
        soon(what, self.view.wait_for(|view| condition(view))).await.unwrap().clone()
    }

    async fn stopped(&mut self) -> StopReason {
        let view = self.until("a stop", |view| view.stop_reason().is_some()).await;
        view.stop_reason().unwrap().clone()
    }
}

async fn bridge(
    source: &Arc<MemorySource>,
    genesis: &Arc<Genesis>,
    settings: BridgeSettings,
    halt: &CancellationToken,
) -> Result<(Bridge<MemorySource>, watch::Receiver<ExecutorView>, ExecutorLine), BridgeError> {
    let metrics = Arc::new(ConsensusMetrics::new(&Telemetry::for_test().unwrap().meter()));
    let (source, genesis) = (Arc::clone(source), Arc::clone(genesis));
    let tracker = Tracker::new(10, CommittedWindow::new(genesis.parameters()));
    let (machine, line) = MachineLine::new(halt.clone(), ROOT_INTERVAL);
    let (bridge, view) = Bridge::new(source, genesis, AUTHORITY, settings, tracker, metrics, machine).await?;
    Ok((bridge, view, line))
}

fn index(n: u64) -> CommitIndex {
    CommitIndex::new(n)
}

#[tokio::test]
async fn replay_and_live_are_one_stream_from_the_executors_last_plus_one() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(5), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 2).await;
    assert_eq!(stream.opening.after_index, 2);
    assert_eq!(stream.opening.after_digest, fixture.source.digest_of(2).as_bytes()[..]);
    assert_eq!(stream.opening.chain_id, fixture.genesis.chain_id().as_bytes()[..]);
    let lease = stream.opening.lease.clone().unwrap();
    assert_eq!((&lease.authority[..], lease.incarnation), (&AUTHORITY[..], 0));

    let replayed = stream.commits(3..=5).await;
    assert_eq!(digest(&replayed[0]), fixture.source.digest_of(3));
    let view = fixture.until("the replay", |view| view.delivery == Delivery::Replaying).await;
    assert_eq!((view.replay_from, view.executed_index), (index(3), index(2)));
    assert_eq!(view.first_sent, index(3));
    stream.acknowledge(&replayed[2]).await;
    fixture.until("going live", |view| view.delivery == Delivery::Live).await;
    fixture.source.grow(1);
    let live = stream.commit().await;
    assert_eq!(live.index, 6);
    assert_eq!(live.previous_digest, replayed[2].digest);
}

#[tokio::test]
async fn d02_an_executor_at_our_end_is_sent_nothing() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 3).await;
    let view = fixture.until("going live", |view| view.delivery == Delivery::Live).await;
    assert_eq!((view.sent_total, view.executed_index, view.replay_from), (0, index(3), index(4)));
    assert_eq!(view.first_sent, index(0));
    fixture.source.grow(1);
    assert_eq!(stream.commit().await.index, 4);
    fixture.until("the first one sent", |view| view.first_sent == index(4)).await;
}

#[tokio::test]
async fn d05_what_was_sent_and_not_acknowledged_is_sent_again() {
    let mut executor = Executor::start().await;
    let fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    stream.commits(1..=3).await;
    drop(stream);
    let mut stream = executor.handshake(fixture.at(0)).await;
    stream.commits(1..=3).await;
}

#[tokio::test]
async fn d06_the_cursor_moves_on_acknowledgements_only() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    let commits = stream.commits(1..=3).await;
    let view = fixture.until("three commits sent", |view| view.sent_total == 3).await;
    assert_eq!(view.executed_index, index(0));
    stream.acknowledge(&commits[1]).await;
    let view = fixture.until("the acknowledgement", |view| view.executed_index > index(0)).await;
    assert_eq!((view.executed_index, view.executed_digest), (index(2), fixture.source.digest_of(2)));
    assert_eq!(view.state_root.unwrap().as_bytes()[..], crate::executor::root(2));
}

#[tokio::test]
async fn d08_a_gap_error_brings_a_new_handshake_and_no_jump() {
    let mut executor = Executor::start().await;
    let fixture = Fixture::start(MemorySource::with(4), settings(&executor.uri())).await;
    let stream = fixture.first_handshake(&mut executor, 3).await;
    stream.fail(error(Code::FailedPrecondition, reason::COMMIT_GAP)).await;
    let mut stream = executor.handshake(fixture.at(1)).await;
    stream.commits(2..=4).await;
}

#[tokio::test]
async fn d11_after_a_break_with_commits_in_flight_the_stream_resumes_after_the_executed_one() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(5), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    let commits = stream.commits(1..=5).await;
    stream.acknowledge(&commits[1]).await;
    fixture.until("the acknowledgement", |view| view.executed_index == index(2)).await;
    drop(stream);
    // The executor has executed one more than it could acknowledge.
    executor.answer_position(fixture.at(3)).await;
    let mut stream = executor.stream().await;
    assert_eq!(stream.opening.lease.as_ref().unwrap().incarnation, 1, "a process keeps its incarnation");
    stream.opened(1, 3).await;
    assert_eq!(stream.commits(4..=5).await, commits[3..]);
}

#[tokio::test]
async fn d12_a_fenced_process_stops_streaming_for_good() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    let stream = fixture.first_handshake(&mut executor, 1).await;
    stream.fail(error(Code::Aborted, reason::FENCED)).await;
    assert_eq!(fixture.stopped().await.name(), reason::FENCED);
    assert!(!fixture.halt.is_cancelled(), "consensus goes on");
    assert!(executor.is_silent());
}

#[tokio::test]
async fn d11_a_stream_that_was_repeated_on_its_way_is_opened_again() {
    let mut executor = Executor::start().await;
    let fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    let stream = fixture.first_handshake(&mut executor, 1).await;
    // The executor got the same opening once more, from somewhere between the two.
    let repeated = status::reason(Code::Aborted, reason::FENCED, "as scripted", &[("incarnation", &1_u64)]);
    stream.fail(repeated).await;
    let stream = executor.handshake(fixture.at(1)).await;
    assert_eq!(stream.opening.lease.as_ref().unwrap().incarnation, 1);
    assert!(fixture.view.borrow().stop_reason().is_none(), "delivery goes on");
}

#[tokio::test]
async fn a_position_that_moved_since_it_was_asked_is_asked_again() {
    let mut executor = Executor::start().await;
    let fixture = Fixture::start(MemorySource::with(5), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.answer_position(fixture.at(2)).await;
    let moved = executor.stream().await;
    moved.opened(1, 3).await;
    let mut stream = executor.handshake(fixture.at(3)).await;
    assert_eq!(stream.opening.after_index, 3);
    assert_eq!(stream.commit().await.index, 4);
}

#[tokio::test]
async fn an_incarnation_of_zero_or_another_than_was_issued_is_malformed() {
    let mut executor = Executor::start().await;
    let fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.answer_position(fixture.at(0)).await;
    let zero = executor.stream().await;
    zero.opened(0, 0).await;
    let mut stream = executor.handshake(fixture.at(0)).await;
    assert_eq!(stream.opening.lease.as_ref().unwrap().incarnation, 0, "none was issued");
    stream.commit().await;
    drop(stream);
    executor.answer_position(fixture.at(0)).await;
    let stream = executor.stream().await;
    assert_eq!(stream.opening.lease.as_ref().unwrap().incarnation, 1);
    stream.opened(2, 0).await;
    executor.answer_position(fixture.at(0)).await;
    let stream = executor.stream().await;
    assert_eq!(stream.opening.lease.as_ref().unwrap().incarnation, 1, "the one that was issued is kept");
}

#[tokio::test]
async fn x10_a_refused_commit_stops_delivery_there_with_the_executors_error() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(5), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    let commits = stream.commits(1..=5).await;
    stream.acknowledge(&commits[1]).await;
    fixture.until("the acknowledgement", |view| view.executed_index == index(2)).await;
    stream.fail(tonic::Status::failed_precondition("no such call in this version")).await;
    let refused = StopReason::Refused {
        index: index(3),
        reason: "FAILED_PRECONDITION".to_owned(),
        message: "no such call in this version".to_owned(),
    };
    assert_eq!(fixture.stopped().await, refused);
    assert!(!fixture.halt.is_cancelled(), "consensus goes on");
    assert!(executor.is_silent());
}

#[tokio::test]
async fn an_executor_in_a_later_epoch_is_left_alone() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    let mut later = fixture.at(1);
    later.epoch = 1;
    executor.answer_position(later).await;
    assert_eq!(fixture.stopped().await.name(), "EPOCH_AHEAD");
}

#[tokio::test]
async fn x01_an_executor_that_comes_late_is_waited_for() {
    let executor = Executor::start().await;
    let address = executor.address.to_string();
    let uri = executor.uri();
    executor.kill().await;
    let mut fixture = Fixture::start(MemorySource::with(2), settings(&uri)).await;
    assert_eq!(fixture.view.borrow_and_update().delivery, Delivery::Connecting);
    let mut executor = Executor::start_at(&address).await;
    let mut stream = fixture.first_handshake(&mut executor, 1).await;
    assert_eq!(stream.commit().await.index, 2);
}

#[tokio::test]
async fn x01_by_configuration_delivery_starts_at_genesis_without_the_question() {
    let mut executor = Executor::start().await;
    let configured = BridgeSettings { on_unavailable: OnUnavailable::Genesis, ..settings(&executor.uri()) };
    let mut fixture = Fixture::start(MemorySource::with(2), configured).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.answer_position(Default::default()).await;
    let mut stream = executor.stream().await;
    assert_eq!(stream.opening.after_index, 0);
    stream.opened(1, 1).await;
    let commits = stream.commits(1..=2).await;
    let dropped = Acknowledgement {
        index: 1,
        digest: commits[0].digest.clone(),
        duplicate: true,
        ..Acknowledgement::default()
    };
    stream.acknowledge_with(dropped).await;
    stream.acknowledge(&commits[1]).await;
    let view = fixture.until("both acknowledgements", |view| view.executed_index == index(2)).await;
    assert_eq!((view.duplicates_total, view.replay_from), (1, index(1)));
}

#[tokio::test]
async fn without_questions_delivery_goes_on_after_what_was_acknowledged_to_this_process() {
    let mut executor = Executor::start().await;
    let configured = BridgeSettings { read_enabled: false, ..settings(&executor.uri()) };
    let mut fixture = Fixture::start(MemorySource::with(3), configured).await;
    let mut stream = executor.stream().await;
    stream.opened(1, 0).await;
    let commits = stream.commits(1..=3).await;
    stream.acknowledge(&commits[1]).await;
    fixture.until("the acknowledgement", |view| view.executed_index == index(2)).await;
    drop(stream);
    let stream = executor.stream().await;
    assert_eq!(stream.opening.after_index, 2);
    // It has lost one, and says so without being asked.
    stream.fail(error(Code::FailedPrecondition, reason::COMMIT_GAP)).await;
    let stream = executor.stream().await;
    assert_eq!(stream.opening.after_index, 1);
}

#[tokio::test]
async fn delivery_from_genesis_is_refused_where_the_first_commit_is_gone() {
    let genesis = Arc::new(testkit::genesis(4).0);
    let pruned = MemorySource::pruned(5, 2, 0);
    let asked = settings("http://127.0.0.1:1");
    let unasked = BridgeSettings { read_enabled: false, ..asked.clone() };
    let from_genesis = BridgeSettings { on_unavailable: OnUnavailable::Genesis, ..asked.clone() };
    let halt = CancellationToken::new();
    for refused in [unasked, from_genesis] {
        let error = bridge(&pruned, &genesis, refused.clone(), &halt).await.unwrap_err();
        assert!(matches!(error, BridgeError::NeedsHistory { earliest } if earliest == index(2)));
        assert!(bridge(&MemorySource::with(5), &genesis, refused, &halt).await.is_ok());
    }
    assert!(bridge(&pruned, &genesis, asked, &halt).await.is_ok());
}

#[tokio::test]
async fn x02_an_answer_before_the_state_is_loaded_is_never_taken_for_zero() {
    let mut executor = Executor::start().await;
    let fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    executor.refuse(error(Code::Unavailable, reason::NOT_READY)).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.refuse(error(Code::Unavailable, reason::NOT_READY)).await;
    executor.answer_position(Default::default()).await;
    executor.answer_position(Default::default()).await;
    let mut stream = executor.handshake(fixture.at(2)).await;
    assert_eq!(stream.opening.after_index, 2);
    assert_eq!(stream.commit().await.index, 3);
}

#[tokio::test]
async fn x03_an_executor_that_lost_acknowledged_commits_gets_them_again() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::pruned(5, 1, 4), settings(&executor.uri())).await;
    let view = fixture.view.borrow_and_update().clone();
    assert_eq!(view.executed_index, index(4), "before the handshake, what was written down");
    let mut stream = fixture.first_handshake(&mut executor, 2).await;
    stream.commits(3..=5).await;
    assert_eq!(fixture.view.borrow().executed_index, index(2));
}

#[tokio::test]
async fn x03_an_executor_below_the_earliest_commit_stops_delivery_with_both_numbers() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::pruned(9, 5, 0), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.answer_position(fixture.at(3)).await;
    let stop = fixture.stopped().await;
    assert_eq!(stop, StopReason::Pruned { executor: index(3), earliest: index(5) });
    assert!(!fixture.halt.is_cancelled());
}

#[tokio::test]
async fn x04_an_executor_above_us_stops_delivery_and_consensus() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.answer_position(fixture.at(4)).await;
    assert_eq!(fixture.stopped().await, StopReason::ExecutorAhead { executor: index(4), ours: index(3) });
    soon("the halt", fixture.halt.cancelled()).await;
}

#[tokio::test]
async fn x06_another_digest_at_the_executors_index_stops_delivery_and_consensus() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    let theirs = CommitDigest::new([9; 32]);
    executor.answer_position(position(fixture.genesis.chain_id().as_bytes(), 2, theirs)).await;
    let ours = fixture.source.digest_of(2);
    assert_eq!(fixture.stopped().await, StopReason::Fork { index: index(2), ours, theirs });
    soon("the halt", fixture.halt.cancelled()).await;
}

#[tokio::test]
async fn d07_an_acknowledgement_of_another_digest_is_a_fork() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    stream.commit().await;
    stream.acknowledge_as(1, vec![9; 32].into()).await;
    assert!(matches!(fixture.stopped().await, StopReason::Fork { .. }));
    soon("the halt", fixture.halt.cancelled()).await;
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_sent_stops_delivery() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    stream.commit().await;
    stream.acknowledge_as(2, vec![9; 32].into()).await;
    let stop = StopReason::AcknowledgedUnsent { index: index(2), last_sent: index(1) };
    assert_eq!(fixture.stopped().await, stop);
}

#[tokio::test]
async fn x08_an_executor_that_hangs_is_left_and_asked_anew() {
    let mut executor = Executor::start().await;
    let configured =
        BridgeSettings { acknowledge_timeout: Duration::from_millis(200), ..settings(&executor.uri()) };
    let fixture = Fixture::start(MemorySource::with(1), configured).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    stream.commit().await;
    stream.given_up().await;
    let mut stream = executor.handshake(fixture.at(0)).await;
    assert_eq!(stream.commit().await.index, 1);
}

#[tokio::test]
async fn x08_nothing_in_flight_is_never_late() {
    let mut executor = Executor::start().await;
    let configured =
        BridgeSettings { acknowledge_timeout: Duration::from_millis(1), ..settings(&executor.uri()) };
    let mut fixture = Fixture::start(MemorySource::with(1), configured).await;
    let mut stream = fixture.first_handshake(&mut executor, 1).await;
    fixture.until("going live", |view| view.delivery == Delivery::Live).await;
    fixture.source.grow(1);
    assert_eq!(stream.commit().await.index, 2);
}

#[tokio::test]
async fn d17_no_more_than_the_window_is_in_flight() {
    let mut executor = Executor::start().await;
    let configured = BridgeSettings { window_commits: 2, ..settings(&executor.uri()) };
    let mut fixture = Fixture::start(MemorySource::with(5), configured).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    let commits = stream.commits(1..=2).await;
    let view = fixture.until("two sent", |view| view.sent_total >= 2).await;
    assert_eq!(view.sent_total, 2);
    stream.acknowledge(&commits[0]).await;
    assert_eq!(stream.commit().await.index, 3);
    assert_eq!(fixture.until("three sent", |view| view.sent_total >= 3).await.sent_total, 3);
}

#[tokio::test]
async fn an_executor_of_another_committee_or_chain_is_left_alone() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    executor.answer_committee(testkit::genesis(3).0.committee()).await;
    assert_eq!(fixture.stopped().await.name(), "WRONG_COMMITTEE");

    let mut fixture = Fixture::start(MemorySource::with(1), settings(&executor.uri())).await;
    executor.answer_committee(fixture.genesis.committee()).await;
    executor.answer_position(position(&[8; 32], 0, CommitDigest::ZERO)).await;
    assert_eq!(fixture.stopped().await.name(), "WRONG_CHAIN");
    assert!(executor.is_silent());
}

fn error(code: Code, text: &'static str) -> tonic::Status {
    status::reason(code, text, "as scripted", &[("expected_index", &2_u64), ("incarnation", &7_u64)])
}

fn contradiction(at: u64) -> RootContradiction {
    let agreed = RootAgreement { index: index(at), root: StateRoot::new([7; 32]), blocks: Vec::new() };
    RootContradiction { own: StateRoot::new([9; 32]), agreed }
}

/// The machine hears the position, and acknowledgements where roots are voted for.
#[tokio::test]
async fn the_machine_is_told_of_roots_at_the_handshake_and_at_multiples_of_the_interval() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(5), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 1).await;
    for commit in stream.commits(2..=5).await {
        stream.acknowledge(&commit).await;
    }
    let told = |at| Executed { index: index(at), root: StateRoot::from_slice(&crate::executor::root(at)) };
    for at in [1, 2, 4] {
        assert_eq!(soon("a root", fixture.line.recv()).await, Some(told(at)));
    }
}

#[tokio::test]
async fn x07_delivery_stops_in_the_middle_of_a_stream_when_the_executor_is_found_wrong() {
    let mut executor = Executor::start().await;
    let mut fixture = Fixture::start(MemorySource::with(3), settings(&executor.uri())).await;
    let mut stream = fixture.first_handshake(&mut executor, 0).await;
    stream.commits(1..=3).await;
    fixture.line.stop(&contradiction(2));
    let reason = fixture.stopped().await;
    assert_eq!((reason.name(), reason.halts_core()), ("ROOT_CONTRADICTED", false));
    assert!(!fixture.halt.is_cancelled(), "consensus goes on");
    assert!(fixture.view.borrow().failure.as_ref().unwrap().contains("the executor is wrong"));
    stream.given_up().await;
    fixture.source.grow(1);
    assert!(executor.is_silent(), "nothing is tried again");
}

/// The evidence is in the store, and the executor stands behind it.
#[tokio::test]
async fn x07_a_contradicted_executor_is_refused_at_the_handshake_until_it_is_set_back() {
    for (at, refused) in [(3, true), (2, true), (1, false)] {
        let mut executor = Executor::start().await;
        let source = MemorySource::with(4);
        source.roots.lock().unwrap().contradiction = Some(contradiction(2));
        let mut fixture = Fixture::start(source, settings(&executor.uri())).await;
        executor.answer_committee(fixture.genesis.committee()).await;
        executor.answer_position(fixture.at(at)).await;
        if refused {
            assert_eq!(fixture.stopped().await, StopReason::contradicted(&contradiction(2)), "at {at}");
            assert!(executor.is_silent());
        } else {
            assert_eq!(executor.stream().await.opening.after_index, at);
        }
    }
}

#[tokio::test]
async fn x07_a_contradicted_executor_that_is_not_asked_where_it_stands_is_refused() {
    let executor = Executor::start().await;
    let source = MemorySource::with(4);
    source.roots.lock().unwrap().contradiction = Some(contradiction(2));
    let settings = BridgeSettings { read_enabled: false, ..settings(&executor.uri()) };
    let mut fixture = Fixture::start(source, settings).await;
    assert_eq!(fixture.stopped().await.name(), "ROOT_CONTRADICTED");
}
