//! Each invariant is shown a history that breaks it, made by hand, and one that does not.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use consensus_core::{
    Block, Certificate, Commit, CommitDigest, CommitIndex, CommitVote, CommittedSubDag, CoreStatus, Epoch,
    EquivocationProof, FetchStatus, Genesis, Params, Progress, Round, ScheduleState, Signer, Slot, Timestamp,
    Transaction, VerifiedBlock, testkit,
};

use super::{Kind, Record, Standing, Watch};

struct Hand {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    watch: Watch,
}

fn hand() -> Hand {
    let (genesis, signers) = testkit::genesis(4);
    let genesis = Arc::new(genesis);
    let watch = Watch::new(&genesis, &Params::default(), 0);
    Hand { genesis, signers, watch }
}

impl Hand {
    fn block(
        &self,
        round: u64,
        author: usize,
        time: u64,
        parents: &[&VerifiedBlock],
        payload: &[u8],
    ) -> VerifiedBlock {
        let genesis_blocks: Vec<_> = self
            .genesis
            .committee()
            .indexes()
            .map(|index| VerifiedBlock::genesis(&self.genesis, index).reference())
            .collect();
        let ancestors = if round == 1 {
            genesis_blocks
        } else {
            parents.iter().map(|parent| parent.reference()).collect()
        };
        let transactions = Some(payload)
            .filter(|payload| !payload.is_empty())
            .map(|payload| Transaction::new(Bytes::copy_from_slice(payload)));
        Block {
            chain_id: self.genesis.chain_id(),
            epoch: Epoch::GENESIS,
            round: Round::new(round),
            author: consensus_core::AuthorityIndex::new(u16::try_from(author).unwrap()),
            timestamp: Timestamp::from_millis(self.genesis.timestamp().as_millis() + time),
            ancestors,
            transactions: transactions.into_iter().collect(),
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        }
        .sign(&self.signers[author])
    }

    fn commit(
        &self,
        previous: Option<&CommittedSubDag>,
        time: u64,
        blocks: &[&VerifiedBlock],
    ) -> CommittedSubDag {
        let commit = Commit {
            index: previous.map_or(CommitIndex::NONE, |sub_dag| sub_dag.commit.index).next(),
            epoch: Epoch::GENESIS,
            previous_digest: previous.map_or(CommitDigest::ZERO, |sub_dag| sub_dag.digest),
            timestamp: Timestamp::from_millis(self.genesis.timestamp().as_millis() + time),
            closing: true,
            leaders: vec![blocks.last().unwrap().reference()],
            blocks: blocks.iter().map(|block| block.reference()).collect(),
            duplicate_marks: Bytes::new(),
        };
        let digest = commit.digest();
        CommittedSubDag { commit, digest, blocks: blocks.iter().map(|block| (*block).clone()).collect() }
    }

    /// The name of the invariant that objects.
    fn see(&mut self, record: &Record<'_>) -> Option<&'static str> {
        self.watch.observe(0, record).map(|violation| violation.invariant)
    }

    fn sent(&mut self, block: &VerifiedBlock) -> Option<&'static str> {
        let (node, guard) = (block.author().as_usize(), Some((Epoch::GENESIS, block.round())));
        self.see(&Record::Sent { node, honest: true, block, stored: true, guard })
    }

    fn delivered(&mut self, node: usize, sub_dag: &CommittedSubDag) -> Option<&'static str> {
        self.see(&Record::Delivered { node, at_ms: 1_000_000, sub_dag, stored: true, again: false })
    }
}

fn voting(hand: &Hand, author: usize, digest: CommitDigest) -> VerifiedBlock {
    let block = hand.block(5, author, 0, &[], b"").block().clone();
    let vote = CommitVote { index: CommitIndex::new(1), digest };
    Block { commit_votes: vec![vote], ..block }.sign(&hand.signers[author])
}

