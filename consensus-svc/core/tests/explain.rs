//! L06, L08: what the machine says that it waits for, and why slots were decided as they were.

#![allow(missing_docs, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{sync::Arc, time::Duration};

use consensus_core::{
    AuthorityIndex, BlockSource, Consensus, DecidedSlot, DecisionReason, Effect, Explanation, Genesis, Input,
    LeaderSlot, MAX_REMEMBERED_DECISIONS, Params, RecoveredLog, Round, Stake, Ticket, Timestamp, Transaction,
    Via,
    explain::{MAX_EXPLAINED_MISSING, MAX_EXPLAINED_SLOTS, ProposalReason, SlotReason, Support},
    testkit::{
        self,
        drawing::{Drawing, draw},
        network::TestNetwork,
    },
};

/// Authority G of seven, which only listens; a quorum is five. B leads round 1, C round 2, and so on.
struct Listener {
    genesis: Arc<Genesis>,
    drawing: Drawing,
    machine: Consensus,
    now: Timestamp,
}

fn listener(text: &str) -> Listener {
    let mut listener = at_start(text);
    let blocks = listener.drawing.blocks().to_vec();
    listener.feed(Input::Blocks { from: authority('A'), source: BlockSource::Streamed, blocks });
    listener
}

/// ... with a drawing that it has not seen.
fn at_start(text: &str) -> Listener {
    let (genesis, signers) = testkit::genesis(7);
    let genesis = Arc::new(genesis);
    let drawing = draw(&genesis, &signers, text);
    let now = genesis.timestamp();
    let (machine, _) = Consensus::recover(
        genesis.clone(),
        Params::default(),
        signers[6].clone(),
        RecoveredLog::default(),
        now,
    )
    .expect("an empty store");
    Listener { genesis, drawing, machine, now }
}

impl Listener {
    fn feed(&mut self, input: Input) -> Vec<Effect> {
        self.machine.handle(self.now, input)
    }

    fn show(&mut self, names: &[&str]) {
        let blocks = names.iter().map(|name| self.drawing.block(name).clone()).collect();
        self.feed(Input::Blocks { from: authority('A'), source: BlockSource::Streamed, blocks });
    }

    fn explain(&self) -> Explanation {
        self.machine.explain()
    }

    /// Why the lowest undecided slot is that.
    fn first_reason(&self) -> SlotReason {
        self.explain().undecided[0].reason.clone()
    }

    fn after(&self, duration: Duration) -> Timestamp {
        self.genesis.timestamp().plus(duration)
    }
}

fn authority(letter: char) -> AuthorityIndex {
    AuthorityIndex::new(u16::try_from(u32::from(letter) - u32::from('A')).expect("a letter"))
}

fn slot(round: u64) -> LeaderSlot {
    LeaderSlot { round: Round::new(round), offset: 0 }
}

fn support(stake: u64, silent: &str, against: &str) -> Support {
    let authorities = |letters: &str| letters.chars().map(authority).collect();
    Support {
        stake: Stake::new(stake),
        quorum: Stake::new(5),
        silent: authorities(silent),
        against: authorities(against),
    }
}

#[test]
fn l08_a_slot_without_a_block_waits_for_the_voting_round() {
    let waits = listener("ACDEF1:[*]; ACD2:[*]");
    let explanation = waits.explain();
    assert_eq!(
        (explanation.undecided[0].slot, explanation.undecided[0].authority),
        (slot(1), authority('B'))
    );
    assert_eq!(explanation.undecided[0].anchor, None);
    assert_eq!(waits.first_reason(), SlotReason::NoBlock { voting: support(3, "BEFG", "") });
    assert_eq!(explanation.undecided.len(), 2, "slots that the DAG reaches");

    let skipped = listener("ACDEF1:[*]; ACDEF2:[*]");
    let (slot, authority) = (slot(1), authority('B'));
    let decided = DecidedSlot { slot, authority, block: None, reason: DecisionReason::NoBlock };
    assert_eq!(skipped.explain().decided, [decided]);
}

#[test]
fn l08_a_voting_round_without_a_quorum_names_those_who_are_silent() {
    let waits = listener("ABCDEF1:[*]; ACD2:[*]");
    let block = waits.drawing.block("B1").reference();
    assert_eq!(waits.first_reason(), SlotReason::VotingRound { block, voting: support(3, "BEFG", "") });
}

