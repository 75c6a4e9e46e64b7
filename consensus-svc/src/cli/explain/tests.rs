use metanode_proto::consensus::v1::{
    BlockRef, DecisionExplanation, DecisionReason, ExecutorExplanation, ExecutorState, ExecutorStep,
    ExplainResponse, FaultCount, Fork, LeaderSlot, MissingBlock, PeerExplanation, ProposalExplanation,
    ProposalReason, SlotExplanation, SlotReason, Stall, StallReason, Support,
};

use super::*;

fn sample() -> ExplainResponse {
    let slot = |round| Some(LeaderSlot { round, offset: 0 });
    let block = BlockRef { round: 12, author: 1, digest: vec![0xab; 32].into() };
    let support = |silent: &[u32], against: &[u32]| {
        Some(Support { stake: 2, quorum: 3, silent: silent.to_vec(), against: against.to_vec() })
    };
    ExplainResponse {
        slots: vec![
            SlotExplanation {
                slot: slot(12),
                authority: 1,
                reason: SlotReason::Votes.into(),
                block: Some(block.clone()),
                support: support(&[2], &[3]),
                anchor: slot(15),
            },
            SlotExplanation {
                slot: slot(13),
                authority: 2,
                reason: SlotReason::NoBlock.into(),
                support: support(&[1, 2], &[]),
                ..SlotExplanation::default()
            },
        ],
        decisions: vec![DecisionExplanation {
            slot: slot(11),
            reason: DecisionReason::NotInAnchor.into(),
            anchor: slot(14),
            ..DecisionExplanation::default()
        }],
        proposal: Some(ProposalExplanation {
            round: 14,
            reason: ProposalReason::Quorum.into(),
            support: support(&[1, 2], &[]),
            ..ProposalExplanation::default()
        }),
        missing: vec![MissingBlock { block: Some(block), needed_by: 3, asked: vec![2] }],
        peers: vec![PeerExplanation {
            authority: 2,
            highest_round: 12,
            seen_round: 14,
            heard_ms_ago: Some(40_250),
            faults: vec![FaultCount { label: "equivocation".to_owned(), count: 2 }],
            last_loss: "connection refused".to_owned(),
            ..PeerExplanation::default()
        }],
        executor: Some(ExecutorExplanation {
            state: ExecutorState::Connecting.into(),
            step: ExecutorStep::Pausing.into(),
            step_ms: 1_500,
            commit_index: 9,
            executed_index: 7,
            failure: "cannot connect to the executor".to_owned(),
        }),
        stall: Some(Stall { since_ms: 31_000, pooled_transactions: 4, ..Stall::default() }),
        machine_silent: false,
    }
}

#[test]
fn l06_l08_the_text_says_what_is_waited_for_and_of_whom() {
    let expected = "\
stalled     no commit for 31.0 s, though there is something to do: 4 transactions in the pool, 0 uncommitted blocks with \
transactions, 0 rounds behind
next block  round 14 waits for blocks of round 13: stake 2 of 3, silent 1 2
executor    connecting, at pausing for 1.5 s, 2 commits behind; cannot connect to the executor
undecided leader slots (round/offset)
  12/0 of 1: B1@12(abababab) lacks votes: stake 2 of 3, silent 2, against 3; else decided by 15/0
  13/0 of 2: no block of it; of the next round stake 2 of 3, silent 1 2
newest decisions
  11/0 of 0: skipped by 14/0, which knows no certificate of it
missing blocks
  B1@12(abababab): needed by 3 blocks, asked: 2
other authorities
  2: round 12 (seen 14), not connected, heard 40.2 s ago, equivocation 2; connection refused
";
    assert_eq!(text::of(&sample()), expected);
}