#[test]
fn a_certificate_of_less_than_a_quorum_breaks_certification() {
    let mut hand = hand();
    let digest = CommitDigest::new([1; 32]);
    let votes: Vec<_> = (0..4).map(|author| voting(&hand, author, digest)).collect();
    for vote in &votes[..2] {
        assert_eq!(hand.sent(vote), None);
    }
    let mut kept = |node: usize, authors: &[usize]| {
        let blocks = authors.iter().map(|author| votes[*author].reference()).collect();
        let certificates = [Certificate { index: CommitIndex::new(1), digest, blocks }];
        let (progress, ends) = (&Progress::default(), (CommitIndex::NONE, CommitIndex::NONE));
        hand.see(&Record::Stored { node, progress, certificates: &certificates, ends })
    };
    assert_eq!(kept(2, &[0, 1, 2]), None, "its own vote may go out behind it");
    assert_eq!(kept(2, &[0, 1]), Some("certification"), "two of four");
    assert_eq!(kept(2, &[0, 0, 2]), Some("certification"), "one counts once");
    assert_eq!(kept(2, &[0, 1, 3]), Some("certification"), "nobody has heard that vote");
}

#[test]
fn votes_for_what_is_not_handed_on_break_certification() {
    let liar = |hand: &mut Hand, block: &VerifiedBlock| {
        let node = block.author().as_usize();
        hand.see(&Record::Sent { node, honest: false, block, stored: true, guard: None })
    };
    let false_digest = CommitDigest::new([1; 32]);
    let mut hand = hand();
    let block = hand.block(1, 1, 0, &[], b"");
    let first = hand.commit(None, 0, &[&block]);
    let honest = voting(&hand, 0, first.digest);
    assert_eq!(hand.sent(&honest), None);
    assert_eq!(hand.delivered(0, &first), None);
    let lie = voting(&hand, 1, false_digest);
    assert_eq!(liar(&mut hand, &lie), None, "a lie that no quorum tells");
    let wrong = voting(&hand, 2, false_digest);
    assert_eq!(hand.sent(&wrong), Some("certification"));

    let mut hand = self::hand();
    assert_eq!(hand.sent(&wrong), None, "nobody has handed anything on");
    assert_eq!(hand.delivered(0, &first), Some("certification"));

    let mut hand = self::hand();
    for author in 0..2 {
        let lie = voting(&hand, author, false_digest);
        assert_eq!(liar(&mut hand, &lie), None);
    }
    assert_eq!(hand.delivered(3, &first), None);
    let lie = voting(&hand, 2, false_digest);
    assert_eq!(liar(&mut hand, &lie), Some("certification"), "a quorum of lies");
}

#[test]
fn two_digests_at_one_index_break_agreement() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 2, 0, &[], b""));
    let (first, second) = (hand.commit(None, 0, &[&one]), hand.commit(None, 0, &[&other]));
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(1, &first), None);
    let violation = hand
        .watch
        .observe(7, &Record::Delivered { node: 2, at_ms: 7, sub_dag: &second, stored: true, again: false });
    let violation = violation.unwrap();
    assert_eq!((violation.invariant, violation.kind, violation.at_ms), ("agreement", Kind::Diverged, 7));
}

#[test]
fn a_commit_that_names_another_predecessor_or_digest_breaks_the_hash_chain() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 2, 0, &[], b""));
    let first = hand.commit(None, 0, &[&one]);
    assert_eq!(hand.delivered(0, &first), None);
    let mut second = hand.commit(Some(&first), 0, &[&other]);
    second.commit.previous_digest = CommitDigest::new([1; 32]);
    second.digest = second.commit.digest();
    assert_eq!(hand.delivered(0, &second), Some("hash-chain"));
    let mut second = self::hand().commit(Some(&first), 0, &[&other]);
    second.commit.closing = false;
    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &second), Some("hash-chain"));
}

#[test]
fn a_hole_a_repetition_and_a_block_in_two_commits_break_each_once() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 2, 0, &[], b""));
    let first = hand.commit(None, 0, &[&one]);
    let second = hand.commit(Some(&first), 0, &[&other]);
    let twice = hand.commit(Some(&first), 0, &[&one]);
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &first), Some("each-once"));
    assert_eq!(hand.delivered(1, &first), None);
    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &second), None);
    assert_eq!(hand.delivered(1, &second), Some("each-once"));
    let again = Record::Delivered { node: 0, at_ms: 0, sub_dag: &first, stored: true, again: true };
    assert_eq!(hand.see(&again), None, "a node on an old store forms commits again");
    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.delivered(0, &twice), Some("each-once"));
}

