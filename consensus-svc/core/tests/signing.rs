//! S06: one block a slot, over all lives of a key; how an authority comes back that forgot what it signed.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    AmnesiaCause, AuthorityIndex, BlockSource, Consensus, Effect, Epoch, Genesis, Input, Params, PeerFault,
    ProtocolParameters, RecoverError, RecoveredLog, Round, Signer, VerifiedBlock,
    testkit::{
        self,
        drawing::{Drawing, draw},
    },
};

fn authority(index: u16) -> AuthorityIndex {
    AuthorityIndex::new(index)
}

fn round(number: u64) -> Round {
    Round::new(number)
}

/// A committee, what was drawn of its past, and machines of authority A (0) that meet it.
struct Bench {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    drawing: Drawing,
}

impl Bench {
    fn new(stakes: &[u64], drawing: &str) -> Self {
        let (genesis, signers) = testkit::genesis_with(stakes, ProtocolParameters::default());
        let genesis = Arc::new(genesis);
        let drawing = draw(&genesis, &signers, drawing);
        Self { genesis, signers, drawing }
    }

    fn block(&self, name: &str) -> VerifiedBlock {
        self.drawing.block(name).clone()
    }

    fn try_start(&self, log: RecoveredLog) -> Result<Life<'_>, RecoverError> {
        let params = Params { idle_delay: Duration::ZERO, ..Params::default() };
        let (genesis, signer) = (self.genesis.clone(), self.signers[0].clone());
        let (machine, effects) = Consensus::recover(genesis, params, signer, log, self.genesis.timestamp())?;
        assert_eq!(effects, [], "nothing is signed before anybody was asked");
        Ok(Life { bench: self, machine })
    }

    /// A life over these blocks, the guard at a round.
    fn start(&self, blocks: &[&str], guard: u64) -> Life<'_> {
        self.try_start(self.log(blocks, guard)).expect("a sound store")
    }

    fn log(&self, blocks: &[&str], guard: u64) -> RecoveredLog {
        let blocks: Vec<_> = blocks.iter().map(|name| self.block(name)).collect();
        RecoveredLog {
            own_last: blocks.iter().rev().find(|block| block.author() == authority(0)).cloned(),
            blocks,
            guard: (guard > 0).then_some((Epoch::GENESIS, round(guard))),
            ..RecoveredLog::default()
        }
    }
}

struct Life<'a> {
    bench: &'a Bench,
    machine: Consensus,
}

impl Life<'_> {
    fn handle(&mut self, input: Input) -> Vec<Effect> {
        self.machine.handle(self.bench.genesis.timestamp().plus(Duration::from_secs(60)), input)
    }

    fn take(&mut self, from: u16, names: &[&str]) -> Vec<Effect> {
        let blocks = names.iter().map(|name| self.bench.block(name)).collect();
        self.handle(Input::Blocks { from: authority(from), source: BlockSource::Streamed, blocks })
    }

    /// A peer answers: the highest block of A that it knows, and its own last block.
    fn answer(&mut self, from: u16, block: Option<&str>, peers_last: Option<&str>) -> Vec<Effect> {
        let named = |name: Option<&str>| name.map(|name| self.bench.block(name));
        let input =
            Input::OwnLastBlock { from: authority(from), block: named(block), peers_last: named(peers_last) };
        self.handle(input)
    }

    fn first_round(&self) -> Option<u64> {
        self.machine.status().amnesia.expect("an amnesiac").first_round.map(Round::get)
    }

    fn awaited(&self) -> Vec<u16> {
        let amnesia = self.machine.status().amnesia.expect("an amnesiac");
        amnesia.awaited.into_iter().map(AuthorityIndex::get).collect()
    }

    fn halted(&self) -> bool {
        self.machine.status().halted
    }
}

fn signed(effects: &[Effect]) -> Vec<&VerifiedBlock> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Broadcast(block) = effect { Some(block) } else { None })
        .collect()
}

/// Its author asks for it after it lost its store, and only those can answer who keep in mind what waits.
#[test]
fn s06_the_highest_verified_block_of_an_author_is_remembered_whether_it_is_accepted_or_not() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; BCD2:[*]; D3:[*]; D4:[D3,B2,C2]");
    let mut life = bench.start(&[], 0);
    let seen = |life: &Life<'_>| life.machine.latest_seen(authority(3)).cloned();
    assert_eq!(seen(&life), None);
    life.take(3, &["D1"]);
    assert_eq!(seen(&life), Some(bench.block("D1")));
    life.take(3, &["D3"]);
    assert_eq!((life.machine.status().waiting_blocks, seen(&life)), (1, Some(bench.block("D3"))));
    life.take(3, &["D2"]);
    assert_eq!(seen(&life), Some(bench.block("D3")), "the highest stays");
    assert_eq!(life.machine.latest_seen(authority(1)), None);
}