#[test]
fn l08_missing_votes_are_split_into_silent_and_against() {
    let waits = listener("ABCDEF1:[*]; ABC2:[*]; DE2:[*-B]");
    let block = waits.drawing.block("B1").reference();
    assert_eq!(waits.first_reason(), SlotReason::Votes { block, votes: support(3, "FG", "DE") });
    let skipped = listener("ABCDEF1:[*]; ACDEF2:[*-B]");
    let reason = DecisionReason::PassedOver { stake: Stake::new(5) };
    assert_eq!(skipped.explain().decided[0].reason, reason);
    assert_eq!(reason.via(), Via::Direct);
}

#[test]
fn l08_missing_certificates_are_split_into_silent_and_against() {
    // D3 sees four votes only.
    let waits = listener("ABCDEF1:[*]; ABCDE2:[*]; F2:[*-B]; ABC3:[*-F]; D3:[*-E]");
    let block = waits.drawing.block("B1").reference();
    let reason = SlotReason::Certificates { block, certificates: support(3, "EFG", "D") };
    assert_eq!(waits.first_reason(), reason);
    let committed = listener("ABCDEF1:[*]; ABCDE2:[*]; F2:[*-B]; ABCEF3:[*]");
    let (slot, authority) = (slot(1), authority('B'));
    let reason = DecisionReason::Certified { stake: Stake::new(5) };
    let decided = DecidedSlot { slot, authority, block: Some(block), reason };
    assert_eq!(committed.explain().decided, [decided]);
}

#[test]
fn l08_of_twins_that_with_the_most_votes_is_told_of() {
    let mut waits = at_start("ABCDEF1:[*]; B1b:[*] tx; A2:[ACDEF1,B1b]; CDEF2:[*]");
    // The second twin is taken once a block that waits names it.
    waits.show(&["A1", "B1", "C1", "D1", "E1", "F1", "A2", "B1b", "C2", "D2"]);
    let block = waits.drawing.block("B1").reference();
    assert_eq!(waits.first_reason(), SlotReason::VotingRound { block, voting: support(3, "BEFG", "") });
    waits.show(&["E2", "F2"]);
    assert_eq!(waits.first_reason(), SlotReason::Votes { block, votes: support(4, "BG", "A") });
}

#[test]
fn l08_a_slot_that_its_own_wave_leaves_open_names_its_anchor_and_what_that_lacks() {
    let open = "ABCDEF1:[*]; ABC2:[*]; DE2:[*-B]";
    let waits = listener(&format!("{open}; ABCDE3..4:[*]"));
    let explanation = waits.explain();
    let first = &explanation.undecided[0];
    assert_eq!((first.slot, first.anchor), (slot(1), Some(slot(4))));
    assert!(matches!(first.reason, SlotReason::Votes { .. }));
    let second = &explanation.undecided[1];
    let behind = SlotReason::Earlier { commit: true, via: Via::Direct };
    assert_eq!((second.slot, &second.reason), (slot(2), &behind), "it is clear, and waits for its turn");
    let anchor = &explanation.undecided[3];
    let block = waits.drawing.block("E4").reference();
    let voting = support(0, "ABCDEFG", "");
    assert_eq!((anchor.slot, &anchor.reason), (slot(4), &SlotReason::VotingRound { block, voting }));

    let decided = listener(&format!("{open}; ABCDE3..6:[*]")).explain().decided;
    let expected = DecidedSlot {
        slot: slot(1),
        authority: authority('B'),
        block: None,
        reason: DecisionReason::NotInAnchor { anchor: slot(4) },
    };
    assert_eq!(decided[0], expected);
    assert_eq!(decided[0].reason.via(), Via::Indirect);
}

#[test]
fn l08_a_slot_that_its_anchor_commits_says_so() {
    // Two certificates only: too few for the direct rule, and in the history of E4.
    let decided = listener(
        "ABCDEF1:[*]; ABCDE2:[*]; F2:[*-B]; AB3:[*-F]; CDF3:[*-E]; ABCDF4:[*]; E4:[E2,ABCDF3]; ABCDF5:[*]; E5:[E4,ABCDF4]; \
         ABCDEF6:[*]",
    );
    let decided = decided.explain().decided;
    let reason = DecisionReason::CertifiedInAnchor { anchor: slot(4) };
    assert_eq!(decided[0].reason, reason, "{decided:?}");
    assert!(decided[0].block.is_some() && reason.via() == Via::Indirect);
}