#[test]
fn d19_bytes_that_nobody_made_or_that_differ_break_transaction_bytes() {
    let mut hand = hand();
    let block = hand.block(1, 1, 0, &[], b"pay");
    let first = hand.commit(None, 0, &[&block]);
    assert_eq!(hand.delivered(0, &first), Some("transaction-bytes"), "nobody made it");
    let mut hand = self::hand();
    let transaction = Transaction::new(Bytes::from_static(b"pay")).digest();
    assert_eq!(hand.see(&Record::Made { transactions: &[transaction] }), None);
    assert_eq!(hand.delivered(0, &first), None);
    let mut replayed = first.clone();
    replayed.blocks.clear();
    assert_eq!(hand.delivered(1, &replayed), Some("transaction-bytes"));
    let mut replayed = first;
    replayed.blocks = vec![hand.block(1, 1, 0, &[], b"pa!")];
    assert_eq!(hand.delivered(2, &replayed), Some("transaction-bytes"));
}

#[test]
fn s06_two_signed_blocks_for_one_slot_break_own_slot_once() {
    let mut hand = hand();
    let (one, twin) = (hand.block(1, 1, 0, &[], b""), hand.block(1, 1, 1, &[], b""));
    assert_eq!(hand.sent(&one), None);
    assert_eq!(hand.sent(&one), None);
    assert_eq!(hand.sent(&twin), Some("own-slot-once"));
    let liar = Record::Sent { node: 1, honest: false, block: &twin, stored: false, guard: None };
    assert_eq!(hand.see(&liar), None, "nothing is demanded of liars");
}

#[test]
fn s02_blocks_and_commits_that_are_seen_before_they_are_durable_are_found() {
    let mut hand = hand();
    let block = hand.block(2, 1, 0, &[], b"");
    let guard = Some((Epoch::GENESIS, Round::new(2)));
    let lower = Some((Epoch::GENESIS, Round::new(1)));
    let broken = Some("durable-before-sent");
    let sent = |stored, guard| Record::Sent { node: 1, honest: true, block: &block, stored, guard };
    assert_eq!(hand.see(&sent(false, guard)), broken);
    assert_eq!(hand.see(&sent(true, lower)), broken);
    assert_eq!(hand.see(&sent(true, None)), broken);
    assert_eq!(hand.see(&sent(true, guard)), None);
    let first = self::hand().block(1, 1, 0, &[], b"");
    let sub_dag = hand.commit(None, 0, &[&first]);
    let early = Record::Delivered { node: 0, at_ms: 0, sub_dag: &sub_dag, stored: false, again: false };
    assert_eq!(hand.see(&early), broken);
}

#[test]
fn a_collected_block_in_a_commit_and_a_wrong_gc_round_break_the_gc_bound() {
    let mut hand = hand();
    let low = hand.block(1, 1, 0, &[], b"");
    let high = hand.block(100, 1, 0, &[&low], b"");
    assert_eq!(hand.sent(&low), None);
    assert_eq!(hand.sent(&high), None);
    let first = hand.commit(None, 0, &[&high]);
    let late = hand.commit(Some(&first), 0, &[&low]);
    let broken = Some("gc-bound");
    // The leader of a drawn commit has no honest parents, which `timestamps` would object to later.
    assert!(hand.delivered(0, &first).is_none_or(|name| name == "timestamps"));
    assert_eq!(hand.delivered(0, &late), broken);
    let status = CoreStatus {
        last_committed_round: Round::new(100),
        gc_round: Round::new(41),
        ..CoreStatus::default()
    };
    assert_eq!(hand.see(&Record::Probed { node: 0, status: &status }), broken);
}

/// Parents by three authorities and a leader over them, all sent: what `timestamps` wants of a leader.
fn two_leaders(hand: &mut Hand) -> (Vec<VerifiedBlock>, VerifiedBlock) {
    let parents: Vec<_> = (0..3).map(|author| hand.block(1, author, 0, &[], b"")).collect();
    let leader = hand.block(2, 2, 0, &parents.iter().collect::<Vec<_>>(), b"");
    for block in parents.iter().chain([&leader]) {
        assert_eq!(hand.sent(block), None);
    }
    (parents, leader)
}