#[test]
fn l06_a_node_that_nobody_hears_is_told_where_to_look() {
    let stall = Stall {
        since_ms: 31_000,
        pooled_transactions: 4,
        reason: StallReason::OwnOnly.into(),
        waits_for: "an own block; look at its address".to_owned(),
        ..Stall::default()
    };
    let explained = ExplainResponse { stall: Some(stall), ..ExplainResponse::default() };
    let text = text::of(&explained);
    assert!(
        text.starts_with(
            "stalled     for 31.0 s, 4 transactions in the pool, waits for an own block; look at its address\n"
        ),
        "{text}"
    );
    assert_eq!(json::of(&explained)["stall"]["reason"], "own_only");
}

#[test]
fn l06_a_fork_is_told_with_both_digests_where_both_are_known() {
    let forked = |own_digest: Vec<u8>| {
        let fork = Fork { index: 9, own_digest: own_digest.into(), certified_digest: vec![2; 32].into() };
        let reason = ProposalReason::Forked.into();
        let proposal =
            ProposalExplanation { round: 14, reason, fork: Some(fork), ..ProposalExplanation::default() };
        ExplainResponse { proposal: Some(proposal), ..ExplainResponse::default() }
    };
    let (own, certified) = ("01".repeat(32), "02".repeat(32));
    let both = forked(vec![1; 32]);
    let told = format!("fork at commit 9: this node has {own}, a quorum voted for {certified}");
    assert!(text::of(&both).contains(&told), "{}", text::of(&both));
    assert_eq!(json::of(&both)["proposal"]["reason"], "forked");
    assert_eq!(json::of(&both)["proposal"]["fork"]["own_digest"], own);
    let none = forked(Vec::new());
    assert!(text::of(&none).contains("this node can form none"), "{}", text::of(&none));
    assert_eq!(json::of(&none)["proposal"]["fork"]["own_digest"], serde_json::Value::Null);
}

#[test]
fn l06_an_amnesiac_that_knows_its_round_waits_for_that_round_and_not_for_answers() {
    let wait = |round, support| {
        let reason = ProposalReason::Amnesia.into();
        let proposal = Some(ProposalExplanation { round, reason, support, ..ProposalExplanation::default() });
        text::of(&ExplainResponse { proposal, ..ExplainResponse::default() })
    };
    let answers = Support { stake: 2, quorum: 3, silent: vec![1, 2], against: Vec::new() };
    assert!(wait(3, Some(answers)).contains("for answers that tell where it is safe to sign: stake 2 of 3"));
    assert_eq!(
        wait(9, None),
        "next block  round 9 waits until the others have come to round 8: this node forgot what it signed, and signs none \
         before it\n"
    );
}

#[test]
fn a_machine_that_does_not_answer_is_told_first() {
    let silent = ExplainResponse { machine_silent: true, ..ExplainResponse::default() };
    assert!(text::of(&silent).starts_with("machine     does not answer"), "{}", text::of(&silent));
}

/// Other programs read these.
#[test]
fn json_has_the_names_of_the_contract() {
    let value = json::of(&sample());
    assert_eq!(value["slots"][0]["reason"], "votes");
    assert_eq!(value["slots"][0]["block"]["digest"], "ab".repeat(32));
    assert_eq!(value["slots"][0]["support"]["against"], serde_json::json!([3]));
    assert_eq!(value["slots"][1]["block"], serde_json::Value::Null);
    assert_eq!(value["decisions"][0]["reason"], "not_in_anchor");
    assert_eq!(value["decisions"][0]["anchor"]["round"], 14);
    assert_eq!((&value["proposal"]["reason"], &value["proposal"]["round"]), (&"quorum".into(), &14.into()));
    assert_eq!(value["missing"][0]["asked"], serde_json::json!([2]));
    assert_eq!(value["peers"][0]["faults"]["equivocation"], 2);
    assert_eq!(
        (&value["executor"]["state"], &value["executor"]["step"]),
        (&"connecting".into(), &"pausing".into())
    );
    assert_eq!((&value["stall"]["since_ms"], &value["machine_silent"]), (&31_000.into(), &false.into()));
}
