//! Both clocks by hand, and the second one over real machines in virtual time.

use consensus_core::{
    AuthorityIndex, Params, ProtocolParameters,
    testkit::{self, network::TestNetwork},
};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);
const SOMETHING: Work = Work { pooled_transactions: 1, uncommitted_blocks: 0, rounds_behind: 0 };
const NOTHING: Work = Work { pooled_transactions: 0, uncommitted_blocks: 0, rounds_behind: 0 };

fn index(n: u64) -> CommitIndex {
    CommitIndex::new(n)
}

struct Watched {
    liveness: Liveness,
    start: Instant,
}

fn watched() -> Watched {
    Watched { liveness: Liveness::new(LIMIT, index(7), Own::default()), start: Instant::now() }
}

impl Watched {
    /// Observes, and answers with the seconds since the start since when it is stalled.
    fn at(&mut self, second: u64, commit: u64, work: Work) -> Option<u64> {
        let now = self.start + Duration::from_secs(second);
        self.liveness.observe(now, index(commit), work, Own::default());
        let stalled = self.liveness.view(now).stalled?;
        assert_eq!(stalled.reason, StallReason::NoCommit);
        Some((stalled.since - self.start).as_secs())
    }
}

#[test]
fn l06_something_to_do_without_a_commit_is_a_stall_once_the_limit_is_reached() {
    let mut watched = watched();
    assert_eq!(watched.at(5, 7, SOMETHING), None);
    assert_eq!(watched.liveness.deadline(), Some(watched.start + Duration::from_secs(35)));
    assert_eq!(watched.at(34, 7, SOMETHING), None);
    assert_eq!(watched.at(35, 7, SOMETHING), Some(5));
    assert_eq!(watched.at(99, 7, SOMETHING), Some(5));
}

#[test]
fn l06_each_kind_of_work_counts() {
    let pooled = CoreStatus { pooled_transactions: 1, ..CoreStatus::default() };
    let uncommitted = CoreStatus { uncommitted_blocks: 1, ..CoreStatus::default() };
    let (round, credible_round) = (consensus_core::Round::new(4), consensus_core::Round::new(5));
    let behind = CoreStatus { round, credible_round, ..CoreStatus::default() };
    for core in [pooled, uncommitted, behind] {
        assert!(!Work::of(&core).is_none(), "{core:?}");
        assert_eq!(watched().at(0, 7, Work::of(&core)), None);
    }
    let level = CoreStatus { round: credible_round, credible_round: round, ..CoreStatus::default() };
    assert!(Work::of(&level).is_none(), "who is ahead has nothing to catch up with");
}

#[test]
fn l06_a_commit_ends_a_stall_and_the_next_wait_starts_anew() {
    let mut watched = watched();
    watched.at(0, 7, SOMETHING);
    assert_eq!(watched.at(40, 7, SOMETHING), Some(0));
    assert_eq!(watched.at(41, 8, SOMETHING), None);
    assert_eq!(watched.at(70, 8, SOMETHING), None);
    assert_eq!(watched.at(71, 8, SOMETHING), Some(41));
    assert_eq!(
        watched.liveness.view(watched.start).last_commit,
        Some(watched.start + Duration::from_secs(41))
    );
}

#[test]
fn l06_nothing_to_do_is_never_a_stall_and_work_that_comes_later_counts_from_then() {
    let mut watched = watched();
    assert_eq!(watched.at(0, 7, NOTHING), None);
    assert_eq!(watched.at(1_000, 7, NOTHING), None);
    assert_eq!(watched.liveness.deadline(), None);
    assert_eq!(watched.at(1_001, 7, SOMETHING), None);
    assert_eq!(watched.at(1_030, 7, SOMETHING), None);
    assert_eq!(watched.at(1_031, 7, SOMETHING), Some(1_001));
    assert_eq!(watched.at(1_032, 7, NOTHING), None);
}

/// Waits with transactions, of which none nor a block was committed.
const UNHEARD: Own = Own { proposes: true, waiting: 3, committed_total: 8, committed_round: Round::new(40) };

struct OwnWatched {
    liveness: Liveness,
    start: Instant,
    commit: u64,
}

fn own_watched() -> OwnWatched {
    OwnWatched { liveness: Liveness::new(LIMIT, index(7), UNHEARD), start: Instant::now(), commit: 7 }
}

