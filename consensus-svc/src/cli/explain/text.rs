//! An explanation as a text, for people: what is wrong first, then slot by slot.

use std::fmt::Write as _;

use metanode_proto::consensus::v1::{
    BlockRef, DecisionExplanation, DecisionReason, ExecutorExplanation, ExplainResponse, Fork, LeaderSlot,
    MissingBlock, PeerExplanation, ProposalExplanation, ProposalReason, SlotExplanation, SlotReason, Stall,
    StallReason, Support,
};

use super::json::word;

/// Decisions that a person reads; the JSON form has all.
const SHOWN_DECISIONS: usize = 10;

/// The text.
pub(super) fn of(explained: &ExplainResponse) -> String {
    let mut lines = Vec::new();
    if explained.machine_silent {
        lines.push(row("machine", "does not answer: it is busy, or waits for the disk"));
    }
    lines.extend(explained.stall.as_ref().map(|found| row("stalled", &stall(found))));
    lines.extend(explained.proposal.as_ref().map(|wait| row("next block", &proposal(wait))));
    lines.extend(explained.executor.as_ref().map(|found| row("executor", &executor(found))));
    section(&mut lines, "undecided leader slots (round/offset)", explained.slots.iter().map(slot));
    let newest = explained.decisions.iter().rev().take(SHOWN_DECISIONS);
    section(&mut lines, "newest decisions", newest.map(decision));
    section(&mut lines, "missing blocks", explained.missing.iter().map(missing));
    section(&mut lines, "other authorities", explained.peers.iter().map(peer));
    lines.join("\n") + "\n"
}

fn row(name: &str, value: &str) -> String {
    format!("{name:<12}{value}")
}

fn section(lines: &mut Vec<String>, title: &str, rows: impl Iterator<Item = String>) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        lines.push(title.to_owned());
        lines.extend(rows.iter().map(|row| format!("  {row}")));
    }
}

fn stall(stall: &Stall) -> String {
    if stall.reason() == StallReason::OwnOnly {
        let waited = seconds(stall.since_ms);
        let pooled = stall.pooled_transactions;
        return format!("for {waited}, {pooled} transactions in the pool, waits for {}", stall.waits_for);
    }
    format!(
        "no commit for {}, though there is something to do: {} transactions in the pool, {} uncommitted blocks with \
         transactions, {} rounds behind",
        seconds(stall.since_ms),
        stall.pooled_transactions,
        stall.uncommitted_blocks,
        stall.rounds_behind
    )
}

fn proposal(wait: &ProposalExplanation) -> String {
    let support = wait.support.as_ref().map(support).unwrap_or_default();
    let remaining = seconds(wait.remaining_ms);
    let reason = match wait.reason() {
        ProposalReason::Halted => match &wait.unknown_own_block {
            Some(own) => {
                format!("is never made: peers hold own block {}, which this store did not", block(own))
            }
            None => "is never made: this authority has stopped, see `status`".to_owned(),
        },
        ProposalReason::Forked => {
            format!("is never made: {}", wait.fork.as_ref().map(fork).unwrap_or_default())
        }
        ProposalReason::Amnesia if wait.support.is_none() => format!(
            "waits until the others have come to round {}: this node forgot what it signed, and signs none before it",
            wait.round.saturating_sub(1)
        ),
        ProposalReason::Amnesia => {
            format!(
                "waits, as this node forgot what it signed, for answers that tell where it is safe to sign: {support}"
            )
        }
        ProposalReason::StartQuestion => {
            format!("waits for answers to which own block is known: {support}")
        }
        ProposalReason::Behind => {
            format!("waits until this node has caught up: far ahead are {}", list(&wait.ahead))
        }
        ProposalReason::CatchingUp => "waits until certified commits are fetched".to_owned(),
        ProposalReason::Quorum => {
            format!("waits for blocks of round {}: {support}", wait.round.saturating_sub(1))
        }
        ProposalReason::MinInterval => format!("in {remaining}, when the least interval is over"),
        ProposalReason::Idle => format!("in {remaining}, as there is nothing to order"),
        ProposalReason::Leaders => {
            format!(
                "in {remaining}, or with the leaders of the round before: {}",
                list(&wait.missing_leaders)
            )
        }
        ProposalReason::Unspecified => "waits for what this program does not know".to_owned(),
    };
    format!("round {} {reason}", wait.round)
}