#[test]
fn f03_a_commit_without_all_of_its_leaders_history_breaks_the_order() {
    let mut hand = hand();
    let (parents, leader) = two_leaders(&mut hand);
    let lacking = hand.commit(None, 0, &[&parents[0], &parents[1], &leader]);
    assert_eq!(hand.delivered(0, &lacking), Some("order"));
}

#[test]
fn f08_histories_that_are_unsorted_or_sorted_together_break_the_order() {
    let mut hand = hand();
    let (parents, leader) = two_leaders(&mut hand);
    let unsorted = hand.commit(None, 0, &[&parents[1], &parents[0], &parents[2], &leader]);
    assert_eq!(hand.delivered(0, &unsorted), Some("order"));

    // Two leaders of one group: the first has no late history, the second brings a block below the first.
    let by_leaders = |order: fn(&[VerifiedBlock]) -> Vec<VerifiedBlock>| {
        let mut hand = self::hand();
        let (parents, leader) = two_leaders(&mut hand);
        let late = hand.block(1, 3, 0, &[], b"");
        let next = hand.block(3, 0, 0, &[&parents[0], &leader, &late], b"");
        assert_eq!((hand.sent(&late), hand.sent(&next)), (None, None));
        let groups = [&parents[..], &[leader.clone(), late, next]].concat();
        let mut commit = hand.commit(None, 0, &order(&groups).iter().collect::<Vec<_>>());
        commit.commit.leaders.insert(0, leader.reference());
        commit.digest = commit.commit.digest();
        hand.delivered(0, &commit)
    };
    assert_eq!(by_leaders(<[_]>::to_vec), None, "leader by leader");
    let together = by_leaders(|groups| {
        let mut union = groups.to_vec();
        union.sort_by_key(VerifiedBlock::reference);
        union
    });
    assert_eq!(together, Some("order"));
}

#[test]
fn f02_a_time_that_only_a_liar_said_or_that_falls_breaks_timestamps() {
    let mut hand = hand();
    let times = [100, 200, 300, 900_000];
    let parents: Vec<_> = (0..4).map(|author| hand.block(1, author, times[author], &[], b"")).collect();
    for (author, block) in parents.iter().enumerate() {
        let guard = Some((Epoch::GENESIS, Round::FIRST));
        let record = Record::Sent { node: author, honest: author < 3, block, stored: true, guard };
        assert_eq!(hand.see(&record), None);
    }
    let leader = hand.block(2, 2, 400, &parents.iter().collect::<Vec<_>>(), b"");
    assert_eq!(hand.sent(&leader), None);
    let broken = Some("timestamps");
    let by_liar = hand.commit(None, 900_000, &[&leader]);
    assert_eq!(hand.delivered(0, &by_liar), broken);
    let mut hand_again = self::hand();
    let parents: Vec<_> = parents.iter().take(3).collect();
    let leader = hand_again.block(2, 2, 400, &parents, b"");
    let next = hand_again.block(2, 1, 400, &parents, b"");
    for block in parents.iter().copied().chain([&leader, &next]) {
        assert_eq!(hand_again.sent(block), None);
    }
    let first = hand_again.commit(None, 200, &[parents[0], parents[1], parents[2], &leader]);
    assert_eq!(hand_again.delivered(0, &first), None);
    let falling = hand_again.commit(Some(&first), 150, &[&next]);
    assert_eq!(hand_again.delivered(0, &falling), broken);
}