/// A sent A2, which nobody answers with: it is lost. Its parents at round 1 were of a quorum, so that somebody in a quorum
/// answers with round 1 at least, and A may not sign again before round 3.
#[test]
fn s06_an_amnesiac_signs_two_rounds_above_the_highest_round_in_a_quorums_answers() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; BCD2:[BCD1]; BCD3:[*]");
    let mut life = bench.start(&[], 1);
    assert_eq!(
        life.machine.status().amnesia.map(|amnesia| amnesia.cause),
        Some(AmnesiaCause::BelowGuard { stored: Round::GENESIS, guard: Round::FIRST }),
        "an older guard: that of A2 is lost"
    );
    life.take(1, &["B1"]);
    life.take(2, &["C1"]);
    life.take(3, &["D1"]);
    life.answer(1, None, Some("B1"));
    assert_eq!((life.first_round(), life.awaited()), (None, vec![2, 3]));
    life.answer(2, None, Some("C1"));
    assert_eq!(life.first_round(), Some(3));
    assert_eq!(life.awaited(), []);
    // The clock stands in round 2, where A has signed already.
    assert_eq!(life.machine.status().round, round(2));
    for (from, name) in [(1, "B2"), (2, "C2")] {
        assert_eq!(signed(&life.take(from, &[name])), Vec::<&VerifiedBlock>::new());
    }
    let effects = life.take(3, &["D2"]);
    let [block] = signed(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((block.round(), block.ancestors()[0].round), (round(3), Round::GENESIS));
    assert_eq!(life.machine.status().amnesia, None);
    assert!(matches!(&effects[..], [Effect::Persist(batch), Effect::Guard { .. }, Effect::Broadcast(_)]
        if batch.progress.own_round == round(3)));
}

/// The shown own block counts like the peer's own last: A2 was seen by C alone.
#[test]
fn s06_the_highest_own_block_that_is_shown_counts_too_and_becomes_the_first_ancestor_once_it_is_fetched() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; A2:[ABCD1]; BCD2:[ABCD1]; BCD3:[*]; BCD4:[*]");
    let mut life = bench.start(&[], 0);
    assert_eq!(life.machine.status().amnesia, None, "nothing tells yet");
    let effects = life.answer(2, Some("A2"), None);
    assert_eq!(effects, [Effect::Guard { epoch: Epoch::GENESIS, round: round(2) }]);
    let cause = AmnesiaCause::UnknownOwnBlock { from: authority(2), block: bench.block("A2").reference() };
    assert_eq!(life.machine.status().amnesia.map(|amnesia| amnesia.cause), Some(cause));
    life.answer(1, None, None);
    assert_eq!(life.first_round(), Some(4));
    let mut last = Vec::new();
    for names in [["A1", "B1", "C1", "D1"], ["A2", "B2", "C2", "D2"]] {
        for (from, name) in (0..).zip(names) {
            assert_eq!(signed(&life.take(from.max(1), &[name])), Vec::<&VerifiedBlock>::new());
        }
    }
    for (from, name) in [(1, "B3"), (2, "C3"), (3, "D3")] {
        last = life.take(from, &[name]);
    }
    let [block] = signed(&last)[..] else { panic!("{last:?}") };
    assert_eq!((block.round(), block.ancestors()[0]), (round(4), bench.block("A2").reference()));
}

/// Stakes 2, 3, 3, 2: a quorum is 7, the validity threshold 4.
#[test]
fn s06_the_answers_that_count_make_a_quorum_of_stake_and_not_a_validity_threshold() {
    let bench = Bench::new(&[2, 3, 3, 2], "BCD1:[*]");
    for (peers, decided) in [(&[1][..], false), (&[1, 3], true), (&[1, 2], true), (&[3], false)] {
        let mut life = bench.start(&[], 1);
        for peer in peers {
            life.answer(*peer, None, None);
            life.answer(*peer, None, None);
        }
        assert_eq!(life.first_round().is_some(), decided, "answers of {peers:?}");
        assert_eq!(life.machine.status().may_propose, decided);
    }
}