fn executor(executor: &ExecutorExplanation) -> String {
    let behind = executor.commit_index.saturating_sub(executor.executed_index);
    let mut text = format!(
        "{}, at {} for {}, {behind} commits behind",
        word(executor.state().as_str_name(), "EXECUTOR_STATE_"),
        word(executor.step().as_str_name(), "EXECUTOR_STEP_"),
        seconds(executor.step_ms)
    );
    if !executor.failure.is_empty() {
        let _ = write!(text, "; {}", executor.failure);
    }
    text
}

fn slot(slot: &SlotExplanation) -> String {
    let support = slot.support.as_ref().map(support).unwrap_or_default();
    let block = slot.block.as_ref().map(block).unwrap_or_default();
    let reason = match slot.reason() {
        SlotReason::NoBlock => format!("no block of it; of the next round {support}"),
        SlotReason::VotingRound => format!("{block}; of the next round {support}"),
        SlotReason::Votes => format!("{block} lacks votes: {support}"),
        SlotReason::Certificates => format!("{block} lacks certificates: {support}"),
        SlotReason::EarlierWillCommit => "will be committed, after those before it".to_owned(),
        SlotReason::EarlierWillSkip => "will be skipped, after those before it".to_owned(),
        SlotReason::Unspecified => "waits for what this program does not know".to_owned(),
    };
    let anchor = slot.anchor.as_ref().map(|anchor| format!("; else decided by {}", place(anchor)));
    format!("{} of {}: {reason}{}", named(slot.slot.as_ref()), slot.authority, anchor.unwrap_or_default())
}

fn decision(decision: &DecisionExplanation) -> String {
    let anchor = named(decision.anchor.as_ref());
    let reason = match decision.reason() {
        DecisionReason::Certified => format!("committed, certified by stake {}", decision.stake),
        DecisionReason::CertifiedInAnchor => format!("committed by {anchor}"),
        DecisionReason::NoBlock => "skipped, no block of it was held".to_owned(),
        DecisionReason::PassedOver => format!("skipped, passed over by stake {}", decision.stake),
        DecisionReason::NotInAnchor => format!("skipped by {anchor}, which knows no certificate of it"),
        DecisionReason::Unspecified => "decided for a reason that this program does not know".to_owned(),
    };
    format!("{} of {}: {reason}", named(decision.slot.as_ref()), decision.authority)
}

fn missing(missing: &MissingBlock) -> String {
    let name = missing.block.as_ref().map(block).unwrap_or_default();
    let asked = if missing.asked.is_empty() { "nobody yet".to_owned() } else { list(&missing.asked) };
    format!("{name}: needed by {} blocks, asked: {asked}", missing.needed_by)
}

fn peer(peer: &PeerExplanation) -> String {
    let mut text = format!("{}: round {}", peer.authority, peer.highest_round);
    if peer.seen_round > peer.highest_round {
        let _ = write!(text, " (seen {})", peer.seen_round);
    }
    text.push_str(if peer.connected { ", connected" } else { ", not connected" });
    if let Some(heard) = peer.heard_ms_ago {
        let _ = write!(text, ", heard {} ago", seconds(heard));
    }
    for fault in &peer.faults {
        let _ = write!(text, ", {} {}", fault.label, fault.count);
    }
    if !peer.connected && !peer.last_loss.is_empty() {
        let _ = write!(text, "; {}", peer.last_loss);
    }
    text
}

fn support(support: &Support) -> String {
    let mut text = format!("stake {} of {}", support.stake, support.quorum);
    if !support.silent.is_empty() {
        let _ = write!(text, ", silent {}", list(&support.silent));
    }
    if !support.against.is_empty() {
        let _ = write!(text, ", against {}", list(&support.against));
    }
    text
}

fn named(slot: Option<&LeaderSlot>) -> String {
    slot.map(place).unwrap_or_default()
}

fn place(slot: &LeaderSlot) -> String {
    format!("{}/{}", slot.round, slot.offset)
}

fn fork(fork: &Fork) -> String {
    let (index, certified) = (fork.index, hex::encode(&fork.certified_digest));
    let own = if fork.own_digest.is_empty() {
        "can form none".to_owned()
    } else {
        format!("has {}", hex::encode(&fork.own_digest))
    };
    format!("fork at commit {index}: this node {own}, a quorum voted for {certified}")
}

fn block(block: &BlockRef) -> String {
    let digest = hex::encode(block.digest.get(..4).unwrap_or(&block.digest));
    format!("B{}@{}({digest})", block.author, block.round)
}

fn list(authorities: &[u32]) -> String {
    authorities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
}