#[test]
fn t06_each_queue_over_its_bound_breaks_bounded_memory() {
    let base = CoreStatus::default();
    let params = Params::default();
    let over = [
        CoreStatus { dag_blocks: 17, ..base.clone() },
        CoreStatus { waiting_blocks: params.max_waiting_blocks + 1, ..base.clone() },
        CoreStatus { waiting_bytes: params.max_waiting_bytes + 1, ..base.clone() },
        CoreStatus { missing_blocks: params.max_waiting_blocks * 4 + 1, ..base.clone() },
        CoreStatus { round: Round::new(10_000), ..base.clone() },
        CoreStatus { fetches: FetchStatus { under_way: 17, ..FetchStatus::default() }, ..base.clone() },
        CoreStatus { unpersisted_blocks: 1_001, ..base.clone() },
        CoreStatus { unpersisted_bytes: (8 << 20) + 1, ..base.clone() },
        CoreStatus { pooled_transactions: params.max_pool_transactions + 1, ..base.clone() },
        CoreStatus { pooled_bytes: params.max_pool_bytes + 1, ..base.clone() },
    ];
    for status in &over {
        assert_eq!(hand().see(&Record::Probed { node: 0, status }), Some("bounded-memory"), "{status:?}");
    }
    let full = CoreStatus {
        dag_blocks: 16,
        waiting_blocks: params.max_waiting_blocks,
        pooled_bytes: params.max_pool_bytes,
        ..base
    };
    assert_eq!(hand().see(&Record::Probed { node: 0, status: &full }), None);
}

#[test]
fn t01_a_node_down_or_behind_or_in_debt_at_the_end_breaks_progress() {
    let standing = |is_up, delivered| Standing { node: 0, is_up, delivered };
    let see = |standing: Standing, owed| {
        let nodes = [standing];
        hand().watch.observe(0, &Record::Ended { nodes: &nodes, target: 5, owed, waited_ms: 1 })
    };
    let names: BTreeSet<_> =
        [see(standing(false, 5), 0), see(standing(true, 4), 0), see(standing(true, 5), 1)]
            .into_iter()
            .map(|violation| {
                violation.map(|violation| (violation.invariant, violation.kind == Kind::NoProgress))
            })
            .collect();
    assert_eq!(names, BTreeSet::from([Some(("progress", true))]));
    assert_eq!(see(standing(true, 5), 0), None);
}

#[test]
fn t02_a_repetition_that_is_not_marked_and_a_mark_without_one_break_duplicates() {
    let mut hand = hand();
    let (one, other) = (hand.block(1, 1, 0, &[], b"pay"), hand.block(1, 2, 0, &[], b"pay"));
    let transaction = Transaction::new(Bytes::from_static(b"pay")).digest();
    assert_eq!(hand.see(&Record::Made { transactions: &[transaction] }), None);
    let first = hand.commit(None, 0, &[&one]);
    assert_eq!(hand.delivered(0, &first), None);
    let unmarked = hand.commit(Some(&first), 0, &[&other]);
    assert_eq!(hand.delivered(0, &unmarked), Some("duplicates"));
    let mut hand = self::hand();
    assert_eq!(hand.see(&Record::Made { transactions: &[transaction] }), None);
    let mut marked = first;
    marked.commit.duplicate_marks = Bytes::from_static(&[1]);
    marked.digest = marked.commit.digest();
    assert_eq!(hand.delivered(0, &marked), Some("duplicates"));
}

#[test]
fn f07_an_equivocation_that_was_told_and_is_not_proven_breaks_evidence() {
    let broken = Some("evidence");
    let ended = Record::Ended { nodes: &[], target: 0, owed: 0, waited_ms: 0 };
    let pair = |hand: &Hand, round: u64| {
        let parents: Vec<_> = (0..4).map(|author| hand.block(round - 1, author, 0, &[], b"")).collect();
        let parents: Vec<_> = if round == 1 { Vec::new() } else { parents.iter().collect() };
        let mut own_first = parents;
        own_first.sort_by_key(|parent| parent.author().as_usize() != 1);
        let (one, other) =
            (hand.block(round, 1, 0, &own_first, b"a"), hand.block(round, 1, 0, &own_first, b"b"));
        EquivocationProof { first: one.signed_bytes().clone(), second: other.signed_bytes().clone() }
    };
    let at = |round| Slot { round: Round::new(round), authority: consensus_core::AuthorityIndex::new(1) };
    let met = |round| Record::MetEquivocation { node: 0, slot: at(round) };

    let mut hand = hand();
    assert_eq!(hand.see(&met(2)), None);
    assert_eq!(hand.see(&ended), broken);
    let proof = pair(&hand, 2);
    let kept = Record::Proof { node: 3, slot: at(2), proof: &proof };
    assert_eq!(hand.see(&kept), None);
    assert_eq!(hand.see(&ended), None, "another honest node has it");

    let mut hand = self::hand();
    assert_eq!(hand.see(&met(2)), None);
    assert_eq!(hand.see(&Record::StoreReplaced { node: 0 }), None);
    assert_eq!(hand.see(&ended), None);
    assert_eq!(hand.see(&Record::Proof { node: 3, slot: at(3), proof: &proof }), broken, "of another slot");
    let one_block = EquivocationProof { second: proof.first.clone(), ..proof.clone() };
    assert_eq!(hand.see(&Record::Proof { node: 3, slot: at(2), proof: &one_block }), broken);

    let mut hand = self::hand();
    let proofs: Vec<_> = (2..7).map(|round| (at(round), pair(&hand, round))).collect();
    for (slot, proof) in &proofs[..4] {
        assert_eq!(hand.see(&Record::Proof { node: 0, slot: *slot, proof }), None);
    }
    assert_eq!(hand.see(&met(9)), None);
    assert_eq!(hand.see(&ended), None, "the share of its author is full");
    assert_eq!(
        hand.see(&Record::Proof { node: 0, slot: proofs[4].0, proof: &proofs[4].1 }),
        broken,
        "over the share"
    );
}