impl OwnWatched {
    /// At this second a commit comes, and this is the own part by then: what is waited for, and since which second.
    fn commit_at(&mut self, second: u64, own: Own) -> Option<(StallReason, u64)> {
        self.commit += 1;
        self.observe_at(second, own)
    }

    fn observe_at(&mut self, second: u64, own: Own) -> Option<(StallReason, u64)> {
        let now = self.start + Duration::from_secs(second);
        let work = Work { pooled_transactions: own.waiting, ..NOTHING };
        self.liveness.observe(now, index(self.commit), work, own);
        let stalled = self.liveness.view(now).stalled?;
        Some((stalled.reason, (stalled.since - self.start).as_secs()))
    }
}

#[test]
fn l06_commits_of_others_alone_are_a_stall_once_the_limit_is_reached() {
    let mut watched = own_watched();
    for second in 1..31 {
        assert_eq!(watched.commit_at(second, UNHEARD), None, "at {second}");
    }
    assert_eq!(watched.commit_at(31, UNHEARD), Some((StallReason::OwnOnly, 1)));
    assert_eq!(watched.commit_at(99, UNHEARD), Some((StallReason::OwnOnly, 1)));
}

#[test]
fn l06_an_own_block_and_a_transaction_that_leaves_by_a_commit_end_it() {
    let stalled = || {
        let mut watched = own_watched();
        watched.commit_at(1, UNHEARD);
        watched.commit_at(20, UNHEARD);
        assert!(watched.commit_at(31, UNHEARD).is_some());
        watched
    };
    let block = Own { committed_round: Round::new(41), ..UNHEARD };
    assert!(stalled().commit_at(32, block).is_some(), "transactions wait, and none has left");
    let elsewhere = Own { committed_total: 9, ..UNHEARD };
    assert!(
        stalled().commit_at(32, elsewhere).is_some(),
        "it may have been in the block of another authority"
    );
    let both = Own { committed_total: 9, ..block };
    assert_eq!(stalled().commit_at(32, both), None);
    assert_eq!(stalled().commit_at(32, Own { waiting: 0, ..block }), None, "nothing waits any more");

    let mut watched = stalled();
    watched.commit_at(32, block);
    assert_eq!(watched.commit_at(33, both), None, "one after the other");
    assert_eq!(watched.commit_at(50, both), None);
    assert_eq!(watched.commit_at(61, both), None);
    let next = Some((StallReason::OwnOnly, 32));
    assert_eq!(watched.commit_at(62, both), next, "and the next wait starts anew");
}

#[test]
fn l06_a_pool_that_empties_by_dropping_is_not_well_again() {
    let mut watched = own_watched();
    watched.commit_at(1, UNHEARD);
    let dropped = Own { waiting: 0, ..UNHEARD };
    assert_eq!(watched.commit_at(20, dropped), None);
    assert_eq!(watched.commit_at(31, dropped), Some((StallReason::OwnOnly, 1)));
    assert_eq!(watched.commit_at(90, dropped), Some((StallReason::OwnOnly, 1)));
}

#[test]
fn l06_without_own_transactions_nobody_waits_for_an_own_part() {
    let mut watched = own_watched();
    for second in 1..100 {
        assert_eq!(watched.commit_at(second, Own { waiting: 0, ..UNHEARD }), None);
    }
}

#[test]
fn l06_a_node_that_may_not_propose_is_not_told_a_second_reason() {
    let mut watched = own_watched();
    let silent = Own { proposes: false, ..UNHEARD };
    for second in 1..100 {
        assert_eq!(watched.commit_at(second, silent), None);
    }
    watched.commit_at(100, UNHEARD);
    watched.commit_at(115, UNHEARD);
    assert_eq!(watched.commit_at(129, UNHEARD), None, "its wait begins when it may");
    assert_eq!(watched.commit_at(130, UNHEARD), Some((StallReason::OwnOnly, 100)));
    assert_eq!(watched.observe_at(131, silent), None, "it has a better reason now");
}

#[test]
fn l06_where_nobody_commits_that_is_the_reason_and_the_own_wait_begins_behind_it() {
    let mut watched = own_watched();
    watched.commit_at(1, UNHEARD);
    assert_eq!(watched.observe_at(31, UNHEARD), Some((StallReason::NoCommit, 1)));
    assert_eq!(watched.commit_at(40, UNHEARD), None, "commits come again, and the next may be its own");
    assert_eq!(watched.commit_at(69, UNHEARD), None);
    assert_eq!(watched.commit_at(70, UNHEARD), Some((StallReason::OwnOnly, 40)));
    assert_eq!(watched.observe_at(100, UNHEARD), Some((StallReason::NoCommit, 70)), "the graver one is told");
}