/// A liar names a round that the network has not come to. Its answer never counts; two others are enough.
#[test]
fn s06_an_answer_counts_when_the_peers_own_last_block_is_accepted_and_not_before() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; BCD2:[BCD1]; D2b:[BCD1] tx; D900:[D2b]");
    let mut life = bench.start(&[], 1);
    life.answer(3, None, Some("D900"));
    life.answer(1, None, Some("B2"));
    assert_eq!((life.first_round(), life.awaited()), (None, vec![1, 2, 3]));
    life.answer(2, None, Some("C1"));
    for (from, name) in [(1, "B1"), (2, "C1"), (3, "D1")] {
        life.take(from, &[name]);
    }
    assert_eq!((life.first_round(), life.awaited()), (None, vec![1, 3]), "B2 is still missing");
    life.take(1, &["B2"]);
    assert_eq!(life.first_round(), Some(4));
}

#[test]
fn s06_an_answer_with_somebody_elses_block_as_its_own_last_is_none() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]");
    let mut life = bench.start(&[], 1);
    life.answer(1, None, Some("C1"));
    life.answer(2, Some("D1"), None);
    assert_eq!(life.awaited(), [1, 3], "somebody else's block in place of ours tells nothing of us");
    // Without amnesia it is no answer either.
    let mut life = bench.start(&[], 0);
    life.answer(1, None, Some("C1"));
    life.answer(2, None, None);
    assert!(!life.machine.status().may_propose);
}

/// The first answer stays, or a peer could move ahead for ever; one that can be counted at once takes its place.
#[test]
fn s06_a_further_answer_changes_nothing_unless_it_counts_at_once() {
    let bench = Bench::new(&[1, 1, 1, 1], "BCD1:[*]; BCD2:[*]; D900:[D2]");
    let mut life = bench.start(&[], 1);
    life.answer(1, None, Some("B1"));
    life.answer(1, None, Some("B2"));
    life.answer(3, None, Some("D900"));
    life.answer(3, None, None);
    assert_eq!(life.awaited(), [1, 2]);
    for (from, name) in [(1, "B1"), (2, "C1"), (3, "D1")] {
        life.take(from, &[name]);
    }
    assert_eq!(life.first_round(), Some(3), "of B1 and none: the highest is round 1");
}

#[test]
fn s06_nothing_is_signed_at_or_below_a_guard_that_stands_above_all_answers() {
    let bench = Bench::new(&[1, 1, 1, 1], "BCD1:[*]");
    for (guard, first_round) in [(1, 2), (2, 3), (9, 10)] {
        let mut life = bench.start(&[], guard);
        life.answer(1, None, None);
        life.answer(2, None, None);
        assert_eq!(life.first_round(), Some(first_round), "guard {guard}");
    }
}

/// An amnesiac stores what it fetches of itself; a life that begins then is amnesiac as well, also where the guard was not
/// durable yet.
#[test]
fn s06_a_crash_in_the_middle_of_amnesia_is_followed_by_amnesia() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; ABCD2:[*]; BCD3:[*]");
    // After the guard was raised and before anything was stored.
    let life = bench.start(&[], 1);
    assert!(life.machine.status().amnesia.is_some());
    // A1 was fetched and stored, A2 is lost; what the batch vouches for is nothing.
    let stored = ["A1", "B1", "C1", "D1", "B2", "C2", "D2"];
    let mut life = bench.start(&stored[..4], 2);
    for (from, name) in [(1, "B2"), (2, "C2"), (3, "D2")] {
        life.take(from, &[name]);
    }
    for guard in [0, 1] {
        let log = RecoveredLog { refilled: true, ..bench.log(&stored, guard) };
        let mut life = bench.try_start(log).expect("it comes back by itself");
        life.answer(1, Some("A1"), Some("B2"));
        life.answer(2, Some("A1"), Some("C2"));
        assert_eq!(life.first_round(), Some(4), "guard {guard}");
        // The same store, closed by a life that remembered all, is sound.
        let mut life = bench.start(&stored, guard);
        life.answer(1, Some("A1"), Some("B2"));
        let effects = life.answer(2, Some("A1"), Some("C2"));
        let rounds: Vec<_> = signed(&effects).iter().map(|block| block.round().get()).collect();
        assert_eq!(rounds, [3]);
    }
}

#[test]
fn s06_what_an_amnesiac_stores_does_not_vouch_for_its_own_blocks() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1..40:[*]");
    let mut life = bench.start(&[], 1);
    let mut batches = 0;
    for number in 1..=40 {
        for (from, letter) in (0..).zip(["A", "B", "C", "D"]) {
            for effect in life.take(from.max(1), &[&format!("{letter}{number}")]) {
                if let Effect::Persist(batch) = effect {
                    batches += 1;
                    assert_eq!(batch.progress.own_round, Round::GENESIS);
                }
            }
        }
    }
    assert!(batches > 0);
    assert!(life.machine.status().proposed_round > Round::GENESIS, "own blocks were fetched");
}