fn tx(bytes: &'static [u8]) -> Transaction {
    Transaction::new(Bytes::from_static(bytes))
}

#[test]
fn t01_two_fates_a_fate_without_acceptance_and_a_second_acceptance_break_fates() {
    let pay = [tx(b"pay").digest()];
    let accepted = |node| Record::Accepted { node, transactions: &pay };
    let dropped = |node| Record::Dropped { node, transactions: &pay };
    let committed = |hand: &mut Hand, node| {
        let block = hand.block(1, 1, 0, &[], b"pay");
        let first = hand.commit(None, 0, &[&block]);
        assert_eq!(hand.see(&Record::Made { transactions: &pay[..1] }), None);
        hand.delivered(node, &first)
    };
    let broken = Some("fates");
    let mut hand = hand();
    assert_eq!(hand.see(&dropped(1)), broken, "nobody was promised anything");
    assert_eq!(hand.see(&accepted(1)), None);
    assert_eq!(hand.see(&accepted(1)), broken, "it is held already");
    assert_eq!(hand.see(&accepted(2)), None, "another node promises for itself");
    assert_eq!(hand.watch.owed(), 2);
    assert_eq!(hand.see(&dropped(1)), None);
    assert_eq!(hand.see(&dropped(1)), broken, "once");
    assert_eq!(committed(&mut hand, 1), None, "a copy may be committed later");
    assert_eq!(hand.watch.owed(), 1);
    let mut hand = self::hand();
    assert_eq!(hand.see(&accepted(1)), None);
    assert_eq!(committed(&mut hand, 1), None);
    assert_eq!(hand.see(&dropped(1)), broken, "committed there beforehand");
}