#[test]
fn l06_the_own_part_is_read_off_the_machine() {
    let status = CoreStatus {
        may_propose: true,
        pooled_transactions: 3,
        pool_committed_total: 8,
        own_committed_round: Round::new(40),
        ..CoreStatus::default()
    };
    assert_eq!(Own::of(&status), UNHEARD);
    let amnesia = consensus_core::Amnesia {
        cause: consensus_core::AmnesiaCause::ExecutorAhead,
        awaited: Vec::new(),
        first_round: Some(Round::new(9)),
    };
    for silent in [
        CoreStatus { may_propose: false, ..status.clone() },
        CoreStatus { lags: true, ..status.clone() },
        CoreStatus { amnesia: Some(amnesia), ..status.clone() },
    ] {
        assert!(!Own::of(&silent).proposes, "{silent:?}");
    }
}

/// An authority of a network of real machines, looked at every tenth of a virtual second, with a transaction each time.
struct Silenced {
    network: TestNetwork,
    liveness: Liveness,
    start: Instant,
    tickets: u64,
}

impl Silenced {
    const NODE: AuthorityIndex = AuthorityIndex::new(2);

    fn new() -> Self {
        let parameters =
            ProtocolParameters { gc_depth: 20, heartbeat_rounds: 10, ..ProtocolParameters::default() };
        let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters);
        let params = Params {
            transaction_lifetime: Duration::from_secs(10),
            idle_delay: Duration::from_millis(200),
            min_round_interval: Duration::from_millis(50),
            ..Params::default()
        };
        let network = TestNetwork::start(genesis, signers, params, Duration::from_millis(20));
        let liveness = Liveness::new(LIMIT, CommitIndex::NONE, Own::default());
        Self { network, liveness, start: Instant::now(), tickets: 0 }
    }

    fn status(&self) -> CoreStatus {
        self.network.node(Self::NODE).machine.as_ref().unwrap().status()
    }

    /// Runs on, with or without transactions for this authority, and tells what is waited for in the end.
    fn run(&mut self, seconds: u64, with_load: bool) -> Option<StallReason> {
        let mut reason = None;
        for _ in 0..10 * seconds {
            self.tickets += 1;
            // Others have their own transactions all the time.
            let ticket = self.tickets;
            self.network.submit(AuthorityIndex::new(0), ticket, &ticket.to_be_bytes());
            if with_load {
                self.network.submit(Self::NODE, ticket, format!("own {ticket}").as_bytes());
            }
            self.network.run(Duration::from_millis(100));
            let status = self.status();
            let now = self.start + self.network.now().since(self.network.genesis().timestamp());
            self.liveness.observe(now, status.last_commit, Work::of(&status), Own::of(&status));
            reason = self.liveness.view(now).stalled.map(|stalled| stalled.reason);
        }
        reason
    }
}

/// The attack: its blocks reach nobody, and theirs reach it. It commits all that they commit.
#[test]
fn l06_an_authority_that_nobody_hears_turns_although_it_commits_and_back_when_it_is_heard() {
    let mut world = Silenced::new();
    assert_eq!(world.run(40, true), None, "heard");
    let before = world.status();
    world.network.silence(Silenced::NODE);
    assert_eq!(world.run(20, true), None, "not for long");
    assert_eq!(world.run(25, true), Some(StallReason::OwnOnly));
    let after = world.status();
    assert!(after.last_commit.get() > before.last_commit.get() + 20, "commits go on");
    assert!(after.may_propose && !after.lags);
    assert!(!world.network.node(Silenced::NODE).dropped.is_empty(), "what it took is lost");

    // Whoever looks at health sends it nothing any more, so that its pool empties: not a sign of being heard.
    assert_eq!(world.run(60, false), Some(StallReason::OwnOnly));
    assert_eq!(world.status().pooled_transactions, 0);

    world.network.heal();
    assert_eq!(world.run(10, false), None, "an own block is committed, be it empty");
    assert_eq!(world.run(40, true), None);
}