/// f = 1 of 4, 1 of 5 and 6, 2 of 7; none of 3.
#[test]
fn s06_where_own_stake_exceeds_f_the_life_does_not_sign_and_names_both_rounds() {
    let cases: [(&[u64], bool); 8] = [
        (&[1], false),
        (&[1, 1], false),
        (&[1, 1, 1], false),
        (&[1, 1, 1, 1], true),
        (&[1, 1, 1, 2], true),
        (&[2, 1, 1, 1], false),
        (&[2, 2, 2, 1], true),
        (&[3, 1, 1, 1, 1], false),
    ];
    for (stakes, comes_back) in cases {
        let bench = Bench::new(stakes, "A1:[*]");
        let started = bench.try_start(bench.log(&[], 5)).map(|_| ());
        let refused = RecoverError::BelowGuard { stored: Round::GENESIS, guard: round(5) };
        assert_eq!(started, if comes_back { Ok(()) } else { Err(refused) }, "{stakes:?}");
    }
    let bench = Bench::new(&[1, 1, 1], "ABC1:[*]");
    let mut life = bench.start(&[], 0);
    let shown = bench.block("A1").reference();
    assert_eq!(
        life.answer(1, Some("A1"), None),
        [
            Effect::Report(PeerFault::UnknownOwnBlock { from: authority(1), block: shown }),
            Effect::Guard { epoch: Epoch::GENESIS, round: round(2) },
        ]
    );
    assert!(life.halted());
    assert_eq!(life.machine.status().unknown_own_block, Some(shown));
    // Nor after the next start, though the block itself was stored meanwhile.
    let log = RecoveredLog { refilled: true, ..bench.log(&["A1"], 2) };
    let refused = RecoverError::BelowGuard { stored: Round::FIRST, guard: round(2) };
    assert_eq!(bench.try_start(log).map(|_| ()), Err(refused));
}

/// A life that has signed would know of every block that it could still sign a second time.
#[test]
fn s06_an_unknown_own_block_after_the_first_proposal_ends_signing() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; A1b:[*] tx; ABCD2:[*]; A7:[A2,B2,C2]");
    for shown in ["A1b", "A2", "A7"] {
        let mut life = bench.start(&[], 0);
        life.answer(1, None, None);
        let effects = life.answer(2, None, None);
        assert_eq!(signed(&effects).len(), 1, "its block of round 1");
        let effects = life.answer(3, Some(shown), None);
        let block = bench.block(shown).reference();
        assert_eq!(
            effects,
            [
                Effect::Report(PeerFault::UnknownOwnBlock { from: authority(3), block }),
                Effect::Guard { epoch: Epoch::GENESIS, round: block.round.next() },
            ]
        );
        assert!(life.halted(), "{shown}");
        assert_eq!(life.machine.next_deadline(), None);
        // More of them are not told, but forbidden.
        let again = life.take(3, &["A7"]);
        assert!(
            !again.iter().any(|effect| matches!(effect, Effect::Report(PeerFault::UnknownOwnBlock { .. })))
        );
    }
}

/// What was lost may come to light at any time later, at the hands of a liar at the worst: it is below all that this life
/// signs, and harmless.
#[test]
fn s06_a_lost_block_that_comes_to_light_after_the_return_ends_nothing() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; A2:[ABCD1]; BCD2:[ABCD1]; BCD3:[*]; BCD4:[*]");
    let mut life = bench.start(&[], 2);
    life.answer(1, None, None);
    life.answer(2, None, None);
    assert_eq!(life.first_round(), Some(3));
    for (from, name) in [(1, "A1"), (1, "B1"), (2, "C1"), (3, "D1"), (1, "B2"), (2, "C2"), (3, "D2")] {
        life.take(from, &[name]);
    }
    assert_eq!(life.machine.status().proposed_round, round(3));
    life.take(3, &["A2"]);
    life.answer(3, Some("A2"), None);
    assert!(!life.halted());
    // Nor in a later life, whose store is whole.
    let mut life = bench.start(&["A1", "B1", "C1", "D1", "B2", "C2", "D2"], 0);
    life.answer(3, Some("A2"), None);
    assert!(life.machine.status().amnesia.is_some(), "here A2 is above all that is stored");
    let own_later = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; A2:[ABCD1]; BCD2:[ABCD1]; A3:[A1,BCD2]");
    let mut life = own_later.start(&["A1", "B1", "C1", "D1", "B2", "C2", "D2", "A3"], 3);
    life.answer(3, Some("A2"), None);
    life.take(3, &["A2"]);
    assert!(!life.halted());
    assert_eq!(life.machine.status().amnesia, None);
}