#[test]
fn explained_slots_missing_blocks_and_remembered_decisions_are_bounded() {
    let waits = listener("ABCDEF1:[*]; ABC2:[*]; DE2:[*-B]; ABCD3:[*]; ABCD4..120:[*]");
    assert_eq!(waits.explain().undecided.len(), MAX_EXPLAINED_SLOTS);

    let mut misses = at_start("ABCDEF1..6:[*]");
    misses.show(&["A6", "B4", "C2", "A4", "D5"]);
    assert_eq!(misses.explain().missing.len(), MAX_EXPLAINED_MISSING);

    let (genesis, signers) = testkit::genesis(1);
    let mut network = TestNetwork::start(genesis, signers, Params::default(), Duration::from_millis(1));
    let decisions = |network: &TestNetwork| {
        let machine = network.node(AuthorityIndex::new(0)).machine.as_ref().expect("running");
        machine.decisions().clone()
    };
    assert!(network.run_until_within(Duration::from_secs(600), |network| decisions(network).total() == 100));
    let decisions = decisions(&network);
    assert_eq!(decisions.newest().len(), MAX_REMEMBERED_DECISIONS);
    let told: Vec<_> = decisions.since(97).map(|decided| decided.slot).collect();
    assert_eq!(told, [slot(98), slot(99), slot(100)]);
    assert_eq!((decisions.since(100).count(), decisions.since(0).count()), (0, MAX_REMEMBERED_DECISIONS));
}

#[test]
fn l06_the_next_proposal_names_what_it_waits_for() {
    let mut machine = at_start("ACDEF1:[*]; B1:[*]");
    let reason = |machine: &Listener| machine.explain().proposal.reason;
    let round = |machine: &Listener| machine.explain().proposal.round.get();

    machine.feed(Input::OwnLastBlock { from: authority('C'), block: None, peers_last: None });
    assert_eq!(reason(&machine), ProposalReason::StartQuestion { answers: support(2, "ABDEF", "") });
    for letter in ['A', 'B', 'D'] {
        machine.feed(Input::OwnLastBlock { from: authority(letter), block: None, peers_last: None });
    }
    let params = Params::default();
    assert_eq!(reason(&machine), ProposalReason::Idle { until: machine.after(params.idle_delay) });

    let transactions = vec![Transaction::new(bytes::Bytes::from_static(b"x"))];
    machine.feed(Input::Transactions { ticket: Ticket(1), transactions });
    let (one, blocks) = (Round::FIRST, support(1, "ABCDEF", ""));
    assert_eq!((round(&machine), reason(&machine)), (2, ProposalReason::Quorum { round: one, blocks }));

    machine.show(&["A1", "C1", "D1", "E1"]);
    let (until, missing) = (machine.after(params.leader_timeout), vec![authority('B')]);
    assert_eq!((round(&machine), reason(&machine)), (2, ProposalReason::Leaders { until, missing }));
    machine.show(&["B1"]);
    let until = machine.after(params.min_round_interval);
    assert_eq!(reason(&machine), ProposalReason::MinInterval { until });
    assert_eq!(machine.machine.next_deadline(), Some(until), "what is told is what is done");

    machine.feed(Input::Halt);
    assert_eq!(reason(&machine), ProposalReason::Halted { unknown_own_block: None });
}

#[test]
fn l06_a_node_behind_names_those_ahead_and_the_blocks_that_it_lacks() {
    let mut machine = at_start("ABCDEF1..20:[*]");
    for letter in ['A', 'B', 'C', 'D'] {
        machine.feed(Input::OwnLastBlock { from: authority(letter), block: None, peers_last: None });
    }
    machine.show(&["A20", "B20"]);
    assert_eq!(machine.machine.status().credible_round, Round::GENESIS, "two of seven may both lie");
    machine.show(&["C20"]);
    let status = machine.machine.status();
    assert_eq!((status.credible_round, status.round), (Round::new(20), Round::FIRST));
    let ahead = ['A', 'B', 'C'].map(|letter| (authority(letter), Round::new(20))).to_vec();
    let explanation = machine.explain();
    assert_eq!(explanation.proposal.reason, ProposalReason::Behind { clock: Round::FIRST, ahead });
    assert_eq!(explanation.seen_rounds[2], Round::new(20));

    let missing: Vec<_> = explanation.missing.iter().map(|missing| missing.block).collect();
    assert_eq!(machine.drawing.names(&missing), "A19 B19 C19 D19 E19 F19");
    assert!(explanation.missing.iter().all(|missing| missing.needed_by == 3 && missing.asked.is_empty()));
    machine.now = machine.now.plus(Params::default().fetch_timeout);
    machine.feed(Input::Tick);
    let asked = machine.explain().missing[0].asked.clone();
    assert_eq!(asked, [authority('A')], "who named it");
}
