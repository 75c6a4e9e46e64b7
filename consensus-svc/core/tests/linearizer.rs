//! From committed leaders to commits: order, groups, cuts and garbage collection. Leaders are named by hand.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    CommitDigest, CommitIndex, CommittedSubDag, Epoch, Linearizer, ProtocolParameters, Round, VerifiedBlock,
    testkit::{
        self,
        drawing::{Drawing, draw},
    },
};

struct Bench {
    drawing: Drawing,
    linearizer: Linearizer,
}

/// Heartbeats after 5 rounds or 1 s, GC 10 rounds behind, commits of 64 KiB or 10 transactions.
fn parameters() -> ProtocolParameters {
    ProtocolParameters {
        gc_depth: 10,
        heartbeat_interval: Duration::from_secs(1),
        heartbeat_rounds: 5,
        max_commit_transactions: 10,
        max_commit_bytes: 64 << 10,
        max_block_transactions: 10,
        max_block_bytes: 64 << 10,
        max_transaction_bytes: (64 << 10) - 144,
        ..ProtocolParameters::default()
    }
}

fn bench(text: &str) -> Bench {
    let (genesis, signers) = testkit::genesis_with(&[1; 4], parameters());
    let genesis = Arc::new(genesis);
    Bench { drawing: draw(&genesis, &signers, text), linearizer: Linearizer::new(genesis) }
}

impl Bench {
    fn lead(&mut self, leader: &str) -> Vec<CommittedSubDag> {
        let leader = self.drawing.block(leader).clone();
        self.linearizer.commit_leader(self.drawing.dag(), &leader)
    }

    /// The blocks of the commits that a leader closes, pieces apart by ` | `; `open` where it closes none.
    fn blocks(&mut self, leader: &str) -> String {
        let commits = self.lead(leader);
        if commits.is_empty() {
            return "open".to_owned();
        }
        let pieces: Vec<_> = commits.iter().map(|c| self.drawing.names(&c.commit.blocks)).collect();
        pieces.join(" | ")
    }
}

#[test]
fn a_history_is_sorted_by_round_then_authority() {
    let mut bench = bench("D1:[*] tx; CAB1:[*]; DBC2:[*]; A2:[*]; A3:[A2,B2,D2]");
    assert_eq!(bench.blocks("A3"), "A1 B1 C1 D1 A2 B2 D2 A3");
}

#[test]
fn f07_twins_in_a_history_are_sorted_by_digest() {
    let mut bench = bench("ABCD1:[*] tx; D1b:[*]; A2:[ABC1,D1]; BC2:[ABC1,D1b]; A3:[ABC2]");
    let commits = bench.lead("A3");
    let blocks = &commits[0].commit.blocks;
    assert!(blocks.is_sorted());
    let twins: Vec<_> = ["D1", "D1b"].map(|name| bench.drawing.block(name).reference()).to_vec();
    assert_eq!(blocks.iter().filter(|block| twins.contains(block)).count(), 2);
    let same_blocks = commits[0].blocks.iter().map(VerifiedBlock::reference).collect::<Vec<_>>();
    assert_eq!(&same_blocks, blocks);
}

#[test]
fn leaders_of_a_group_are_concatenated_and_not_sorted_together() {
    let mut bench = bench("ABC1:[*]; D1:[*] tx; A2:[ABC1]; BCD2:[*]; B3:[ABCD2]");
    assert_eq!(bench.blocks("A2"), "open");
    assert_eq!(bench.blocks("B3"), "A1 B1 C1 A2 D1 B2 C2 D2 B3");
}

#[test]
fn what_a_leader_committed_is_not_committed_again() {
    let mut bench = bench("ABCD1:[*] tx; ABCD2:[*] tx; ABCD3:[*]");
    assert_eq!(bench.blocks("C2"), "A1 B1 C1 D1 C2");
    assert_eq!(bench.blocks("D3"), "A2 B2 D2 D3");
}

#[test]
fn a_group_stays_open_without_transactions_and_keeps_all_its_leaders() {
    let mut bench = bench("ABCD1..3:[*]; ABCD4:[*] tx");
    assert_eq!(bench.blocks("B1"), "open");
    assert_eq!(bench.blocks("C2"), "open");
    assert_eq!(bench.linearizer.last_commit(), CommitIndex::NONE);
    assert!(bench.linearizer.is_committed(&bench.drawing.block("A1").reference()));
    let commits = bench.lead("A4");
    assert_eq!(bench.drawing.names(&commits[0].commit.leaders), "B1 C2 A4");
    assert_eq!(bench.drawing.names(&commits[0].commit.blocks), "B1 A1 C1 D1 C2 A2 B2 D2 A3 B3 C3 D3 A4");
}