#[test]
fn t01_a_drop_of_what_the_window_holds_and_a_place_that_it_does_not_hold_break_fates() {
    let pay = [tx(b"pay").digest()];
    let accepted = Record::Accepted { node: 1, transactions: &pay };
    let dropped = Record::Dropped { node: 1, transactions: &pay };
    let before = Record::CommittedBefore { node: 1, transactions: &pay };
    let window_ms = u64::try_from(hand().genesis.parameters().duplicate_window.as_millis()).unwrap();
    let broken = Some("fates");
    // Committed, submitted again, and given up after a commit that is so much later.
    let given_up = |later_ms: Option<u64>, record: &Record<'_>| {
        let mut hand = hand();
        assert_eq!(hand.see(&Record::Made { transactions: &pay }), None);
        let block = hand.block(1, 1, 0, &[], b"pay");
        let first = hand.commit(None, 0, &[&block]);
        assert_eq!(hand.delivered(1, &first), None);
        if let Some(later_ms) = later_ms {
            let parent = hand.block(2, 1, later_ms, &[&block], b"");
            let leader = hand.block(3, 1, later_ms, &[&parent], b"");
            for block in [&block, &parent, &leader] {
                assert_eq!(hand.sent(block), None);
            }
            let second = hand.commit(Some(&first), later_ms, &[&parent, &leader]);
            assert_eq!(hand.delivered(1, &second), None);
        }
        assert_eq!(hand.see(&accepted), None);
        hand.see(record)
    };
    for later_ms in [None, Some(window_ms)] {
        assert_eq!(given_up(later_ms, &dropped), broken, "{later_ms:?}");
        assert_eq!(given_up(later_ms, &before), None, "{later_ms:?}");
    }
    assert_eq!(given_up(Some(window_ms + 1), &dropped), None);
    assert_eq!(given_up(Some(window_ms + 1), &before), broken);

    let mut hand = hand();
    assert_eq!(hand.see(&accepted), None);
    assert_eq!(hand.see(&before), broken, "nobody has committed it");

    // Committed, and the store lost; accepted by the next life.
    let forgetful = |record: &Record<'_>| {
        let mut hand = self::hand();
        assert_eq!(hand.see(&Record::Made { transactions: &pay }), None);
        let block = hand.block(1, 1, 0, &[], b"pay");
        let first = hand.commit(None, 0, &[&block]);
        assert_eq!(hand.delivered(1, &first), None);
        assert_eq!(hand.see(&Record::Crashed { node: 1 }), None);
        assert_eq!(hand.see(&Record::Recovered { node: 1, commits: 0, transactions: &[] }), None);
        assert_eq!(hand.see(&accepted), None);
        hand.see(record)
    };
    assert_eq!(
        forgetful(&dropped),
        None,
        "an earlier life has committed it, and this one knows nothing of that"
    );
    assert_eq!(forgetful(&before), broken);
}

#[test]
fn t01_a_crash_forgives_what_was_not_durable_and_nothing_else() {
    let (kept, lost) = ([tx(b"kept").digest()], [tx(b"lost").digest()]);
    let mut hand = hand();
    for transactions in [&kept, &lost] {
        assert_eq!(hand.see(&Record::Accepted { node: 0, transactions }), None);
    }
    assert_eq!(hand.see(&Record::Crashed { node: 0 }), None);
    assert_eq!(hand.see(&Record::Recovered { node: 0, commits: 0, transactions: &kept }), None);
    assert_eq!(hand.watch.owed(), 1);
    assert_eq!(hand.see(&Record::Dropped { node: 0, transactions: &kept }), None);
    assert_eq!(hand.see(&Record::Dropped { node: 0, transactions: &lost }), Some("fates"));
}

#[test]
fn f04_a_stored_schedule_that_differs_from_another_or_from_the_commits_breaks_schedule() {
    let progress = |points| Progress {
        last_commit: CommitIndex::new(1),
        schedule: ScheduleState { scores: vec![points, 0, 0, 0], ..ScheduleState::default() },
        ..Progress::default()
    };
    let (right, wrong) = (progress(0), progress(1));
    let ends = (right.last_commit, right.last_commit);
    let stored = |node, progress| Record::Stored { node, progress, certificates: &[], ends };
    let block = self::hand().block(1, 1, 0, &[], b"");
    let first = self::hand().commit(None, 0, &[&block]);

    let mut hand = hand();
    assert_eq!(hand.see(&stored(0, &right)), None);
    assert_eq!(hand.see(&stored(1, &right)), None);
    assert_eq!(hand.see(&stored(2, &wrong)), Some("schedule"));

    let mut hand = self::hand();
    assert_eq!(hand.see(&stored(0, &right)), None);
    assert_eq!(hand.delivered(0, &first), None);

    let mut hand = self::hand();
    assert_eq!(hand.see(&stored(0, &wrong)), None);
    assert_eq!(hand.delivered(0, &first), Some("schedule"), "all are wrong alike");

    let mut hand = self::hand();
    assert_eq!(hand.delivered(0, &first), None);
    assert_eq!(hand.see(&stored(0, &wrong)), Some("schedule"));
}

#[test]
fn s03_a_progress_record_ahead_of_the_commits_is_found() {
    let progress = Progress::default();
    let stored = |held, named| {
        let ends = (CommitIndex::new(held), CommitIndex::new(named));
        Record::Stored { node: 0, progress: &progress, certificates: &[], ends }
    };
    assert_eq!(hand().see(&stored(1, 1)), None);
    assert_eq!(hand().see(&stored(1, 2)), Some("store-agrees"));
}