/// An authority that once equivocated, and whose store was lost later, meets its old twins while it refills: that was
/// another life, and the rounds are below all that this one signs.
#[test]
fn s06_an_old_twin_ends_no_life_that_forgot_and_a_new_one_does() {
    let bench = Bench::new(
        &[1, 1, 1, 1],
        "ABCD1:[*]; A1b:[*] tx; A1c:[*] tx=2; BCD2:[ABCD1]; BCD3:[*]; A3b:[A1,BCD2] tx; BCD4:[*]",
    );
    let mut life = bench.start(&[], 0);
    for name in ["A1", "A1b"] {
        life.take(3, &[name]);
        assert!(!life.halted(), "{name}");
        assert_eq!(life.first_round(), None);
    }
    life.answer(1, None, None);
    life.answer(2, None, None);
    assert_eq!(life.first_round(), Some(3));
    for (from, name) in [(1, "B1"), (2, "C1"), (3, "D1"), (1, "B2"), (2, "C2"), (3, "D2")] {
        life.take(from, &[name]);
    }
    assert_eq!(life.machine.status().proposed_round, round(3));
    life.answer(3, Some("A1c"), None);
    life.take(3, &["A1c"]);
    assert!(!life.halted(), "of a round below the first that this life may sign");
    life.take(3, &["A3b"]);
    assert!(life.halted(), "somebody else signs in the rounds of this life");
}

/// Two blocks of one slot were signed, whoever did it.
#[test]
fn s06_a_twin_of_a_stored_own_block_ends_signing_before_anything_is_signed() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]; A1b:[*] tx; ABCD2:[*]");
    for stored in [&["A1", "B1", "C1", "D1"][..], &["A1", "B1", "C1", "D1", "A2"]] {
        let mut life = bench.start(stored, 0);
        life.answer(2, Some("A1b"), None);
        assert!(life.halted(), "{stored:?}");
    }
}

#[test]
fn s06_an_executor_that_is_ahead_is_amnesia_before_the_first_block_and_a_halt_after_it() {
    let bench = Bench::new(&[1, 1, 1, 1], "ABCD1:[*]");
    let mut life = bench.start(&[], 0);
    assert_eq!(
        life.handle(Input::StoreBehind),
        [Effect::Guard { epoch: Epoch::GENESIS, round: round(1) }],
        "so that a life after a crash knows it without the executor"
    );
    let cause = life.machine.status().amnesia.map(|amnesia| amnesia.cause);
    assert_eq!(cause, Some(AmnesiaCause::ExecutorAhead));
    life.answer(1, None, None);
    assert_eq!(life.first_round(), None);
    life.answer(2, None, None);
    assert_eq!(life.first_round(), Some(2));

    let mut life = bench.start(&[], 0);
    life.answer(1, None, None);
    assert_eq!(signed(&life.answer(2, None, None)).len(), 1);
    life.handle(Input::StoreBehind);
    assert!(life.halted());

    let lone = Bench::new(&[1], "A1:[*]");
    let params = Params::default();
    let (mut machine, effects) = Consensus::recover(
        lone.genesis.clone(),
        params,
        lone.signers[0].clone(),
        lone.log(&["A1"], 1),
        lone.genesis.timestamp(),
    )
    .expect("sound");
    assert_eq!(effects, []);
    machine.handle(lone.genesis.timestamp(), Input::StoreBehind);
    assert!(machine.status().halted);
}

/// Also while the question is open for a life that took itself for sound.
#[test]
fn s06_answers_heard_before_amnesia_was_noticed_count() {
    let bench = Bench::new(&[1, 1, 1, 1, 1, 1, 1], "A1:[*]; BCDEFG1:[*]");
    let mut life = bench.start(&[], 0);
    for peer in 1..4 {
        life.answer(peer, None, None);
    }
    assert_eq!(life.machine.status().amnesia, None);
    assert_eq!(life.answer(4, Some("A1"), None), [Effect::Guard { epoch: Epoch::GENESIS, round: round(1) }]);
    assert_eq!(life.first_round(), Some(3));
}