#[test]
fn a_transaction_anywhere_in_the_history_closes_the_group() {
    assert_eq!(bench("ABC1:[*]; D1:[*] tx; A2:[*]").blocks("A2"), "A1 B1 C1 D1 A2");
    assert_eq!(bench("ABCD1:[*]; A2:[*] tx").blocks("A2"), "A1 B1 C1 D1 A2");
    assert_eq!(bench("ABC1:[*]; D1:[*] tx; A2:[ABC1]").blocks("A2"), "open");
}

#[test]
fn a_heartbeat_is_due_at_its_time_and_not_a_millisecond_earlier() {
    assert_eq!(bench("ABCD1:[*] t=+999ms; A2:[*]").blocks("A2"), "open");
    assert_eq!(bench("ABCD1:[*] t=+1000ms; A2:[*]").blocks("A2"), "A1 B1 C1 D1 A2");
}

#[test]
fn a_heartbeat_is_due_at_its_round_and_not_one_earlier() {
    let mut first = bench("ABCD1..15:[*]");
    assert_eq!(first.blocks("A4"), "open");
    assert_ne!(first.blocks("B5"), "open");
    // The count starts again at the last leader of the commit.
    assert_eq!(first.blocks("B9"), "open");
    assert_ne!(first.blocks("C10"), "open");
}

#[test]
fn heartbeat_time_counts_from_the_previous_commit() {
    let mut bench =
        bench("ABCD1:[*] t=+1500ms tx; ABCD2:[*] t=+2499ms; A3:[*] t=+2500ms; BCD3:[*] t=+2500ms; A4:[*]");
    assert_ne!(bench.blocks("A2"), "open");
    assert_eq!(bench.linearizer.last_commit(), CommitIndex::new(1));
    assert_eq!(bench.blocks("B3"), "open");
    assert_ne!(bench.blocks("A4"), "open");
}

#[test]
fn a_group_is_cut_before_the_block_that_would_exceed_the_bytes() {
    // Each of A1 and B1 counts 128 + 16 + 32624 = 32768, together exactly 64 KiB.
    let mut exact = bench("AB1:[*] tx=1x32624; C1:[*]; A2:[ABC1]");
    assert_eq!(exact.blocks("A2"), "A1 B1 | C1 A2");
    let mut over = bench("A1:[*] tx=1x32624; B1:[*] tx=1x32625; C1:[*]; A2:[ABC1]");
    assert_eq!(over.blocks("A2"), "A1 | B1 C1 A2");
}

#[test]
fn a_group_is_cut_before_the_block_that_would_exceed_the_count() {
    let mut exact = bench("A1:[*] tx=4; B1:[*] tx=6; C1:[*]; A2:[ABC1]");
    assert_eq!(exact.blocks("A2"), "A1 B1 C1 A2");
    let mut over = bench("A1:[*] tx=4; B1:[*] tx=7; C1:[*] tx=3; A2:[ABC1] tx");
    assert_eq!(over.blocks("A2"), "A1 | B1 C1 | A2");
}

#[test]
fn pieces_carry_the_same_leaders_and_timestamp_and_the_last_closes() {
    let mut bench = bench("ABCD1:[*]; ABCD2:[*]; ABCD3:[*] tx=10; A4:[*]");
    assert_eq!(bench.blocks("C2"), "open");
    let commits = bench.lead("A4");
    let closing: Vec<_> = commits.iter().map(|c| c.commit.closing).collect();
    assert_eq!(closing, [false, false, false, true]);
    let indexes: Vec<_> = commits.iter().map(|c| c.commit.index.get()).collect();
    assert_eq!(indexes, [1, 2, 3, 4]);
    for sub_dag in &commits {
        assert_eq!(sub_dag.commit.timestamp, commits[0].commit.timestamp);
        assert_eq!(bench.drawing.names(&sub_dag.commit.leaders), "C2 A4");
        assert_eq!(sub_dag.commit.last_leader_round(), Round::new(4));
        assert!(sub_dag.counted_bytes() <= 64 << 10);
        assert!(sub_dag.transactions().count() <= 10);
        assert_eq!((sub_dag.commit.epoch, sub_dag.commit.duplicate_marks.len()), (Epoch::GENESIS, 0));
    }
}

#[test]
fn commits_are_chained_by_digest() {
    let mut bench = bench("ABCD1..2:[*] tx=10; ABCD3:[*] tx");
    let commits: Vec<_> = ["B1", "C2", "D3"].iter().flat_map(|leader| bench.lead(leader)).collect();
    assert!(commits.len() > 3);
    let mut previous = CommitDigest::ZERO;
    for (sub_dag, index) in commits.iter().zip(1..) {
        assert_eq!(sub_dag.commit.index, CommitIndex::new(index));
        assert_eq!(sub_dag.commit.previous_digest, previous);
        assert_eq!(sub_dag.digest, sub_dag.commit.digest());
        previous = sub_dag.digest;
    }
    assert_eq!(bench.linearizer.last_digest(), previous);
}

#[test]
fn only_a_closing_commit_moves_the_gc_round() {
    let mut bench = bench("ABCD1..11:[*]; ABCD12..14:[*]; ABCD15:[*] tx; A16:[*]");
    assert_ne!(bench.blocks("D11"), "open");
    assert_eq!(bench.linearizer.gc_round(), Round::new(1));
    assert_eq!(bench.blocks("C14"), "open");
    assert_eq!(bench.linearizer.gc_round(), Round::new(1));
    assert_eq!(bench.linearizer.last_leader_round(), Round::new(11));
    assert_ne!(bench.blocks("A16"), "open");
    assert_eq!(bench.linearizer.gc_round(), Round::new(6));
    assert_eq!(bench.linearizer.last_leader_round(), Round::new(16));
}

#[test]
fn a_late_block_is_committed_above_the_gc_round_and_never_at_or_below_it() {
    let mut bench = bench(
        "D1:[*]; ABC1..20:[*-D]; D9:[ABC8,D1]; D10:[D9,A9,B9,C9]; D11:[D10,A10,B10,C10]; A21:[ABC20,D11]; B22:[A21]",
    );
    assert_ne!(bench.blocks("A20"), "open");
    assert_eq!(bench.linearizer.gc_round(), Round::new(10));
    assert_eq!(bench.blocks("A21"), "open");
    assert!(bench.linearizer.is_committed(&bench.drawing.block("D11").reference()));
    assert!(!bench.linearizer.is_committed(&bench.drawing.block("D10").reference()));
    let rounds: Vec<_> = bench.linearizer.committed_rounds().iter().map(|round| round.get()).collect();
    assert_eq!(rounds, [21, 20, 20, 11]);
}

/// Commits above GC are the only thing that is kept: stopped after any closing commit and taken up from them, a
/// linearizer forms the same commits as one that never stopped.
#[test]
fn recovery_gives_the_same_next_commits_as_never_having_stopped() {
    let text = "ABCD1:[*]; D2:[*]; ABC2..8:[*-D]; ABC9:[*-D] tx=4; D9:[D2,A8,B8,C8]; ABC10..30:[*-D];
                ABC31:[*-D] tx=6; D31:[D9,A30,B30,C30] tx; ABCD32..40:[*]";
    let leaders = ["B5", "A9", "C10", "A14", "B17", "C22", "A25", "B29", "A31", "C32", "A36", "D39", "C40"];
    let mut whole = bench(text);
    let mut log: Vec<CommittedSubDag> = Vec::new();
    for (number, leader) in leaders.iter().enumerate() {
        let commits = whole.lead(leader);
        let closed = !commits.is_empty();
        log.extend(commits);
        if !closed {
            continue;
        }
        for all in [true, false] {
            let mut restarted = bench(text);
            restarted.linearizer = recovered(&log, all);
            assert_eq!(restarted.linearizer.gc_round(), whole.linearizer.gc_round());
            assert_eq!(restarted.linearizer.last_leader_round(), whole.linearizer.last_leader_round());
            let mut continued = bench(text);
            for earlier in &leaders[..=number] {
                continued.lead(earlier);
            }
            for later in &leaders[number + 1..] {
                assert_eq!(
                    restarted.lead(later),
                    continued.lead(later),
                    "after {leader}, all: {all}, at {later}"
                );
            }
        }
    }
    assert!(log.len() > 8 && whole.linearizer.gc_round() > Round::new(20));
}

/// From the whole log, or from the shortest part of it that reaches back to the first last leader above GC.
fn recovered(log: &[CommittedSubDag], all: bool) -> Linearizer {
    let genesis = Arc::new(testkit::genesis_with(&[1; 4], parameters()).0);
    let gc_round = log.last().expect("a commit").commit.last_leader_round().minus(10);
    let needed = |c: &&CommittedSubDag| all || c.commit.last_leader_round() > gc_round;
    let commits: Vec<_> = log.iter().filter(needed).map(|c| (c.commit.clone(), c.digest)).collect();
    Linearizer::recover(genesis, &commits, &[], None)
}

#[test]
fn recovery_of_nothing_is_a_new_linearizer() {
    let genesis = Arc::new(testkit::genesis(4).0);
    let linearizer = Linearizer::recover(genesis, &[], &[], None);
    assert_eq!(linearizer.last_commit(), CommitIndex::NONE);
    assert_eq!(linearizer.last_digest(), CommitDigest::ZERO);
    assert_eq!(linearizer.gc_round(), Round::GENESIS);
}

#[test]
fn recovery_carries_on_the_rounds_of_authors_whose_commits_are_no_longer_needed() {
    let genesis = Arc::new(testkit::genesis(4).0);
    let recorded = [9, 0, 3, 7].map(Round::new);
    assert_eq!(Linearizer::recover(genesis, &[], &recorded, None).committed_rounds(), recorded);
}
